"""Things around people: furniture, poles, trees, boxes, and what could be taken for a person.

All are put together from boxes, tapering tubes and ellipsoids. None belongs to a chart.

V: vertices, F: triangles. Lengths are in metres; the ground is y = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from math import cos, pi, sin

import numpy as np
import numpy.typing as npt

from iuv.synth.camera import rotate, rotation
from iuv.synth.materials import Pattern, sample_cloth, sample_colour, sample_skin
from iuv.synth.mesh import ChartedMesh
from iuv.synth.rounding import on_grid
from iuv.synth.shading import Thing
from iuv.synth.textures import shaded

__all__ = [
    "Shape",
    "ball",
    "box",
    "sample_confuser",
    "sample_furniture",
    "sample_hanging",
    "sample_seat",
    "thing",
    "tube",
]

_Points = npt.NDArray[np.float64]

_SEGMENTS = 14
_BODY_HEIGHT = 1.7  # patterns are laid out in body heights


class Shape:
    """One closed surface of one material.

    Args:
        vertices: [V, 3].
        faces: [F, 3], counter-clockwise from outside.
        material: which pattern of the palette.
    """

    def __init__(self, vertices: _Points, faces: npt.NDArray[np.int32], material: int = 0) -> None:
        self.vertices = vertices
        self.faces = faces
        self.material = material

    def tilted(self, pitch: float, roll: float) -> Shape:
        """The shape, turned about the x and z axes by degrees."""
        turned = rotate(rotation(0.0, pitch, roll), self.vertices.T).T
        return Shape(on_grid(turned), self.faces, self.material)

    def moved(self, x: float, y: float, z: float) -> Shape:
        """The shape elsewhere."""
        return Shape(self.vertices + np.array([x, y, z]), self.faces, self.material)


def box(size: Sequence[float], centre: Sequence[float], material: int = 0) -> Shape:
    """A box with sharp edges: each of its sides has its own vertices."""
    corners, faces = _cube()
    return Shape(corners * (np.array(size) / 2) + np.array(centre), faces, material)


@cache
def _cube() -> tuple[_Points, npt.NDArray[np.int32]]:
    """Vertices of a box from -1 to 1, [24, 3], and its faces, [12, 3]."""
    vertices: list[_Points] = []
    faces: list[list[int]] = []
    for axis in range(3):
        for sign in (-1, 1):
            first, second = np.eye(3)[(axis + 1) % 3], np.eye(3)[(axis + 2) % 3]
            middle = np.eye(3)[axis] * sign
            corners = [
                middle + i * first + j * second for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))
            ]
            order = corners if sign > 0 else corners[::-1]
            faces += [[len(vertices), len(vertices) + i, len(vertices) + i + 1] for i in (1, 2)]
            vertices += order
    return np.stack(vertices), np.array(faces, np.int32)


@cache
def _ring(segments: int) -> _Points:
    """[segments, 2] points of a circle of radius 1."""
    angles = [2 * pi * number / segments for number in range(segments)]
    return on_grid(np.array([(cos(angle), sin(angle)) for angle in angles]))


def tube(
    radii: Sequence[float], heights: Sequence[float], centre: Sequence[float], material: int = 0
) -> Shape:
    """Upright rings of some radii at some heights above the centre, closed at both ends."""
    ring, count = _ring(_SEGMENTS), len(radii)
    # the ends have their own rings, so that their edges are sharp, and points in their middle
    vertices = np.zeros(((count + 2) * _SEGMENTS + 2, 3))
    rings = vertices[:-2].reshape(count + 2, _SEGMENTS, 3)
    radius, height = (np.array([*part, part[0], part[-1]]) for part in (radii, heights))
    rings[..., 0] = radius[:, None] * ring[:, 0]
    rings[..., 1] = height[:, None]
    rings[..., 2] = radius[:, None] * -ring[:, 1]
    vertices[-2:, 1] = heights[0], heights[-1]
    return Shape(vertices + np.array(centre), _tube_faces(count), material)


@cache
def _tube_faces(count: int) -> npt.NDArray[np.int32]:
    """[F, 3], of so many rings, closed at both ends."""
    here = np.arange(_SEGMENTS)
    after = (here + 1) % _SEGMENTS
    faces = []
    for level in range(count - 1):
        low, high = level * _SEGMENTS, (level + 1) * _SEGMENTS
        faces.append(np.stack([low + here, low + after, high + here], axis=1))
        faces.append(np.stack([low + after, high + after, high + here], axis=1))
    bottom, top = count * _SEGMENTS, (count + 1) * _SEGMENTS
    last = (count + 2) * _SEGMENTS + 2
    faces.append(np.stack([np.full(_SEGMENTS, last - 2), bottom + after, bottom + here], axis=1))
    faces.append(np.stack([np.full(_SEGMENTS, last - 1), top + here, top + after], axis=1))
    return np.concatenate(faces).astype(np.int32)


def ball(size: Sequence[float], centre: Sequence[float], material: int = 0) -> Shape:
    """An ellipsoid of some diameters."""
    shape = _unit_ball()
    return Shape(shape.vertices * np.array(size) + np.array(centre), shape.faces, material)


@cache
def _unit_ball() -> Shape:
    levels = 9
    angles = [pi * (number + 0.15) / (levels - 0.7) for number in range(levels)]
    radii = [round(sin(angle), 4) / 2 for angle in angles]
    return tube(radii, [-round(cos(angle), 4) / 2 for angle in angles], (0, 0, 0))


def thing(
    shapes: Sequence[Shape], palette: Sequence[Pattern], place: tuple[float, float], yaw: float
) -> Thing:
    """Shapes as one thing on the ground.

    Args:
        shapes: around the origin.
        palette: a pattern for each of their materials.
        place: x and z in the world.
        yaw: how far it is turned, degrees.
    """
    starts = np.cumsum([0, *(len(shape.vertices) for shape in shapes)])
    local = np.concatenate([shape.vertices for shape in shapes])
    faces = np.concatenate([s.faces + start for s, start in zip(shapes, starts, strict=False)])
    material = [np.full(len(shape.faces), shape.material, np.uint8) for shape in shapes]
    world = rotate(rotation(yaw), local.T).T + np.array([place[0], 0.0, place[1]])
    mesh = ChartedMesh(
        vertices=np.ascontiguousarray(on_grid(world)),
        faces=faces.astype(np.int32),
        face_part=np.zeros(len(faces), np.uint8),
        corner_uv=np.zeros((len(faces), 3, 2), np.float32),
        rest=(local / _BODY_HEIGHT).astype(np.float32),
        face_material=np.concatenate(material),
    )
    return Thing(mesh=mesh, palette=dict(enumerate(palette)))


# --- sampling -----------------------------------------------------------------------------------


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(rng.random())


def _matter(rng: np.random.Generator) -> Pattern:
    """Wood, metal, plastic, cloth or stone."""
    colour = sample_colour(rng)
    if rng.random() < 0.25:
        return sample_cloth(rng)
    grained = rng.random() < 0.4
    return Pattern(
        colours=(colour, shaded(colour, 0.7)),
        kind="heather" if grained else "plain",
        period=_between(rng, 0.01, 0.1),
        mottle=_between(rng, 0, 0.2),
        grain=_between(rng, 0, 0.1),
        gloss=0.6 * rng.random() ** 2,
        soft=0.0,
    )


def _table(rng: np.random.Generator) -> list[Shape]:
    width, depth, high = _between(rng, 0.6, 2), _between(rng, 0.5, 1), _between(rng, 0.4, 1.1)
    shapes = [box((width, 0.04, depth), (0, high, 0))]
    if rng.random() < 0.3:
        shapes.append(box((width * 0.95, high, depth * 0.9), (0, high / 2, 0), 1))
    else:
        for x in (-1, 1):
            for z in (-1, 1):
                leg = (x * (width / 2 - 0.04), high / 2, z * (depth / 2 - 0.04))
                shapes.append(box((0.05, high, 0.05), leg, 1))
    for _ in range(int(rng.integers(0, 5))):
        right, front = _between(rng, -0.4, 0.4) * width, _between(rng, -0.4, 0.4) * depth
        size = _between(rng, 0.05, 0.25)
        if rng.random() < 0.5:
            shapes.append(tube((size / 3, size / 2.5), (0, size), (right, high + 0.02, front), 2))
        else:
            shapes.append(box((size, size, size * 0.7), (right, high + 0.02 + size / 2, front), 2))
    return shapes


def _chair(rng: np.random.Generator, high: float | None = None) -> list[Shape]:
    high = _between(rng, 0.4, 0.5) if high is None else high
    width = _between(rng, 0.4, 0.6)
    shapes = [box((width, 0.05, width), (0, high - 0.03, 0))]
    for x in (-1, 1):
        for z in (-1, 1):
            leg = (x * (width / 2 - 0.03), high / 2, z * (width / 2 - 0.03))
            shapes.append(box((0.035, high, 0.035), leg, 1))
    if rng.random() < 0.7:
        back = _between(rng, 0.25, 0.5)
        shapes.append(box((width, back, 0.04), (0, high + 0.1 + back / 2, -width / 2)))
        for x in (-1, 1):
            post = (x * (width / 2 - 0.03), high + (back + 0.1) / 2, -width / 2)
            shapes.append(box((0.035, back + 0.1, 0.03), post, 1))
    return shapes


def _sofa(rng: np.random.Generator) -> list[Shape]:
    width, high = _between(rng, 0.8, 2.4), _between(rng, 0.35, 0.45)
    back = high + _between(rng, 0.25, 0.5)
    shapes = [
        box((width, high, 0.8), (0, high / 2, 0)),
        box((width, back, 0.2), (0, back / 2, -0.4)),
    ]
    for x in (-1, 1):
        shapes.append(box((0.18, high + 0.2, 0.85), (x * width / 2, (high + 0.2) / 2, 0)))
    for _ in range(int(rng.integers(0, 4))):
        at = (_between(rng, -0.4, 0.4) * width, high + 0.16, -0.2)
        shapes.append(ball((0.42, 0.4, 0.2), at, 2))
    return shapes


def _pole(rng: np.random.Generator) -> list[Shape]:
    high, radius = _between(rng, 1.5, 6), _between(rng, 0.02, 0.2)
    shapes = [tube((radius, radius * 0.8), (0, high), (0, 0, 0))]
    pick = rng.random()
    if pick < 0.3:  # a lamp or a meter: a head on a neck
        size = _between(rng, 0.15, 0.5)
        shapes.append(ball((size, size * _between(rng, 0.8, 1.4), size), (0, high, 0), 1))
    elif pick < 0.55:  # a sign
        size = _between(rng, 0.3, 0.9)
        shapes.append(box((size, size, 0.03), (0, high - size / 2, radius + 0.02), 1))
    elif pick < 0.7:
        arm = _between(rng, 0.3, 1.5)
        shapes.append(box((arm, 0.06, 0.06), (arm / 2, high - 0.1, 0), 1))
    return shapes


def _tree(rng: np.random.Generator) -> list[Shape]:
    high, radius = _between(rng, 1.0, 3), _between(rng, 0.05, 0.25)
    levels = [0.0, high * 0.5, high, high * 1.4]
    shapes = [tube((radius * 1.4, radius, radius * 0.8, radius * 0.4), levels, (0, 0, 0))]
    for _ in range(int(rng.integers(1, 4))):
        branch = tube((radius * 0.5, radius * 0.2), (0, high * 0.6), (0, 0, 0))
        angle = _between(rng, -70, 70)
        shapes.append(branch.tilted(_between(rng, -40, 40), angle).moved(0, high * 0.8, 0))
    for _ in range(int(rng.integers(3, 9))):
        size = _between(rng, 0.5, 1.6)
        at = (_between(rng, -1, 1), high * _between(rng, 0.9, 1.7), _between(rng, -1, 1))
        shapes.append(ball((size * 1.3, size, size * 1.2), at, 1))
    return shapes


def _bush(rng: np.random.Generator) -> list[Shape]:
    pot = rng.random() < 0.4
    shapes = [tube((0.15, 0.22), (0, 0.35), (0, 0, 0))] if pot else []
    high = 0.35 if pot else 0.1
    for _ in range(int(rng.integers(3, 8))):
        size = _between(rng, 0.2, 0.7)
        at = (_between(rng, -0.4, 0.4), high + _between(rng, 0.1, 0.7), _between(rng, -0.3, 0.3))
        shapes.append(ball((size, size, size), at, 1))
    return shapes


def _crate(rng: np.random.Generator) -> list[Shape]:
    shapes: list[Shape] = []
    high = 0.0
    for _ in range(int(rng.integers(1, 4))):
        size = [_between(rng, 0.25, 1.0) for _ in range(3)]
        shapes.append(box(size, (_between(rng, -0.1, 0.1), high + size[1] / 2, 0), len(shapes)))
        high += size[1]
    return shapes


def _barrel(rng: np.random.Generator) -> list[Shape]:
    high, radius = _between(rng, 0.4, 1.3), _between(rng, 0.15, 0.4)
    shapes = [tube((radius, radius * 1.1, radius), (0, high / 2, high), (0, 0, 0))]
    if rng.random() < 0.5:
        shapes.append(tube((radius * 1.1, radius), (0, 0.06), (0, high, 0), 1))
    return shapes


def _car(rng: np.random.Generator) -> list[Shape]:
    length, high = _between(rng, 3.6, 4.8), _between(rng, 1.35, 1.9)
    shapes = [
        box((length, high * 0.45, 1.75), (0, 0.25 + high * 0.22, 0)),
        box((length * 0.55, high * 0.42, 1.55), (-0.2, 0.25 + high * 0.62, 0), 1),
        box((length * 0.54, 0.05, 1.5), (-0.2, 0.25 + high * 0.85, 0)),
    ]
    for x in (-1, 1):
        for z in (-1, 1):
            wheel = tube((0.32, 0.32), (-0.1, 0.1), (0, 0, 0), 2).tilted(90, 0)
            shapes.append(wheel.moved(x * length * 0.32, 0.32, z * 0.82))
    return shapes


def _dummy(rng: np.random.Generator) -> list[Shape]:
    """A trunk with a ball on it, a coat stand, a hydrant: nearly a person, but none."""
    high, wide = _between(rng, 0.5, 1.5), _between(rng, 0.15, 0.5)
    widths = [wide * _between(rng, 0.3, 1) for _ in range(4)]
    shapes = [tube(widths, [0, high * 0.3, high * 0.7, high], (0, 0, 0))]
    if rng.random() < 0.7:
        size = _between(rng, 0.15, 0.35)
        shapes.append(ball((size, size, size), (0, high + size * 0.4, 0), 1))
    for _ in range(int(rng.integers(0, 4))):
        arm = tube((0.04, 0.03), (0, _between(rng, 0.3, 0.7)), (0, 0, 0), 2)
        turned = arm.tilted(_between(rng, -60, 60), _between(rng, -150, 150))
        shapes.append(turned.moved(0, high * _between(rng, 0.3, 0.9), 0))
    return shapes


_Builder = Callable[[np.random.Generator], list[Shape]]
_INDOORS: tuple[_Builder, ...] = (
    _table, _table, _chair, _sofa, _pole, _bush, _crate, _barrel, _dummy,
)  # fmt: skip
_OUTDOORS: tuple[_Builder, ...] = (
    _pole, _pole, _tree, _bush, _crate, _barrel, _car, _dummy, _chair, _table,
)  # fmt: skip


def _palette(rng: np.random.Generator, builder: _Builder) -> list[Pattern]:
    palette = [_matter(rng) for _ in range(3)]
    if builder in (_tree, _bush):
        green = (_between(rng, 0.15, 0.45), _between(rng, 0.25, 0.5), _between(rng, 0.08, 0.25))
        dark = (0.4 * green[0], 0.45 * green[1], 0.4 * green[2])
        palette[1] = Pattern(
            colours=(green, dark), kind="camouflage", period=_between(rng, 0.03, 0.2),
            share=0.6, folds=1.5, mottle=0.3, grain=0.3, soft=0.2,
        )  # fmt: skip
    return palette


def sample_furniture(
    rng: np.random.Generator, place: tuple[float, float], *, outdoors: bool
) -> Thing:
    """Some thing at a place (x, z) of the ground."""
    builders = _OUTDOORS if outdoors else _INDOORS
    builder = builders[int(rng.integers(len(builders)))]
    return thing(builder(rng), _palette(rng, builder), place, _between(rng, -180, 180))


def sample_confuser(rng: np.random.Generator, place: tuple[float, float]) -> Thing:
    """Something of nearly human shape or of the colours of skin and clothes."""
    palette = [sample_cloth(rng), sample_skin(rng), sample_skin(rng)]
    builder = (_dummy, _crate, _barrel, _pole)[int(rng.integers(4))]
    return thing(builder(rng), palette, place, _between(rng, -180, 180))


def sample_hanging(rng: np.random.Generator, place: tuple[float, float], high: float) -> Thing:
    """Something near the camera, in the air around some height: a branch, a sign, a shoulder."""
    size = [_between(rng, 0.04, 0.3) for _ in range(3)]
    pick = rng.random()
    if pick < 0.4:
        shape = box(size, (0, 0, 0))
    elif pick < 0.7:
        shape = ball(size, (0, 0, 0))
    else:
        shape = tube((0.03, 0.02), (-1.0, 1.0), (0, 0, 0))
    turned = shape.tilted(_between(rng, -90, 90), _between(rng, -90, 90))
    raised = turned.moved(0, max(high + _between(rng, -0.5, 0.4), 0.1), 0)
    return thing([raised], [_matter(rng)], place, _between(rng, -180, 180))


def sample_seat(
    rng: np.random.Generator, place: tuple[float, float], high: float, yaw: float
) -> Thing:
    """Something to sit on whose seat is `high` metres above the ground; yaw 0 faces +z."""
    if rng.random() < 0.5:
        shapes = _chair(rng, high)
    else:
        width = _between(rng, 0.4, 1.5)
        shapes = [box((width, high, 0.45), (0, high / 2, 0))]
    return thing(shapes, [_matter(rng) for _ in range(2)], place, yaw)
