"""Greedy non-maximum suppression without a compiled operator.

Greedy NMS keeps a box unless a *kept* box of higher score overlaps it. With boxes sorted by score
and S[i, j] = "i comes before j and overlaps it", the kept set is the only fixed point of
``keep[j] = not any(keep[i] and S[i, j])``. Iterating from "keep all" reaches it in as many steps as
the longest chain of suppressions, a handful in practice, each one matrix-vector product.

N: boxes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from iuv.ops.boxes import iou_matrix

__all__ = ["nms", "nms_per_class"]

_BLOCK = 2048  # bounds memory: overlaps are computed for so many boxes at a time


def nms(boxes: Tensor, scores: Tensor, max_iou: float) -> Tensor:
    """Return the indices of the boxes to keep, by descending score (equal scores: input order).

    Args:
        boxes: [N, 4] xyxy.
        scores: [N].
        max_iou: a box whose IoU with a kept box is above this is dropped.

    Returns:
        int64 [number kept].
    """
    order = torch.sort(scores, descending=True, stable=True).indices
    kept: list[Tensor] = []
    for block in order.split(_BLOCK):
        for earlier in kept:
            block = block[~(iou_matrix(boxes[earlier], boxes[block]) > max_iou).any(0)]
        kept.append(block[_keep(boxes[block], max_iou)])
    return torch.cat(kept) if kept else order


def _keep(boxes: Tensor, max_iou: float) -> Tensor:
    """Bool [N]: the kept ones of boxes that are sorted by descending score."""
    overlaps = (iou_matrix(boxes, boxes) > max_iou).triu_(diagonal=1).to(boxes.dtype)
    keep = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
    while True:
        updated = keep.to(boxes.dtype) @ overlaps == 0
        if torch.equal(updated, keep):
            return keep
        keep = updated


def nms_per_class(boxes: Tensor, scores: Tensor, classes: Tensor, max_iou: float) -> Tensor:
    """As `nms`, but boxes suppress only boxes of their own class.

    Args:
        boxes: [N, 4] xyxy.
        scores: [N].
        classes: int64 [N]; any whole numbers, e.g. class or pyramid level.
        max_iou: a box whose IoU with a kept box of its class is above this is dropped.

    Returns:
        int64 [number kept], by descending score over all classes.
    """
    kept = [torch.empty(0, dtype=torch.int64, device=boxes.device)]
    for label in classes.unique():
        members = (classes == label).nonzero().squeeze(1)
        kept.append(members[nms(boxes[members], scores[members], max_iou)])
    together = torch.cat(kept)
    return together[torch.sort(scores[together], descending=True, stable=True).indices]
