"""Box arithmetic, and greedy non-maximum suppression without a compiled operator.

N, M: numbers of boxes. K: classes. Boxes are float32 (x0, y0, x1, y1) in pixels; width is x1 - x0,
with no "+ 1". Deltas are (dx, dy, dw, dh) relative to a source box's centre and size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = [
    "clip_boxes",
    "decode_deltas",
    "encode_deltas",
    "iou_matrix",
    "nms",
    "non_empty",
    "scale_boxes",
]

MAX_LOG_SCALE = math.log(1000.0 / 16)
"""A box grows at most this much in one regression step (natural logarithm of the factor)."""

_NMS_BLOCK = 2048  # bounds memory: overlaps are computed for so many boxes at a time

Weights = tuple[float, float, float, float]


def iou_matrix(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Intersection over union of every pair: [N, 4], [M, 4] → [N, M]; NaN for two empty boxes."""
    area1 = (boxes1[:, 2] - boxes1[:, 0]) * (boxes1[:, 3] - boxes1[:, 1])
    area2 = (boxes2[:, 2] - boxes2[:, 0]) * (boxes2[:, 3] - boxes2[:, 1])
    top_left = torch.maximum(boxes1[:, None, :2], boxes2[None, :, :2])
    bottom_right = torch.minimum(boxes1[:, None, 2:], boxes2[None, :, 2:])
    sides = (bottom_right - top_left).clamp_(min=0)
    intersection = sides[..., 0] * sides[..., 1]
    return intersection / (area1[:, None] + area2[None, :] - intersection)


def clip_boxes(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Clip [..., 4] boxes to an image of (height, width): x to [0, width], y to [0, height]."""
    height, width = size
    x0, y0, x1, y1 = boxes.unbind(-1)
    return torch.stack(
        [x0.clamp(0, width), y0.clamp(0, height), x1.clamp(0, width), y1.clamp(0, height)], dim=-1
    )


def non_empty(boxes: Tensor) -> Tensor:
    """Bool [...]: whether width and height of [..., 4] boxes are both above zero."""
    return (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])


def scale_boxes(boxes: Tensor, source: tuple[int, int], target: tuple[int, int]) -> Tensor:
    """Map [N, 4] boxes of an image of size (height, width) `source` to its `target` size."""
    scale_y, scale_x = target[0] / source[0], target[1] / source[1]
    return boxes * boxes.new_tensor([scale_x, scale_y, scale_x, scale_y])


def decode_deltas(deltas: Tensor, boxes: Tensor, weights: Weights) -> Tensor:
    """Apply regression deltas to boxes; parity with Detectron2.

    Args:
        deltas: [N, K * 4], for each box one set per class.
        boxes: [N, 4], the boxes the deltas refer to.
        weights: the deltas are divided by these; (1, 1, 1, 1) or (10, 10, 5, 5).

    Returns:
        [N, K * 4] boxes. The growth of width and height is limited to a factor of 62.5.
    """
    size = boxes[:, 2:] - boxes[:, :2]  # [N, 2]
    centre = boxes[:, :2] + 0.5 * size
    deltas = deltas.unflatten(1, (-1, 4)) / deltas.new_tensor(weights)  # [N, K, 4]
    new_centre = deltas[..., :2] * size[:, None] + centre[:, None]
    new_size = torch.exp(deltas[..., 2:].clamp(max=MAX_LOG_SCALE)) * size[:, None]
    return torch.cat([new_centre - 0.5 * new_size, new_centre + 0.5 * new_size], dim=-1).flatten(1)


def encode_deltas(sources: Tensor, targets: Tensor, weights: Weights) -> Tensor:
    """Return the deltas [N, 4] that turn `sources` [N, 4] into `targets` [N, 4].

    The inverse of `decode_deltas` for one class; sources and targets must have positive size.
    """
    source_size = sources[:, 2:] - sources[:, :2]
    target_size = targets[:, 2:] - targets[:, :2]
    source_centre = sources[:, :2] + 0.5 * source_size
    target_centre = targets[:, :2] + 0.5 * target_size
    shift = (target_centre - source_centre) / source_size
    deltas = torch.cat([shift, torch.log(target_size / source_size)], dim=1)
    return deltas * deltas.new_tensor(weights)


def nms(boxes: Tensor, scores: Tensor, max_iou: float, classes: Tensor | None = None) -> Tensor:
    """Keep a box unless a *kept* box of higher score (and of its class) overlaps it too much.

    With boxes sorted by score and S[i, j] = "i comes before j and overlaps it", the kept set is
    the only fixed point of ``keep[j] = not any(keep[i] and S[i, j])``. Iterating from "keep all"
    reaches it in as many steps as the longest chain of suppressions, a handful in practice, each
    one matrix-vector product.

    Args:
        boxes: [N, 4] xyxy.
        scores: [N].
        max_iou: two boxes overlap too much if their IoU is above this.
        classes: int64 [N], any whole numbers, e.g. class or pyramid level; None: all the same.

    Returns:
        int64 [number kept]: indices by descending score (equal scores: input order).
    """
    order = torch.sort(scores, descending=True, stable=True).indices
    groups = [order] if classes is None else [order[classes[order] == c] for c in classes.unique()]
    kept_of_all = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    for group in groups:
        kept = group[:0]
        for block in group.split(_NMS_BLOCK):
            block = block[~(iou_matrix(boxes[kept], boxes[block]) > max_iou).any(0)]
            overlaps = iou_matrix(boxes[block], boxes[block]) > max_iou
            overlaps = overlaps.triu_(diagonal=1).to(boxes.dtype)
            keep, previous = boxes.new_ones(len(block)), None
            while previous is None or not torch.equal(keep, previous):
                keep, previous = (keep @ overlaps == 0).to(boxes.dtype), keep
            kept = torch.cat([kept, block[keep > 0]])
        kept_of_all[kept] = True
    return order[kept_of_all[order]]
