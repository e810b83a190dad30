"""Where cameras and people stand: shots as photographers take them.

The camera looks along -z of the world. Lengths are in metres, places on the ground are (x, z).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from iuv.synth.camera import Camera, focal_of_view, rotate, rotation
from iuv.synth.rounding import on_grid

__all__ = ["NEAREST", "SMALLEST", "Shot", "aimed", "free", "on_ground", "sample_shot"]

_Floats = npt.NDArray[np.float64]

NEAREST = 0.4
"""Metres: nobody is nearer to the camera, along its axis."""
SMALLEST = 24.0
"""Pixels: nobody is meant to be less high in a picture."""

_FACING = np.diag([1.0, -1.0, -1.0])  # a level camera that looks along -z


@dataclass(frozen=True, slots=True)
class Shot:
    """What kind of picture is taken."""

    people: int
    tall: float
    """Height of the first person, as a share of the picture's; more than 1 for close-ups."""
    anchor: float
    """Which height of the first person is aimed at: 0 the feet, 1 the crown."""
    target: tuple[float, float]
    """Where the anchor is in the picture, as shares of its width and height."""
    view: float
    """Degrees that are seen along the height of the picture."""
    pitch: float
    """Degrees that the camera looks down."""
    roll: float
    """Degrees that the camera is turned clockwise."""


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(rng.random())


def sample_shot(rng: np.random.Generator, height: int) -> Shot:
    """A portrait, a full figure, a group or people far away.

    Args:
        rng: random numbers.
        height: of the picture, pixels: nobody is meant to be less high than `SMALLEST`.
    """
    kind = rng.random()
    aim = _between(rng, 0.25, 0.75), 0.5 + _between(rng, -0.1, 0.1)
    anchor = 0.5
    if kind < 0.38:  # one to three people, whole
        people = int(rng.choice(3, p=(0.55, 0.3, 0.15))) + 1
        tall = _between(rng, 0.45, 0.98)
    elif kind < 0.64:  # from the waist or the chest up
        people = int(rng.choice(3, p=(0.65, 0.25, 0.1))) + 1
        tall, anchor = 1.0 + 1.6 * float(rng.random()) ** 1.5, _between(rng, 0.62, 0.92)
        aim = _between(rng, 0.25, 0.75), _between(rng, 0.3, 0.65)
        if rng.random() < 0.2:  # any other part
            anchor = _between(rng, 0.1, 0.9)
    elif kind < 0.82:  # a group
        people, tall = int(rng.integers(3, 7)), _between(rng, 0.3, 0.8)
    else:  # far away
        people = int(rng.integers(1, 7))
        tall = max(_between(rng, 0.08, 0.35), SMALLEST / height)
        aim = _between(rng, 0.1, 0.9), _between(rng, 0.35, 0.8)
    high = rng.random() < 0.12
    low = not high and rng.random() < 0.1
    pitch = _between(rng, 20, 60) if high else 3 + 7 * float(rng.standard_normal())
    return Shot(
        people=people,
        tall=tall,
        anchor=anchor,
        target=aim,
        view=_between(rng, 22, 68),
        pitch=_between(rng, -25, -8) if low else min(max(pitch, -15.0), 65.0),
        roll=(15 if rng.random() < 0.08 else 2.5) * float(rng.standard_normal()),
    )


def _oriented(pitch: float, roll: float) -> _Floats:
    """[3, 3], from the world to the camera."""
    turns = _FACING
    for turn in (rotation(0.0, pitch, 0.0), rotation(0.0, 0.0, roll)):
        turns = np.stack([rotate(turn, column) for column in turns.T], axis=1)
    return turns


def aimed(
    shot: Shot, size: tuple[int, int], point: _Floats, extent: float, outline: _Floats
) -> Camera:
    """A camera above the ground that sees a point where the shot wants it.

    Args:
        shot: what is to be seen.
        size: height and width of the picture.
        point: [3], the anchor in the world.
        extent: how high the person is, metres, for the distance.
        outline: [3, n], points of the person that are to be before the camera, not too near: it
            is further away than the shot wants it if need be.
    """
    focal = focal_of_view(shot.view, size[0])
    distance = max(focal * extent / (shot.tall * size[0]), 0.6)
    while True:
        camera = _at_distance(shot, size, point, focal, distance)
        nearest = float(camera.view(outline)[2].min())
        if nearest > NEAREST:
            return camera
        distance += NEAREST + 0.05 - nearest


def _at_distance(
    shot: Shot, size: tuple[int, int], point: _Floats, focal: float, distance: float
) -> Camera:
    height, width = size
    x = (shot.target[0] - 0.5) * width / focal * distance
    y = (shot.target[1] - 0.5) * height / focal * distance
    lowest = min(0.35, 0.3 * point[1] + 0.1)
    pitch = shot.pitch
    for _ in range(40):
        to_camera = _oriented(pitch, shot.roll)
        position = point - rotate(to_camera.T, np.array([x, y, distance]))
        if position[1] > lowest:
            break
        pitch += 3.0  # from underground: look down a little more
    return Camera(
        height=height,
        width=width,
        focal=focal,
        position=on_grid(position),
        to_camera=to_camera,
    )


def on_ground(camera: Camera, column: float, depth: float) -> tuple[float, float]:
    """The place on the ground (x, z) at a depth and a column of the picture, in pixels."""
    right, _, ahead = camera.to_camera
    x, y, z = camera.position.tolist()
    # two planes of the camera's, met with y = 0: right · p = across, ahead · p = depth
    across = (column - camera.centre[0]) / camera.focal * depth + right[1] * y
    along = depth + ahead[1] * y
    determinant = right[0] * ahead[2] - right[2] * ahead[0]
    if abs(determinant) < 0.05:  # the camera looks straight down: there is no such place
        return x, z
    return (
        round(x + (across * ahead[2] - right[2] * along) / determinant, 4),
        round(z + (right[0] * along - across * ahead[0]) / determinant, 4),
    )


def free(
    place: tuple[float, float], taken: list[tuple[float, float, float]], radius: float
) -> bool:
    """Whether a disc around a place meets none of others, each x, z and radius."""
    return all(
        (place[0] - x) ** 2 + (place[1] - z) ** 2 > (radius + other) ** 2 for x, z, other in taken
    )
