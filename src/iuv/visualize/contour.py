"""Lines of equal U and V, found by marching squares within each part.

Parity with the built-in (Matplotlib-free) contours of Detectron2's DensePose, except that U and V
are clamped to 0..1 and do not wrap around.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from iuv.bodyparts import NUM_PARTS
from iuv.results import ByteArray, People, Person, quantize_uv
from iuv.visualize.colors import colorize

__all__ = ["paint_contours"]

LEVELS = np.linspace(0.0, 1.0, 10)

_TOP, _RIGHT, _BOTTOM, _LEFT = range(4)
# A cell's code → the two edges its line joins. A corner that reaches the level adds to the code:
# top left 1, bottom left 2, bottom right 4, top right 8.
_LINES = {
    1: (_LEFT, _TOP),
    2: (_LEFT, _BOTTOM),
    3: (_TOP, _BOTTOM),
    4: (_BOTTOM, _RIGHT),
    5: (_LEFT, _TOP),
    6: (_LEFT, _RIGHT),
    7: (_TOP, _RIGHT),
    8: (_TOP, _RIGHT),
    9: (_LEFT, _RIGHT),
    10: (_LEFT, _BOTTOM),
    11: (_BOTTOM, _RIGHT),
    12: (_TOP, _BOTTOM),
    13: (_LEFT, _BOTTOM),
    14: (_LEFT, _TOP),
}
# Where opposite corners reach the level, there are two lines.
_SECOND_LINES = {5: (_BOTTOM, _RIGHT), 10: (_TOP, _RIGHT)}

Values = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Scalar = TypeVar("Scalar", bound=np.generic)


def paint_contours(canvas: ByteArray, people: People) -> None:
    """Draw the lines of U, then of V, of each person onto `canvas` (RGB uint8 [H, W, 3])."""
    colors = colorize((LEVELS[:, None] * 255).astype(np.uint8), "parula")[:, 0].tolist()
    for person in people:
        corner = person.box_xyxy[:2]
        size = person.box_xyxy[2:] - corner
        steps = np.maximum(np.array(person.labels.shape[::-1], dtype=np.float32) - 1, 1)
        for level, lines in _person_lines(person):  # lines: [K, 2, 2] in map pixels (x, y)
            points = (corner + lines.astype(np.float32) / steps * size).astype(np.int32)
            cv2.polylines(canvas, list(points), isClosed=False, color=colors[level], thickness=1)


def _person_lines(person: Person) -> Iterator[tuple[int, Values]]:
    for channel in quantize_uv(person.uv) / 255.0:
        for part in range(1, NUM_PARTS + 1):
            inside = person.labels == part
            rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
            if len(rows) < 2 or len(columns) < 2:
                continue
            frame = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            for level, lines in _part_lines(channel[frame], inside[frame]):
                yield level, lines + np.array([columns[0], rows[0]])


def _part_lines(values: Values, inside: Mask) -> Iterator[tuple[int, Values]]:
    lowest, highest = values[inside].min(), values[inside].max()
    for index, level in enumerate(LEVELS):
        if lowest <= level <= highest:
            lines = _level_lines(values, inside, level)
            if len(lines):
                yield index, lines


def _level_lines(values: Values, inside: Mask, level: float) -> Values:
    """Return float [K, 2, 2]: the lines' ends as (x, y) in pixels of `values`."""
    reached = np.stack(_corners(values >= level))
    touched = np.logical_or.reduce(_corners(inside))
    y, x = np.nonzero(touched & reached.any(0) & ~reached.all(0))
    codes = np.array([1, 2, 4, 8]) @ reached[:, y, x]

    top_left, bottom_left, bottom_right, top_right = (c[y, x] for c in _corners(values))
    with np.errstate(divide="ignore", invalid="ignore"):  # edges without a crossing are not used
        along_top = x + (level - top_left) / (top_right - top_left)
        along_bottom = x + (level - bottom_left) / (bottom_right - bottom_left)
        along_left = y + (level - top_left) / (bottom_left - top_left)
        along_right = y + (level - top_right) / (bottom_right - top_right)
    edges = np.array(  # [4, 2, cells], in the order of the edge numbers above
        [(along_top, y), (x + 1.0, along_right), (along_bottom, y + 1.0), (x, along_left)]
    )

    def lines(table: dict[int, tuple[int, int]]) -> Values:
        chosen = np.flatnonzero(np.isin(codes, list(table)))
        ends = np.array([table[code] for code in codes[chosen].tolist()], dtype=np.int64)
        return edges[ends.reshape(-1, 2), :, chosen[:, None]]  # [K, 2 ends, (x, y)]

    return np.concatenate([lines(_LINES), lines(_SECOND_LINES)])


def _corners(grid: npt.NDArray[Scalar]) -> tuple[npt.NDArray[Scalar], ...]:
    """Return what is at the top left, bottom left, bottom right, top right of every 2 x 2 cell."""
    return grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]
