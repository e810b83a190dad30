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

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["assign_levels", "pool_pyramid", "roi_align"]

_CANONICAL_SIZE, _CANONICAL_LEVEL = 224, 4  # a box of 224 px belongs to p4


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
    starts, sizes = _feature_boxes(boxes, scale, aligned)
    if sampling_ratio > 0:
        return _sample(features, starts, sizes, image_index, pool_size, (sampling_ratio,) * 2)
    out = features.new_zeros((len(boxes), features.shape[1], pool_size, pool_size))
    out = out.contiguous(memory_format=torch.channels_last)
    grids = (sizes / pool_size).ceil().clamp(min=0).long()  # [R, 2] as (x, y)
    for grid in grids[grids.amin(1) > 0].unique(dim=0).tolist():  # no samples: stays 0
        rows = (grids == grids.new_tensor(grid)).all(1).nonzero().squeeze(1)
        pooled = _sample(
            features, starts[rows], sizes[rows], image_index[rows], pool_size, (grid[1], grid[0])
        )
        out = out.index_copy(0, rows, pooled)
    return out


def _feature_boxes(boxes: Tensor, scale: float, aligned: bool) -> tuple[Tensor, Tensor]:
    """Top-left corners and sizes [R, 2] (x, y) in feature pixels."""
    starts = boxes[:, :2] * scale - (0.5 if aligned else 0.0)
    sizes = boxes[:, 2:] * scale - boxes[:, :2] * scale
    return starts, sizes if aligned else sizes.clamp(min=1.0)


def _sample(
    features: Tensor,
    starts: Tensor,
    sizes: Tensor,
    image_index: Tensor,
    pool_size: int,
    grid: tuple[int, int],
) -> Tensor:
    """Pool with `grid` = (vertical, horizontal) samples per bin."""
    channels, height, width = features.shape[1:]
    rows, row_weights = _axis_samples(starts[:, 1], sizes[:, 1], pool_size, grid[0], height)
    cols, col_weights = _axis_samples(starts[:, 0], sizes[:, 0], pool_size, grid[1], width)
    rows = rows + (image_index * height)[:, None, None]
    # every pair of a row and a column entry: [R, P, P, 2 * grid[0], 2 * grid[1]]
    index = rows[:, :, None, :, None] * width + cols[:, None, :, None, :]
    weight = row_weights[:, :, None, :, None] * col_weights[:, None, :, None, :]
    bag = 4 * grid[0] * grid[1]
    bags = F.embedding_bag(
        index.reshape(-1, bag),
        features.permute(0, 2, 3, 1).reshape(-1, channels),
        per_sample_weights=weight.reshape(-1, bag).to(features.dtype),
        mode="sum",
    )  # [R * P * P, C]
    return bags.view(len(starts), pool_size, pool_size, channels).permute(0, 3, 1, 2)


def _axis_samples(
    start: Tensor, size: Tensor, pool_size: int, grid: int, length: int
) -> tuple[Tensor, Tensor]:
    """Neighbours and weights of the sample points along one axis.

    Returns:
        Index int64 and weight [R, P, 2 * grid]: for each bin the lower and upper neighbours of its
        samples. Weights include the mean over samples and vanish for samples outside the map.
    """
    bin_size = (size / pool_size)[:, None, None]
    bins = torch.arange(pool_size, device=start.device).to(start.dtype)[:, None]
    steps = torch.arange(grid, device=start.device).to(start.dtype) + 0.5
    # summed in the order of the definition, so that float32 rounds alike
    points = start[:, None, None] + bins * bin_size + steps * bin_size / grid  # [R, P, grid]
    inside = (points >= -1) & (points <= length)
    points = points.clamp(0, length - 1)
    lower = points.floor()
    fraction = points - lower
    scale = inside / grid
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
        [sum of R_i, C, P, P], boxes in the order given.
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
    return torch.cat(pooled)[torch.cat(order).argsort()]
