"""All surfaces of a scene as one mesh, and their colour where they are seen.

Shapes: V vertices, F triangles, M samples; one axis per row: [3, V].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from iuv.synth.lighting import Casters, Lighting, ShadowMap, irradiance, shine
from iuv.synth.materials import Pattern, evaluate, wrinkled
from iuv.synth.mesh import ChartedMesh, SurfaceError

__all__ = ["Samples", "Surfaces", "Thing", "merge", "shade", "vertex_normals"]

_Points = npt.NDArray[np.float64]
_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """Something to be drawn, in its place in the world."""

    mesh: ChartedMesh
    palette: Mapping[int, Pattern]
    """How each material of the mesh looks."""


@dataclass(frozen=True, slots=True, eq=False)
class Surfaces:
    """All triangles of a scene."""

    vertices: _Points
    """[3, V], in the world."""
    rest: _Floats
    """[3, V]."""
    faces: npt.NDArray[np.int64]
    """[3, F]."""
    face_part: npt.NDArray[np.uint8]
    """[F]."""
    face_uv: _Floats
    """[F, 3, 2]."""
    face_instance: npt.NDArray[np.int16]
    """[F]: 1, 2, .. for people in their order; 0 for things."""
    face_pattern: npt.NDArray[np.int16]
    """[F], an index into `patterns`."""
    patterns: tuple[Pattern, ...]
    casters: Casters


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Points of surfaces that are seen."""

    face: npt.NDArray[np.int64]
    """[M]."""
    weights: _Floats
    """[3, M], of the corners."""
    points: _Floats
    """[3, M], in the world."""

    def interpolate(self, surfaces: Surfaces, *values: _Floats) -> list[_Floats]:
        """Values of the vertices, [3, V] each, at the samples: [3, M] each."""
        corners = surfaces.faces.take(self.face, axis=1)
        results = []
        for value in values:
            result = np.empty((3, len(self.face)), np.float32)
            for into, axis in zip(result, value, strict=True):
                np.multiply(axis.take(corners[0]), self.weights[0], out=into)
                into += axis.take(corners[1]) * self.weights[1]
                into += axis.take(corners[2]) * self.weights[2]
            results.append(result)
        return results


def vertex_normals(surfaces: Surfaces, seen: npt.NDArray[np.int64]) -> _Floats:
    """[3, V]: the mean of the triangles around, by their area, of length 1.

    Only those of the corners of some triangles, the seen ones, are right.
    """
    # vertices are multiples of 2^-16, so that nothing is lost
    vertices, count = surfaces.vertices.astype(np.float32), surfaces.vertices.shape[1]
    shown = np.zeros(surfaces.faces.shape[1], bool)
    shown[seen] = True
    wanted = np.zeros(count, bool)
    wanted[surfaces.faces.compress(shown, axis=1)] = True
    first, second, third = (wanted.take(corner) for corner in surfaces.faces)
    faces = surfaces.faces.compress(first | second | third, axis=1)
    a, b, c = (vertices.take(corner, axis=1) for corner in faces)
    (ux, uy, uz), (vx, vy, vz) = b - a, c - a
    across = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    corners = faces.ravel()
    sums = np.stack([np.bincount(corners, np.tile(axis, 3), count) for axis in across])
    length = np.sqrt(sums[0] * sums[0] + sums[1] * sums[1] + sums[2] * sums[2])
    normals: _Floats = (sums / np.maximum(length, 1e-12)).astype(np.float32)
    return normals


def _patterns(thing: Thing, patterns: list[Pattern]) -> npt.NDArray[np.int16]:
    """[F]: the pattern of each triangle; those that are new are appended."""
    materials = np.flatnonzero(np.bincount(thing.mesh.face_material))
    table = np.zeros(256, np.int16)
    for material in materials.tolist():
        if material not in thing.palette:
            raise SurfaceError(
                f"the palette must say how material {material} looks, but it has only "
                f"{sorted(thing.palette)}; add a Pattern for it"
            )
        table[material] = len(patterns)
        patterns.append(thing.palette[material])
    return table.take(thing.mesh.face_material)


