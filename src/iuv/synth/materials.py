"""How surfaces look: colours and patterns that stick to them, evaluated where they are visible.

A pattern is a solid texture: it depends on where a point lies in the rest pose, so it needs no
unwrapping, is the same on both sides of a seam, and tells nothing about the charts' borders.

M: points; P: patterns. Colours are sRGB in 0..1. Lengths are in body heights of the rest pose.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from iuv.synth.noise import VOLUME_PERIOD, cell_index, volume

__all__ = [
    "Colour",
    "Pattern",
    "PatternKind",
    "evaluate",
    "plain",
    "sample_cloth",
    "sample_colour",
    "sample_hair",
    "sample_skin",
    "wrinkled",
]

Colour: TypeAlias = tuple[float, float, float]
PatternKind: TypeAlias = Literal[
    "plain", "stripes", "checks", "dots", "camouflage", "heather", "blocks", "print"
]
_Floats = npt.NDArray[np.float32]
_Index = npt.NDArray[np.int32]
_Which = npt.NDArray[np.int16]

_IS_ARM = np.isin(np.arange(25), (3, 4, *range(15, 23)))
_WRINKLES = ((75.0, 0.6), (210.0, 0.4))  # cells of noise per body height, and their share
_SHOULDER = (0.10, 0.79)  # x and y of the shoulder in the rest pose


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """How one material of one person or thing looks.

    Raises:
        ValueError: no colour, or a period that is not positive.
    """

    colours: tuple[Colour, ...]
    """The ground colour, then the pattern's; further ones are repeated from the start if few."""
    kind: PatternKind = "plain"
    period: float = 0.04
    """Length after which stripes, checks and dots repeat; size of spots and prints."""
    share: float = 0.5
    """How much of a period is not the ground colour, 0..1."""
    turned: bool = False
    """Stripes run along the limbs and the trunk instead of around them."""
    offset: Colour = (0.0, 0.0, 0.0)
    """Where the pattern begins, in periods: shifts it without changing it."""
    grain: float = 0.03
    """How much the brightness varies finely, as a share of it."""
    mottle: float = 0.05
    """How much the brightness varies in large soft spots, as a share of it."""
    folds: float = 0.0
    """How strongly the surface is wrinkled: slope of its normals, 0 smooth to 1 crumpled."""
    gloss: float = 0.05
    """How much light is mirrored, 0 chalk to 1 patent leather."""
    soft: float = 0.1
    """How far light wraps around: 0 stone, 0.4 skin."""

    def __post_init__(self) -> None:
        if not self.colours:
            raise ValueError("a pattern needs at least one colour, got none")
        if not self.period > 0:
            raise ValueError(f"a pattern's period must be positive, got {self.period}")


def plain(colour: Colour) -> Pattern:
    """One colour, and nothing else."""
    return Pattern(colours=(colour,), grain=0.0, mottle=0.0)


# --- evaluation ---------------------------------------------------------------------------------


def _garment_position(rest: _Floats, part: npt.NDArray[np.uint8]) -> _Floats:
    """[3, M]: positions as if the arms hung down, so that stripes run around them, too."""
    (arms,) = np.nonzero(_IS_ARM[part])
    if not len(arms):
        return rest
    position = rest.copy()
    x, y, z = rest[:, arms]
    position[0, arms] = z
    position[1, arms] = np.float32(sum(_SHOULDER)) - np.abs(x)
    position[2, arms] = y - np.float32(_SHOULDER[1])
    return position


def _in_periods(pattern: Pattern, position: _Floats) -> _Floats:
    """[3, M]: positions in periods of the pattern."""
    offset = np.array(pattern.offset, np.float32)[:, None]
    return position * np.float32(1 / pattern.period) + offset


def _stripes(pattern: Pattern, position: _Floats) -> _Index:
    x, y, z = _in_periods(pattern, position)
    value = x + np.float32(0.5) * z if pattern.turned else y
    stripe = np.floor(value)
    colours = max(len(pattern.colours) - 1, 1)
    index: _Index = 1 + stripe.astype(np.int32) % np.int32(colours)
    index[value - stripe >= np.float32(pattern.share)] = 0
    return index


