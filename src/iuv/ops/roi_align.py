"""RoIAlign without a compiled operator: a weighted sum of feature rows per output bin.

With features as a table of pixels [N * H * W, C], every bin of every box is a small bag of rows
(the four neighbours of each of its sample points) with bilinear weights. One `embedding_bag`
gathers and sums all bags; it is differentiable, and exact.

N: images. H, W: feature map. C: channels. R: boxes. P: bins per side. G: samples per bin and side.
Source: He et al., Mask R-CNN (2017), section 3; parity with Detectron2's ROIAlign and ROIAlignV2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Window", "assign_levels", "far_apart", "pool_pyramid", "roi_align", "window_of"]

_MOST_GROUPED = 100  # boxes; their grouping takes a hundredth of a second

_CANONICAL_SIZE, _CANONICAL_LEVEL = 224, 4  # a box of 224 px belongs to p4


class Window(NamedTuple):
    """A rectangle of cells of a feature map."""

    rows: range
    columns: range


def window_of(boxes: Tensor, size: Sequence[int], *, scale: float, aligned: bool) -> Window:
    """Return the part of a map that `roi_align` reads, never empty.

    Pooling from the window, with boxes that are shifted by its origin, is pooling from the map: a
    border of the window is one of the map, or no sample comes within a cell of it.

    Args:
        boxes: [R, 4] xyxy in pixels of the network input.
        size: height and width of the map.
        scale: see `roi_align`.
        aligned: see `roi_align`.
    """
    if len(boxes) == 0:
        return Window(range(1), range(1))
    starts = boxes[:, :2] * scale - (0.5 if aligned else 0.0)
    ends = boxes[:, 2:] * scale - (0.5 if aligned else 0.0)
    ends = torch.cat([starts, ends if aligned else torch.maximum(ends, starts + 1)])
    border = starts.new_tensor([size[1] - 1, size[0] - 1])
    # a sample reads the cell that it is in and the next; one more on each side is for rounding
    corners = torch.stack([ends.amin(0) - 1, ends.amax(0) + 2]).clamp(min=0).minimum(border)
    (left, top), (right, bottom) = corners.long().tolist()
    return Window(range(top, bottom + 1), range(left, right + 1))


def far_apart(boxes: Tensor, *, scale: float, margin: int) -> list[list[int]]:
    """Group boxes so that a window around each group has fewer cells in all than one around all.

    Beginning with a group for each box, the two that gain most by being one are joined, as long as
    any gain.

    Args:
        boxes: [R, 4] xyxy in pixels of the network input.
        scale: feature pixels per input pixel.
        margin: cells that a window costs along each axis besides those that it has.

    Returns:
        The rows of each group, in order; each row is in one. More than 100 boxes, which would take
        long to group and lie everywhere, are one group.
    """
    if len(boxes) > _MOST_GROUPED:
        return [list(range(len(boxes)))]
    groups = [[row] for row in range(len(boxes))]
    ends = boxes * boxes.new_tensor([-scale, -scale, scale, scale])  # [R, 4], all grow
    while len(groups) > 1:
        joined = torch.maximum(ends[:, None], ends)  # [R, R, 4]
        cells = (joined[..., :2] + joined[..., 2:] + margin).prod(-1)
        alone = cells.diagonal()
        gains = (alone[:, None] + alone - cells).fill_diagonal_(-torch.inf)
        first, second = sorted(divmod(int(gains.argmax()), len(groups)))
        if gains[first, second] < 0:
            break
        ends[first] = joined[first, second]
        ends = torch.cat([ends[:second], ends[second + 1 :]])
        groups[first] = sorted(groups[first] + groups.pop(second))
    return groups


def roi_align(
    features: Tensor,
    boxes: Tensor,
    image_index: Tensor,
    *,
    scale: float,
    pool_size: int,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """Pool each box from one feature map.

    Args:
        features: [N, C, H, W]; fastest in channels-last memory format.
        boxes: [R, 4] xyxy in pixels of the network input.
        image_index: int64 [R], which image a box is in.
        scale: feature pixels per input pixel, e.g. 1/4.
        pool_size: P.
        sampling_ratio: G; 0 takes ceil(box size in feature pixels / P) for each box and side.
        aligned: shift by half a pixel; otherwise boxes are at least one feature pixel wide.

    Returns:
        [R, C, P, P] in channels-last memory format.
    """
    channels, height, width = features.shape[1:]
    table = features.permute(0, 2, 3, 1).reshape(-1, channels)
    starts = boxes[:, :2] * scale - (0.5 if aligned else 0.0)  # [R, 2] as (x, y), feature pixels
    sizes = boxes[:, 2:] * scale - boxes[:, :2] * scale
    sizes = sizes if aligned else sizes.clamp(min=1.0)
    grids = torch.full_like(sizes, sampling_ratio, dtype=torch.int64)  # [R, 2] as (x, y)
    if sampling_ratio == 0:
        grids = (sizes / pool_size).ceil().clamp(min=0).long()
    pooled, order = [], []
    for grid in grids.unique(dim=0):  # boxes of one grid together; with a fixed ratio that is all
        rows = (grids == grid).all(1).nonzero().squeeze(1)
        start, size, (across, down) = starts[rows], sizes[rows], grid.tolist()
        x, x_weight = _axis_samples(start[:, 0], size[:, 0], pool_size, across, width)
        y, y_weight = _axis_samples(start[:, 1], size[:, 1], pool_size, down, height)
        y = y + (image_index[rows] * height)[:, None, None]
        # every pair of a vertical and a horizontal entry: [rows, P, P, entries, entries]
        index = y[:, :, None, :, None] * width + x[:, None, :, None, :]
        weight = y_weight[:, :, None, :, None] * x_weight[:, None, :, None, :]
        bins = F.embedding_bag(
            index.flatten(3).flatten(0, 2),
            table,
            per_sample_weights=weight.flatten(3).flatten(0, 2).to(table.dtype),
            mode="sum",
        )  # [rows * P * P, C]
        pooled.append(bins.view(-1, pool_size, pool_size, channels))
        order.append(rows)
    if len(pooled) == 1:
        return pooled[0].permute(0, 3, 1, 2)
    # A part of the table, so that training sees all parameters even where nobody is.
    nothing = table[:0, None, None].expand(-1, pool_size, pool_size, -1)
    places = torch.cat([grids.new_zeros(0), *order]).argsort()
    return torch.cat([nothing, *pooled])[places].permute(0, 3, 1, 2)


def _axis_samples(
    start: Tensor, size: Tensor, pool_size: int, grid: int, length: int
) -> tuple[Tensor, Tensor]:
    """Neighbours and weights of the sample points along one axis.

    Returns:
        Index int64 and weight [R, P, 2 * grid]: for each bin the lower and upper neighbours of its
        samples. Weights include the mean over samples and vanish for samples outside the map, and
        if the grid has no samples at all.
    """
    bin_size = (size / pool_size)[:, None, None]
    bins = torch.arange(pool_size, device=start.device).to(start.dtype)[:, None]
    count = max(grid, 1)
    steps = torch.arange(count, device=start.device).to(start.dtype) + 0.5
    # summed in the order of the definition, so that float32 rounds alike
    points = start[:, None, None] + bins * bin_size + steps * bin_size / count  # [R, P, count]
    inside = (points >= -1) & (points <= length)
    points = points.clamp(0, length - 1)
    lower = points.floor()
    fraction = points - lower
    scale = inside / count if grid else torch.zeros_like(points)
    index = torch.stack([lower, (lower + 1).clamp(max=length - 1)], dim=-1).long()
    weight = torch.stack([(1 - fraction) * scale, fraction * scale], dim=-1)
    return index.flatten(2), weight.flatten(2)


def assign_levels(boxes: Tensor, num_levels: int) -> Tensor:
    """Return for [R, 4] boxes the pyramid level to pool from: int64 [R], 0 = p2.

    Source: Lin et al., Feature Pyramid Networks (2017), equation 1.
    """
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    level = torch.floor(_CANONICAL_LEVEL + torch.log2(area.sqrt() / _CANONICAL_SIZE + 1e-8))
    return (level - 2).clamp(0, num_levels - 1).long()


def pool_pyramid(
    features: Sequence[Tensor],
    boxes: Sequence[Tensor],
    *,
    pool_size: int,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """Pool the boxes of each image from the pyramid level that fits their size.

    Args:
        features: p2, p3, ... with strides 4, 8, ..., each [N, C, H, W]; one map means no choice.
        boxes: for each image [R_i, 4] xyxy in pixels of the network input.
        pool_size: P.
        sampling_ratio: see `roi_align`.
        aligned: see `roi_align`.

    Returns:
        [sum of R_i, C, P, P] in channels-last memory format, boxes in the order given.
    """
    all_boxes = torch.cat(list(boxes))
    counts = torch.tensor([len(b) for b in boxes], device=all_boxes.device)
    image_index = torch.repeat_interleave(counts)
    levels = assign_levels(all_boxes, len(features))
    pooled, order = [], []
    for level, feature in enumerate(features):
        rows = (levels == level).nonzero().squeeze(1)
        order.append(rows)
        pooled.append(
            roi_align(
                feature,
                all_boxes[rows],
                image_index[rows],
                scale=math.ldexp(1.0, -(level + 2)),
                pool_size=pool_size,
                sampling_ratio=sampling_ratio,
                aligned=aligned,
            )
        )
    if len(features) == 1:
        return pooled[0]
    # rows in memory order: joining channels-last tensors, some of them empty, may lose the layout
    rows = torch.cat([bins.permute(0, 2, 3, 1) for bins in pooled])
    return rows[torch.cat(order).argsort()].permute(0, 3, 1, 2)
