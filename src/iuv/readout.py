"""The read-out on processors: what is certain is copied, what is not is blended.

A cell is the square between four neighbouring values of a map. Bilinear weights are convex: where
one part wins at all four corners of a cell, it wins everywhere in it. So the labels of most pixels
are known from the small maps, and U and V there are those of one small map, made of the winners'
values, that is resampled once. Only pixels in cells at borders of parts are blended part by part,
and only of the parts that can win there: one whose best corner is below another's worst cannot.
If most cells are such (noise), the scores of all parts are resampled instead.

S: side of the maps. C: channels. h, w: box size in whole pixels. B: undecided pixels of a band.
Equal to the literal form, `iuv.bench.plain`, but for rounding: a label may differ where two
channels are within 1e-5 of each other, relative to the largest value around.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from iuv.results import CONFIDENCE_FIELDS, ChartOutputs

__all__ = ["read_out_cells"]

_BAND_PIXELS = 1 << 18  # bounds memory: so many pixels are blended at a time
_MANY = 0.3  # of the pixels: resampling every part costs less than choosing among some of them
_UNDECIDED = 255

_Floats = npt.NDArray[np.float32]
_Index = npt.NDArray[np.int64]
_Labels = npt.NDArray[np.uint8]
_Mask = npt.NDArray[np.bool_]


def read_out_cells(maps: ChartOutputs, *, height: int, width: int) -> dict[str, np.ndarray]:
    """As `iuv.decode.read_out`, for float32 maps in the processor's memory; returns arrays."""
    confidences = {name: getattr(maps, name) for name in CONFIDENCE_FIELDS}
    confidences = {name: m for name, m in confidences.items() if m is not None}
    per_part = {"u": maps.u, "v": maps.v}
    per_part |= {name: m for name, m in confidences.items() if len(m) > 1}
    values = np.zeros((len(per_part), height, width), np.float32)
    labels = _read_parts(maps, list(per_part.values()), values)

    planes = dict(zip(per_part, values, strict=True))
    for name, m in confidences.items():
        if name not in planes:  # one channel: the whole map, background included
            planes[name] = _resample(_planes(m)[0], (height, width))
    return {"labels": labels, "uv": values[:2], **{name: planes[name] for name in confidences}}


def _read_parts(maps: ChartOutputs, fields: Sequence[Tensor], values: _Floats) -> _Labels:
    """Return the labels [h, w], and fill `values` [K, h, w] from K fields [C, S, S]."""
    fine, (height, width) = _planes(maps.fine_segm), values.shape[1:]
    side, size = fine.shape[1], (height, width)
    rows, cols = _Axis.of(height, side), _Axis.of(width, side)
    person = _foreground(_planes(maps.coarse_segm), size)
    if height * width < side * side:  # fewer pixels than cells
        labels = _winners(fine, size) * person
        _blend(labels, values, fields, labels > 0, (rows, cols))
        return labels
    winners = _winners(fine)
    labels = _cells(winners).take(cols.lower, axis=1).take(rows.lower, axis=0)
    labels *= person
    undecided = labels == _UNDECIDED
    for plane, field in zip(values, fields, strict=True):
        _resample(_at(winners, field), size, out=plane)
    chosen_from: _Floats | None = fine
    if np.count_nonzero(undecided) > _MANY * undecided.size:
        labels, chosen_from = _winners(fine, size) * person, None
    _blend(labels, values, fields, undecided, (rows, cols), chosen_from)
    values *= labels > 0
    return labels


