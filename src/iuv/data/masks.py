"""Masks of annotations, decoded: run lengths (RLE), polygons, part masks.

COCO's run lengths go down the columns and alternate between background and foreground, beginning
with background. Compressed, each is a text of base-32 digits, lowest first, and from the fourth on
the difference from the one two before.

H, W: height and width of a mask. R: runs of a mask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from iuv.data.records import RLE, DataError, Polygons

__all__ = [
    "PART_MASK_SIZE",
    "decode_instance_mask",
    "decode_part_masks",
    "decode_rle",
    "decode_runs",
]

PART_MASK_SIZE = 256
"""Side of a part mask, which spans the person's box."""

_Bytes = npt.NDArray[np.uint8]
_Ints = npt.NDArray[np.int64]

_MAX_DIGITS = 6  # 30 bits: more pixels than any image has


def decode_runs(rles: Sequence[RLE]) -> list[_Ints]:
    """Return the run lengths of each mask, int64 [R], all of them checked.

    Many at once, as a person has up to 14 and a data set a hundred thousand of them.

    Raises:
        DataError: counts are no run lengths, or do not fill the mask's size.
    """
    texts = [rle["counts"] for rle in rles]
    lists = [_whole_numbers(text) for text in texts if isinstance(text, list)]
    packed = [text.encode() if isinstance(text, str) else text for text in texts]
    parsed = _parse([text for text in packed if isinstance(text, bytes)])
    plain, compressed = iter(lists), iter(parsed)
    runs = [next(plain) if isinstance(text, list) else next(compressed) for text in packed]
    for rle, lengths in zip(rles, runs, strict=True):
        height, width = rle["size"]
        covered = int(lengths.sum())
        if covered != height * width or (len(lengths) and lengths.min() < 0):
            raise DataError(
                f"the run lengths cover {covered} pixels of a mask of {height} x {width} = "
                f"{height * width}"
            )
    return runs


def decode_rle(rle: RLE) -> _Bytes:
    """Return a mask as uint8 [H, W], 0 or 1.

    Raises:
        DataError: as `decode_runs`.
    """
    (runs,) = decode_runs([rle])
    height, width = rle["size"]
    values = np.arange(len(runs), dtype=np.uint8) % 2
    return np.repeat(values, runs).reshape(width, height).T


def decode_part_masks(masks: Sequence[RLE | None] | RLE) -> _Bytes:
    """Return uint8 [256, 256] in the frame of the person's box: mask part 1..14, 0 background.

    A later part covers an earlier one; of a single mask the whole person is 1: parity with
    Detectron2.

    Raises:
        DataError: as `decode_runs`.
    """
    parts = [masks] if isinstance(masks, Mapping) else list(masks)
    labels = np.zeros((PART_MASK_SIZE, PART_MASK_SIZE), np.uint8)
    for index, rle in enumerate(parts, start=1):
        if rle:
            labels[decode_rle(rle) > 0] = index
    return labels


def decode_instance_mask(segmentation: Polygons | RLE | None, height: int, width: int) -> _Bytes:
    """Return an annotation's mask in its image, uint8 [H, W], 0 or 1; without one, all 0.

    Raises:
        DataError: as `decode_runs`.
    """
    if not segmentation:
        return np.zeros((height, width), np.uint8)
    if isinstance(segmentation, tuple):
        polygons = [list(polygon) for polygon in segmentation]
        merged = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
        return np.asarray(coco_mask.decode(merged), dtype=np.uint8)
    return decode_rle(segmentation)


def _whole_numbers(counts: list[object]) -> _Ints:
    values = np.array(counts or [0])
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise DataError("the run lengths must be whole numbers")
    return values.astype(np.int64)


def _parse(texts: list[bytes]) -> list[_Ints]:
    """Undo the compression of several masks, in one go over all their digits."""
    if not texts:
        return []
    digits = np.frombuffer(b"".join(texts), np.uint8).astype(np.int64) - 48
    text_ends = np.cumsum([len(text) for text in texts])
    ends = np.flatnonzero(digits & 32 == 0) + 1  # a number's last digit lacks this bit
    numbers = np.searchsorted(ends, text_ends, side="right")  # that end within the text
    if min(map(len, texts)) == 0 or not len(ends) or not np.isin(text_ends, ends).all():
        raise DataError("the run lengths are incomplete")
    lengths = np.diff(ends, prepend=0)
    if digits.min() < 0 or digits.max() > 63 or lengths.max() > _MAX_DIGITS:
        raise DataError("the run lengths are not in COCO's compressed form")
    starts = ends - lengths
    shifts = 5 * (np.arange(len(digits)) - np.repeat(starts, lengths))
    values = np.add.reduceat((digits & 31) << shifts, starts)
    values -= np.where(digits[ends - 1] & 16, np.int64(1) << 5 * lengths, 0)
    runs = np.split(values, numbers[:-1])
    for mask in runs:
        for odd_or_even in (mask[1::2], mask[2::2]):
            np.cumsum(odd_or_even, out=odd_or_even)
    return runs
