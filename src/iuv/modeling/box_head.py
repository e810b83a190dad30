"""Box head: decides which proposals are people and refines their boxes.

R: boxes. C: channels. P: pooled size. K: classes. Boxes are xyxy in pixels of the network input.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from iuv.config import BoxConfig
from iuv.ops.boxes import clip_boxes, nms

__all__ = ["BOX_WEIGHTS", "BoxHead", "Boxes", "select_boxes"]

BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
"""The box head's deltas are scaled by these."""


class Boxes(NamedTuple):
    """Detections of one image, best score first."""

    boxes: Tensor
    """[D, 4]."""
    scores: Tensor
    """[D], 0..1."""
    classes: Tensor
    """int64 [D], 0..K-1."""


class BoxHead(nn.Module):
    """[R, C, P, P] → class logits [R, K + 1], background last, and box deltas [R, K * 4]."""

    def __init__(self, in_channels: int, config: BoxConfig) -> None:
        super().__init__()
        self.pooled = in_channels, config.pool_size, config.pool_size
        self.channels_last = False
        self.fc1 = nn.Linear(in_channels * config.pool_size**2, config.fc_dim)
        self.fc2 = nn.Linear(config.fc_dim, config.fc_dim)
        self.cls = nn.Linear(config.fc_dim, config.num_classes + 1)
        self.deltas = nn.Linear(config.fc_dim, config.num_classes * 4)

    def lay_out_channels_last(self) -> None:
        """Order the first weights as channels-last memory is, in place: inputs are not copied."""
        if not self.channels_last:
            weight = self.fc1.weight.unflatten(1, self.pooled).permute(0, 2, 3, 1).flatten(1)
            self.fc1.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
            self.channels_last = True

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Return class logits and box deltas."""
        rows = pooled.permute(0, 2, 3, 1) if self.channels_last else pooled
        hidden = F.relu_(self.fc1(rows.flatten(1)))
        hidden = F.relu_(self.fc2(hidden))
        return self.cls(hidden), self.deltas(hidden)


def select_boxes(
    logits: Tensor, boxes: Tensor, image_size: tuple[int, int], config: BoxConfig
) -> Boxes:
    """Choose the detections of one image.

    Args:
        logits: [R, K + 1], background last.
        boxes: [R, K * 4], the refined box for each class.
        image_size: (height, width) without padding.
        config: score threshold (exclusive), NMS threshold, least size and number of people.
    """
    probabilities = logits.softmax(dim=1)
    finite = boxes.isfinite().all(1) & probabilities.isfinite().all(1)
    above = (probabilities[:, :-1] > config.min_score) & finite[:, None]
    rows, classes = above.nonzero(as_tuple=True)
    candidates = clip_boxes(boxes.unflatten(1, (-1, 4))[rows, classes], image_size)
    scores = probabilities[rows, classes]
    sides = (candidates[:, 2:] - candidates[:, :2]).amax(1)
    kept = nms(candidates, scores, config.nms_iou, classes)
    kept = kept[sides[kept] >= config.min_size * max(image_size)][: config.max_people]
    return Boxes(candidates[kept], scores[kept], classes[kept])
