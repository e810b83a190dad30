"""Region proposals: anchors, the head that scores and refines them, and their selection.

N: images. A: anchors per cell. H, W: feature map. Boxes are xyxy in pixels of the network input.
Source: Ren et al., Faster R-CNN (2015); parity with Detectron2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iuv.config import RPNConfig
from iuv.ops.boxes import clip_boxes, decode_deltas, nms, non_empty

__all__ = [
    "STRIDES",
    "RPNHead",
    "cell_anchors",
    "decode_proposals",
    "grid_anchors",
    "select_proposals",
]

STRIDES = (4, 8, 16, 32, 64)
"""Input pixels per cell of p2..p6."""


class RPNHead(nn.Module):
    """One small network shared by all pyramid levels."""

    def __init__(self, channels: int, num_anchors: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.objectness = nn.Conv2d(channels, num_anchors, 1)
        self.deltas = nn.Conv2d(channels, num_anchors * 4, 1)

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return per level the logits [N, A, H, W] and the deltas [N, A * 4, H, W]."""
        logits, deltas = [], []
        for feature in features:
            hidden = F.relu_(self.conv(feature))
            logits.append(self.objectness(hidden))
            deltas.append(self.deltas(hidden))
        return logits, deltas


def cell_anchors(size: float, aspect_ratios: Sequence[float]) -> Tensor:
    """Return float32 [A, 4]: anchors of area size², centred at the origin, one per height/width."""
    ratios = torch.tensor(aspect_ratios, dtype=torch.float64)
    width = torch.sqrt(size**2 / ratios)
    height = ratios * width
    return (torch.stack([-width, -height, width, height], dim=1) / 2).float()


def grid_anchors(cells: Tensor, index: Tensor, width: int | Tensor, stride: int) -> Tensor:
    """Return the anchors at flat positions of a level, float32 [..., 4].

    Args:
        cells: [A, 4] from `cell_anchors`.
        index: int64 [...], positions in the order row, column, anchor.
        width: W of the level.
        stride: input pixels per cell; anchors are centred at whole multiples of it.
    """
    count = len(cells)
    cell = index.div(count, rounding_mode="floor")
    row, column = cell.div(width, rounding_mode="floor"), cell % width
    shift = torch.stack([column, row, column, row], dim=-1) * stride
    return cells[index % count] + shift


def decode_proposals(
    logits: Sequence[Tensor], deltas: Sequence[Tensor], config: RPNConfig
) -> tuple[list[Tensor], list[Tensor]]:
    """Turn each level's best anchors into boxes.

    Args:
        logits: per level [N, A, H, W].
        deltas: per level [N, A * 4, H, W].
        config: anchors, and how many to keep per level.

    Returns:
        Per level boxes [N, k, 4] and logits [N, k], best first.
    """
    boxes, scores = [], []
    for level, (level_logits, level_deltas) in enumerate(zip(logits, deltas, strict=True)):
        flat = level_logits.permute(0, 2, 3, 1).flatten(1)  # [N, H * W * A]
        best, index = flat.topk(min(config.pre_nms_topk, flat.shape[1]), dim=1)
        cells = cell_anchors(config.anchor_sizes[level], config.aspect_ratios).to(flat.device)
        anchors = grid_anchors(cells, index, level_logits.shape[3], STRIDES[level])
        offsets = level_deltas.permute(0, 2, 3, 1).reshape(*flat.shape, 4)
        chosen = offsets.gather(1, index[..., None].expand(-1, -1, 4))
        decoded = decode_deltas(chosen.flatten(0, 1), anchors.flatten(0, 1), (1.0, 1.0, 1.0, 1.0))
        boxes.append(decoded.unflatten(0, index.shape))
        scores.append(best)
    return boxes, scores


def select_proposals(
    boxes: Sequence[Tensor],
    logits: Sequence[Tensor],
    image_sizes: Sequence[tuple[int, int]],
    config: RPNConfig,
) -> list[tuple[Tensor, Tensor]]:
    """Drop broken, empty and overlapping boxes and keep the best of all levels.

    Args:
        boxes: per level [N, k, 4].
        logits: per level [N, k].
        image_sizes: (height, width) of each image without padding.
        config: IoU threshold and number of proposals to keep.

    Returns:
        For each image boxes [P, 4] and logits [P], best first, P <= post_nms_topk.

    Raises:
        ValueError: no box of an image is finite, which is not to be taken for an empty image.
    """
    all_boxes, all_logits = torch.cat(list(boxes), dim=1), torch.cat(list(logits), dim=1)
    levels = torch.repeat_interleave(
        torch.tensor([b.shape[1] for b in boxes], device=all_boxes.device)
    )
    proposals = []
    for image_boxes, image_logits, size in zip(all_boxes, all_logits, image_sizes, strict=True):
        finite = image_boxes.isfinite().all(1) & image_logits.isfinite()
        if not finite.any():
            raise ValueError(
                "the network computed no finite box; its weights are damaged or overflow, "
                "fetch or convert them again"
            )
        clipped = clip_boxes(image_boxes, size)
        valid = (finite & non_empty(clipped)).nonzero().squeeze(1)
        kept = nms(clipped[valid], image_logits[valid], config.nms_iou, levels[valid])
        chosen = valid[kept[: config.post_nms_topk]]
        proposals.append((clipped[chosen], image_logits[chosen]))
    return proposals