def _blend(
    labels: _Labels,
    values: _Floats,
    fields: Sequence[Tensor],
    undecided: _Mask,
    axes: tuple[_Axis, _Axis],
    fine: _Floats | None = None,
) -> None:
    """Fill in `values` [K, h, w] of undecided pixels, and their labels unless `fine` is None."""
    (height, width), (rows, cols) = labels.shape, axes
    band = max(1, _BAND_PIXELS // width)
    for top in range(0, height, band):
        places = undecided[top : top + band].ravel().nonzero()[0] + top * width  # [B]
        y, x = np.divmod(places, width)
        near, far = rows.lower[y] * cols.side, rows.upper[y] * cols.side
        left, right = cols.lower[x], cols.upper[x]
        corners = np.stack([near + left, near + right, far + left, far + right])  # [4, B]
        down, across = rows.fraction[y], cols.fraction[x]
        up, back = 1 - down, 1 - across
        weights = np.stack([up * back, up * across, down * back, down * across])
        if fine is not None:
            labels.put(places, _choose(fine, corners, weights))
        won = labels.take(places).astype(np.int64)
        for plane, field in zip(values, fields, strict=True):
            flat, part, pixel = _flat(field)
            plane.put(places, (flat.take(corners * pixel + won * part) * weights).sum(axis=0))


def _choose(fine: _Floats, corners: _Index, weights: _Floats) -> _Labels:
    """Return the first best channel of pixels [B]: scores [C, S, S], corners and weights [4, B]."""
    scores = fine.reshape(len(fine), -1)
    here = np.zeros(scores.shape[1], bool)
    here[corners[0]] = True  # a cell is known by its first corner
    cells = here.nonzero()[0]  # [number of cells]
    place = np.empty(len(here), np.int64)
    place[cells] = np.arange(len(cells))
    place = place.take(corners[0])  # [B]: in which of these cells a pixel is

    four = np.empty((4, len(cells)), np.int64)
    four[:, place] = corners
    around = scores.take(four, axis=1)  # [C, 4, cells]
    able = around.max(axis=1) >= around.min(axis=1).max(axis=0)
    cell, channel = able.T.nonzero()  # channels ascend within a cell
    around = around[channel, :, cell].T  # [4, pairs of a cell and a channel that can win in it]
    counts = able.sum(axis=0)
    first, counts = (counts.cumsum() - counts).take(place), counts.take(place)

    won: _Labels = channel.take(first).astype(np.uint8)
    best = (around.take(first, axis=1) * weights).sum(axis=0)
    for rank in range(1, int(counts.max(initial=1))):
        rivals = (counts > rank).nonzero()[0]
        pair = first.take(rivals) + rank
        score = (around.take(pair, axis=1) * weights.take(rivals, axis=1)).sum(axis=0)
        better = score > best.take(rivals)
        rivals = rivals[better]
        best[rivals], won[rivals] = score[better], channel.take(pair[better])
    return won


class _Axis(NamedTuple):
    """Bilinear resampling of one axis of a map, with half-pixel centres; L output pixels."""

    lower: _Index  # [L], the neighbour before each output pixel
    upper: _Index  # [L], the neighbour after it
    fraction: _Floats  # [L], distance from lower
    side: int

    @classmethod
    def of(cls, length: int, side: int) -> _Axis:
        pixels = np.arange(length, dtype=np.float32)
        points = (pixels + np.float32(0.5)) * np.float32(side / length) - np.float32(0.5)
        points = points.clip(0)
        lower = points.astype(np.int64)
        upper = np.minimum(lower + 1, side - 1)
        return cls(lower, upper, (points - lower).astype(np.float32), side)


def _cells(winners: _Labels) -> _Labels:
    """[S, S] at corners → [S, S]: the winner in the cell behind each corner, or _UNDECIDED."""
    corners = np.pad(winners, ((0, 1), (0, 1)), mode="edge")
    known = winners == corners[1:, 1:]
    known &= winners == corners[1:, :-1]
    known &= winners == corners[:-1, 1:]
    return np.where(known, winners, np.uint8(_UNDECIDED))


def _winners(planes: _Floats, size: tuple[int, int] | None = None) -> _Labels:
    """Return the first best channel of [C, S, S] at each place, resampled to a size if given."""
    shape = planes.shape[1:] if size is None else size
    best, scores = np.full(shape, -np.inf, np.float32), np.empty(shape, np.float32)
    won, better = np.zeros(shape, np.uint8), np.empty(shape, bool)
    for channel, plane in enumerate(planes):
        scores = plane if size is None else _resample(plane, size, out=scores)
        np.greater(scores, best, out=better)
        np.maximum(scores, best, out=best)
        # channels ascend, so that the later of two is the larger: quicker than assigning by a mask
        np.maximum(won, better.view(np.uint8) * np.uint8(channel), out=won)
    return won


def _foreground(coarse: _Floats, size: tuple[int, int]) -> _Mask:
    """Return where any channel of [2 or 15, S, S], resampled, is above the first, bool [h, w]."""
    background, best, *rest = (_resample(plane, size) for plane in coarse)
    for scores in rest:
        np.maximum(best, scores, out=best)
    person: _Mask = best > background
    return person


def _resample(plane: _Floats, size: tuple[int, int], out: _Floats | None = None) -> _Floats:
    """Resample a map [S, S] to [h, w], bilinearly."""
    import cv2

    height, width = size
    return np.asarray(cv2.resize(plane, (width, height), dst=out), np.float32)


def _at(winners: _Labels, field: Tensor) -> _Floats:
    """[S, S] of 0..C-1 and [C, S, S] → [S, S], the channel of the winner at each place."""
    flat, part, pixel = _flat(field)
    places = np.arange(winners.size).reshape(winners.shape)
    return flat.take(winners.astype(np.int64) * part + places * pixel)


def _flat(field: Tensor) -> tuple[_Floats, int, int]:
    """A map's memory as one row, and how far channels and neighbours in a row are apart in it."""
    part, row, pixel = field.stride()
    if row != field.shape[2] * pixel:
        return _flat(field.contiguous())
    span = (field.shape[0] - 1) * part + (field[0].numel() - 1) * pixel + 1
    return field.as_strided((span,), (1,)).numpy(), part, pixel


def _planes(field: Tensor) -> _Floats:
    """A map [C, S, S] of any layout, contiguous."""
    import cv2

    if field.is_contiguous():
        return field.numpy()
    pixels = field.permute(1, 2, 0).flatten(0, 1)  # a view, if channels are last in memory
    return np.asarray(cv2.transpose(pixels.numpy()), np.float32).reshape(field.shape)
