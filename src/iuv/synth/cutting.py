"""Triangles cut along curves, so that the borders of parts and clothes run along edges.

N: vertices; F: triangles. A curve is where a function of the vertices is zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from iuv.synth.mesh import Floats, Ints
from iuv.synth.rounding import on_grid

__all__ = ["Cuts"]

_NEAR = 0.1  # of an edge: a curve that passes a vertex so closely runs through it


@dataclass(slots=True)
class Cuts:
    """A triangle mesh that is cut again and again, and knows where its new vertices lie."""

    points: Floats
    """[N, 3]"""
    faces: Ints
    """[F, 3]"""
    origin: npt.NDArray[np.int64]
    """[F], the triangle of the uncut mesh that each triangle is a piece of."""
    batches: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]] = field(
        default_factory=list
    )
    """Per cut: the ends of the edges that got a vertex, and how far from the first it is."""

    def extend(self, values: Floats) -> Floats:
        """Return [N, k] values of all vertices, from those [n, k] of the uncut mesh."""
        for a, b, share in self.batches:
            values = np.concatenate([values, _between(values, a, b, share)])
        return values

    def cut(self, level: Floats, inside: npt.NDArray[np.bool_], *, limit: float = np.inf) -> None:
        """Cut along the curve where a function is zero.

        Args:
            level: [N], the function at every vertex.
            inside: [F], the triangles that the curve may run through.
            limit: the function jumps where it exceeds this; no curve is there.
        """
        edges = np.concatenate([self.faces[inside][:, [k, (k + 1) % 3]] for k in range(3)])
        edges = np.unique(np.sort(edges, axis=1), axis=0).astype(np.int64)
        a, b = level[edges[:, 0]], level[edges[:, 1]]
        crossing = (a * b < 0) & (np.abs(a) < limit) & (np.abs(b) < limit)
        edges, share = edges[crossing], a[crossing] / (a[crossing] - b[crossing])
        share = on_grid(share)  # so that rounding in the function does not show
        clear = (share > _NEAR) & (share < 1 - _NEAR)
        edges, share = edges[clear], share[clear]
        count = len(self.points)
        self.batches.append((edges[:, 0], edges[:, 1], share))
        self.points = np.concatenate([self.points, _between(self.points, *self.batches[-1])])
        self._split({(int(i), int(j)): count + k for k, (i, j) in enumerate(edges)})

    def _split(self, new: dict[tuple[int, int], int]) -> None:
        touched = np.isin(self.faces, np.array([e for pair in new for e in pair])).sum(axis=1) >= 2
        faces, origin = [], []
        for face in np.nonzero(touched)[0]:
            pieces = _pieces([int(c) for c in self.faces[face]], new)
            faces += pieces
            origin += [self.origin[face]] * len(pieces)
        kept = ~touched
        if faces:
            self.faces = np.concatenate([self.faces[kept], np.array(faces, np.int32)])
            self.origin = np.concatenate([self.origin[kept], np.array(origin, np.int64)])


def _between(
    values: Floats, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], share: Floats
) -> Floats:
    middle: Floats = values[a] + share[:, None] * (values[b] - values[a])
    return middle


def _pieces(corners: list[int], new: dict[tuple[int, int], int]) -> list[tuple[int, int, int]]:
    """Return the triangles that a triangle with new vertices on 0 to 2 edges falls into."""
    for turn in range(3):
        a, b, c = corners[turn:] + corners[:turn]
        ab, bc, ca = (new.get((min(i, j), max(i, j))) for i, j in ((a, b), (b, c), (c, a)))
        if ab is not None and bc is not None and ca is not None:
            return [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
        if ab is not None and bc is None and ca is None:
            return [(a, ab, c), (ab, b, c)]
        if ab is not None and ca is not None:
            return [(a, ab, ca), (ab, b, c), (ab, c, ca)]
    return [(corners[0], corners[1], corners[2])]
