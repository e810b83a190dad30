"""Masks of people in an image, and how much of them is common.

H x W: the image; h x w: a person's box; D: detections; G: annotated people of one image and class.
Parity with Detectron2, whose rules are noted where they are not what one would expect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from iuv.data.masks import PART_MASK_SIZE, decode_instance_mask, decode_runs
from iuv.data.records import RLE, Annotation, Polygons

__all__ = [
    "Mask",
    "annotated_mask",
    "mask_iou",
    "outside_regions",
    "paste",
    "region_mask",
    "resample",
    "unite_parts",
]

Pixels = npt.NDArray[np.bool_]
Runs = npt.NDArray[np.int64]
Box = Sequence[float] | npt.NDArray[np.float64]


class Mask(NamedTuple):
    """A part of an image, and which of its pixels belong to somebody; all others do not."""

    top: int
    left: int
    pixels: Pixels
    """[h, w], all inside the image."""


def paste(pixels: Pixels, box_xywh: Box, image_size: tuple[int, int]) -> Mask:
    """Lay [h, w] pixels into the image at the truncated corner of a box; cut what sticks out.

    Like Detectron2, it also cuts what lies beyond the truncated right and bottom of the box.
    """
    x, y, width, height = map(float, box_xywh)
    top, left = int(y), int(x)
    y0, x0 = max(top, 0), max(left, 0)
    y1 = max(min(int(y + height), image_size[0], top + pixels.shape[0]), y0)
    x1 = max(min(int(x + width), image_size[1], left + pixels.shape[1]), x0)
    return Mask(y0, x0, pixels[y0 - top : y1 - top, x0 - left : x1 - left])


def unite_parts(annotations: Sequence[Annotation]) -> list[Runs | None]:
    """Return for each person the run lengths of all part masks together; None without part masks.

    They alternate between background and person, down the columns. Quick for many people at once.
    """
    merged = [_merge(annotation.part_masks) for annotation in annotations]
    runs = iter(decode_runs([mask for mask in merged if mask]))
    return [next(runs) if mask else None for mask in merged]


def _merge(masks: Sequence[RLE | None] | RLE | None) -> RLE | None:
    if masks is None:
        return None
    parts = [masks] if isinstance(masks, Mapping) else [rle for rle in masks if rle]
    if not parts:
        return {"size": [PART_MASK_SIZE] * 2, "counts": [PART_MASK_SIZE**2]}
    coded = [
        coco_mask.frPyObjects(dict(rle), *rle["size"]) if isinstance(rle["counts"], list) else rle
        for rle in parts
    ]
    merged: RLE = coco_mask.merge(coded)
    return merged


def annotated_mask(annotation: Annotation, parts: Runs | None, image_size: tuple[int, int]) -> Mask:
    """Return the pixels of an annotated person: of the part masks, or else of the segmentation.

    Without either there are none.

    Args:
        annotation: the person.
        parts: as `unite_parts` returns it.
        image_size: (H, W).
    """
    if parts is None:
        mask = decode_instance_mask(annotation.segmentation, *image_size)
        return Mask(0, 0, mask > 0)
    pixels = np.repeat(np.arange(len(parts), dtype=np.uint8) % 2, parts)
    whole = pixels.reshape(PART_MASK_SIZE, PART_MASK_SIZE).T
    _, _, width, height = annotation.box_xywh
    resized = resample(whole, round(max(height, 1)), round(max(width, 1)))
    return paste(resized, annotation.box_xywh, image_size)


def resample(mask: npt.NDArray[np.uint8], height: int, width: int) -> Pixels:
    """Resize a mask of zeros and ones linearly, and keep what is above one half.

    Equals ``scipy.ndimage.zoom(mask, ..., order=1) > 0.5`` pixel for pixel, but faster: only pixels
    between ones and zeros need arithmetic. Corner pixels keep their centres.
    """
    # Which of each pixel and its neighbours to the right, below and diagonal are set, bit by bit.
    side = mask.shape[0]
    around = mask.flatten(order="F")  # column by column, as COCO decodes it
    around[:-1] += 2 * around[1:]
    around[:-side] += 4 * around[side:]
    (rows, down), (columns, right) = _grid(side, height), _grid(mask.shape[1], width)
    around = np.ascontiguousarray(around.reshape(-1, side)[columns][:, rows].T)
    if down[-1] > 1:
        around[-1] = 0
    if right[-1] > 1:
        around[:, -1] = 0
    result: Pixels = around == 15
    mixed = np.flatnonzero(around - np.uint8(1) < 14)  # some, not all; 0 - 1 wraps to 255
    y, x = np.divmod(mixed, width)
    few, down, right = around.ravel()[mixed], down[y], right[x]
    up, left = 1 - down, 1 - right
    share = (few & 1) * (up * left)  # summed up in scipy's order, so equal to the last bit
    share += (few >> 2 & 1) * (up * right)
    share += (few >> 1 & 1) * (down * left)
    share += (few >> 3) * (down * right)
    result.ravel()[mixed] = share > 0.5
    return result


@lru_cache(maxsize=2048)
def _grid(size: int, wanted: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return [wanted] indices of the pixels before each position, and how far beyond it is.

    scipy takes a last position that rounding puts beyond the last pixel for outside: nothing is
    there. Such a distance is above 1 here.
    """
    step = (size - 1) / (wanted - 1) if wanted > 1 else 1.0
    position = np.arange(wanted, dtype=np.float64) * step
    before = np.minimum(position, size - 2).astype(np.int64)
    return before, position - before