def _checks(pattern: Pattern, position: _Floats) -> _Index:
    x, y, _ = _in_periods(pattern, position)
    share = np.float32(pattern.share)
    bands: _Index = (x - np.floor(x) < share).astype(np.int32) + (y - np.floor(y) < share)
    return bands


def _dots(pattern: Pattern, position: _Floats) -> _Index:
    x, y, z = _in_periods(pattern, position)
    # every other layer is shifted by half a period: dots in staggered rows
    shift = (np.floor(y).astype(np.int32) & 1) * np.float32(0.5)
    squared = np.zeros(len(x), np.float32)
    for axis in (x + shift, y, z + shift):
        centred = axis - np.floor(axis) - np.float32(0.5)
        squared += centred * centred
    return (squared < np.float32(0.25 * pattern.share**2 + 0.02)).astype(np.int32)


def _camouflage(pattern: Pattern, position: _Floats) -> _Index:
    cells = cell_index(_in_periods(pattern, position) * np.float32(12))
    spots = np.take(volume(0), cells, axis=1)
    index = np.zeros(position.shape[1], np.int32)
    threshold = int(70 - 90 * pattern.share)
    for channel in range(min(len(pattern.colours) - 1, 3)):
        index[spots[channel] > threshold] = channel + 1
    return index


def _blocks(pattern: Pattern, position: _Floats) -> _Index:
    """Areas one above the other, as of rugby shirts and tracksuits."""
    height = position[1] + np.float32(0.1 * (pattern.offset[1] - 0.5))
    upper = height > np.float32(0.70)
    areas: _Index = upper.astype(np.int32) + (upper & (height < np.float32(0.70 + pattern.period)))
    return areas


def _print(pattern: Pattern, position: _Floats) -> _Index:
    """A motif on the chest or the back: blocks that could be letters or a logo."""
    size = np.float32(4 / max(pattern.period, 0.02))
    column = np.floor(position[0] * size).astype(np.int32) + 4
    row = np.floor((position[1] - np.float32(0.73)) * size).astype(np.int32) + 4
    side = position[2] > 0 if pattern.offset[2] < 0.8 else position[2] < 0
    inside = side & (column >= 0) & (column < 8) & (row >= 0) & (row < 8)
    bits = np.random.Generator(np.random.PCG64(int(pattern.offset[0] * 65536))).random((8, 8))
    motif = np.where(bits < 0.3 + 0.4 * pattern.share, 1 + (bits * 64).astype(np.int32) % 2, 0)
    return np.where(inside, motif[row & 7, column & 7], 0).astype(np.int32)


_KINDS: dict[str, Callable[[Pattern, _Floats], _Index]] = {
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "camouflage": _camouflage,
    "blocks": _blocks,
    "print": _print,
}


def _column(patterns: Sequence[Pattern], field: str) -> _Floats:
    """[P]: a number of every pattern; [3, P] of fields that have three."""
    return np.array([getattr(pattern, field) for pattern in patterns], np.float32).T


def _brightness(patterns: Sequence[Pattern], which: _Which, rest: _Floats) -> _Floats:
    """[M]: what mottling and grain multiply the colour by."""
    start = (_column(patterns, "offset") * VOLUME_PERIOD).take(which, axis=1)
    gain = np.ones(len(which), np.float32)
    for channel, (field, cells) in enumerate((("mottle", 200), ("grain", 4000))):
        strength = _column(patterns, field) * np.float32(1 / 127)
        if strength.any():
            spots = volume(1)[channel].take(cell_index(rest * np.float32(cells) + start))
            gain += spots * strength.take(which)
    return gain


def _drawn(pattern: Pattern, rest: _Floats, part: npt.NDArray[np.uint8]) -> _Floats:
    """[3, M]: the colour of a pattern that is not plain, before it is made brighter or darker."""
    colours = np.array(pattern.colours, np.float32).T
    if pattern.kind == "heather":
        mix = volume(2)[0].take(cell_index(rest * np.float32(8 / pattern.period)))
        share = mix * np.float32(0.5 / 127) + np.float32(0.5)
        mixed: _Floats = colours[:, :1] + (colours[:, -1:] - colours[:, :1]) * share
        return mixed
    index = _KINDS[pattern.kind](pattern, _garment_position(rest, part))
    return np.take(colours, index % np.int32(colours.shape[1]), axis=1)


