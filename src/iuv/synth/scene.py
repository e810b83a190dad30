"""Scenes: who and what is where, how it is lit, and from where it is seen.

J: joints, V: vertices. The camera looks along -z of the world; the ground is y = 0; metres.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from iuv.synth.backgrounds import Backdrop, Backgrounds
from iuv.synth.camera import Camera, rotate, rotation
from iuv.synth.effects import Effects, sample_effects
from iuv.synth.lighting import Lighting, sample_lighting
from iuv.synth.materials import Pattern
from iuv.synth.mesh import ChartedMesh
from iuv.synth.placement import NEAREST, SMALLEST, Shot, aimed, free, on_ground, sample_shot
from iuv.synth.places import sample_indoors, sample_outdoors, sample_studio, sample_wild
from iuv.synth.props import sample_confuser, sample_furniture, sample_hanging, sample_seat
from iuv.synth.rounding import on_grid
from iuv.synth.shading import Thing

__all__ = ["SHORTEST_PICTURE", "Actor", "PeopleSource", "Person", "Scene", "sample_scene"]

_Floats = npt.NDArray[np.float64]
_Box = tuple[float, float, float, float, float]

_HIPS, _KNEES = (11, 12), (13, 14)  # of COCO's keypoints
SHORTEST_PICTURE = 32
"""Pixels: the least height and width of a picture of people."""

_ENOUGH = 700  # vertices tell how far somebody reaches
_PHOTO_SHARE = 0.5  # of scenes, where the user gives backgrounds


class Person(Protocol):
    """Somebody in a pose, standing on y = 0 and facing +z."""

    @property
    def mesh(self) -> ChartedMesh:
        """The surface."""
        ...

    @property
    def palette(self) -> Mapping[int, Pattern]:
        """How each of its materials looks."""
        ...

    @property
    def joints(self) -> _Floats:
        """[J, 3]."""
        ...

    @property
    def keypoints(self) -> _Floats:
        """[17, 3], in COCO's order."""
        ...


PeopleSource = Callable[[np.random.Generator], Person]


