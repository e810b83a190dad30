"""Smooth random fields for textures: the same numbers on every machine.

Only +, -, × and look-ups after the integers of the generator: no function whose last bit
depends on the processor. The fields wrap around, so that a few of them serve any position.

Shapes: M points.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["FIELD_PERIOD", "VOLUME_PERIOD", "cell_index", "field", "field_at", "volume"]

_Floats = npt.NDArray[np.float32]

FIELD_PERIOD = 512
"""Cells after which a plane field repeats; a power of two, so that wrapping is a bit mask."""
VOLUME_PERIOD = 64
"""Cells after which the noise volume repeats."""

_COARSEST = 4  # cells of the first octave of a plane field


def _smooth_upsample(cells: _Floats, axis: int) -> _Floats:
    """Twice as many cells along an axis, by a wrapping cubic B-spline's subdivision."""
    before, after = np.roll(cells, 1, axis), np.roll(cells, -1, axis)
    even = (before + 6 * cells + after) / np.float32(8)
    odd = (cells + after) / np.float32(2)
    pairs = np.stack([even, odd], axis=axis + 1)
    shape = list(cells.shape)
    shape[axis] *= 2
    return pairs.reshape(shape)


@cache
def field(index: int, persistence: float = 0.6) -> _Floats:
    """A plane field of many octaves, wrapping. Its smallest spots are a few cells wide.

    Args:
        index: which one; any integer ≥ 0.
        persistence: how strong each octave is in terms of the one that is twice as coarse.

    Returns:
        [FIELD_PERIOD ** 2], evenly spread over 0..1. Shared: do not write to it.
    """
    rng = np.random.Generator(np.random.PCG64([7919, index]))
    cells = rng.random((_COARSEST, _COARSEST), dtype=np.float32) - np.float32(0.5)
    weight = np.float32(1)
    while len(cells) < FIELD_PERIOD:
        cells = _smooth_upsample(_smooth_upsample(cells, 0), 1)
        weight *= np.float32(persistence)
        if len(cells) < FIELD_PERIOD:
            cells += weight * (rng.random(cells.shape, dtype=np.float32) - np.float32(0.5))
    result = np.empty(cells.size, np.float32)
    # ranks instead of values: every field then has the same histogram, whatever its octaves
    order = np.argsort(cells, axis=None, kind="stable")
    result[order] = np.arange(cells.size, dtype=np.float32) / np.float32(cells.size)
    result.setflags(write=False)
    return result


def field_at(
    cells: _Floats, x: npt.NDArray[np.floating[Any]], y: npt.NDArray[np.floating[Any]]
) -> _Floats:
    """A field of `field` at positions [...], in cells: the nearest one, [...] in 0..1."""
    wrap = FIELD_PERIOD - 1
    column = np.floor(x).astype(np.int32)
    column &= wrap
    row = np.floor(y).astype(np.int32)
    row &= wrap
    row *= FIELD_PERIOD
    result: _Floats = cells.take(row + column)
    return result


@cache
def volume(index: int) -> npt.NDArray[np.int8]:
    """A smooth wrapping field in space, three channels.

    Its spots are about 8 cells wide, so that the nearest cell will do: interpolation between
    eight neighbours would take most of the time of drawing a picture.

    Returns:
        [3, VOLUME_PERIOD ** 3] in -127..127. Shared: do not write to it.
    """
    rng = np.random.Generator(np.random.PCG64([104729, index]))
    coarse = VOLUME_PERIOD // 8
    cells = rng.random((coarse, coarse, coarse, 3), dtype=np.float32) - np.float32(0.5)
    while len(cells) < VOLUME_PERIOD:
        for axis in range(3):
            cells = _smooth_upsample(cells, axis)
        if len(cells) <= VOLUME_PERIOD // 2:
            cells += np.float32(0.5) * (rng.random(cells.shape, dtype=np.float32) - np.float32(0.5))
    spread = np.sort(np.abs(cells[::4, ::4, ::4]), axis=None)
    levels = np.clip(cells * (127 / spread[int(0.95 * len(spread))]), -127, 127)
    result = np.ascontiguousarray(levels.reshape(-1, 3).T).astype(np.int8)
    result.setflags(write=False)
    return result


def cell_index(position: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int32]:
    """Where positions [3, M], in cells, lie in the arrays of `volume`: [M]."""
    cells = np.floor(position).astype(np.int32)
    cells &= VOLUME_PERIOD - 1
    index: npt.NDArray[np.int32] = cells[0]
    for axis in cells[1:]:
        index *= VOLUME_PERIOD
        index += axis
    return index