def evaluate(
    patterns: Sequence[Pattern], which: _Which, rest: _Floats, part: npt.NDArray[np.uint8]
) -> _Floats:
    """The colour of points on surfaces.

    Args:
        patterns: how surfaces look.
        which: [M] the pattern of each point.
        rest: [3, M] positions in the rest pose.
        part: [M] chart of each point, 0..24: patterns turn with the arms.

    Returns:
        [3, M] sRGB in 0..1.
    """
    ground = np.array([pattern.colours[0] for pattern in patterns], np.float32).T
    colour: _Floats = ground.take(which, axis=1)
    for number in np.flatnonzero(np.bincount(which, minlength=len(patterns))).tolist():
        if patterns[number].kind != "plain":
            (own,) = np.nonzero(which == number)
            drawn = _drawn(patterns[number], rest.take(own, axis=1), part.take(own))
            for row, value in zip(colour, drawn, strict=True):
                row[own] = value
    colour *= _brightness(patterns, which, rest)
    return np.clip(colour, 0, 1, out=colour)


def wrinkled(patterns: Sequence[Pattern], which: _Which, rest: _Floats, normals: _Floats) -> None:
    """Tilt normals [3, M], in place, as folds of cloth would; the rest as for `evaluate`."""
    folds = _column(patterns, "folds") * np.float32(1 / 127)
    if not folds.any():
        return
    strength = folds.take(which)
    for cells, share in _WRINKLES:
        slope = volume(0).take(cell_index(rest * np.float32(cells)), axis=1)
        normals += slope * (strength * np.float32(share))


# --- sampling -----------------------------------------------------------------------------------

_NEUTRALS: tuple[Colour, ...] = (
    (0.05, 0.05, 0.06), (0.12, 0.12, 0.13), (0.25, 0.25, 0.26), (0.45, 0.45, 0.46),
    (0.65, 0.65, 0.64), (0.85, 0.85, 0.84), (0.95, 0.95, 0.94), (0.08, 0.10, 0.20),
    (0.80, 0.74, 0.62), (0.62, 0.53, 0.40), (0.36, 0.27, 0.20), (0.33, 0.34, 0.24),
)  # fmt: skip
_DENIM: tuple[Colour, ...] = (
    (0.12, 0.16, 0.26), (0.18, 0.26, 0.40), (0.30, 0.40, 0.55), (0.48, 0.58, 0.70),
)  # fmt: skip
_SKIN: tuple[Colour, ...] = (
    (0.97, 0.86, 0.79), (0.94, 0.80, 0.71), (0.90, 0.73, 0.62), (0.85, 0.66, 0.53),
    (0.78, 0.58, 0.44), (0.69, 0.49, 0.36), (0.59, 0.40, 0.29), (0.48, 0.32, 0.23),
    (0.38, 0.25, 0.18), (0.28, 0.18, 0.14), (0.20, 0.13, 0.11),
)  # fmt: skip
_HAIR: tuple[Colour, ...] = (
    (0.06, 0.05, 0.05), (0.12, 0.09, 0.07), (0.20, 0.14, 0.10), (0.30, 0.21, 0.14),
    (0.42, 0.30, 0.19), (0.60, 0.46, 0.29), (0.76, 0.64, 0.44), (0.45, 0.20, 0.10),
)  # fmt: skip
_GREY: tuple[Colour, ...] = ((0.40, 0.39, 0.38), (0.58, 0.57, 0.55), (0.85, 0.84, 0.82))


