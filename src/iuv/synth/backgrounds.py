"""What is behind and below people: planes in perspective under a sky, or a picture.

A plane is met by the ray of every pixel; the nearest one is seen. Pixels know where in the world
they are, so that people's shadows fall on floors and walls.

Shapes: M pixels; one axis per row: [3, M].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from iuv.images import ImageError, read_image, resize
from iuv.synth.camera import Camera
from iuv.synth.decor import Decor, Outline, decorate, outlined
from iuv.synth.materials import Colour
from iuv.synth.noise import field, field_at
from iuv.synth.textures import Texture, colour_at

__all__ = ["Backdrop", "Backgrounds", "Picture", "Plane", "Planes", "Sky", "View"]

_Floats = npt.NDArray[np.float32]
_Ints = npt.NDArray[np.int64]
_Vector = tuple[float, float, float]

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A background as a camera sees it in some pixels."""

    colour: _Floats
    """[3, M] sRGB in 0..1, as in light of strength 1."""
    points: _Floats
    """[3, M]: where in the world each pixel is; anywhere where `lit` is 0."""
    normals: _Floats
    """[3, M], of length 1."""
    lit: _Floats
    """[M]: how much of the colour depends on the scene's light: 0 for what shines itself."""
    relative: bool = False
    """The colour is already that of the lit place: only shadows are to be added."""


class Backdrop(Protocol):
    """Anything that can be behind people."""

    def paint(self, camera: Camera, pixels: _Ints) -> View:
        """What the camera sees of it in some pixels, [M]: row x W + column of each."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """A wall, a floor, or something flat far away."""

    origin: _Vector
    """Where u and v are 0."""
    across: _Vector
    """Direction of u, of length 1."""
    up: _Vector
    """Direction of v, of length 1 and perpendicular; what is seen is the side to which
    the cross product of across and up points."""
    texture: Texture
    decor: tuple[Decor, ...] = ()
    outline: Outline | None = None
    """What is above it is not there; None: the plane has no end."""
    width: float | None = None
    """The plane is where u is between 0 and this; None: the plane has no end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sky:
    """What is seen where no plane is."""

    zenith: Colour
    horizon: Colour
    cloud: Colour = (1.0, 1.0, 1.0)
    cloudiness: float = 0.0
    """How much of it is covered, 0..1."""
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """A room, a street, a field: planes under a sky."""

    planes: tuple[Plane, ...]
    sky: Sky

    def paint(self, camera: Camera, pixels: _Ints) -> View:
        """What the camera sees of it in some pixels, [M]: row x W + column of each."""
        rays = np.take(camera.rays().reshape(3, -1), pixels, axis=1)
        count = len(pixels)
        nearest = np.full(count, np.float32(1e6))
        number = np.full(count, len(self.planes), np.int32)
        for index, plane in enumerate(self.planes):
            _meet(plane, camera, rays, nearest, number, index)
        colour = np.empty_like(rays)
        lit = np.zeros(count, np.float32)
        normals = np.array([*(_normal(plane) for plane in self.planes), (0, 1, 0)], np.float32)
        for index, plane in enumerate(self.planes):
            (seen,) = np.nonzero(number == index)
            if len(seen):
                there = np.take(rays, seen, axis=1)
                painted, lit[seen] = _paint_plane(plane, camera, there, nearest[seen])
                _put(colour, seen, painted)
        (seen,) = np.nonzero(number == len(self.planes))
        _put(colour, seen, _sky_colour(self.sky, np.take(rays, seen, axis=1)))
        position = camera.position.astype(np.float32)[:, None]
        return View(
            colour=colour,
            points=rays * nearest + position,
            normals=np.take(np.ascontiguousarray(normals.T), number, axis=1),
            lit=lit,
        )


def _put(into: _Floats, place: _Ints, values: _Floats) -> None:
    """Write values [3, n] to places [n] of [3, M]; row by row, which is much faster."""
    for row, value in zip(into, values, strict=True):
        row[place] = value


def _normal(plane: Plane) -> _Vector:
    (ax, ay, az), (bx, by, bz) = plane.across, plane.up
    return ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx


def _dot(vector: _Vector, rays: _Floats) -> _Floats:
    x, y, z = (np.float32(value) for value in vector)
    product: _Floats = rays[0] * x + rays[1] * y + rays[2] * z
    return product


def _offset(plane: Plane, camera: Camera, direction: _Vector) -> np.float32:
    """How far the camera is from the plane's origin in a direction."""
    away = (camera.position - np.array(plane.origin)).tolist()
    return np.float32(away[0] * direction[0] + away[1] * direction[1] + away[2] * direction[2])


def _on_plane(
    plane: Plane, camera: Camera, rays: _Floats, distance: _Floats
) -> tuple[_Floats, _Floats]:
    """Coordinates u and v, [M] each, of the points at some distances along rays."""
    u: _Floats = _dot(plane.across, rays) * distance + _offset(plane, camera, plane.across)
    v: _Floats = _dot(plane.up, rays) * distance + _offset(plane, camera, plane.up)
    return u, v