def merge(people: Sequence[Thing], props: Sequence[Thing]) -> Surfaces:
    """Everything to be drawn as one mesh.

    Raises:
        SurfaceError: a palette lacks a material of its mesh.
    """
    things = [*people, *props]
    patterns: list[Pattern] = []
    pattern = [_patterns(thing, patterns) for thing in things]
    starts = np.cumsum([0, *(len(thing.mesh.vertices) for thing in things)])

    def joined(parts: list[npt.NDArray[Any]], empty: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.concatenate([*parts, empty])

    meshes = [thing.mesh for thing in things]
    vertices = joined([mesh.vertices for mesh in meshes], np.zeros((0, 3)))
    vertices = np.ascontiguousarray(vertices.T)
    faces = joined(
        [mesh.faces + np.int32(start) for mesh, start in zip(meshes, starts, strict=False)],
        np.zeros((0, 3), np.int32),
    )
    bodies = int(starts[len(people)])
    body_faces = sum(len(person.mesh.faces) for person in people)
    # indices of the machine's own kind are taken without being converted again and again
    faces = np.ascontiguousarray(faces.T, np.int64)
    rest = joined([mesh.rest for mesh in meshes], np.zeros((0, 3), np.float32))
    instance = [
        np.full(len(mesh.faces), number + 1 if number < len(people) else 0, np.int16)
        for number, mesh in enumerate(meshes)
    ]
    return Surfaces(
        vertices=vertices,
        rest=np.ascontiguousarray(rest.T),
        faces=faces,
        face_part=joined([mesh.face_part for mesh in meshes], np.zeros(0, np.uint8)),
        face_uv=joined([mesh.corner_uv for mesh in meshes], np.zeros((0, 3, 2), np.float32)),
        face_instance=joined(instance, np.zeros(0, np.int16)),
        face_pattern=joined(pattern, np.zeros(0, np.int16)),
        patterns=tuple(patterns),
        casters=Casters(
            points=vertices[:, :bodies],
            corners=vertices[:, bodies:],
            faces=faces[:, body_faces:].T - bodies,
        ),
    )


def shade(
    surfaces: Surfaces,
    normals: _Floats,
    samples: Samples,
    lighting: Lighting,
    maps: Sequence[ShadowMap | None],
    eye: _Points,
) -> _Floats:
    """The light that surfaces send to the eye: linear, [3, M].

    Args:
        surfaces: all surfaces.
        normals: of their vertices, as `vertex_normals` gives them.
        samples: the points in question.
        lighting: lamps and sky.
        maps: shadow maps, as `iuv.synth.lighting.irradiance` takes them.
        eye: [3].
    """
    patterns, which = surfaces.patterns, surfaces.face_pattern.take(samples.face)
    rest, upright = samples.interpolate(surfaces, surfaces.rest, normals)
    colour = evaluate(patterns, which, rest, surfaces.face_part.take(samples.face))
    wrinkled(patterns, which, rest, upright)
    _normalise(upright)
    to_eye = eye.astype(np.float32)[:, None] - samples.points
    _normalise(to_eye)
    soft, gloss = (
        np.array([getattr(pattern, field) for pattern in patterns], np.float32).take(which)
        for field in ("soft", "gloss")
    )
    arriving = irradiance(lighting, maps, samples.points, upright, soft)
    colour *= colour
    colour *= arriving
    colour += shine(lighting, upright, to_eye, gloss, arriving)
    return colour


def _normalise(vectors: _Floats) -> None:
    """Make vectors [3, M] one long, in place."""
    x, y, z = vectors
    vectors /= np.maximum(np.sqrt(x * x + y * y + z * z), np.float32(1e-6))
