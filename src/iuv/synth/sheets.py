"""What hangs free of the body: skirts, long hair, brims. Thin closed sheets in the rest pose.

Sheets are kept, so ask for rounded measures.

R, C: rows and columns of a grid; S: vertices of a sheet; T: its triangles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from iuv.bodyparts import PART_MIRROR
from iuv.synth.charts import LEFT_PARTS, left_part, left_uv, right_uv
from iuv.synth.mesh import Floats, Ints
from iuv.synth.rounding import on_grid
from iuv.synth.skeleton import JOINT_NAMES
from iuv.synth.skinning import skin_weights

__all__ = ["Sheet", "brim", "bun", "long_hair", "skirt"]

_THIN = 0.004  # body heights
_ABOVE_SKIRTS, _TRUNK_HALF_WIDTH = 0.7, 0.1  # body heights


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """A closed surface with the charts of the body below it."""

    points: Floats
    """[S, 3], in the rest pose, in body heights."""
    weights: csr_matrix
    """[S, J]"""
    faces: Ints
    """[T, 3]"""
    part: npt.NDArray[np.uint8]
    """[T]"""
    corner_uv: npt.NDArray[np.float32]
    """[T, 3, 2]"""


@lru_cache(maxsize=256)
def skirt(top: float, hem: float, flare: float) -> Sheet:
    """Return a skirt around both legs.

    Args:
        top: height of its upper edge, in body heights.
        hem: height of its lower edge.
        flare: how much wider it is per height below the hips.
    """
    rows = np.linspace(top, hem, max(4, round((top - hem) / 0.034)))[:, None]
    angle = np.linspace(-np.pi, np.pi, 41)[None, :]  # 0 is the front
    wide = np.interp(-rows, (-0.60, -0.56, -0.50, -0.42, 0), (0.100, 0.112, 0.122, 0.122, 0.122))
    deep = np.interp(-rows, (-0.60, -0.56, -0.50, -0.42, 0), (0.072, 0.080, 0.086, 0.080, 0.076))
    more = flare * np.maximum(0.54 - rows, 0) * (1 + 0.08 * np.cos(angle * 9))
    middle = np.interp(-rows, (-0.60, -0.50, -0.40, 0), (0.014, 0.006, 0.006, 0.0))
    x, z = np.sin(angle) * (wide + more), np.cos(angle) * (deep + more) + middle
    grid = np.stack(np.broadcast_arrays(x, rows, z), axis=2)
    # Halfway between the legs it follows both, over a wider stretch than the skin does.
    flat = grid.reshape(-1, 3) * (0.4, 1, 1)
    labels = np.where(flat[:, 1] < 0.53, "leg", "torso")
    weights = skin_weights(flat, labels).reshape(*grid.shape[:2], -1)
    return _sheet(grid, weights)


@lru_cache(maxsize=256)
def long_hair(end: float, wide: float) -> Sheet:
    """Return hair that hangs from the head over neck and back, down to a height.

    Args:
        end: height of its tips.
        wide: 1 for all around the back, less for a tail.
    """
    rows = np.linspace(0.955, end, max(6, round((0.955 - end) / 0.022)))[:, None]
    share = np.linspace(-1, 1, 19)[None, :]
    opening = np.interp(-rows, (-0.955, -0.90, -0.85, -0.80), (108, 104, 78, 62))
    angle = np.deg2rad(180 - opening * wide * share)
    side = np.interp(
        -rows, (-0.955, -0.93, -0.89, -0.85, -0.75), (0.047, 0.053, 0.056, 0.060, 0.062)
    )
    back = np.interp(
        -rows,
        (-0.955, -0.93, -0.89, -0.84, -0.80, -0.72, -0.6),
        (0.062, 0.070, 0.068, 0.066, 0.078, 0.082, 0.070),
    )
    grid = np.stack(np.broadcast_arrays(np.sin(angle) * side, rows, np.cos(angle) * back), axis=2)
    weights = np.zeros((*grid.shape[:2], len(JOINT_NAMES)))
    free = np.clip((0.90 - grid[..., 1]) / 0.10, 0, 1)
    weights[..., JOINT_NAMES.index("head")] = 1 - 0.85 * free
    weights[..., JOINT_NAMES.index("chest")] = 0.85 * free
    return _sheet(grid[:, ::-1], weights[:, ::-1])


@lru_cache(maxsize=256)
def bun(radius: float, height: float) -> Sheet:
    """Return a knot of hair behind the head, around a height."""
    polar = np.linspace(0.05, np.pi - 0.05, 9)[:, None]
    around = np.linspace(-np.pi, np.pi, 13)[None, :]
    grid = np.stack(
        np.broadcast_arrays(
            np.sin(polar) * np.sin(around) * radius,
            height + np.cos(polar) * radius,
            np.sin(polar) * np.cos(around) * radius - 0.055 - 0.4 * radius,
        ),
        axis=2,
    )
    return _sheet(grid, _with_head(grid))


@lru_cache(maxsize=256)
def brim(length: float, all_around: bool) -> Sheet:
    """Return the brim of a hat, or the peak of a cap."""
    reach = np.linspace(0.0, 1.0, 5)[:, None]
    angle = np.linspace(-np.pi, np.pi, 33) if all_around else np.linspace(-1.15, 1.15, 15)
    taper = 1.0 if all_around else np.cos(angle * 0.9)
    grid = np.stack(
        np.broadcast_arrays(
            np.sin(angle) * (0.048 + length * reach * taper),
            0.958 + 0.08 * np.cos(angle) * 0.06 - 0.012 * reach**2,
            0.006 + np.cos(angle) * (0.062 + length * reach * taper),
        ),
        axis=2,
    )
    return _sheet(grid, _with_head(grid))


def _with_head(grid: Floats) -> Floats:
    weights = np.zeros((*grid.shape[:2], len(JOINT_NAMES)))
    weights[..., JOINT_NAMES.index("head")] = 1
    return weights


def _sheet(grid: Floats, weights: Floats) -> Sheet:
    """Return a grid [R, C, 3] with a back: rows run down, columns counter-clockwise from above."""
    rows, columns = grid.shape[:2]
    ids = np.arange(rows * columns).reshape(rows, columns)
    quads = np.stack([ids[:-1, :-1], ids[1:, :-1], ids[1:, 1:], ids[:-1, 1:]], axis=2).reshape(
        -1, 4
    )
    down, right = np.gradient(grid, axis=0), np.gradient(grid, axis=1)
    inwards = np.cross(right, down).reshape(-1, 3)
    inwards /= np.maximum(np.linalg.norm(inwards, axis=1, keepdims=True), 1e-12)
    points = grid.reshape(-1, 3)
    rim = np.concatenate([ids[:, 0], ids[-1, 1:], ids[-2::-1, -1], ids[0, -2::-1]])
    count = len(points)
    edge = np.stack([rim[1:], rim[:-1], rim[:-1] + count, rim[1:] + count], axis=1)
    inner = quads[:, ::-1] + count
    corners = np.concatenate([quads, inner, edge])
    faces = np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]])
    both = on_grid(np.concatenate([points, points + _THIN * inwards]))
    flat = on_grid(weights.reshape(count, -1))
    part, uv = _charts(np.concatenate([points, points]), faces)
    follow = csr_matrix(np.concatenate([flat, flat]))
    return Sheet(both, follow, faces.astype(np.int32), part, uv)


def _charts(
    points: Floats, faces: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Return part [T], and U and V [T, 3, 2] of the body that is below."""
    corners = points[faces]
    centres = corners.mean(axis=1)
    right = centres[:, 0] < 0
    seen = np.where(right[:, None], centres * (-1, 1, 1), centres)
    labels = np.where(seen[:, 1] > 0.86, "head", np.where(seen[:, 1] < 0.53, "leg", "torso"))
    if seen[:, 1].max() > _ABOVE_SKIRTS:  # hair: where it is wide, the chart below is no arm's
        seen[:, 0] = np.minimum(seen[:, 0], _TRUNK_HALF_WIDTH)
    part = left_part(seen, labels)
    uv = np.zeros((len(faces), 3, 2), np.float32)
    for number in LEFT_PARTS:
        (own,) = np.nonzero(part == number)
        as_left = corners[own].reshape(-1, 3)
        as_left[:, 0] = np.abs(as_left[:, 0])
        uv[own] = left_uv(as_left, number, np.zeros(len(as_left), bool)).reshape(-1, 3, 2)
        mirrored = own[right[own]]
        uv[mirrored] = right_uv(uv[mirrored], number)
    mirror = np.array(PART_MIRROR, np.uint8)
    return np.where(right, mirror[part], part), uv
