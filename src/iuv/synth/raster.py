"""Which triangle is seen at which sample of a picture: a z-buffer in whole-array operations.

The method is rasterisation in homogeneous coordinates (Olano and Greer, "Triangle scan conversion
using 2D homogeneous coordinates", 1997): with corners (x z, y z, z), the edge opposite corner 0 is
the plane through the eye and the corners 1 and 2, whose normal is their cross product. A triangle
is seen where all three products with (x, y, 1) have the sign of its determinant. That needs no
clipping, and two triangles that share an edge compute the very same number with opposite signs, so
that there is neither a gap nor an overlap. The products, divided by their sum, are the
perspective-correct weights of the corners.

Triangles become rows, rows become samples, many triangles at once: as many as the processor's cache
has room for.

Shapes: V vertices, F triangles, K triangles that may be seen, R rows of them, M samples, H and W of
the grid.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["NOTHING", "Raster", "rasterise"]

_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]
_Numbers = npt.NDArray[np.integer[Any]] | npt.NDArray[np.floating[Any]]

NOTHING = -1
"""In place of a triangle where none is seen."""

_NEAR = 0.05  # metres: what is closer to the eye is not drawn
_FLAT = 1e-30  # triangles with less volume to the eye are seen edge-on
_MARGIN = 1e-6  # samples: rounding must not lose a sample that lies exactly on a corner
_LEVEL = 1e-9  # in place of the slope of edges along a row: they are inside or outside as a whole
_ROWS = 12_000  # of triangles, filled at a time


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """What is seen at each sample."""

    slot: npt.NDArray[np.int32]
    """[H, W], 0..K-1, or `NOTHING`."""
    face: _Ints
    """[K]: the triangle of each slot."""
    edges: _Floats
    """[3, 3, K]: for each corner, the factors of x, y and 1 that give its weight, up to a scale."""
    scale: _Floats
    """[K]: what the sum of the three is multiplied by to give the inverse depth."""

    def weights(self, slot: npt.NDArray[Any], x: _Numbers, y: _Numbers) -> tuple[_Floats, _Floats]:
        """Perspective-correct weights of the corners, [3, M], and depth, [M], of some samples.

        Args:
            slot: [M], of `slot`.
            x: [M] columns of the grid.
            y: [M] rows of the grid.
        """
        weights = np.empty((3, len(slot)))
        slot = slot.astype(np.int64)
        for weight, (across, along, constant) in zip(weights, self.edges, strict=True):
            np.multiply(across.take(slot), x, out=weight)
            weight += along.take(slot) * y
            weight += constant.take(slot)
        total = weights[0] + weights[1]
        total += weights[2]
        weights /= total
        total *= self.scale.take(slot)
        return weights, 1 / total


class _Triangles(NamedTuple):
    """Front sides that may be seen; their first and last rows."""

    face: _Ints
    """[K]"""
    low: _Ints
    """[K]"""
    high: _Ints
    """[K]"""
    crossing: bool
    """Whether some reach behind the eye."""


def rasterise(
    corners: _Floats,
    faces: npt.NDArray[np.integer[Any]],
    height: int,
    width: int,
    *,
    shift: float = 0.0,
) -> Raster:
    """Find the nearest triangle at each sample of a grid.

    Args:
        corners: [3, V] homogeneous positions in the grid: (x z, y z, z), with columns x, rows y
            and depth z in metres, which may be negative.
        faces: [F, 3] vertices, counter-clockwise for who sees the front side; the back is not seen.
        height: rows of the grid.
        width: columns of the grid.
        shift: how far to the right the samples of odd rows lie, in columns: 0 or 1/2.
    """
    found = _candidates(corners, faces, height, width, 1 - shift)
    edges, scale, kept = _edges(corners, faces[found.face])
    found = found._replace(face=found.face[kept], low=found.low[kept], high=found.high[kept])
    best = np.zeros(height * width, np.int64)
    spans, gradient = _spans(edges), edges.sum(axis=0) * scale
    for start, end in _blocks(found.high - found.low + 1):
        place, inverted, inverse_depth = _fragments(
            spans.part(start, end), gradient[:, start:end], found, start, width, shift
        )
        # nearest first, then the lowest number: one integer that grows with 1 / depth. A positive
        # float's bits, read as an integer, are in the order of the floats.
        order = inverse_depth.astype(np.float32).view(np.int32).astype(np.int64)
        order <<= 32
        order |= inverted
        np.maximum.at(best, place, order)
    # the lower half has the slot's bits inverted; nothing, which is 0, becomes -1
    slots = np.invert(best.astype(np.int32)).reshape(height, width)
    return Raster(slot=slots, face=found.face, edges=edges, scale=scale)


def _candidates(
    corners: _Floats, faces: npt.NDArray[np.integer[Any]], height: int, width: int, pitch: float
) -> _Triangles:
    """Faces that may cover a sample; these are `pitch` columns apart, all rows together."""
    ahead = corners[2] > _NEAR
    every = bool(ahead.all())
    depth = corners[2] if every else np.where(ahead, corners[2], 1.0)
    place = corners[0] / depth, corners[1] / depth
    at = np.ascontiguousarray(faces.T, np.int64)
    (ax, bx, cx), (ay, by, cy) = ([value.take(corner) for corner in at] for value in place)
    # y points down: what is counter-clockwise to the eye has a negative area
    wanted = (bx - ax) * (cy - ay) < (cx - ax) * (by - ay)
    crossing = np.zeros(len(faces), bool)
    if not every:
        count = sum(ahead.take(corner).astype(np.int8) for corner in at)
        crossing = (count > 0) & (count < 3)
        wanted = (wanted & (count == 3)) | crossing
    (face,) = np.nonzero(wanted)
    # the corners behind the eye have no place: such a triangle may be anywhere
    unsure = crossing.take(face)
    shown = unsure.copy()
    a, b, c = (value.take(face) for value in (ax, bx, cx))
    start = np.ceil((np.minimum(np.minimum(a, b), c) - _MARGIN) / pitch)
    end = np.floor((np.maximum(np.maximum(a, b), c) + _MARGIN) / pitch)
    shown |= (start <= end) & (end >= 0) & (start <= (width - 1) / pitch)
    a, b, c = (value.take(face) for value in (ay, by, cy))
    start = np.ceil(np.minimum(np.minimum(a, b), c) - _MARGIN)
    end = np.floor(np.maximum(np.maximum(a, b), c) + _MARGIN)
    start[unsure], end[unsure] = 0, height - 1
    low, high = np.clip(start, 0, height), np.clip(end, -1, height - 1)
    (kept,) = np.nonzero(shown & (low <= high))
    return _Triangles(
        face=face[kept],
        low=low[kept].astype(np.int64),
        high=high[kept].astype(np.int64),
        crossing=bool(crossing.any()),
    )


def _edges(corners: _Floats, faces: npt.NDArray[np.integer[Any]]) -> tuple[_Floats, _Floats, _Ints]:
    """Edge functions [3, 3, K] and scales [K] of the faces that show their front, and which."""
    points = [np.take(corners, faces[:, corner], axis=1) for corner in range(3)]
    edges = np.empty((3, 3, len(faces)))
    for corner in range(3):
        # the front's determinant is negative, so the order is turned: inside is positive
        (bx, by, bz), (ax, ay, az) = points[(corner + 1) % 3], points[(corner + 2) % 3]
        edges[corner, 0] = ay * bz - az * by
        edges[corner, 1] = az * bx - ax * bz
        edges[corner, 2] = ax * by - ay * bx
    x, y, z = points[0]
    determinant = x * edges[0, 0] + y * edges[0, 1] + z * edges[0, 2]
    (kept,) = np.nonzero(determinant > _FLAT)
    if len(kept) < len(faces):
        edges, determinant = np.take(edges, kept, axis=2), determinant[kept]
    return edges, 1 / determinant, kept


class _Spans(NamedTuple):
    """Where rows meet edges, x = slope y + offset; those at the left of a triangle come first."""

    slope: _Floats
    """[3, K]"""
    offset: _Floats
    """[3, K]"""
    lefts: npt.NDArray[np.int64]
    """[K]: how many of the three are at the left."""

    def part(self, start: int, end: int) -> _Spans:
        """Those of some triangles."""
        return _Spans(self.slope[:, start:end], self.offset[:, start:end], self.lefts[start:end])


# which edges are at the left, as bits, and their order
_ORDER = np.array(
    [[k for side in (1, 0) for k in range(3) if bits >> k & 1 == side] for bits in range(8)]
).T.copy()


def _spans(edges: _Floats) -> _Spans:
    # two triangles compute the very same numbers for the edge that they share
    across = np.where(edges[:, 0] == 0, _LEVEL, edges[:, 0])
    left = across > 0
    bits = left[0] + 2 * left[1].astype(np.int64) + 4 * left[2]
    count = edges.shape[2]
    place = _ORDER.take(bits, axis=1) * count + np.arange(count)
    slope, offset = -edges[:, 1] / across, -edges[:, 2] / across
    return _Spans(slope.take(place), offset.take(place), left.sum(axis=0))


def _blocks(rows: _Ints) -> Iterator[tuple[int, int]]:
    """Stretches of triangles with about `_ROWS` rows each."""
    ends = np.cumsum(rows)
    total = int(ends[-1]) if len(ends) else 0
    cuts = np.searchsorted(ends, np.arange(_ROWS, total, _ROWS)).tolist()
    borders = sorted({0, *cuts, len(rows)})
    return itertools.pairwise(borders)


def _fragments(
    spans: _Spans, gradient: _Floats, found: _Triangles, begin: int, width: int, shift: float
) -> tuple[_Ints, _Ints, _Floats]:
    """All samples inside triangles: place in the flat grid, inverted slot, inverse depth, [M] each.

    Args:
        spans: of some triangles.
        gradient: [3, K], what x, y and 1 are multiplied by to give the inverse depth.
        found: all triangles.
        begin: the first one's slot.
        width: columns of the grid.
        shift: as in `rasterise`.
    """
    count = len(spans.lefts)
    low = found.low[begin : begin + count]
    rows = found.high[begin : begin + count] - low + 1
    slot = np.repeat(np.arange(count), rows)
    ends = np.cumsum(rows)
    row = np.arange(len(slot)) + (low - ends + rows).take(slot)
    y = row.astype(np.float64)
    start, end = np.zeros(len(slot)), np.full(len(slot), width - 1.0)
    for number, (slope, offset) in enumerate(zip(spans.slope, spans.offset, strict=True)):
        left = spans.lefts > number
        met = slope.take(slot) * y
        if left.all():
            np.maximum(start, met + offset.take(slot), out=start)
        elif not left.any():
            np.minimum(end, met + offset.take(slot), out=end)
        else:
            np.maximum(start, met + np.where(left, offset, -np.inf).take(slot), out=start)
            np.minimum(end, met + np.where(left, np.inf, offset).take(slot), out=end)
    if shift:
        odd = (row & 1) * shift
        start -= odd
        end -= odd
    # what begins beyond the last column is nowhere, however far
    first = np.ceil(np.minimum(start, width)).astype(np.int64)
    length = np.floor(np.maximum(end, -1.0)).astype(np.int64) - first + 1
    np.maximum(length, 0, out=length)
    across, down, constant = gradient
    growth, row = across.take(slot), row * width
    level = down.take(slot) * y + constant.take(slot)
    level -= growth * (row - odd if shift else row)
    place = np.repeat(row + first - np.cumsum(length) + length, length)
    place += np.arange(len(place))
    inverse_depth = np.repeat(growth, length) * place.astype(np.float64)
    inverse_depth += np.repeat(level, length)
    # numbers that need 32 bits, inverted
    inverted = np.repeat(0xFFFFFFFF - begin - slot, length)
    if found.crossing:
        seen = (inverse_depth > 0) & (inverse_depth < 1 / _NEAR)
        place, inverted, inverse_depth = place[seen], inverted[seen], inverse_depth[seen]
    return place, inverted, inverse_depth
