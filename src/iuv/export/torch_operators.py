"""Non-maximum suppression and RoIAlign in torch, without shapes that depend on the numbers.

B: groups. n, R: boxes. C: channels. P: bins per side. G: samples per bin and side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._higher_order_ops import while_loop

from iuv.ops.roi_align import assign_levels

__all__ = ["TorchOperators"]


class TorchOperators:
    """`iuv.export.network.Operators` for ``torch.export``."""

    def suppress(self, boxes: Tensor, scores: Tensor, max_iou: float) -> Tensor:
        """See `Operators`; the fixed point that `iuv.ops.boxes.nms` explains, of all groups."""
        present = scores > -torch.inf
        overlaps = _iou(boxes) > max_iou
        overlaps = overlaps & present[:, :, None] & present[:, None, :]
        matrix = overlaps.to(boxes.dtype).triu(diagonal=1)

        def unsettled(keep: Tensor, previous: Tensor) -> Tensor:
            return (keep != previous).any()

        def step(keep: Tensor, previous: Tensor) -> tuple[Tensor, Tensor]:
            return ((keep[:, None] @ matrix)[:, 0] == 0).to(keep.dtype), keep.clone()

        start = torch.ones_like(scores)
        keep: Tensor
        keep, _ = while_loop(unsettled, step, (start, torch.zeros_like(scores)))
        return (keep > 0) & present

    def pool(
        self,
        features: Sequence[Tensor],
        boxes: Tensor,
        *,
        pool_size: int,
        sampling_ratio: int,
        aligned: bool,
    ) -> Tensor:
        """See `Operators`; one table of all levels' pixels, so that all boxes are read together."""
        table = torch.cat([level[0].permute(1, 2, 0).flatten(0, 1) for level in features])
        levels = assign_levels(boxes, len(features))
        heights = torch.stack([torch.full((), level.shape[2]) for level in features])[levels]
        widths = torch.stack([torch.full((), level.shape[3]) for level in features])[levels]
        firsts = [0]
        for level in features[:-1]:
            firsts.append(firsts[-1] + level.shape[2] * level.shape[3])
        first = torch.stack([torch.full((), number) for number in firsts])[levels]
        scales = torch.tensor([math.ldexp(1.0, -(level + 2)) for level in range(len(features))])
        corners = boxes * scales[levels][:, None]
        starts, sizes = corners[:, :2], corners[:, 2:] - corners[:, :2]
        starts, sizes = (starts - 0.5, sizes) if aligned else (starts, sizes.clamp(min=1.0))
        x, x_weight = _samples(starts[:, 0], sizes[:, 0], pool_size, sampling_ratio, widths)
        y, y_weight = _samples(starts[:, 1], sizes[:, 1], pool_size, sampling_ratio, heights)
        y = first[:, None, None] + y * widths[:, None, None]
        index = y[:, :, None, :, None] + x[:, None, :, None, :]  # [R, P, P, 2 * G, 2 * G]
        weight = y_weight[:, :, None, :, None] * x_weight[:, None, :, None, :]
        bins = F.embedding_bag(
            index.flatten(3).flatten(0, 2),
            table,
            per_sample_weights=weight.flatten(3).flatten(0, 2),
            mode="sum",
        )
        shape = (-1, pool_size, pool_size, table.shape[1])
        return bins.view(shape).permute(0, 3, 1, 2)


def _iou(boxes: Tensor) -> Tensor:
    """[B, n, 4] → [B, n, n]; NaN for two empty boxes."""
    area = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    top_left = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    bottom_right = torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    sides = (bottom_right - top_left).clamp(min=0)
    intersection = sides[..., 0] * sides[..., 1]
    return intersection / (area[:, :, None] + area[:, None, :] - intersection)


def _samples(
    start: Tensor, size: Tensor, pool_size: int, grid: int, length: Tensor
) -> tuple[Tensor, Tensor]:
    """Neighbours and weights [R, P, 2 * G] along one axis, as in `iuv.ops.roi_align`.

    Here each box has its own length of the axis, int64 [R].
    """
    bin_size = (size / pool_size)[:, None, None]
    bins = torch.arange(pool_size).to(start.dtype)[:, None]
    steps = torch.arange(grid).to(start.dtype) + 0.5
    points = start[:, None, None] + bins * bin_size + steps * bin_size / grid  # [R, P, G]
    ends = length.to(start.dtype)[:, None, None]
    inside = (points >= -1) & (points <= ends)
    points = points.clamp(min=0).minimum(ends - 1)
    lower = points.floor()
    fraction = points - lower
    scale = inside / grid
    index = torch.stack([lower, (lower + 1).minimum(ends - 1)], dim=-1).long()
    weight = torch.stack([(1 - fraction) * scale, fraction * scale], dim=-1)
    return index.flatten(2), weight.flatten(2)
