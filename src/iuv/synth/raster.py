"""Which triangle is seen at which sample of a picture: a z-buffer in whole-array operations.

The method is rasterisation in homogeneous coordinates (Olano and Greer, "Triangle scan conversion
using 2D homogeneous coordinates", 1997): with corners (x z, y z, z), the edge opposite corner 0 is
the plane through the eye and the corners 1 and 2, whose normal is their cross product. A triangle
is seen where all three products with (x, y, 1) have the sign of its determinant. That needs no
clipping, and two triangles that share an edge compute the very same number with opposite signs, so
that there is neither a gap nor an overlap. The products, divided by their sum, are the
perspective-correct weights of the corners.

Triangles become rows, rows become samples, all triangles at once; nothing is looped over. The same
operations exist on graphics cards.

Shapes: V vertices, F triangles, K triangles that may be seen, M samples, H and W of the grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """What is seen at each sample."""

    slot: npt.NDArray[np.int32]
    """[H, W], 0..K-1, or `NOTHING`."""
    face: npt.NDArray[np.int32]
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
        first, second, third = (
            edge[0].take(slot) * x + (edge[1].take(slot) * y + edge[2].take(slot))
            for edge in self.edges
        )
        total = first + second + third
        return np.stack([first, second, third]) / total, 1 / (total * self.scale[slot])


def rasterise(
    corners: _Floats, faces: npt.NDArray[np.integer[Any]], height: int, width: int
) -> Raster:
    """Find the nearest triangle at each sample of a grid.

    Args:
        corners: [3, V] homogeneous positions in the grid: (x z, y z, z), with columns x, rows y
            and depth z in metres, which may be negative.
        faces: [F, 3] vertices, counter-clockwise for who sees the front side; the back is not seen.
        height: rows of the grid.
        width: columns of the grid.
    """
    face, low, high = _candidates(corners, faces, height, width)
    edges, scale, kept = _edges(corners, faces[face])
    face, low, high = face[kept], np.take(low, kept, axis=1), np.take(high, kept, axis=1)
    fragment_slot, fragment_place, inverse_depth = _fragments(edges, scale, low, high, width)
    # nearest first, then the lowest number: one integer that grows with 1 / depth. A positive
    # float's bits, read as an integer, are in the order of the floats.
    order = inverse_depth.astype(np.float32).view(np.int32).astype(np.int64)
    order = (order << 32) | (0x7FFFFFFF - fragment_slot)
    best = np.zeros(height * width, np.int64)
    np.maximum.at(best, fragment_place, order)
    slot = np.where(best > 0, 0x7FFFFFFF - (best & 0x7FFFFFFF), NOTHING).astype(np.int32)
    slot = slot.reshape(height, width)
    return Raster(slot=slot, face=face.astype(np.int32), edges=edges, scale=scale)


def _candidates(
    corners: _Floats, faces: npt.NDArray[np.integer[Any]], height: int, width: int
) -> tuple[_Ints, _Ints, _Ints]:
    """Faces that may cover a sample, [K], and their boxes of samples: low and high [2, K]."""
    ahead = corners[2] > _NEAR
    depth = np.where(ahead, corners[2], 1.0)
    place = corners[0] / depth, corners[1] / depth
    at = np.ascontiguousarray(faces.T)
    (ax, bx, cx), (ay, by, cy) = ([value.take(corner) for corner in at] for value in place)
    # y points down: what is counter-clockwise to the eye has a negative area
    wanted = (bx - ax) * (cy - ay) < (cx - ax) * (by - ay)
    crossing = np.zeros(len(faces), bool)
    if not ahead.all():
        count = sum(ahead.take(corner).astype(np.int8) for corner in at)
        crossing = (count > 0) & (count < 3)
        wanted = (wanted & (count == 3)) | crossing
    (face,) = np.nonzero(wanted)
    low, high = np.empty((2, len(face)), np.int64), np.empty((2, len(face)), np.int64)
    for axis, (values, size) in enumerate((((ax, bx, cx), width), ((ay, by, cy), height))):
        a, b, c = (value.take(face) for value in values)
        start = np.ceil(np.minimum(np.minimum(a, b), c) - _MARGIN)
        end = np.floor(np.maximum(np.maximum(a, b), c) + _MARGIN)
        low[axis] = np.clip(start, 0, size)
        high[axis] = np.clip(end, -1, size - 1)
        # the corners behind the eye have no place: such a triangle may be anywhere
        unsure = crossing.take(face)
        low[axis, unsure], high[axis, unsure] = 0, size - 1
    (kept,) = np.nonzero((low[0] <= high[0]) & (low[1] <= high[1]))
    return face[kept], np.take(low, kept, axis=1), np.take(high, kept, axis=1)


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
    return np.take(edges, kept, axis=2), 1 / determinant[kept], kept


def _fragments(
    edges: _Floats, scale: _Floats, low: _Ints, high: _Ints, width: int
) -> tuple[_Ints, _Ints, _Floats]:
    """All samples inside triangles: slot [M], place in the flat grid [M], inverse depth [M]."""
    rows = high[1] - low[1] + 1
    slot = np.repeat(np.arange(len(rows)), rows)
    y = (_counted(rows) + low[1].take(slot)).astype(np.float64)
    start, end = low[0].take(slot).astype(np.float64), high[0].take(slot).astype(np.float64)
    for across, along, constant in edges:
        # the edge is met at x = slope y + offset: two triangles compute the very same numbers
        with np.errstate(divide="ignore", invalid="ignore"):
            slope, offset = -along / across, -constant / across
        left, right, level = across > 0, across < 0, across == 0
        met = np.where(left, slope, 0.0).take(slot) * y
        met += np.where(left, offset, -np.inf).take(slot)
        np.maximum(start, met, out=start)
        met = np.where(right, slope, 0.0).take(slot) * y
        met += np.where(right, offset, np.inf).take(slot)
        np.minimum(end, met, out=end)
        if level.any():  # along a row: the row is inside, or it is not
            outside = level.take(slot) & (along.take(slot) * y + constant.take(slot) < 0)
            start[outside] = np.inf
    first = np.ceil(np.minimum(start, 2.0**31)).astype(np.int64)
    count = np.maximum(np.floor(np.maximum(end, -1.0)).astype(np.int64) - first + 1, 0)
    along, inverse = edges[:, 1].sum(axis=0) * scale, edges[:, 2].sum(axis=0) * scale
    inverse = along.take(slot) * y + inverse.take(slot)
    slope = edges[:, 0].sum(axis=0) * scale
    row = np.repeat(np.arange(len(slot)), count)
    x = _counted(count) + first.take(row)
    slot = slot.take(row)
    inverse_depth = slope.take(slot) * x + inverse.take(row)
    place = x + (y.astype(np.int64) * width).take(row)
    seen = (inverse_depth > 0) & (inverse_depth < 1 / _NEAR)
    if not seen.all():
        slot, place, inverse_depth = slot[seen], place[seen], inverse_depth[seen]
    return slot, place, inverse_depth


def _counted(counts: _Ints) -> _Ints:
    """0, 1, .. count - 1 for each count, one after the other."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) - np.repeat(ends - counts, counts)
