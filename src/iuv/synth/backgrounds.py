"""What is behind and below people: planes in perspective under a sky, or a picture.

A plane is met by the ray of every pixel; the nearest one is seen. Pixels know where in the world
they are, so that people's shadows fall on floors and walls.

Shapes: M pixels; one axis per row: [3, M].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from iuv.image_files import is_image_file
from iuv.images import ImageError, check_image, read_image, resize
from iuv.synth.camera import Camera
from iuv.synth.decor import Decor, Outline, decorate, outlined
from iuv.synth.materials import Colour
from iuv.synth.noise import field, field_at
from iuv.synth.textures import Texture, colour_at

__all__ = ["Backdrop", "Backgrounds", "Picture", "Plane", "Planes", "Sky", "View"]

_Floats = npt.NDArray[np.float32]
_Ints = npt.NDArray[np.int64]
_Vector = tuple[float, float, float]

_ONE = np.float32(1)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A part of a background that faces one way, as a camera sees it in some pixels."""

    which: _Ints
    """[M]: which of the pixels asked for."""
    colour: _Floats
    """[3, M] sRGB in 0..1, as in light of strength 1."""
    points: _Floats
    """[3, M]: where in the world each pixel is; anywhere where `lit` is 0."""
    normal: _Vector
    """Of length 1."""
    lit: _Floats | None
    """[M]: how much of the colour depends on the scene's light: 0 for what shines itself. None:
    all of it."""
    relative: bool = False
    """The colour is already that of the lit place: only shadows are to be added."""


class Backdrop(Protocol):
    """Anything that can be behind people."""

    def paint(self, camera: Camera, pixels: _Ints) -> Sequence[View]:
        """What the camera sees of it in some pixels, [M]: row x W + column of each.

        Each of them is in one view.
        """
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


_FARTHEST = 1e4
"""Metres of depth. At the horizon, the cells of fine textures would go over 32 bits: here, spots of
0.1 m have 9e7 of them."""


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

    def paint(self, camera: Camera, pixels: _Ints) -> list[View]:
        """What the camera sees of it in some pixels, [M]: row x W + column of each."""
        rays = camera.rays_at(pixels)
        inverse_distance = np.full(len(pixels), np.float32(1 / _FARTHEST))
        number = np.full(len(pixels), len(self.planes), np.int8)
        for index, plane in enumerate(self.planes):
            _meet(plane, camera, rays, inverse_distance, number, index)
        views = []
        for index in np.flatnonzero(np.bincount(number)).tolist():
            (seen,) = np.nonzero(number == index)
            there = rays if len(seen) == len(pixels) else np.take(rays, seen, axis=1)
            if index < len(self.planes):
                distance = _ONE / inverse_distance.take(seen)
                views.append(_paint_plane(self.planes[index], camera, seen, there, distance))
            else:
                dark = np.zeros(len(seen), np.float32)
                colour = _sky_colour(self.sky, there)
                views.append(View(seen, colour, there, (0.0, 1.0, 0.0), dark))
        return views


def _normal(plane: Plane) -> _Vector:
    (ax, ay, az), (bx, by, bz) = plane.across, plane.up
    return ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx


def _dot(vector: _Vector, rays: _Floats) -> _Floats:
    # floors are level and walls are upright: some factors are 0
    factors = [
        (np.float32(factor), ray) for factor, ray in zip(vector, rays, strict=True) if factor
    ]
    product: _Floats = factors[0][0] * factors[0][1]
    for factor, ray in factors[1:]:
        product += factor * ray
    return product


def _offset(plane: Plane, camera: Camera, direction: _Vector) -> float:
    """How far the camera is from the plane's origin in a direction."""
    away = [
        place - start for place, start in zip(camera.position.tolist(), plane.origin, strict=True)
    ]
    return float(away[0] * direction[0] + away[1] * direction[1] + away[2] * direction[2])


def _on_plane(
    plane: Plane, camera: Camera, rays: _Floats, distance: _Floats
) -> tuple[_Floats, _Floats]:
    """Coordinates u and v, [M] each, of the points at some distances along rays."""
    u, v = (_dot(direction, rays) for direction in (plane.across, plane.up))
    for place, direction in ((u, plane.across), (v, plane.up)):
        place *= distance
        place += np.float32(_offset(plane, camera, direction))
    return u, v


