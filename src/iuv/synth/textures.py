"""Textures of floors, walls and grounds: colour as a function of a place on a plane.

Far away, where a pixel covers more than a texture's period, its mean colour is left: no moiré.

Shapes: M points. Colours are sRGB in 0..1; lengths in metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from iuv.synth.materials import Colour, sample_colour
from iuv.synth.noise import field, field_at

__all__ = ["Texture", "TextureKind", "colour_at", "mixed", "sample_texture", "shaded"]

_Floats = npt.NDArray[np.float32]
_LARGE, _FINE, _SPOTS, _SPECKS = range(4)  # which noise of a texture

TextureKind: TypeAlias = Literal["plain", "tiles", "planks", "checks", "stripes", "organic"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Texture:
    """How a plane looks."""

    colours: tuple[Colour, Colour]
    """The ground colour and that of joints, stripes or spots."""
    kind: TextureKind = "plain"
    size: tuple[float, float] = (0.3, 0.3)
    """Width and height of a tile, plank or check; of spots, the largest."""
    joint: float = 0.03
    """Width of joints, as a share of a tile; of stripes, their share of a period."""
    shift: float = 0.0
    """How far every other row of tiles is moved, in tiles: 0.5 for bricks."""
    variation: float = 0.15
    """How much tiles differ in brightness."""
    mottle: float = 0.15
    """How much the brightness varies over metres."""
    grain: float = 0.08
    """How much the brightness varies over centimetres."""
    seed: int = 0
    """Which noise, and where in it."""


def mixed(one: Colour, other: Colour, share: float) -> Colour:
    """A colour between two: share 0 gives the first."""
    red, green, blue = (a + share * (b - a) for a, b in zip(one, other, strict=True))
    return red, green, blue


def shaded(colour: Colour, gain: float) -> Colour:
    """A colour that is brighter or darker, within 0..1."""
    red, green, blue = (min(max(value * gain, 0.0), 1.0) for value in colour)
    return red, green, blue


def _visible(period: float, footprint: _Floats) -> _Floats:
    """How much is left of a detail of some size where a pixel covers `footprint` metres."""
    share = np.float32(0.5 * period) / (footprint + np.float32(1e-4)) - np.float32(0.5)
    limited: _Floats = np.clip(share, 0, 1)
    return limited


def _noise(texture: Texture, which: int, u: _Floats, v: _Floats, per_metre: float) -> _Floats:
    """[M] in -1..1, of some cells of a field per metre."""
    cells = field((texture.seed + which) % 4, 0.85 if which in (_FINE, _SPECKS) else 0.55)
    shift = np.float32(37 * (texture.seed & 255) + 101 * which)
    scale = np.float32(per_metre)
    near = field_at(cells, u * scale + shift, v * scale - shift)
    if which not in (_LARGE, _SPOTS):
        value: _Floats = near * 2 - 1
        return value
    # fields repeat after a few spots; two of different scale do so together only far away
    far = field_at(cells, v * (scale * np.float32(0.29)) + shift, u * (scale * np.float32(0.31)))
    both: _Floats = near * np.float32(1.2) + far * np.float32(0.8) - 1
    return both


def _cell_noise(texture: Texture, column: _Floats, row: _Floats) -> _Floats:
    """[M] in -1..1: one number for each tile."""
    cells = field(texture.seed % 4, 0.85)
    place = column * 97 + row * 31 + texture.seed % 511, row * 57 + column * 13
    value: _Floats = field_at(cells, *place) * 2 - 1
    return value


def _tiles(texture: Texture, u: _Floats, v: _Floats, seen: _Floats) -> tuple[_Floats, _Floats]:
    """How much of the second colour is seen, and each point's gain of brightness: [M] each."""
    row_place = v / np.float32(texture.size[1])
    row = np.floor(row_place)
    shift = (row - 2 * np.floor(row * np.float32(0.5))) * np.float32(texture.shift)
    column_place = u / np.float32(texture.size[0]) + shift
    column = np.floor(column_place)
    joint = np.float32(texture.joint)
    narrow = joint * np.float32(texture.size[0] / texture.size[1])
    inside = (column_place - column > joint) & (row_place - row > narrow)
    share = joint + narrow + (~inside - joint - narrow) * seen
    return share, 1 + np.float32(texture.variation) * _cell_noise(texture, column, row) * seen


