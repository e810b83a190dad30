"""What hangs on walls and stands far away: windows, pictures, shelves; trees, houses, fences.

Shapes: M points of a plane. Colours are sRGB in 0..1; lengths in metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from iuv.synth.materials import Colour, sample_colour
from iuv.synth.noise import FIELD_PERIOD, field, field_at
from iuv.synth.textures import shaded

__all__ = ["Decor", "DecorKind", "Outline", "OutlineKind", "collage", "decorate", "outlined"]

_Floats = npt.NDArray[np.float32]
_Mask = npt.NDArray[np.bool_]
DecorKind: TypeAlias = Literal["area", "window", "facade", "picture", "shelf", "lamp", "lines"]
OutlineKind: TypeAlias = Literal["level", "trees", "houses", "bars"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decor:
    """A rectangle on a plane that looks different."""

    kind: DecorKind
    box: tuple[float, float, float, float]
    """u and v of one corner, u and v of the opposite one."""
    colours: tuple[Colour, ...]
    """Frame or ground first."""
    cells: tuple[int, int] = (1, 1)
    """Panes or compartments across and up."""
    bar: float = 0.04
    """Width of frames and what separates cells, metres."""
    seed: int = 0

    @property
    def shines(self) -> bool:
        """Whether it sends light of its own."""
        return self.kind in ("window", "lamp")


def decorate(decor: Decor, u: _Floats, v: _Floats, colour: _Floats, lit: _Floats | None) -> None:
    """Draw a decoration over the colour [3, M] and the light's share [M] of a plane, in place.

    Nothing shines where no share is given.
    """
    left, low, right, high = (np.float32(value) for value in decor.box)
    (inside,) = np.nonzero((u > left) & (u < right) & (v > low) & (v < high))
    if not len(inside):
        return
    across = (u[inside] - left) / (right - left)
    up = (v[inside] - low) / (high - low)
    frame, drawn = _decor_colour(decor, across, up)
    if decor.kind == "facade":  # windows in the wall, which is seen between them
        glass = np.flatnonzero(~frame)
        inside, drawn = inside[glass], np.take(drawn, glass, axis=1)
    for into, value in zip(colour, drawn, strict=True):
        into[inside] = value
    if decor.shines and lit is not None:
        lit[inside] = 0


def _decor_colour(decor: Decor, across: _Floats, up: _Floats) -> tuple[_Mask, _Floats]:
    """Where the frame is, [M], and the colour, [3, M], at places in 0..1 of a decoration."""
    colours = np.array(decor.colours, np.float32).T
    if decor.kind == "picture":
        image = _picture(decor.seed)
        size = len(image)
        row = ((1 - up) * (size - 1)).astype(np.int32)
        art: _Floats = image[row, (across * (size - 1)).astype(np.int32)].T
        edge = np.minimum(np.minimum(across, 1 - across), np.minimum(up, 1 - up)) < 0.04
        return edge, np.where(edge, colours[:, :1], art)
    column, row_place = across * decor.cells[0], up * decor.cells[1]
    in_column, in_row = column - np.floor(column), row_place - np.floor(row_place)
    # frames are as wide in both directions, whatever the cell's proportions
    width, height = decor.box[2] - decor.box[0], decor.box[3] - decor.box[1]
    cell_width, cell_height = width / decor.cells[0], height / decor.cells[1]
    from_side = np.minimum(in_column, 1 - in_column) * np.float32(cell_width)
    from_end = np.minimum(in_row, 1 - in_row) * np.float32(cell_height)
    frame = np.minimum(from_side, from_end) < np.float32(decor.bar)
    if decor.kind == "shelf":
        # books and boxes: each about 4 cm of the width, some not up to the top
        item = np.floor(across * np.float32(width / 0.045)) + 31 * np.floor(row_place)
        number = _random(item, decor.seed)
        index = (number * 977).astype(np.int32) % (colours.shape[1] - 1) + 1
        filled = in_row < np.float32(0.45) + np.float32(0.5) * _random(item, decor.seed + 1)
        inner = np.where(filled, colours[:, index], colours[:, :1] * np.float32(0.35))
    elif decor.kind == "lines":
        inner = np.repeat(colours[:, -1:], len(across), axis=1)
        frame = np.floor(in_column * 8).astype(np.int32) % 2 == 0
    elif decor.kind in ("window", "facade"):
        # sky above, something darker below; on a house, each pane by chance
        share = np.clip((up - np.float32(0.35)) * 6, 0, 1)
        if decor.kind == "facade":
            share = _random(np.floor(column) + 37 * np.floor(row_place), decor.seed)
        inner = colours[:, 1:2] + (colours[:, 2:3] - colours[:, 1:2]) * share
    else:
        inner = np.repeat(colours[:, -1:], len(across), axis=1)
    return frame, np.where(frame, colours[:, :1], inner).astype(np.float32)


def _random(number: _Floats, seed: int) -> _Floats:
    """[M] in 0..1: one for each integer."""
    return field_at(field(seed % 4, 0.85), number * 131 + seed % 509, number * 71)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """The upper edge of something far away, or its gaps."""

    kind: OutlineKind = "level"
    height: float = 2.0
    """Of the highest points, metres."""
    rough: float = 0.5
    """How much lower the lowest are, as a share; for bars, how wide the gaps are."""
    period: float = 5.0
    """Width of a tree, a house or the distance of bars, metres."""
    seed: int = 0


def outlined(outline: Outline, u: _Floats, v: _Floats) -> _Mask:
    """Which places [M] of an upright plane are covered."""
    height, rough = np.float32(outline.height), np.float32(outline.rough)
    if outline.kind == "level":
        return np.less(v, height)
    place = u / np.float32(outline.period)
    if outline.kind == "bars":
        rail = np.abs(v / height - np.float32(0.5)) > np.float32(0.42)
        solid: _Mask = ((place - np.floor(place) > rough) | rail) & (v < height)
        return solid
    if outline.kind == "houses":
        share = _random(np.floor(place), outline.seed)
        return v < height * (1 - rough * share)
    cells = field(outline.seed % 4, 0.55)
    row = np.full(len(u), outline.seed % FIELD_PERIOD, np.float32)
    share = field_at(cells, place * 48, row)
    leaves = field_at(field(1, 0.85), place * 160, v * np.float32(160 / outline.period))
    ragged = (leaves - np.float32(0.5)) * np.float32(0.25 * outline.period)
    covered: _Mask = v < height * (1 - rough * share) + ragged
    return covered


def collage(
    rng: np.random.Generator, height: int, width: int, shapes: int = 120
) -> npt.NDArray[np.uint8]:
    """Shapes of any kind over each other, the nearest last and largest first: [H, W, 3] sRGB.

    Overlapping shapes whose sizes follow a power law have edges and areas as photos have them
    (the dead leaves model; Lee, Mumford and Huang, 2001).
    """
    image = np.empty((height, width, 3), np.uint8)
    image[:] = _bytes(sample_colour(rng))
    families = [sample_colour(rng) for _ in range(int(rng.integers(3, 9)))]
    for number in range(shapes):
        colour = shaded(families[int(rng.integers(len(families)))], 0.5 + rng.random())
        left = 1 - number / shapes
        size = max(height, width) * (0.03 + 0.9 * left * left) * (0.3 + 0.7 * rng.random())
        centre = rng.random(2) * (width, height)
        points = (rng.random((int(rng.integers(3, 7)), 2)) - 0.5) * size + centre
        kind = rng.random()
        if kind < 0.4:
            cv2.fillConvexPoly(image, cv2.convexHull(points.astype(np.int32)), _bytes(colour))
        elif kind < 0.75:
            axes = (int(size * (0.1 + 0.4 * rng.random())), int(size * (0.1 + 0.4 * rng.random())))
            middle = (int(centre[0]), int(centre[1]))
            cv2.ellipse(image, middle, axes, int(rng.integers(180)), 0, 360, _bytes(colour), -1)
        else:
            corner, opposite = points[:2].astype(int).tolist()
            cv2.rectangle(image, corner, opposite, _bytes(colour), -1)
    return image


def _bytes(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (int(value * 255 + 0.5) for value in colour)
    return red, green, blue


def _picture(seed: int) -> _Floats:
    """[64, 64, 3] in 0..1: what is on a picture or poster."""
    rng = np.random.Generator(np.random.PCG64([31, seed]))
    return collage(rng, 64, 64, 25).astype(np.float32) / np.float32(255)
