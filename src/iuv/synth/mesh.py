"""Surfaces that know their charts: what bodies are made as, and what is rendered.

V: vertices; F: triangles. Positions are in metres, x to the subject's left, y up, z to the front.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from iuv.bodyparts import NUM_PARTS

__all__ = [
    "ChartVertices",
    "ChartedMesh",
    "Floats",
    "Ints",
    "Material",
    "SurfaceError",
    "open_edges",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]


class SurfaceError(ValueError):
    """A surface is not what it should be, or cannot be made as asked."""


class Material(IntEnum):
    """What a triangle is made of; a person's palette says how each of them looks."""

    SKIN = 0
    HAIR = 1
    EYE_WHITE = 2
    IRIS = 3
    PUPIL = 4
    LIPS = 5
    BROW = 6
    BEARD = 7
    TOP = 8
    """T-shirts, shirts, blouses; the upper half of a dress."""
    BOTTOM = 9
    """Trousers, shorts, skirts; the lower half of a dress."""
    BELT = 10
    JACKET = 11
    UNDERWEAR = 12
    SOCK = 13
    SHOE = 14
    SOLE = 15
    GLOVE = 16
    HAT = 17
    GLASSES = 18
    PROP = 19


class ChartVertices(NamedTuple):
    """M places in charts; seams have several for one vertex."""

    parts: npt.NDArray[np.int64]
    """[M], 1..24."""
    u: Floats
    """[M], 0..1."""
    v: Floats
    """[M], 0..1."""
    vertices: npt.NDArray[np.int64]
    """[M], of the mesh."""


@dataclass(frozen=True, slots=True, eq=False)
class ChartedMesh:
    """Triangles with charts, in one pose.

    Loose garments and hair are offset surfaces: triangles that carry part, U and V of the body
    below them.

    Raises:
        SurfaceError: lengths or types disagree, or a value is out of its range.
    """

    vertices: Floats
    """[V, 3], metres."""
    faces: Ints
    """[F, 3], 0..V-1, counter-clockwise seen from outside."""
    face_part: npt.NDArray[np.uint8]
    """[F], 1..24; 0 for what belongs to no chart (accessories, props)."""
    corner_uv: npt.NDArray[np.float32]
    """[F, 3, 2]: U and V of each corner in its triangle's part, 0..1. Seams cost no vertices."""
    rest: npt.NDArray[np.float32]
    """[V, 3]: where the vertex lies in the rest pose of an average body, in body heights; the same
    for all poses and shapes, so that patterns stick to the surface."""
    face_material: npt.NDArray[np.uint8]
    """[F], a `Material` each."""

    def __post_init__(self) -> None:
        vertices, faces = len(self.vertices), len(self.faces)
        expected: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
            "vertices": ((vertices, 3), np.float64),
            "faces": ((faces, 3), np.int32),
            "face_part": ((faces,), np.uint8),
            "corner_uv": ((faces, 3, 2), np.float32),
            "rest": ((vertices, 3), np.float32),
            "face_material": ((faces,), np.uint8),
        }
        for name, (shape, dtype) in expected.items():
            value: npt.NDArray[Any] = getattr(self, name)
            if value.shape != shape or value.dtype != dtype:
                raise SurfaceError(
                    f"{name} must be {dtype.__name__} {list(shape)}, "
                    f"got {value.dtype} {list(value.shape)}"
                )
        if faces and (self.faces.min() < 0 or self.faces.max() >= vertices):
            raise SurfaceError(
                f"faces must name vertices 0..{vertices - 1}, but they name "
                f"{self.faces.min()}..{self.faces.max()}"
            )
        if faces and self.face_part.max() > NUM_PARTS:
            raise SurfaceError(f"parts must lie in 0..{NUM_PARTS}, got {self.face_part.max()}")

    def chart_vertices(self) -> ChartVertices:
        """Return every corner of the charts once: what distances along the surface start from."""
        own = self.face_part > 0
        corners = np.stack(
            [
                np.repeat(self.face_part[own], 3).astype(np.float64),
                *self.corner_uv[own].reshape(-1, 2).T.astype(np.float64),
                self.faces[own].ravel(),
            ],
            axis=1,
        )
        part, u, v, vertex = np.unique(corners, axis=0).T
        return ChartVertices(part.astype(np.int64), u, v, vertex.astype(np.int64))


def open_edges(faces: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
    """Return [n, 2] edges that do not have exactly one triangle on each side.

    A watertight surface with consistent winding has none.

    Args:
        faces: [F, 3] vertex ids, or [F, k] for polygons of k corners.
    """
    corners = np.asarray(faces, np.int64)
    edges = np.stack([corners, np.roll(corners, -1, axis=1)], axis=2).reshape(-1, 2)
    base = int(corners.max()) + 1 if corners.size else 1
    there = edges[:, 0] * base + edges[:, 1]
    back = edges[:, 1] * base + edges[:, 0]
    ordered = np.sort(there)
    if np.array_equal(ordered, np.sort(back)) and (np.diff(ordered) > 0).all():
        return edges[:0]
    values, counts = np.unique(there, return_counts=True)
    single = np.isin(there, values[counts == 1])
    return edges[~(single & np.isin(back, there))]