def _pattern(texture: Texture, u: _Floats, v: _Floats, seen: _Floats) -> tuple[_Floats, _Floats]:
    """The same as `_tiles`, of any kind of texture."""
    ones = np.ones(len(u), np.float32)
    if texture.kind in ("tiles", "planks"):
        share, gain = _tiles(texture, u, v, seen)
        if texture.kind == "planks":
            stretched = np.float32(0.08)
            gain = gain + np.float32(0.12) * seen * _noise(texture, _FINE, u * stretched, v, 300)
        return share, gain
    if texture.kind == "checks":
        cell = np.floor(u / np.float32(texture.size[0])) + np.floor(v / np.float32(texture.size[1]))
        odd: _Floats = cell - 2 * np.floor(cell * np.float32(0.5))
        return np.float32(0.5) + (odd - np.float32(0.5)) * seen, ones
    if texture.kind == "stripes":
        place = u / np.float32(texture.size[0])
        mean = np.float32(texture.joint)
        striped = (place - np.floor(place) < mean).astype(np.float32)
        return mean + (striped - mean) * seen, ones
    if texture.kind == "organic":
        # the coarsest spots of a field are 128 cells wide
        spots = _noise(texture, _SPOTS, u, v, 128 / texture.size[0])
        fine = _noise(texture, _SPECKS, u, v, 900 / texture.size[0])
        near = _visible(texture.size[0] / 20, 2 * (1 - seen) * np.float32(texture.size[0]))
        return np.clip(np.float32(0.5) + np.float32(0.9) * spots * seen, 0, 1), 1 + (
            np.float32(texture.variation) * fine * near
        )
    return np.zeros(len(u), np.float32), ones


def colour_at(texture: Texture, u: _Floats, v: _Floats, footprint: _Floats) -> _Floats:
    """The colour of places on a plane.

    Args:
        texture: how it looks.
        u: [M] metres along the plane.
        v: [M] metres across.
        footprint: [M] metres of the plane that a pixel covers.

    Returns:
        [3, M] sRGB in 0..1.
    """
    share, gain = _pattern(texture, u, v, _visible(min(texture.size), footprint))
    gain = gain * (np.float32(1) + np.float32(texture.mottle) * _noise(texture, _LARGE, u, v, 60))
    (near,) = np.nonzero(footprint < 0.02)
    fine = _noise(texture, _FINE, u[near], v[near], 700) * _visible(0.02, footprint[near])
    gain[near] *= np.float32(1) + np.float32(texture.grain) * fine
    first, second = (np.array(colour, np.float32)[:, None] for colour in texture.colours)
    colour: _Floats = (first + (second - first) * share) * gain
    return np.clip(colour, 0, 1, out=colour)


_GREENS: tuple[Colour, ...] = ((0.25, 0.38, 0.13), (0.35, 0.45, 0.17), (0.42, 0.43, 0.22))
_EARTHS: tuple[Colour, ...] = (
    (0.45, 0.36, 0.26), (0.76, 0.68, 0.53), (0.34, 0.27, 0.21), (0.55, 0.50, 0.44),
)  # fmt: skip
_STONES: tuple[Colour, ...] = (
    (0.35, 0.35, 0.36), (0.50, 0.49, 0.47), (0.63, 0.60, 0.55), (0.28, 0.28, 0.30),
)  # fmt: skip
_BRICKS: tuple[Colour, ...] = ((0.55, 0.27, 0.20), (0.62, 0.45, 0.33), (0.45, 0.30, 0.25))
_WOODS: tuple[Colour, ...] = (
    (0.55, 0.38, 0.23), (0.71, 0.55, 0.36), (0.36, 0.23, 0.15), (0.80, 0.68, 0.50),
)  # fmt: skip
_PAINTS: tuple[Colour, ...] = (
    (0.92, 0.91, 0.88), (0.85, 0.80, 0.70), (0.72, 0.77, 0.80), (0.78, 0.82, 0.72),
    (0.60, 0.58, 0.56), (0.93, 0.88, 0.76),
)  # fmt: skip