def _meet(
    plane: Plane,
    camera: Camera,
    rays: _Floats,
    inverse_distance: _Floats,
    number: npt.NDArray[np.int8],
    index: int,
) -> None:
    """Note where a plane is nearer than what has been met, in place.

    Args:
        plane: the plane.
        camera: whose rays they are.
        rays: [3, M]
        inverse_distance: [M], one by the distance along the ray of what is met there.
        number: [M], of the plane that is met.
        index: of this one.
    """
    height = _offset(plane, camera, _normal(plane))
    if height <= 0:  # its back is not there
        return
    x, y, z = (-part / height for part in _normal(plane))
    own = _dot((x, y, z), rays)
    closer = own > inverse_distance
    if plane.width is not None or plane.outline is not None:
        (pixels,) = np.nonzero(closer)
        u, v = _on_plane(plane, camera, np.take(rays, pixels, axis=1), _ONE / own.take(pixels))
        if plane.width is not None:
            closer[pixels] &= (u > 0) & (u < np.float32(plane.width))
        if plane.outline is not None:
            closer[pixels] &= outlined(plane.outline, u, v)
    np.copyto(inverse_distance, own, where=closer)
    np.copyto(number, np.int8(index), where=closer)


def _paint_plane(
    plane: Plane, camera: Camera, seen: _Ints, rays: _Floats, distance: _Floats
) -> View:
    """A plane, where rays [3, M] of the pixels `seen` [M] meet it at some distances."""
    normal = _normal(plane)
    u, v = _on_plane(plane, camera, rays, distance)
    slant = np.maximum(-_dot(normal, rays), np.float32(0.1))
    slant *= np.float32(camera.focal)
    np.divide(distance, slant, out=slant)  # now what a pixel covers
    painted = colour_at(plane.texture, u, v, slant)
    lit = None
    for decor in plane.decor:
        if decor.shines and lit is None:
            lit = np.ones(len(distance), np.float32)
        decorate(decor, u, v, painted, lit)
    points = rays * distance
    points += camera.position.astype(np.float32)[:, None]
    return View(seen, painted, points, normal, lit)


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

    def paint(self, camera: Camera, pixels: _Ints) -> list[View]:
        """What the camera sees of it in some pixels, [M]: row x W + column of each."""
        image = _fitted(self, camera.height, camera.width)
        rays = camera.rays_at(pixels)
        down = np.maximum(-rays[1], np.float32(1e-3))
        distance = np.minimum(np.float32(camera.position[1]) / down, np.float32(1000))
        colour = np.ascontiguousarray(image.take(pixels, axis=0).T).astype(np.float32)
        view = View(
            which=np.arange(len(pixels)),
            colour=colour * np.float32(1 / 255),
            points=rays * distance + camera.position.astype(np.float32)[:, None],
            normal=(0.0, 1.0, 0.0),
            lit=(rays[1] < np.float32(-0.02)).astype(np.float32) * np.float32(0.8),
            relative=True,
        )
        return [view]


@lru_cache(maxsize=1)  # a picture is painted piece by piece
def _fitted(picture: Picture, height: int, width: int) -> npt.NDArray[np.uint8]:
    """What is seen of a picture: [height x width, 3]."""
    rows, columns = picture.image.shape[:2]
    scale = min(rows / height, columns / width) * picture.crop[0]
    high = min(max(int(height * scale), 1), rows)
    wide = min(max(int(width * scale), 1), columns)
    top, left = int((rows - high) * picture.crop[1]), int((columns - wide) * picture.crop[2])
    cut = picture.image[top : top + high, left : left + wide]
    if cut.shape[:2] != (height, width):
        cut = resize(np.ascontiguousarray(cut), (height, width))
    return np.ascontiguousarray(cut[:, ::-1] if picture.flip else cut).reshape(-1, 3)


class Backgrounds:
    """The pictures of a folder, to be put behind people.

    Args:
        folder: searched with all its subfolders.

    Raises:
        ValueError: there is no such folder, no picture in it, or what is called a picture is none.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ValueError(
                f"backgrounds must be a folder of pictures, but {folder} "
                f"{'is a file' if folder.exists() else 'does not exist'}"
            )
        paths = sorted(
            filter(is_image_file, folder.rglob("*")),
            key=lambda path: path.relative_to(folder).parts,  # Windows' own order differs
        )
        if not paths:
            raise ValueError(
                f"no picture (a file with an image's suffix, such as .jpg) in {folder} or its "
                "subfolders; "
                "give a folder of photos without people, or none"
            )
        for path in paths:
            try:
                check_image(path)
            except ImageError as error:
                raise _unusable(path, error) from error
        self.folder = folder
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
            raise _unusable(path, error) from error
        size, top, left = rng.random(3).tolist()
        return Picture(image=image, crop=(0.6 + 0.4 * size, top, left), flip=rng.random() < 0.5)


def _unusable(path: Path, error: ImageError) -> ValueError:
    return ValueError(f"the background {path} cannot be read ({error}); mend it or take it away")
