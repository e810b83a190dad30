"""Quadrilateral nets that are grown by pulling faces out of a block, and refined by halving.

A cage fixes which vertices are neighbours, not where they lie: `iuv.synth.anatomy` says that.
It covers the left half of the body (x >= 0) and is open where x = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from iuv.synth.mesh import Floats

__all__ = ["Cage", "Patch", "Section"]

_Edge = tuple[int, int]


class Section(NamedTuple):
    """An ellipse that a patch is pulled to: its centre and the ends of its two half axes."""

    centre: tuple[float, float, float]
    u: tuple[float, float, float]
    v: tuple[float, float, float]

    def place(self, u: float, v: float) -> Floats:
        """Return [3]: where (u, v) of the square -1..1 lies in the ellipse."""
        along_u, along_v = u * np.sqrt(1 - v * v / 2), v * np.sqrt(1 - u * u / 2)
        point: Floats = (
            np.array(self.centre) + along_u * np.array(self.u) + along_v * np.array(self.v)
        )
        return point


class Patch(NamedTuple):
    """Faces that can be pulled out together, and where each vertex lies in the square -1..1."""

    faces: list[int]
    square: dict[int, tuple[float, float]]


class Cage:
    """Polygons that share vertices; each has a label that says what it belongs to."""

    def __init__(self) -> None:
        self.points: list[Floats] = []
        self.faces: dict[int, tuple[int, ...]] = {}
        """By number: the corners, counter-clockwise seen from outside."""
        self.labels: dict[int, str] = {}
        self._next = 0

    def add_point(self, point: Iterable[float]) -> int:
        """Add a vertex and return its number."""
        self.points.append(np.array(list(point), np.float64))
        return len(self.points) - 1

    def add_face(self, corners: tuple[int, ...], label: str) -> int:
        """Add a polygon and return its number."""
        self._next += 1
        self.faces[self._next], self.labels[self._next] = corners, label
        return self._next

    def patch(
        self, faces: list[int], square: dict[int, tuple[float, float]], *, half: bool = False
    ) -> Patch:
        """Return faces as a patch, with the square's coordinates scaled to reach from -1 to 1.

        The u of a half patch, which ends in the middle of the body, reaches from 0 to 1.
        """
        corners = sorted({c for f in faces for c in self.faces[f]})
        flat = np.array([square[c] for c in corners])
        low, high = flat.min(axis=0), flat.max(axis=0)
        scaled = (flat - low) / (high - low) * 2 - 1
        if half:
            scaled[:, 0] = flat[:, 0] / high[0]
        return Patch(
            faces, {c: (s[0], s[1]) for c, s in zip(corners, scaled.tolist(), strict=True)}
        )

    def pull(
        self, patch: Patch, section: Section, label: str
    ) -> tuple[Patch, list[tuple[int, _Edge]]]:
        """Pull a patch out to a section; return it there, and each new side with its old edge."""
        moved = {c: self.add_point(section.place(*uv)) for c, uv in patch.square.items()}
        for corner, uv in patch.square.items():
            if uv[0] == 0 and self.points[corner][0] == 0:
                self.points[moved[corner]][0] = 0.0
        sides = []
        for a, b in self._rim(patch.faces):
            if self.points[a][0] or self.points[b][0]:  # no walls in the middle of the body
                sides.append((self.add_face((a, b, moved[b], moved[a]), label), (a, b)))
        tops = []
        for face in patch.faces:
            corners = self.faces.pop(face)
            del self.labels[face]
            tops.append(self.add_face(tuple(moved[c] for c in corners), label))
        return Patch(tops, {moved[c]: uv for c, uv in patch.square.items()}), sides

    def _rim(self, faces: list[int]) -> list[_Edge]:
        edges = [e for f in faces for e in _edges(self.faces[f])]
        own = set(edges)
        return [(a, b) for a, b in edges if (b, a) not in own]

    def halve(self, chosen: Callable[[str, Floats], bool]) -> dict[int, tuple[int, ...]]:
        """Split quadrilaterals into four each, and return the parents of every new vertex.

        Polygons beside them get the new vertices on their edges as further corners.

        Args:
            chosen: told a face's label and centre [3], whether to split it.
        """
        parents: dict[int, tuple[int, ...]] = {}
        middles: dict[_Edge, int] = {}

        def middle(a: int, b: int) -> int:
            key = (min(a, b), max(a, b))
            if key not in middles:
                middles[key] = self.add_point((self.points[a] + self.points[b]) / 2)
                parents[middles[key]] = key
            return middles[key]

        for face, corners in list(self.faces.items()):
            if len(corners) != 4:
                continue
            a, b, c, d = (self.points[corner] for corner in corners)
            centre = (a + b + c + d) / 4
            if not chosen(self.labels[face], centre):
                continue
            del self.faces[face]
            label = self.labels.pop(face)
            inner = self.add_point(centre)
            parents[inner] = corners
            around = [middle(*edge) for edge in _edges(corners)]
            for i, corner in enumerate(corners):
                self.add_face((corner, around[i], inner, around[i - 1]), label)
        for face, corners in self.faces.items():
            pairs = [(a, middles.get((min(a, b), max(a, b)))) for a, b in _edges(corners)]
            self.faces[face] = tuple(c for pair in pairs for c in pair if c is not None)
        return parents

    def edges(self) -> list[_Edge]:
        """Return every edge once, in ascending order."""
        pairs = {(min(e), max(e)) for corners in self.faces.values() for e in _edges(corners)}
        return sorted(pairs)


def _edges(corners: tuple[int, ...]) -> list[_Edge]:
    return list(zip(corners, (*corners[1:], corners[0]), strict=True))