def _meet(
    plane: Plane,
    camera: Camera,
    rays: _Floats,
    nearest: _Floats,
    number: npt.NDArray[np.int32],
    index: int,
) -> None:
    """Note where a plane is nearer than what has been met, in place: distance and its number."""
    normal = _normal(plane)
    toward = -_dot(normal, rays)
    distance = np.full_like(toward, _offset(plane, camera, normal))
    distance /= np.maximum(toward, np.float32(1e-6))
    closer = (toward > 1e-6) & (distance > 0) & (distance < nearest)
    if plane.width is not None or plane.outline is not None:
        (pixels,) = np.nonzero(closer)
        there = np.take(rays, pixels, axis=1)
        u, v = _on_plane(plane, camera, there, distance[pixels])
        if plane.width is not None:
            closer[pixels] &= (u > 0) & (u < np.float32(plane.width))
        if plane.outline is not None:
            closer[pixels] &= outlined(plane.outline, u, v)
    np.copyto(nearest, distance, where=closer)
    number[closer] = index


def _paint_plane(
    plane: Plane, camera: Camera, rays: _Floats, distance: _Floats
) -> tuple[_Floats, _Floats]:
    """Colour [3, M] and share of light [M] of a plane, where rays meet it at some distances."""
    u, v = _on_plane(plane, camera, rays, distance)
    slant = np.maximum(-_dot(_normal(plane), rays), np.float32(0.1))
    footprint = (distance / (slant * np.float32(camera.focal))).astype(np.float32)
    painted = colour_at(plane.texture, u, v, footprint)
    lit = np.ones(len(distance), np.float32)
    for decor in plane.decor:
        decorate(decor, u, v, painted, lit)
    return painted, lit


def _sky_colour(sky: Sky, rays: _Floats) -> _Floats:
    """[3, M]: a gradient, and clouds on a plane high above."""
    x, y, z = rays
    height = y / np.sqrt(x * x + y * y + z * z)
    share = np.clip(height * np.float32(1.6), 0, 1)
    zenith, horizon, cloud = (
        np.array(part, np.float32)[:, None] for part in (sky.zenith, sky.horizon, sky.cloud)
    )
    colour: _Floats = horizon + (zenith - horizon) * share
    if sky.cloudiness:
        steep = np.float32(60) / np.maximum(y, np.float32(0.05))
        where = field_at(field(sky.seed % 4, 0.55), x * steep + sky.seed, z * steep)
        amount = np.clip((where - np.float32(1 - sky.cloudiness)) * 3, 0, 1)
        colour += (cloud - colour) * (amount * np.clip(height * 8, 0, 1))
    return colour


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture, cut to the shape of the camera's. The ground on it is guessed to be level."""

    image: npt.NDArray[np.uint8]
    """[h, w, 3] RGB."""
    crop: tuple[float, float, float]
    """Size of what is seen as a share of the largest cut that fits, 0..1; its place in 0..1."""
    flip: bool = False

    def paint(self, camera: Camera, pixels: _Ints) -> View:
        """What the camera sees of it in some pixels, [M]: row x W + column of each."""
        height, width = self.image.shape[:2]
        scale = min(height / camera.height, width / camera.width) * self.crop[0]
        rows = min(max(int(camera.height * scale), 1), height)
        columns = min(max(int(camera.width * scale), 1), width)
        top, left = int((height - rows) * self.crop[1]), int((width - columns) * self.crop[2])
        cut = self.image[top : top + rows, left : left + columns]
        image = resize(np.ascontiguousarray(cut), (camera.height, camera.width))
        if self.flip:
            image = image[:, ::-1]
        rays = np.take(camera.rays().reshape(3, -1), pixels, axis=1)
        down = np.maximum(-rays[1], np.float32(1e-3))
        distance = np.minimum(np.float32(camera.position[1]) / down, np.float32(1000))
        normals = np.zeros_like(rays)
        normals[1] = 1
        colour = np.ascontiguousarray(image.reshape(-1, 3)[pixels].T).astype(np.float32)
        return View(
            colour=colour * np.float32(1 / 255),
            points=rays * distance + camera.position.astype(np.float32)[:, None],
            normals=normals,
            lit=(rays[1] < np.float32(-0.02)).astype(np.float32) * np.float32(0.8),
            relative=True,
        )


class Backgrounds:
    """The pictures of a folder, to be put behind people.

    Args:
        folder: searched with all its subfolders.

    Raises:
        ValueError: there is no such folder, or no picture in it.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ValueError(
                f"backgrounds must be a folder of pictures, but {folder} "
                f"{'is a file' if folder.exists() else 'does not exist'}"
            )
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
        if not paths:
            raise ValueError(
                f"no picture ({', '.join(_SUFFIXES)}) in {folder} or its subfolders; "
                "give a folder of photos without people, or none"
            )
        self.paths: Sequence[Path] = paths

    def sample(self, rng: np.random.Generator) -> Picture:
        """A random part of a random picture.

        Raises:
            ValueError: the picture cannot be read.
        """
        path = self.paths[int(rng.integers(len(self.paths)))]
        try:
            image = read_image(path)
        except ImageError as error:
            raise ValueError(
                f"the background {path} cannot be read ({error}); mend it or take it away"
            ) from error
        size, top, left = rng.random(3).tolist()
        return Picture(image=image, crop=(0.6 + 0.4 * size, top, left), flip=rng.random() < 0.5)