def _any_of(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    one, other = (colours[int(rng.integers(len(colours)))] for _ in range(2))
    return shaded(mixed(one, other, rng.random() * 0.5), 0.8 + 0.4 * rng.random())


def sample_texture(
    rng: np.random.Generator, where: Literal["ground", "floor", "wall", "facade", "foliage"]
) -> Texture:
    """A random texture for some kind of plane."""
    seed = int(rng.integers(65536))
    pick = rng.random()
    if where == "foliage" or (where == "ground" and pick < 0.35):
        green = _any_of(rng, _GREENS)
        dark = shaded(
            mixed(green, (0.12, 0.14, 0.06), 0.5 * rng.random()), 0.3 + 0.6 * rng.random()
        )
        size = 0.4 + 1.6 * rng.random() if where == "foliage" else 0.3 + 1.2 * rng.random()
        return Texture(
            colours=(green, dark), kind="organic", size=(size, size), variation=0.35, seed=seed
        )
    if where == "ground" and pick < 0.75:
        colour = _any_of(rng, _EARTHS if pick < 0.5 else _STONES)
        return Texture(
            colours=(colour, shaded(colour, 0.8 + 0.3 * rng.random())),
            kind="organic",
            size=(1.5, 1.5),
            variation=0.05 + 0.2 * rng.random(),
            seed=seed,
        )
    if where in ("ground", "facade"):
        return _masonry(rng, seed, brick=where == "facade")
    if where == "floor" and pick < 0.45:
        wood = _any_of(rng, _WOODS)
        return Texture(
            colours=(wood, shaded(wood, 0.4)),
            kind="planks",
            size=(0.8 + rng.random(), 0.07 + 0.12 * rng.random()),
            joint=0.004,
            shift=0.37,
            seed=seed,
        )
    return _interior(rng, seed, floor=where == "floor")


def _masonry(rng: np.random.Generator, seed: int, *, brick: bool) -> Texture:
    bricks = brick and rng.random() < 0.5
    colour = _any_of(rng, _BRICKS if bricks else _STONES)
    side = 0.2 + 0.5 * rng.random()
    return Texture(
        colours=(colour, shaded(colour, 0.5 + 1.0 * rng.random())),
        kind="tiles" if brick or rng.random() < 0.8 else "checks",
        size=(0.22, 0.075) if bricks else (side, side * (0.5 + 0.5 * rng.random())),
        joint=0.02 + 0.04 * rng.random(),
        shift=0.5 if rng.random() < 0.7 else 0.0,
        variation=0.05 + 0.2 * rng.random(),
        seed=seed,
    )


def _interior(rng: np.random.Generator, seed: int, *, floor: bool) -> Texture:
    """Paint, wallpaper, panels, carpets and tiles."""
    paint = rng.random() < (0.25 if floor else 0.7)
    colour = _any_of(rng, _PAINTS)
    if not paint:
        colour = mixed(colour, sample_colour(rng), rng.random())
    kinds: tuple[TextureKind, ...] = ("tiles", "organic", "checks") if floor else (
        "plain", "plain", "plain", "stripes", "tiles", "organic"
    )  # fmt: skip
    kind = kinds[int(rng.integers(len(kinds)))]
    side = 0.1 + 0.5 * rng.random()
    return Texture(
        colours=(colour, shaded(colour, 0.6 + 0.6 * rng.random())),
        kind=kind,
        size=(side, side),
        joint=0.3 + 0.4 * rng.random() if kind == "stripes" else 0.02,
        variation=0.08,
        mottle=0.1 * rng.random() ** 2,
        grain=0.02 + 0.05 * rng.random(),
        seed=seed,
    )
