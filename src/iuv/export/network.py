"""The whole network as one graph: from an image's bytes to boxes, scores and raw maps.

`iuv.modeling.rcnn` has the same recipe for batches, with shapes that depend on the numbers. In a
graph such shapes are costly to trace, so that everything before the people has a fixed size here:
missing candidates are padding with a score of -inf. Two steps differ from engine to engine, non-
maximum suppression and RoIAlign; they come as `Operators`.

H, W: image. B: groups. n: boxes of a group. P: proposals. D: people. C: channels. S: side of a map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iuv.config import BoxConfig, DenseConfig
from iuv.modeling.box_head import BOX_WEIGHTS
from iuv.modeling.rcnn import RCNN, STRIDE
from iuv.modeling.rpn import STRIDES, cell_anchors, grid_anchors
from iuv.ops.boxes import decode_deltas, non_empty

__all__ = ["Operators", "WholeNetwork"]

_LEVELS = 4  # p2..p5 are pooled from


class Operators(Protocol):
    """What an engine does in its own way."""

    def suppress(self, boxes: Tensor, scores: Tensor, max_iou: float) -> Tensor:
        """Non-maximum suppression within each group, as `iuv.ops.boxes.nms`.

        Args:
            boxes: [B, n, 4] xyxy.
            scores: [B, n], descending; -inf is padding.
            max_iou: two boxes overlap too much if their IoU is above this.

        Returns:
            bool [B, n], what is kept; without the padding.
        """

    def pool(
        self,
        features: Sequence[Tensor],
        boxes: Tensor,
        *,
        pool_size: int,
        sampling_ratio: int,
        aligned: bool,
    ) -> Tensor:
        """Pool the boxes of one image, as `iuv.ops.roi_align.pool_pyramid`.

        Args:
            features: p2, p3, ..., each [1, C, height, width]; one map means no choice.
            boxes: [n, 4] xyxy in pixels of the network input; n may be symbolic.
            pool_size: see there, as for the others.
            sampling_ratio: see there.
            aligned: see there.

        Returns:
            [n, C, pool_size, pool_size].
        """


class WholeNetwork(nn.Module):
    """Image uint8 [H, W, 3] RGB → the fields of `Detections` and the maps, by name.

    Boxes are float32 [D, 4] xyxy in pixels of the image, best score first; maps are float32
    [D, c, S, S], see `iuv.results.ChartOutputs`.
    """

    def __init__(self, model: RCNN, operators: Operators) -> None:
        super().__init__()
        self.model = model
        self.operators = operators

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Find the people of an image that has the size of the network's input."""
        height, width = image.shape[:2]
        model = self.model
        features, logits, deltas = model.trunk(self._prepare(image))
        # [x, y, x, y]
        border = torch.tensor([1, 0, 1, 0]) * width + torch.tensor([0, 1, 0, 1]) * height
        proposals, found = self._propose(logits, deltas, border)
        levels = features[:_LEVELS]
        pooled = self._pool(levels, proposals, model.config.box)
        boxes, scores, classes = self._detect(pooled, proposals, found, border)
        is_person = scores > -torch.inf
        # Never no row at all, as engines need not know what to do with that: with nobody around,
        # the maps of one are computed, and dropped.
        some = is_person | (~is_person.any() & (torch.arange(len(scores)) == 0))
        rows = some.nonzero()[:, 0]
        torch._check(rows.shape[0] >= 1)
        if model.decoder is not None:
            levels = (model.decoder(levels),)
        maps = model.dense(self._pool(levels, boxes[rows], model.config.dense))
        people = is_person[rows].nonzero()[:, 0]
        chosen = rows[people]
        outputs = {"boxes": boxes[chosen], "scores": scores[chosen], "classes": classes[chosen]}
        return outputs | {name: m[people] for name, m in maps._asdict().items() if m is not None}

    def _prepare(self, image: Tensor) -> Tensor:
        """[H, W, 3] → [1, 3, height, width], normalised and padded to multiples of the stride."""
        config, (height, width) = self.model.config.input, image.shape[:2]
        pixels = image.float().flip(2)
        pixels = (pixels - torch.tensor(config.pixel_mean_bgr)) / torch.tensor(config.pixel_std_bgr)
        padded = [_padded(side) for side in (height, width)]
        pad = (0, padded[1] - width, 0, padded[0] - height)
        return F.pad(pixels.permute(2, 0, 1)[None], pad)

    def _propose(
        self, logits: Sequence[Tensor], deltas: Sequence[Tensor], border: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return proposals [P, 4] and whether each is one, bool [P]; see `select_proposals`."""
        config = self.model.config.rpn
        count = config.pre_nms_topk
        anchors, offsets, scores = [], [], []
        for level, (level_logits, level_deltas) in enumerate(zip(logits, deltas, strict=True)):
            flat = _cells_first(level_logits).view(-1)
            best, index = torch.cat([flat, flat.new_full((count,), -torch.inf)]).topk(count)
            index = index.clamp(max=flat.shape[0] - 1)
            cells = cell_anchors(config.anchor_sizes[level], config.aspect_ratios)
            width = torch.full((), level_logits.shape[3])  # as a tensor: ONNX divides by tensors
            anchors.append(grid_anchors(cells, index, width, STRIDES[level]))
            offsets.append(_cells_first(level_deltas).view(-1, 4)[index])
            scores.append(best)
        boxes = decode_deltas(torch.cat(offsets), torch.cat(anchors), (1.0, 1.0, 1.0, 1.0))
        candidates, best = _sound(boxes.view(-1, count, 4), torch.stack(scores), border)
        best = best.masked_fill(~non_empty(candidates), -torch.inf)
        kept = self.operators.suppress(candidates, best, config.nms_iou)
        best = best.masked_fill(~kept, -torch.inf).flatten()
        best, index = best.topk(min(config.post_nms_topk, best.shape[0]))
        return candidates.flatten(0, 1)[index], best > -torch.inf

    def _detect(
        self, pooled: Tensor, proposals: Tensor, found: Tensor, border: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes, scores and classes, padded with scores of -inf; see `select_boxes`."""
        config = self.model.config.box
        logits, deltas = self.model.box_head(pooled)
        refined = decode_deltas(deltas, proposals, BOX_WEIGHTS)
        boxes = refined.unflatten(1, (-1, 4)).transpose(0, 1)  # [classes, P, 4]
        scores = logits.softmax(dim=1)[:, :-1].T
        scores = scores.masked_fill(~(found & (scores > config.min_score)), -torch.inf)
        scores, order = scores.topk(scores.shape[1], dim=1)  # sorted
        boxes = boxes.gather(1, order[..., None].expand(-1, -1, 4))
        boxes, scores = _sound(boxes, scores, border)
        kept = self.operators.suppress(boxes, scores, config.nms_iou) & non_empty(boxes)
        if config.min_size > 0:
            sides = (boxes[..., 2:] - boxes[..., :2]).amax(-1)
            kept &= sides >= config.min_size * border.amax(0)
        scores = scores.masked_fill(~kept, -torch.inf).flatten()
        classes = torch.arange(config.num_classes)[:, None].expand(order.shape).flatten()
        scores, index = scores.topk(min(config.max_people, scores.shape[0]))
        return boxes.flatten(0, 1)[index], scores, classes[index]

    def _pool(
        self, features: Sequence[Tensor], boxes: Tensor, config: BoxConfig | DenseConfig
    ) -> Tensor:
        return self.operators.pool(
            features,
            boxes,
            pool_size=config.pool_size,
            sampling_ratio=config.sampling_ratio,
            aligned=config.aligned,
        )


def _padded(side: int) -> int:
    """Return the side of the network's input, as a number that the tracer knows nothing else of.

    As a function of the image's side it would burden every shape that follows.
    """
    cells = torch.full((), (side + STRIDE - 1) // STRIDE).item()
    torch._check(cells >= 1)
    padded: int = cells * STRIDE  # type: ignore[assignment]  # a whole number, which stubs do not know
    return padded


def _cells_first(maps: Tensor) -> Tensor:
    """[1, c, height, width] → [height, width, c], copied: a view's shape would need a proof."""
    return maps[0].permute(1, 2, 0).clone(memory_format=torch.contiguous_format)


def _sound(boxes: Tensor, scores: Tensor, border: Tensor) -> tuple[Tensor, Tensor]:
    """Clip boxes [..., 4] to the image; those that are not finite become padding."""
    finite = boxes.isfinite().all(-1) & scores.isfinite()
    clipped = torch.where(finite[..., None], boxes, 0.0).clamp(min=0).minimum(border.to(boxes))
    return clipped, scores.masked_fill(~finite, -torch.inf)