def _jitter(rng: np.random.Generator, colour: Colour, amount: float) -> Colour:
    """A colour nearby: brighter or darker by the same share, each channel by a little."""
    gain = 1 + amount * (2 * rng.random() - 1)
    red, green, blue = (
        min(max(value * gain + 0.25 * amount * (2 * rng.random() - 1), 0.0), 1.0)
        for value in colour
    )
    return red, green, blue


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...], amount: float) -> Colour:
    return _jitter(rng, colours[int(rng.integers(len(colours)))], amount)


def sample_colour(rng: np.random.Generator) -> Colour:
    """A colour as of clothes and things: half of them neutral, the rest of any hue."""
    if rng.random() < 0.5:
        return _pick(rng, _NEUTRALS, 0.2)
    saturation = 0.2 + 0.7 * rng.random()
    return colorsys.hsv_to_rgb(rng.random(), saturation, 0.15 + 0.8 * rng.random())


def sample_skin(rng: np.random.Generator) -> Pattern:
    """Skin of any tone, all about equally often."""
    place = rng.random() * (len(_SKIN) - 1)
    low, rest = int(place), place - int(place)
    tone = tuple(a + rest * (b - a) for a, b in zip(_SKIN[low], _SKIN[low + 1], strict=True))
    red, green, blue = _jitter(rng, (tone[0], tone[1], tone[2]), 0.06)
    return Pattern(
        colours=((red, green, blue),),
        offset=_random_offset(rng),
        grain=0.03,
        mottle=0.06,
        gloss=0.05 + 0.25 * rng.random(),
        soft=0.35,
    )


def sample_hair(rng: np.random.Generator, *, grey: float = 0.0) -> Pattern:
    """Hair: mostly natural, one in twenty dyed, with strands.

    Args:
        rng: random numbers.
        grey: the share of grey and white.
    """
    chance = rng.random()
    if chance < 0.05:
        colour = sample_colour(rng)
    else:
        colour = _pick(rng, _GREY if chance > 1 - grey else _HAIR, 0.2)
    red, green, blue = (min(value * 1.5 + 0.03, 1.0) for value in colour)
    return Pattern(
        colours=(colour, (red, green, blue)),
        kind="heather",
        period=0.006,
        offset=_random_offset(rng),
        grain=0.15,
        mottle=0.15,
        folds=0.3,
        gloss=0.1 + 0.3 * rng.random(),
    )


def _random_offset(rng: np.random.Generator) -> Colour:
    red, green, blue = rng.random(3).tolist()
    return red, green, blue


_CLOTH_KINDS: tuple[tuple[PatternKind, float], ...] = (
    ("plain", 0.47), ("stripes", 0.11), ("checks", 0.10), ("dots", 0.05), ("camouflage", 0.05),
    ("heather", 0.10), ("blocks", 0.04), ("print", 0.08),
)  # fmt: skip


def sample_cloth(rng: np.random.Generator, *, legs: bool = False) -> Pattern:
    """Cloth for one garment: half of it plain, the rest with any pattern.

    Args:
        rng: random numbers.
        legs: for trousers and skirts: more often denim, less often patterned.
    """
    denim = legs and rng.random() < 0.35
    ground = _pick(rng, _DENIM, 0.25) if denim else sample_colour(rng)
    names, weights = zip(*_CLOTH_KINDS, strict=True)
    index = int(np.searchsorted(np.cumsum(weights), rng.random()))
    kind: PatternKind = names[min(index, len(names) - 1)]
    if denim or (legs and rng.random() < 0.5):
        kind = "heather" if denim else "plain"
    nearby = _jitter(rng, ground, 0.3)
    others = tuple(sample_colour(rng) for _ in range(int(rng.integers(1, 4))))
    return Pattern(
        colours=(ground, nearby) if kind == "heather" else (ground, *others),
        kind=kind,
        period=0.006 if kind == "heather" else 0.012 + 0.11 * rng.random() ** 2,
        share=0.15 + 0.6 * rng.random(),
        turned=rng.random() < 0.35,
        offset=_random_offset(rng),
        grain=0.08 * rng.random(),
        mottle=0.02 + 0.08 * rng.random(),
        folds=0.15 + 0.5 * rng.random(),
        gloss=0.3 * rng.random() ** 2,
        soft=0.1,
    )
