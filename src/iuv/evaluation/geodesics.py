"""Distances along a surface: stored as the official file has them, as a matrix, or computed.

G: vertices of the surface; n: pairs asked for. Distances are in metres.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

__all__ = ["Geodesics", "MatrixGeodesics", "MeshGeodesics", "PackedGeodesics"]

Ids = npt.NDArray[np.int64]
Distances = npt.NDArray[np.float64]

_WINDOW = 64 << 20  # bytes of a file that are mapped at a time
_SOURCES = 64  # vertices that paths are searched from at a time
_KEPT = 256 << 20  # bytes of distances that a mesh remembers


class Geodesics(Protocol):
    """Knows how far apart vertices are."""

    @property
    def num_vertices(self) -> int:
        """G: ids are 0..G-1."""

    def distances(self, a: Ids, b: Ids) -> Distances:
        """Return [n]: from each vertex of `a` to its partner in `b`. Ask for many at a time."""


class PackedGeodesics:
    """G(G-1)/2 stored distances: the rows of the strict lower triangle, one after the other.

    A memory-mapped array is never mapped as a whole: pairs are looked up in the order of the file,
    window by window, so each page is read at most once per call and little of it stays resident.

    Raises:
        ValueError: no G has that many pairs.
    """

    def __init__(self, values: npt.NDArray[np.floating[Any]]) -> None:
        self._values = values
        self.num_vertices = round((1 + (1 + 8 * len(values)) ** 0.5) / 2)
        if self.num_vertices * (self.num_vertices - 1) // 2 != len(values):
            raise ValueError(
                f"expected the distances of all pairs of G vertices, G(G-1)/2 numbers, "
                f"got {len(values):,}, which no G gives"
            )

    def distances(self, a: Ids, b: Ids) -> Distances:
        """Return [n] distances; see `Geodesics`."""
        high, low = np.maximum(a, b), np.minimum(a, b)
        rows = high * (high - 1) // 2 + low
        result = np.zeros(len(rows))
        (apart,) = np.nonzero(high != low)
        order = apart[np.argsort(rows[apart])]
        result[order] = _take_sorted(self._values, rows[order])
        return result


def _take_sorted(values: npt.NDArray[Any], rows: Ids) -> npt.NDArray[Any]:
    if not isinstance(values, np.memmap) or values.filename is None:
        return values[rows]
    step = _WINDOW // values.itemsize
    taken = np.empty(len(rows), values.dtype)
    edges = np.searchsorted(rows, np.arange(0, len(values) + step, step))
    for number, (first, last) in enumerate(pairwise(edges)):
        if first == last:
            continue
        start = number * step
        window = np.memmap(
            values.filename,
            values.dtype,
            mode="r",
            offset=values.offset + start * values.itemsize,
            shape=(min(step, len(values) - start),),
        )
        taken[first:last] = window[rows[first:last] - start]
    return taken


class MatrixGeodesics:
    """A full matrix [G, G], in memory or memory-mapped.

    Raises:
        ValueError: it is not square.
    """

    def __init__(self, matrix: npt.NDArray[np.floating[Any]]) -> None:
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"expected a square matrix of distances, got shape {matrix.shape}")
        self._matrix = matrix
        self.num_vertices = len(matrix)

    def distances(self, a: Ids, b: Ids) -> Distances:
        """Return [n] distances; see `Geodesics`."""
        return self._matrix[a, b].astype(np.float64)


class MeshGeodesics:
    """Shortest paths along a triangle mesh, found when they are first asked for.

    A path runs along edges, and straight across two neighbouring triangles from tip to tip: on a
    mesh of nearly equal triangles it is at most 4 % too long. Vertices without a connection are
    infinitely far apart. Distances from the vertices asked for last are kept, in bounded memory.

    Args:
        points: [G, 3], in metres.
        faces: [F, 3], ids of their corners.

    Raises:
        ValueError: wrong shapes, or a face names a vertex that is not there.
    """

    def __init__(self, points: npt.NDArray[np.floating[Any]], faces: npt.NDArray[Any]) -> None:
        if points.ndim != 2 or points.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
            raise ValueError(
                f"expected points [G, 3] and faces [F, 3], got {points.shape} and {faces.shape}"
            )
        if not len(faces) or faces.min() < 0 or faces.max() >= len(points):
            raise ValueError(
                f"faces must name vertices 0..{len(points) - 1}, and there must be any"
            )
        self.num_vertices = len(points)
        self._graph = _graph(points.astype(np.float64), faces.astype(np.int64))
        self._rows: OrderedDict[int, npt.NDArray[np.float32]] = OrderedDict()

    def distances(self, a: Ids, b: Ids) -> Distances:
        """Return [n] distances; see `Geodesics`. Paths are searched from the vertices of `a`."""
        order = np.argsort(a, kind="stable")
        sources, starts = np.unique(a[order], return_index=True)
        groups = np.split(order, starts[1:])
        result = np.empty(len(a))
        for first in range(0, len(sources), _SOURCES):
            chosen = sources[first : first + _SOURCES]
            for row, group in zip(
                self._from(chosen.tolist()), groups[first : first + _SOURCES], strict=True
            ):
                result[group] = row[b[group]]
        return result

    def _from(self, sources: list[int]) -> list[npt.NDArray[np.float32]]:
        """Return [G] distances from each of the sources."""
        new = [source for source in sources if source not in self._rows]
        if new:
            found = dijkstra(self._graph, directed=False, indices=new).astype(np.float32)
            self._rows.update(zip(new, found, strict=True))
        rows = [self._rows[source] for source in sources]
        for source in sources:
            self._rows.move_to_end(source)
        while len(self._rows) * self.num_vertices * 4 > _KEPT:
            self._rows.popitem(last=False)
        return rows


def _graph(points: npt.NDArray[np.float64], faces: Ids) -> csr_matrix:
    """Return the lengths of all edges and tip-to-tip diagonals, upper triangle."""
    corners = np.concatenate([faces, np.roll(faces, 1, axis=1), np.roll(faces, 2, axis=1)])
    ends, tips = np.sort(corners[:, :2], axis=1), corners[:, 2]
    order = np.lexsort((ends[:, 1], ends[:, 0]))
    ends, tips = ends[order], tips[order]
    (shared,) = np.nonzero((ends[1:] == ends[:-1]).all(axis=1))
    diagonals, lengths = _diagonals(points, ends[shared], tips[shared], tips[shared + 1])
    pairs = np.concatenate([ends, diagonals])
    lengths = np.concatenate(
        [np.linalg.norm(points[ends[:, 0]] - points[ends[:, 1]], axis=1), lengths]
    )
    # Of a pair that several triangles give, the shortest: a sparse matrix would add them up.
    order = np.lexsort((lengths, pairs[:, 1], pairs[:, 0]))
    pairs, lengths = pairs[order], lengths[order]
    first = np.append(True, (pairs[1:] != pairs[:-1]).any(axis=1))
    shape = (len(points), len(points))
    return csr_matrix((lengths[first], tuple(pairs[first].T)), shape=shape)


def _diagonals(
    points: npt.NDArray[np.float64], ends: Ids, left: Ids, right: Ids
) -> tuple[Ids, npt.NDArray[np.float64]]:
    """Unfold the triangles left and right of shared edges.

    Return the tips that see each other across the edge, and how far apart they are then.
    """
    origin = points[ends[:, 0]]
    edge = points[ends[:, 1]] - origin
    length = np.maximum(np.linalg.norm(edge, axis=1), np.finfo(np.float64).tiny)
    axis = edge / length[:, None]

    def unfold(tips: Ids) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        arm = points[tips] - origin
        along = (arm * axis).sum(axis=1)
        return along, np.linalg.norm(arm - along[:, None] * axis, axis=1)

    (x0, y0), (x1, y1) = unfold(left), unfold(right)
    height = np.maximum(y0 + y1, np.finfo(np.float64).tiny)
    crossing = x0 + (x1 - x0) * y0 / height
    seen = (crossing > 0) & (crossing < length) & (left != right)
    pairs = np.sort(np.stack([left, right], axis=1)[seen], axis=1)
    return pairs, np.hypot(x1 - x0, height)[seen]
