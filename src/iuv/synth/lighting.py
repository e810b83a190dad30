"""Light on surfaces: lamps and sky, soft shadows, highlights.

Everything is linear light, where 1 is what a white sheet facing the light sends back. Shadows are
variance shadow maps (Donnelly and Lauritzen, 2006): depth and squared depth as seen from the
light, blurred, bound how much of the light arrives; one look-up then gives a soft shadow.
A map from straight above does the same for the sky: it darkens what lies below or between things.

Shapes: M points, one axis per row: [3, M].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, radians, sin
from typing import Any

import numpy as np
import numpy.typing as npt

from iuv.synth.camera import rotate
from iuv.synth.raster import rasterise

__all__ = [
    "Casters",
    "Light",
    "Lighting",
    "ShadowMap",
    "cast",
    "irradiance",
    "sample_lighting",
    "shine",
]

_Points = npt.NDArray[np.float64]
_Floats = npt.NDArray[np.float32]

_TEXEL = 0.04  # metres: vertices of bodies are about as close, and the blur closes gaps
_LARGEST = 112  # texels along a side of a shadow map
_GRAZING = 0.15  # light from lower than this comes from here, where it meets the ground
_LIFT = 0.03  # metres
_FAR = 1000.0  # metres: from there, the light's rays are as good as parallel


@dataclass(frozen=True, slots=True, eq=False)
class Light:
    """A lamp so far away that its rays are parallel, like the sun."""

    direction: tuple[float, float, float]
    """Towards the light, of length 1."""
    colour: tuple[float, float, float]
    """What a white sheet that faces it sends back, in linear light."""
    softness: float | None
    """How blurred shadows are, in metres; None: it casts none."""


@dataclass(frozen=True, slots=True, eq=False)
class Lighting:
    """All light of a scene."""

    lights: tuple[Light, ...]
    sky: tuple[float, float, float]
    """Light from above: what a white sheet on the ground sends back."""
    bounce: tuple[float, float, float]
    """Light from below."""
    occlusion: float = 0.8
    """How dark it is where the sky is hidden, 0..1."""


@dataclass(frozen=True, slots=True, eq=False)
class Casters:
    """What throws shadows."""

    points: _Points
    """[3, N]: surfaces so finely sampled that the points nearly close them."""
    corners: _Points
    """[3, V]: vertices of coarse surfaces."""
    faces: npt.NDArray[np.integer[Any]]
    """[F, 3]: their triangles."""


@dataclass(frozen=True, slots=True, eq=False)
class ShadowMap:
    """How far light comes: seen from the light, and blurred."""

    to_light: _Points
    """[3, 3]: right, up and towards the light."""
    origin: _Points
    """[2]: where the first texel is, in metres."""
    texel: _Points
    """[2]: metres per texel."""
    mean: _Floats
    """[H * W]: how far towards the light the nearest surfaces are, metres."""
    variance: _Floats
    """[H * W]: of it, square metres."""
    shape: tuple[int, int]
    bias: float
    """How far a point may lie behind what the map says before it is in shadow, metres."""

    def visibility(self, points: _Floats) -> _Floats:
        """How much of the light arrives at points [3, M]: [M] in 0..1."""
        height, width = self.shape
        column, row = (
            _along(
                self.to_light[axis] / self.texel[axis], points, self.origin[axis] / self.texel[axis]
            )
            for axis in range(2)
        )
        (inside,) = np.nonzero(
            (column >= 0) & (column < np.float32(width)) & (row >= 0) & (row < np.float32(height))
        )
        result = np.ones(points.shape[1], np.float32)
        if not len(inside):
            return result
        place = row.take(inside).astype(np.int32)
        place *= width
        place += column.take(inside).astype(np.int32)
        towards = _along(self.to_light[2], points.take(inside, axis=1), -self.bias)
        behind = np.maximum(self.mean.take(place) - towards, 0)
        spread = self.variance.take(place)
        spread += np.float32(1e-4)
        visible = spread / (spread + behind * behind)
        # the bound leaks light where several surfaces overlap: its lower part is cut off
        result[inside] = np.maximum(visible * np.float32(1.25) - np.float32(0.25), 0)
        return result


def _along(direction: _Points, points: _Floats, start: float) -> _Floats:
    """[M]: how far points [3, M] lie from a start in a direction [3], in multiples of it."""
    total = np.full(points.shape[1], -start, np.float32)
    for factor, axis in zip(direction.tolist(), points, strict=True):
        if factor:  # many lights come from straight above
            total += np.float32(factor) * axis
    return total


def _basis(direction: tuple[float, float, float]) -> _Points:
    """[3, 3]: right, up and towards the light."""
    x, y, z = direction
    helper = (0.0, 1.0, 0.0) if abs(y) < 0.9 else (0.0, 0.0, 1.0)
    right = np.array(
        [
            helper[1] * z - helper[2] * y,
            helper[2] * x - helper[0] * z,
            helper[0] * y - helper[1] * x,
        ]
    )
    right /= np.sqrt(right[0] ** 2 + right[1] ** 2 + right[2] ** 2)
    up = np.array(
        [y * right[2] - z * right[1], z * right[0] - x * right[2], x * right[1] - y * right[0]]
    )
    return np.stack([right, up, np.array(direction)])


def _box_blur(cells: _Points, radius: int) -> _Points:
    """The mean of a square of 2 x radius + 1 cells of [n, H, W], twice: nearly a Gaussian."""
    for axis in (1, 2, 1, 2):
        size = cells.shape[axis]
        around = np.clip(np.arange(-radius - 1, size + radius), 0, size - 1)
        sums = np.moveaxis(np.cumsum(cells.take(around, axis=axis), axis=axis), axis, 0)
        mean = (sums[2 * radius + 1 :] - sums[: -2 * radius - 1]) / (2 * radius + 1)
        cells = np.moveaxis(mean, 0, axis)
    return cells


def _doubled(cells: _Floats) -> _Floats:
    """Twice as many cells of [n, H, W] in both directions, by linear interpolation."""
    for axis in (1, 2):
        size = cells.shape[axis]
        around = cells.take(np.clip(np.arange(-1, size + 1), 0, size - 1), axis=axis)
        around, most = np.moveaxis(around, axis, 0), np.float32(0.75) * np.moveaxis(cells, axis, 0)
        around *= np.float32(0.25)
        finer = np.empty(
            [side * (1 + (k == axis)) for k, side in enumerate(cells.shape)], np.float32
        )
        into = np.moveaxis(finer, axis, 0)
        np.add(most, around[:-2], out=into[0::2])
        np.add(most, around[2:], out=into[1::2])
        cells = finer
    return cells


def cast(casters: Casters, direction: tuple[float, float, float], softness: float) -> ShadowMap:
    """The shadow map of a light.

    Args:
        casters: what throws shadows.
        direction: towards the light, of length 1.
        softness: radius of the blur in metres.
    """
    basis = _basis(direction)
    points, corners = rotate(basis, casters.points), rotate(basis, casters.corners)
    both = np.concatenate([points, corners], axis=1)
    if not both.shape[1]:
        both = np.zeros((3, 1))
    low, high = both.min(axis=1), both.max(axis=1)
    margin = 2 * softness + 2 * _TEXEL
    extent = high[:2] - low[:2] + 2 * margin
    width, height = (min(int(side / _TEXEL) + 1, _LARGEST) for side in extent)
    texel = extent / np.array([width, height])
    origin = low[:2] - margin
    across = (np.arange(width) + 0.5) * texel[0] + origin[0]
    up = (np.arange(height) + 0.5) * texel[1] + origin[1]
    # where nothing stands in the way, the light reaches the ground
    lowest = across * basis[0, 1] + (up * basis[1, 1])[:, None]
    nearest = lowest / -max(basis[2, 1], _GRAZING)
    column = ((points[0] - origin[0]) / texel[0]).astype(np.int64)
    row = ((points[1] - origin[1]) / texel[1]).astype(np.int64)
    np.maximum.at(nearest.reshape(-1), row * width + column, points[2])
    if len(casters.faces):
        _cast_triangles(
            nearest, (corners[:2] - origin[:, None]) / texel[:, None], corners[2], casters
        )
    radius = tuple(max(int(softness / side + 0.5), 1) for side in texel)
    blurred, square = _box_blur(np.stack([nearest, nearest * nearest]), max(radius))
    variance = np.maximum(square - blurred * blurred, 0)
    # finer by interpolation, so that shadows have no steps although the nearest texel will do
    mean, variance = _doubled(np.stack([blurred, variance]).astype(np.float32))
    return ShadowMap(
        to_light=basis,
        origin=origin,
        texel=texel / 2,
        mean=mean.ravel(),
        variance=variance.ravel(),
        shape=(2 * height, 2 * width),
        bias=0.02 + 0.5 * float(texel.max()) / max(basis[2, 1], _GRAZING),
    )


def _cast_triangles(nearest: _Points, place: _Points, towards: _Points, casters: Casters) -> None:
    """Raise a map [H, W] to the triangles above it; `place` [2, V] is counted in texels."""
    height, width = nearest.shape
    away = _FAR - towards
    # the rasteriser's rows count downwards
    grid = np.stack([(place[0] - 0.5) * away, (height - 0.5 - place[1]) * away, away])
    raster = rasterise(grid, casters.faces, height, width)
    rows, columns = np.nonzero(raster.slot >= 0)
    _, depth = raster.weights(raster.slot[rows, columns], columns, rows)
    rows = height - 1 - rows
    nearest[rows, columns] = np.maximum(nearest[rows, columns], _FAR - depth)


def irradiance(
    lighting: Lighting,
    maps: Sequence[ShadowMap | None],
    points: _Floats,
    normals: _Floats,
    soft: _Floats | float,
) -> _Floats:
    """The light that arrives at surfaces.

    Args:
        lighting: lamps and sky.
        maps: a shadow map for the sky, then one for each light; None: nothing is in its way.
        points: [3, M].
        normals: [3, M] or [3, 1], of length 1.
        soft: how far light wraps around: one number, or [M].

    Returns:
        [3, M] linear light.
    """
    # a little off the surface, or it would shadow itself
    lifted = points + normals * np.float32(_LIFT)
    upward = np.float32(0.5) + np.float32(0.5) * normals[1]
    above, below = upward, 1 - upward
    if maps[0] is not None:
        dark = (maps[0].visibility(lifted) - 1) * np.float32(lighting.occlusion)
        above = upward * (1 + dark)
        below = below * (1 + dark * np.float32(0.6))
    total: _Floats = _column(lighting.sky) * above + _column(lighting.bounce) * below
    if total.shape[1] < points.shape[1]:
        total = np.repeat(total, points.shape[1], axis=1)
    for light, shadow in zip(lighting.lights, maps[1:], strict=True):
        share = _along(np.array(light.direction), normals, 0.0)
        share += soft
        np.maximum(share, 0, out=share)
        share /= np.float32(1) + soft
        if shadow is not None:
            share = share * shadow.visibility(lifted)
        total += _column(light.colour) * share
    return total


def shine(
    lighting: Lighting, normals: _Floats, to_eye: _Floats, gloss: _Floats, arriving: _Floats
) -> _Floats:
    """Highlights and the brighter rim of surfaces that are seen at a flat angle.

    Args:
        lighting: lamps and sky.
        normals: [3, M] of length 1.
        to_eye: [3, M] of length 1.
        gloss: [M] in 0..1.
        arriving: [3, M] the light that arrives, for how strong a rim can be.

    Returns:
        [3, M] linear light to be added.
    """
    rim = 1 - np.clip(_dot(normals, to_eye), 0, 1)
    rim *= rim
    rim *= rim  # Schlick's fifth power, but the fourth is two products
    total: _Floats = arriving * (np.float32(0.35) * rim * gloss)
    for light in lighting.lights:
        half = to_eye + _column(light.direction)
        aligned = _dot(normals, half)
        aligned /= np.maximum(np.sqrt(_dot(half, half)), np.float32(1e-6))
        np.clip(aligned, 0, 1, out=aligned)
        for _ in range(4):  # to the power of 16
            aligned *= aligned
        # glossy surfaces have small, strong highlights: once more to the power of 2
        peak = aligned + gloss * (aligned * aligned * 2 - aligned)
        peak *= gloss * np.float32(0.5)
        total += _column(light.colour) * peak
    return total


def sample_lighting(rng: np.random.Generator, *, outdoors: bool) -> Lighting:
    """Random light: sun, overcast sky, lamps and windows, a flash, coloured light at night."""
    mood = rng.random()
    warmth = 0.2 * float(rng.random())
    tint = (1 + warmth, 1.0, 1 - warmth)
    if outdoors and mood < 0.5:  # sun
        sun = _lamp(rng, (15, 75), tint, 0.8 + 0.6 * rng.random(), 0.02 + 0.06 * rng.random())
        strength = 0.15 + 0.25 * rng.random()
        return _under((sun,), (0.85, 0.95, 1.15), strength, 0.3)
    if mood < 0.6 and outdoors:  # a low sun, perhaps from behind
        sun = _lamp(rng, (8, 20), (1.3, 0.95, 0.65), 0.6 + 0.5 * rng.random(), 0.05)
        return _under((sun,), (0.9, 0.95, 1.1), 0.25 + 0.2 * rng.random(), 0.35)
    if mood < (0.92 if outdoors else 0.15):  # overcast: the brighter half of the sky is one light
        sky = _lamp(rng, (40, 85), (1.0, 1.0, 1.0), 0.15 + 0.3 * rng.random(), 0.3)
        return _under((sky,), (0.97, 1.0, 1.04), 0.6 + 0.25 * rng.random(), 0.45)
    if mood < 0.93 or not outdoors:  # one to three lamps or windows
        count = int(rng.integers(1, 4))
        lamps = [
            _lamp(
                rng,
                (10, 85),
                _tint(rng, 0.875 + warmth, 0.875, 0.875 - warmth, spread=0.25),
                (0.3 + 0.7 * rng.random()) / count**0.5,
                0.05 + 0.25 * rng.random() if number < 2 else None,
            )
            for number in range(count)
        ]
        return _under(tuple(lamps), tint, 0.25 + 0.35 * rng.random(), 0.5)
    # night: strong colours from the side, little else
    lamps = [
        _lamp(rng, (5, 60), _tint(rng, 0.3, 0.3, 0.3, 1.0), 0.4 + 0.5 * rng.random(), 0.1)
        for _ in range(2)
    ]
    return _under(tuple(lamps), (0.8, 0.85, 1.1), 0.1 + 0.1 * rng.random(), 0.3)


def _tint(
    rng: np.random.Generator, red: float, green: float, blue: float, spread: float
) -> tuple[float, float, float]:
    """A colour of light, each channel by chance up to `spread` more than given."""
    more = (spread * rng.random(3)).tolist()
    return red + more[0], green + more[1], blue + more[2]


def _lamp(
    rng: np.random.Generator,
    elevation: tuple[float, float],
    tint: tuple[float, float, float],
    strength: float,
    softness: float | None,
) -> Light:
    """A light with its elevation between two angles, two times out of three from the front."""
    up = radians(elevation[0] + (elevation[1] - elevation[0]) * rng.random())
    # the camera looks along -z: light from there comes from +z
    around = (180 if rng.random() < 0.33 else 0) + 180 * (rng.random() - 0.5)
    x, y, z = cos(up) * sin(radians(around)), sin(up), cos(up) * cos(radians(around))
    red, green, blue = (round(strength * max(part, 0.0), 5) for part in tint)
    return Light(
        direction=(round(x, 6), round(y, 6), round(z, 6)),
        colour=(red, green, blue),
        softness=softness,
    )


def _under(
    lights: tuple[Light, ...], tint: tuple[float, float, float], strength: float, bounce: float
) -> Lighting:
    """Lights under a sky of some colour; the ground sends a share of it back."""
    red, green, blue = (round(strength * part, 5) for part in tint)
    below = (round(red * bounce, 5), round(green * bounce, 5), round(blue * bounce * 0.9, 5))
    return Lighting(lights=lights, sky=(red, green, blue), bounce=below)


def _column(colour: tuple[float, float, float]) -> _Floats:
    return np.array(colour, np.float32)[:, None]


def _dot(one: _Floats, other: _Floats) -> _Floats:
    total: _Floats = one[0] * other[0]
    total += one[1] * other[1]
    total += one[2] * other[2]
    return total
