"""Masks of annotations, decoded: run lengths (RLE), polygons, part masks.

COCO's run lengths go down the columns and alternate between background and foreground, beginning
with background. Compressed, each is a text of base-32 digits, lowest first, and from the fourth on
the difference from the one two before.

H, W: height and width of a mask. M: masks. R: runs of a mask, or of all of them.
"""

from __future__ import annotations

import re
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
    "find_broken_masks",
]

PART_MASK_SIZE = 256
"""Side of a part mask, which spans the person's box."""

_PART_MASK = (PART_MASK_SIZE, PART_MASK_SIZE)

_Bytes = npt.NDArray[np.uint8]
_Ints = npt.NDArray[np.int64]

_DIGITS = re.compile("[0-o]+")
_LAST_DIGITS = "P"  # below this; from here on, there is more to come
_NOT_COMPRESSED = "its counts are not run lengths in COCO's compressed form"
_MAX_DIGITS = 6
_MAX_RUN = 1 << 5 * _MAX_DIGITS  # more pixels than any image has, and sums do not overflow


def find_broken_masks(masks: Sequence[RLE]) -> dict[int, str]:
    """Return the positions of the masks that cannot be decoded, each with the reason.

    Quick for many at once, as data sets have hundreds of thousands.
    """
    all_sound = _are_sound([mask for mask in masks if isinstance(mask["counts"], str)])
    broken: dict[int, str] = {}
    for position, mask in enumerate(masks):
        if all_sound and isinstance(mask["counts"], str):
            continue
        try:
            decode_rle(mask)
        except DataError as error:
            broken[position] = str(error)
    return broken


def decode_rle(mask: RLE) -> _Bytes:
    """Return a mask as uint8 [H, W], 0 or 1.

    Raises:
        DataError: its counts are no run lengths, or do not fill its size.
    """
    runs = _runs(mask["counts"])
    height, width = map(int, mask["size"])
    if int(runs.sum()) != height * width or runs.min() < 0:
        raise DataError(_mismatch(int(runs.sum()), mask))
    values = np.arange(len(runs), dtype=np.uint8) % 2
    return np.repeat(values, runs).reshape(width, height).T


def decode_runs(masks: Sequence[RLE]) -> list[_Ints]:
    """Return the run lengths of each mask, int64 [R]. Quick for many at once.

    Raises:
        DataError: the counts of a mask are no run lengths.
    """
    if not masks:
        return []
    texts = [_as_text(mask["counts"]) for mask in masks]
    runs, firsts = _runs_of_all(texts)
    return np.split(runs, firsts[1:])


def decode_part_masks(masks: Sequence[RLE | None] | RLE) -> _Bytes:
    """Return uint8 [256, 256] in the frame of the person's box: mask part 1..14, 0 background.

    A later part covers an earlier one; of a single mask the whole person is 1: parity with
    Detectron2.

    Raises:
        DataError: as `decode_rle`.
    """
    parts = [masks] if isinstance(masks, Mapping) else masks
    labels = [label for label, mask in enumerate(parts, start=1) if mask]
    seen = [mask for mask in parts if mask]
    if not seen:
        return np.zeros(_PART_MASK, np.uint8)
    # All at once: the training loader spends most of its time on people here.
    runs, firsts = _runs_of_all([mask["counts"] for mask in seen])
    if runs.min() < 0 or (np.add.reduceat(runs, firsts) != PART_MASK_SIZE**2).any():
        for mask in seen:  # says which is wrong, and how
            decode_rle({**mask, "size": _PART_MASK})
    counts = np.diff(firsts, append=len(runs))
    is_inside = (np.arange(len(runs)) - np.repeat(firsts, counts)) % 2
    values = (is_inside * np.repeat(labels, counts)).astype(np.uint8)
    painted: _Bytes = np.repeat(values, runs).reshape(-1, *_PART_MASK).max(axis=0)
    return painted.T


