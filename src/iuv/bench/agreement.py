"""How far a form's results are from those of the reference.

D: people found in an image. h, w: of the box around the boxes of a pair, in whole pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from iuv.bench.stages import Trace
from iuv.ops.boxes import iou_matrix
from iuv.results import FloatArray, People, Person

__all__ = ["Agreement", "agreement"]

_MIN_IOU = 0.5


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """A form's results beside the reference's. What has nothing to be measured on is None."""

    found_reference: int
    """People whom the reference found, in all images."""
    found: int
    """People whom the form found."""
    matched: int
    """People whom both found: boxes of an IoU of at least 0.5."""
    shift_median: float | None
    """How far the sides of their boxes lie apart, the farthest side of each, pixels: median."""
    shift_p95: float | None
    """The same: 95th percentile."""
    labels_equal: float | None
    """Share of pixels in either box of a person that have the same part, 0..1."""
    uv_error: float | None
    """Mean difference of U and V, where the part is the same and not background."""


def agreement(reference: Trace, other: Trace) -> Agreement:
    """Compare two runs on the same scene."""
    shifts = [
        float(np.abs(a[i] - b[j]).max())
        for a, b in zip(reference.boxes, other.boxes, strict=True)
        for i, j in _match(a, b)
    ]
    pixels = equal = surface = 0
    difference = 0.0
    for ours, theirs in _pairs(reference.people, other.people):
        either = ~(np.isnan(ours[0]) & np.isnan(theirs[0]))  # of the boxes covers them
        same = np.nan_to_num(ours[0]) == np.nan_to_num(theirs[0])
        pixels, equal = pixels + int(either.sum()), equal + int(same[either].sum())
        same &= ours[0] > 0
        surface += int(same.sum())
        difference += float(np.abs(ours[1:] - theirs[1:])[:, same].mean(0).sum())
    return Agreement(
        found_reference=sum(map(len, reference.boxes)),
        found=sum(map(len, other.boxes)),
        matched=len(shifts),
        shift_median=float(np.median(shifts)) if shifts else None,
        shift_p95=float(np.percentile(shifts, 95)) if shifts else None,
        labels_equal=equal / pixels if pixels else None,
        uv_error=difference / surface if surface else None,
    )


def _match(ours: FloatArray, theirs: FloatArray) -> list[tuple[int, int]]:
    """Pairs of boxes that overlap most, each box in one pair at most."""
    iou = iou_matrix(torch.from_numpy(ours), torch.from_numpy(theirs)).numpy()
    pairs: list[tuple[int, int]] = []
    for flat in np.argsort(-iou, axis=None, kind="stable"):
        i, j = divmod(int(flat), iou.shape[1])
        if iou[i, j] < _MIN_IOU:
            break
        if all(i != a and j != b for a, b in pairs):
            pairs.append((i, j))
    return pairs


def _pairs(
    reference: Sequence[People], other: Sequence[People]
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Part, U and V, [3, h, w], of the same person twice, around both boxes; NaN beside a box."""
    for ours, theirs in zip(reference, other, strict=True):
        for i, j in _match(ours.boxes_xyxy, theirs.boxes_xyxy):
            a, b = ours[i], theirs[j]
            boxes = np.array([a.box_xywh, b.box_xywh])
            origin = boxes[:, :2].min(0)
            end = (boxes[:, :2] + boxes[:, 2:]).max(0)
            yield _on_canvas(a, origin, end), _on_canvas(b, origin, end)


def _on_canvas(person: Person, origin: Any, end: Any) -> FloatArray:
    canvas = np.full((3, end[1] - origin[1], end[0] - origin[0]), np.nan, dtype=np.float32)
    x, y = np.array(person.box_xywh[:2]) - origin
    height, width = person.labels.shape
    canvas[0, y : y + height, x : x + width] = person.labels
    canvas[1:, y : y + height, x : x + width] = person.uv
    return canvas