@dataclass(frozen=True, slots=True, eq=False)
class Actor(Thing):
    """A person in a scene."""

    joints: _Floats
    """[J, 3], in the world."""
    keypoints: _Floats
    """[17, 3], in the world, in COCO's order."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """All that a picture is drawn from."""

    camera: Camera
    people: tuple[Actor, ...]
    props: tuple[Thing, ...]
    backdrop: Backdrop
    lighting: Lighting
    effects: Effects


def _moved(points: _Floats, yaw: float, place: tuple[float, float]) -> _Floats:
    """Points [3, n], turned about the upright axis by degrees and moved to a place (x, z)."""
    moved = rotate(rotation(yaw), points) + np.array([[place[0]], [0.0], [place[1]]])
    return on_grid(moved)


def _placed(person: Person, yaw: float, place: tuple[float, float]) -> Actor:
    """A person, turned and moved likewise."""
    vertices, joints, keypoints = (
        np.ascontiguousarray(_moved(points.T, yaw, place).T)
        for points in (person.mesh.vertices, person.joints, person.keypoints)
    )
    return Actor(
        mesh=replace(person.mesh, vertices=vertices),
        palette=person.palette,
        joints=joints,
        keypoints=keypoints,
    )


def _outline(item: Thing | Person) -> _Floats:
    """[3, n]: vertices enough to tell where something begins and ends."""
    vertices = item.mesh.vertices
    return np.ascontiguousarray(vertices[:: 1 + len(vertices) // _ENOUGH].T)


def _sample_yaw(rng: np.random.Generator) -> float:
    """Which way somebody looks: mostly to the camera, often away, sometimes anywhere."""
    pick = rng.random()
    if pick < 0.6:
        return (180.0 if pick > 0.45 else 0.0) + 35 * float(rng.standard_normal())
    return 360 * float(rng.random())


def _extent(outline: _Floats) -> float:
    """The length of the longest side, metres."""
    return float((outline.max(axis=1) - outline.min(axis=1)).max())


def _radius(outline: _Floats) -> float:
    """How much room somebody needs on the ground, metres; outstretched arms need none."""
    spread = np.sort(np.abs(outline[[0, 2]]), axis=1)[:, int(0.8 * outline.shape[1])]
    return max(0.22, float(spread.max()))


def _box_of(camera: Camera, outline: _Floats) -> _Box:
    """Where something is in the picture, cut to it, and its least depth."""
    x, y, depth = camera.project(outline)
    near = float(depth.min())
    if near <= 0:  # some of it is behind the camera: it may be anywhere
        return 0.0, 0.0, float(camera.width), float(camera.height), near
    left, right, top, bottom = (
        min(max(float(value), 0.0), float(size))
        for axis, size in ((x, camera.width), (y, camera.height))
        for value in (axis.min(), axis.max())
    )
    return left, top, right, bottom, near


class _Stage:
    """People and things, placed one after the other where there is room."""

    def __init__(self, rng: np.random.Generator, shot: Shot, size: tuple[int, int]) -> None:
        self.rng = rng
        self.shot = shot
        self.size = size
        self.people: list[Actor] = []
        self.props: list[Thing] = []
        self.taken: list[tuple[float, float, float]] = []
        self.depths: list[float] = []
        self.boxes: list[_Box] = []
        self.camera: Camera

    def place_first(self, person: Person) -> None:
        """The person the camera is aimed at."""
        actor = _placed(person, _sample_yaw(self.rng), (0.0, 0.0))
        outline = _outline(actor)
        low, high = outline.min(axis=1), outline.max(axis=1)
        point = (low + high) / 2
        point[1] = low[1] + self.shot.anchor * (high[1] - low[1])
        upright = _outline(person)
        self.camera = aimed(self.shot, self.size, point, _extent(upright), outline)
        self._add(actor, (0.0, 0.0), _radius(upright), _box_of(self.camera, outline))

    def place_other(self, person: Person) -> None:
        """Somebody next to the first person, or anywhere; nobody where there is no room."""
        rng, outline = self.rng, _outline(person)
        radius, extent = _radius(outline), _extent(outline)
        together = rng.random() < 0.45
        close = 0.8 if together else 1.0  # friends stand closer
        for _ in range(12):
            if together:
                x, z, other = self.taken[int(rng.integers(len(self.people)))]
                away = (radius + other) * (1 + 0.8 * float(rng.random()))
                side = 1 if rng.random() < 0.5 else -1
                place = x + side * away, z + 0.5 * float(rng.standard_normal())
            else:
                depth = self.depths[0] * 2 ** (2.4 * float(rng.random()) - 0.7)
                tallest = self.camera.focal * extent / SMALLEST
                column = self.camera.width * (1.1 * float(rng.random()) - 0.05)
                place = on_ground(self.camera, column, min(depth, tallest))
            if self._is_seen(place) and free(place, self.taken, close * radius):
                yaw = _sample_yaw(rng)
                box = _box_of(self.camera, _moved(outline, yaw, place))
                if not self._hides(box, 0.8):
                    self._add(_placed(person, yaw, place), place, radius, box)
                    return

    def _is_seen(self, place: tuple[float, float]) -> bool:
        """Whether some of somebody at a place would be in the picture, not too near."""
        column, row, depth = self.camera.project(
            np.array([[place[0]] * 3, [0.3, 0.9, 1.5], [place[1]] * 3])
        )
        inside = (column > 0) & (column < self.camera.width) & (row > 0)
        return bool((inside & (row < self.camera.height) & (depth > 0.8)).any())

    def _add(self, actor: Actor, place: tuple[float, float], radius: float, box: _Box) -> None:
        self.people.append(actor)
        self.taken.append((*place, radius))
        self.depths.append(float(self.camera.project(actor.keypoints.T)[2].mean()))
        self.boxes.append(box)

    def _hides(self, box: _Box, most: float) -> bool:
        """Whether something is at the camera, or before more than a share of somebody."""
        left, top, right, bottom, near = box
        if near < NEAREST:
            return True
        for (x_low, y_low, x_high, y_high, _), depth in zip(self.boxes, self.depths, strict=True):
            width = min(right, x_high) - max(left, x_low)
            height = min(bottom, y_high) - max(top, y_low)
            area = max((x_high - x_low) * (y_high - y_low), 1.0)
            if near < depth and min(width, height) > 0 and width * height > most * area:
                return True
        return False

    def seat_people(self) -> None:
        """Put something under those who sit in the air."""
        for actor in self.people:
            hips, knees = actor.keypoints[list(_HIPS)], actor.keypoints[list(_KNEES)]
            high, bend = float(hips[:, 1].mean()), float(hips[:, 1].mean() - knees[:, 1].mean())
            if not (0.3 < high < 0.75 and abs(bend) < 0.18):
                continue
            (back_x, _, back_z), (x, _, z) = hips.mean(axis=0), knees.mean(axis=0)
            # the seat faces where the knees are; yaw 0 is +z
            yaw = float(np.round(np.degrees(np.arctan2(x - back_x, z - back_z)), 3))
            place = round(float(back_x), 4), round(float(back_z), 4)
            self.props.append(sample_seat(self.rng, place, round(high - 0.1, 4), yaw))

    def add_things(self, *, outdoors: bool) -> None:
        """Furniture behind and beside people, occluders before them."""
        rng = self.rng
        for _ in range(int(rng.integers(0, 10))):
            before = rng.random() < 0.18
            ratio = 0.55 + 0.35 * rng.random() if before else 0.9 + 1.2 * rng.random()
            near = self.depths[int(rng.integers(len(self.depths)))]
            column = self.camera.width * (1.3 * float(rng.random()) - 0.15)
            place = on_ground(self.camera, column, near * float(ratio))
            room = 0.35 if before else 0.75
            clear = [*self.taken, (*self.camera.position[[0, 2]].tolist(), 0.6)]
            if not free(place, clear, room):
                continue
            if rng.random() < 0.3:
                item = sample_confuser(rng, place)
            else:
                item = sample_furniture(rng, place, outdoors=outdoors)
            if not self._hides(_box_of(self.camera, _outline(item)), 0.6):
                self.props.append(item)
                self.taken.append((*place, 0.4))
        if rng.random() < 0.07:
            place = on_ground(self.camera, self.camera.width * rng.random(), 0.6 * self.depths[0])
            item = sample_hanging(rng, place, float(self.camera.position[1]))
            if not self._hides(_box_of(self.camera, _outline(item)), 0.5):
                self.props.append(item)


def _sample_backdrop(stage: _Stage, backgrounds: Backgrounds | None, *, outdoors: bool) -> Backdrop:
    rng, camera = stage.rng, stage.camera
    away = [(camera.position[2] - z, abs(camera.position[0] - x)) for x, z, _ in stage.taken]
    reach, spread = (max(0.5, *(float(pair[axis]) for pair in away)) for axis in (0, 1))
    if backgrounds is not None and rng.random() < _PHOTO_SHARE:
        return backgrounds.sample(rng)
    pick = rng.random()
    if pick < 0.1:
        return sample_wild(rng, camera)
    if outdoors:
        return sample_outdoors(rng, camera, reach, spread)
    if pick < 0.2:
        return sample_studio(rng, camera, reach, spread)
    return sample_indoors(rng, camera, reach, spread)


def sample_scene(
    rng: np.random.Generator,
    people_source: PeopleSource,
    size: tuple[int, int],
    backgrounds: Backgrounds | None = None,
) -> Scene:
    """A random scene with one to six people.

    Args:
        rng: random numbers: the same state gives the same scene.
        people_source: makes a random person, given random numbers.
        size: height and width of the picture, pixels.
        backgrounds: pictures to put behind half of the scenes.

    Raises:
        ValueError: the picture is too small to show people, or a background cannot be read.
    """
    if min(size) < SHORTEST_PICTURE:
        height, width = size
        raise ValueError(
            f"pictures of people must have sides of at least {SHORTEST_PICTURE} pixels, got "
            f"{width} x {height} (width x height)"
        )
    shot = sample_shot(rng, size[0])
    stage = _Stage(rng, shot, size)
    stage.place_first(people_source(rng))
    for _ in range(shot.people - 1):
        stage.place_other(people_source(rng))
    outdoors = rng.random() < (0.45 if max(stage.depths) < 8 else 0.85)
    stage.seat_people()
    stage.add_things(outdoors=outdoors)
    backdrop = _sample_backdrop(stage, backgrounds, outdoors=outdoors)
    return Scene(
        camera=stage.camera,
        people=tuple(stage.people),
        props=tuple(stage.props),
        backdrop=backdrop,
        lighting=sample_lighting(rng, outdoors=outdoors),
        effects=sample_effects(rng, outdoors=outdoors),
    )