def decode_instance_mask(segmentation: Polygons | RLE | None, height: int, width: int) -> _Bytes:
    """Return an annotation's mask in its image, uint8 [H, W], 0 or 1; without one, all 0.

    Raises:
        DataError: as `decode_rle`.
    """
    if not segmentation:
        return np.zeros((height, width), np.uint8)
    if isinstance(segmentation, tuple):
        polygons = [np.asarray(polygon, np.float64).tolist() for polygon in segmentation]
        # pycocotools' own decoding warns under NumPy 2
        return decode_rle(coco_mask.merge(coco_mask.frPyObjects(polygons, height, width)))
    return decode_rle(segmentation)


def _mismatch(covered: int, mask: RLE) -> str:
    height, width = mask["size"]
    return (
        f"its run lengths must be 0 or more and cover {height} x {width} = {height * width} "
        f"pixels, but they cover {covered}"
    )


def _are_sound(compressed: Sequence[RLE]) -> bool:
    if not compressed:
        return True
    try:
        runs, firsts = _uncompress([mask["counts"] for mask in compressed])
    except DataError:
        return False
    sizes = np.array([mask["size"] for mask in compressed]).prod(axis=1)
    return bool(runs.min() >= 0 and (np.add.reduceat(runs, firsts) == sizes).all())


def _runs(counts: object) -> _Ints:
    """Return the run lengths of one mask, int64 [R], R > 0."""
    counts = _as_text(counts)
    if isinstance(counts, str):
        return _uncompress([counts])[0]
    try:
        values = np.array(counts or [0])
    except ValueError:  # lists in it, of several lengths
        values = np.zeros(0)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise DataError("its counts are neither text nor a list of whole numbers")
    if (values > _MAX_RUN).any() or (values < -_MAX_RUN).any():
        raise DataError(f"its counts go beyond {_MAX_RUN} pixels")
    return values.astype(np.int64)


def _as_text(counts: object) -> object:
    """Return compressed counts, which pycocotools gives as bytes, as text."""
    return counts.decode("latin-1") if isinstance(counts, bytes) else counts


def _runs_of_all(counts: Sequence[object]) -> tuple[_Ints, _Ints]:
    """Return the run lengths of all masks, int64 [R], and where each one's begin, [M]."""
    texts = [text for text in counts if isinstance(text, str)]
    if len(texts) == len(counts):
        return _uncompress(texts)
    runs = [_runs(one) for one in counts]
    return np.concatenate(runs), np.cumsum([0, *map(len, runs[:-1])])


def _uncompress(texts: Sequence[str]) -> tuple[_Ints, _Ints]:
    """Return the run lengths of all texts, int64 [R], and where each one's begin, [M]."""
    joined = "".join(texts)
    complete = all(text and text[-1] < _LAST_DIGITS for text in texts)
    if not complete or not _DIGITS.fullmatch(joined):
        raise DataError(_NOT_COMPRESSED)
    digits = np.frombuffer(joined.encode(), np.uint8) - 48
    last = np.flatnonzero(digits < 32)  # digit of each number, and its highest
    lengths = np.diff(last, prepend=-1)
    if lengths.max() > _MAX_DIGITS:
        raise DataError(_NOT_COMPRESSED)
    values = digits[last].astype(np.int64)
    values -= (values & 16) << 1
    for index in range(1, int(lengths.max())):
        longer = np.flatnonzero(lengths > index)
        values[longer] = (values[longer] << 5) + (digits[last[longer] - index] & 31)
    text_ends = np.cumsum([len(text) for text in texts])
    return _undo_differences(values, np.searchsorted(last, text_ends))


def _undo_differences(values: _Ints, text_ends: _Ints) -> tuple[_Ints, _Ints]:
    """Add up every second number of each text, the very first one apart; as `_uncompress`."""
    counts = np.diff(text_ends, prepend=0)
    firsts = text_ends - counts
    # In two columns, each text beginning a new row.
    rows = (counts + 1) // 2
    row_firsts = np.cumsum(rows) - rows
    place = np.arange(len(values)) + np.repeat(2 * row_firsts - firsts, counts)
    pairs = np.zeros((int(rows.sum()), 2), np.int64)
    pairs.reshape(-1)[place] = values
    pairs[row_firsts, 0] = 0
    sums = pairs.cumsum(axis=0)
    sums -= np.repeat(sums[row_firsts] - pairs[row_firsts], rows, axis=0)
    runs = sums.reshape(-1)[place]
    runs[firsts] = values[firsts]
    return runs, firsts
