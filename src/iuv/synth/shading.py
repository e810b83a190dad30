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
from iuv.synth.materials import Pattern, evaluate
from iuv.synth.mesh import ChartedMesh, SurfaceError
from iuv.synth.noise import cell_index, volume

__all__ = ["Samples", "Surfaces", "Thing", "merge", "shade"]

_Points = npt.NDArray[np.float64]
_Floats = npt.NDArray[np.float32]
_Ints = npt.NDArray[np.int64]

_WRINKLES = ((75.0, 0.6), (210.0, 0.4))  # cells of noise per body height, and their share


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
    faces: npt.NDArray[np.int32]
    """[3, F]."""
    face_part: npt.NDArray[np.uint8]
    """[F]."""
    face_uv: _Floats
    """[F, 3, 2]."""
    face_instance: npt.NDArray[np.int16]
    """[F]: 1, 2, .. for people in their order; 0 for things."""
    face_pattern: npt.NDArray[np.int32]
    """[F], an index into `patterns`."""
    patterns: tuple[Pattern, ...]
    casters: Casters


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Points of surfaces that are seen."""

    face: npt.NDArray[np.int32]
    """[M]."""
    weights: _Floats
    """[3, M], of the corners."""
    points: _Floats
    """[3, M], in the world."""

    def interpolate(self, surfaces: Surfaces, values: _Floats) -> _Floats:
        """Values of the vertices, [3, V], at the samples: [3, M]."""
        corners = np.take(surfaces.faces, self.face, axis=1)
        result = np.empty((3, len(self.face)), np.float32)
        for axis in range(3):
            value = values[axis]
            result[axis] = value.take(corners[0]) * self.weights[0]
            result[axis] += value.take(corners[1]) * self.weights[1]
            result[axis] += value.take(corners[2]) * self.weights[2]
        return result


def _vertex_normals(surfaces: Surfaces, seen: npt.NDArray[np.int32]) -> _Floats:
    """[3, V]: the mean of the triangles around, by their area, of length 1.

    Only those of the corners of some triangles are right: half of a body faces away.
    """
    vertices, count = surfaces.vertices, surfaces.vertices.shape[1]
    wanted = np.zeros(count, bool)
    wanted[np.take(surfaces.faces, seen, axis=1)] = True
    first, second, third = (wanted.take(corner) for corner in surfaces.faces)
    faces = np.take(surfaces.faces, np.flatnonzero(first | second | third), axis=1)
    a, b, c = (np.take(vertices, corner, axis=1) for corner in faces)
    (ux, uy, uz), (vx, vy, vz) = b - a, c - a
    across = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    corners = faces.ravel()
    sums = np.stack([np.bincount(corners, np.tile(axis, 3), count) for axis in across])
    length = np.sqrt(sums[0] * sums[0] + sums[1] * sums[1] + sums[2] * sums[2])
    normals: _Floats = (sums / np.maximum(length, 1e-12)).astype(np.float32)
    return normals


def _patterns(thing: Thing, patterns: list[Pattern]) -> npt.NDArray[np.int32]:
    """[F]: the pattern of each triangle; those that are new are appended."""
    materials = np.unique(thing.mesh.face_material)
    table = np.zeros(256, np.int32)
    for material in materials.tolist():
        if material not in thing.palette:
            raise SurfaceError(
                f"the palette must say how material {material} looks, but it has only "
                f"{sorted(thing.palette)}; add a Pattern for it"
            )
        table[material] = len(patterns)
        patterns.append(thing.palette[material])
    return table[thing.mesh.face_material]


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
    faces = np.ascontiguousarray(faces.T)
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
        face_pattern=joined(pattern, np.zeros(0, np.int32)),
        patterns=tuple(patterns),
        casters=Casters(
            points=vertices[:, :bodies],
            corners=vertices[:, bodies:],
            faces=faces[:, body_faces:].T - bodies,
        ),
    )


def shade(
    surfaces: Surfaces,
    samples: Samples,
    lighting: Lighting,
    maps: Sequence[ShadowMap | None],
    eye: _Points,
) -> _Floats:
    """The light that surfaces send to the eye: linear, [3, M].

    Args:
        surfaces: all surfaces.
        samples: the points in question, sorted by `face_pattern`.
        lighting: lamps and sky.
        maps: shadow maps, as `iuv.synth.lighting.irradiance` takes them.
        eye: [3].
    """
    rest = samples.interpolate(surfaces, surfaces.rest)
    normals = samples.interpolate(surfaces, _vertex_normals(surfaces, samples.face))
    part = surfaces.face_part[samples.face]
    count = len(samples.face)
    colour = np.empty((3, count), np.float32)
    soft, gloss = np.empty(count, np.float32), np.empty(count, np.float32)
    pattern_of = surfaces.face_pattern[samples.face]
    numbers = np.unique(pattern_of)
    ends = np.searchsorted(pattern_of, numbers, side="right")
    start = 0
    for number, end in zip(numbers.tolist(), ends.tolist(), strict=True):
        pattern, group = surfaces.patterns[number], slice(start, end)
        colour[:, group] = evaluate(pattern, rest[:, group], part[group])
        soft[group], gloss[group] = pattern.soft, pattern.gloss
        if pattern.folds:
            _wrinkle(normals[:, group], rest[:, group], pattern.folds)
        start = end
    _normalise(normals)
    to_eye = eye.astype(np.float32)[:, None] - samples.points
    _normalise(to_eye)
    arriving = irradiance(lighting, maps, samples.points, normals, soft)
    light: _Floats = colour * colour * arriving
    light += shine(lighting, normals, to_eye, gloss, arriving)
    return light


def _wrinkle(normals: _Floats, rest: _Floats, folds: float) -> None:
    """Tilt normals [3, M], in place, as folds of cloth would."""
    for cells, share in _WRINKLES:
        slope = np.take(volume(0), cell_index(rest * np.float32(cells)), axis=1)
        normals += slope * np.float32(folds * share / 127)


def _normalise(vectors: _Floats) -> None:
    """Make vectors [3, M] one long, in place."""
    x, y, z = vectors
    vectors /= np.maximum(np.sqrt(x * x + y * y + z * z), np.float32(1e-6))