def mask_iou(
    found: Sequence[Mask], annotated: Sequence[Mask], crowd: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return [D, G]: intersection over union; for crowds [G], over the detection alone."""
    common = np.array([[_common(a, b) for b in annotated] for a in found], dtype=np.float64)
    common = common.reshape(len(found), len(annotated))
    own = np.array([np.count_nonzero(mask.pixels) for mask in found], dtype=np.float64)[:, None]
    theirs = np.array([np.count_nonzero(mask.pixels) for mask in annotated], dtype=np.float64)
    total = np.where(crowd, own, own + theirs - common)
    return common / np.where(common > 0, total, 1)


def _common(a: Mask, b: Mask) -> int:
    """Count the pixels in both."""
    top, left = max(a.top, b.top), max(a.left, b.left)
    bottom = min(a.top + a.pixels.shape[0], b.top + b.pixels.shape[0])
    right = min(a.left + a.pixels.shape[1], b.left + b.pixels.shape[1])
    if bottom <= top or right <= left:
        return 0
    mine = a.pixels[top - a.top : bottom - a.top, left - a.left : right - a.left]
    yours = b.pixels[top - b.top : bottom - b.top, left - b.left : right - b.left]
    return int(np.count_nonzero(mine & yours))


def region_mask(polygons: Polygons, image_size: tuple[int, int]) -> Pixels | None:
    """Return [H, W], the pixels in which nobody was annotated; None if there is no such region."""
    return decode_instance_mask(polygons, *image_size) > 0 if polygons else None


def outside_regions(
    region: Pixels | None, box_xywh: Box, labels: npt.NDArray[Any] | None = None
) -> bool:
    """Whether a person counts, or mostly lies where nobody was annotated.

    With regions in the image, a person of no whole pixel never counts. A person with `labels`
    [h, w] may have 90 % of the labelled pixels in a region, another one 70 % of the box. Parity
    with Detectron2: a box that leaves the image is not judged by its labels, but counts.
    """
    if region is None:
        return True
    left, top, width, height = (int(value) for value in box_xywh)
    if width <= 0 or height <= 0:
        return False
    inside = region[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    if not inside.any():
        return True
    if labels is None:
        return bool(np.count_nonzero(inside) / (width * height) < 0.7)
    if inside.shape != labels.shape:
        return True
    person = labels > 0
    common, all_of_it = int(np.count_nonzero(person & inside)), int(np.count_nonzero(person))
    return common / max(all_of_it, 1) < 0.9
