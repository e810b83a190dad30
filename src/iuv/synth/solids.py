"""Smooth solids, described by the distance to them, and their unions.

N: points. A solid is a function from points [N, 3] to signed distances [N], negative inside, exact
only near its surface. Blending follows I. Quilez, "Smooth minimum" (the polynomial form).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.interpolate import PchipInterpolator

from iuv.synth.mesh import Floats

__all__ = ["Solid", "ball", "blend", "carve", "cast", "cone", "loft", "project", "within"]

Solid = Callable[[Floats], Floats]

_STEP = 1e-5  # of numerical slopes
_MARCH = 10  # steps along a ray
_SAMPLES = 257  # of a loft's profile: linear in between


def loft(axis: int, rows: Sequence[Sequence[float]], exponent: float = 2.0) -> Solid:
    """Return a tube along an axis whose cross-sections are ellipses of four different half axes.

    Args:
        axis: 0 (arm: across are y, z) or 1 (leg, torso: across are x, z) or 2 (foot: x, y).
        rows: each s, centre a, centre b, and the half axes towards +a, -a, +b, -b, where s is the
            position on the axis and a, b are those across, in ascending order of s.
        exponent: 2 for ellipses, more for boxes with round edges.
    """
    table = np.array(rows)
    s = np.linspace(table[0, 0], table[-1, 0], _SAMPLES)
    profile = PchipInterpolator(table[:, 0], table[:, 1:], axis=0)(s)
    across = [i for i in range(3) if i != axis]

    def distance(points: Floats) -> Floats:
        at = points[:, axis]
        place = np.clip((at - s[0]) / (s[1] - s[0]), 0, _SAMPLES - 1.001)
        low = place.astype(np.int64)
        part = (place - low)[:, None]
        row = profile[low] * (1 - part) + profile[low + 1] * part
        a, b = (points[:, i] - row[:, k] for k, i in enumerate(across))
        half_a = np.where(a > 0, row[:, 2], row[:, 3])
        half_b = np.where(b > 0, row[:, 4], row[:, 5])
        level = np.abs(a / half_a) ** exponent + np.abs(b / half_b) ** exponent
        level = np.maximum(level, 1e-9) ** (1 / exponent)
        outside = np.hypot(a, b) * (1 - 1 / level)
        past = np.maximum(s[0] - at, at - s[-1])  # beyond the ends
        result: Floats = np.where(past > 0, np.hypot(np.maximum(outside, 0), past), outside)
        return result

    return distance


def ball(centre: Sequence[float], radii: Sequence[float], tilt: float = 0.0) -> Solid:
    """Return an ellipsoid, turned about the x axis by `tilt` degrees (its top to the front)."""
    middle, axes = np.array(centre), np.array(radii)
    angle = np.deg2rad(tilt)
    cos, sin = np.cos(angle), np.sin(angle)

    def distance(points: Floats) -> Floats:
        p = points - middle
        if tilt:
            p = np.stack([p[:, 0], cos * p[:, 1] + sin * p[:, 2], cos * p[:, 2] - sin * p[:, 1]], 1)
        level, slope = _lengths(p / axes), _lengths(p / axes**2)
        result: Floats = level * (level - 1) / np.maximum(slope, 1e-9)
        return result

    return distance


def cone(start: Sequence[float], end: Sequence[float], wide: float, narrow: float) -> Solid:
    """Return a rod with round ends, of radius `wide` at its start and `narrow` at its end."""
    first, along = np.array(start), np.array(end) - np.array(start)
    square = float(along @ along)

    def distance(points: Floats) -> Floats:
        p = points - first
        t = np.clip(p @ along / square, 0, 1)
        gap: Floats = _lengths(p - t[:, None] * along) - wide - (narrow - wide) * t
        return gap

    return distance


def blend(solids: Sequence[tuple[Solid, float]]) -> Solid:
    """Return the union of solids; each joins those before it over its own width (metres)."""

    def distance(points: Floats) -> Floats:
        (first, _), *rest = solids
        total = first(points)
        for solid, width in rest:
            total = _smooth_minimum(total, solid(points), width)
        return total

    return distance


def within(solid: Solid, low: Sequence[float], high: Sequence[float]) -> Solid:
    """Return a solid that is only looked at inside a box, and far away elsewhere: it is faster.

    Args:
        solid: the solid.
        low: lower ends of the box, which must contain all places where the solid is blended.
        high: upper ends of it.
    """
    lower, upper = np.array(low), np.array(high)

    def distance(points: Floats) -> Floats:
        (near,) = np.nonzero(((points > lower) & (points < upper)).all(axis=1))
        result = np.ones(len(points))
        result[near] = solid(points[near])
        return result

    return distance


def carve(body: Solid, hollows: Sequence[tuple[Solid, float]]) -> Solid:
    """Return a solid without the hollows; each edge is round over its own width."""

    def distance(points: Floats) -> Floats:
        total = body(points)
        for solid, width in hollows:
            total = -_smooth_minimum(-total, solid(points), width)
        return total

    return distance


def _lengths(vectors: Floats) -> Floats:
    """Return [N] of vectors [N, 3]; thrice as fast as NumPy's norm."""
    lengths: Floats = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return lengths


def _smooth_minimum(a: Floats, b: Floats, width: float) -> Floats:
    overlap = np.maximum(width - np.abs(a - b), 0) / width
    smooth: Floats = np.minimum(a, b) - overlap * overlap * width / 4
    return smooth


def project(solid: Solid, points: Floats, *, steps: int = 6, reach: float = 0.012) -> Floats:
    """Return points moved on to the surface of a solid, along its gradient.

    Args:
        solid: the solid.
        points: [N, 3], near its surface.
        steps: how often to step; each step is at most `reach` long.
        reach: in the solid's unit.
    """
    around = np.concatenate([np.zeros((1, 3)), _STEP * np.eye(3)])[:, None]
    for _ in range(steps):
        # all at once: the solid is made of many small ones, each of which is a call
        here, *beside = solid((points + around).reshape(-1, 3)).reshape(4, -1)
        slope = np.stack([value - here for value in beside], axis=1) / _STEP
        size = np.einsum("ij,ij->i", slope, slope)
        move = -(here / np.maximum(size, 0.05))[:, None] * slope
        points = points + move * np.minimum(1, reach / np.maximum(_lengths(move), 1e-12))[:, None]
    return points


def cast(solid: Solid, points: Floats, directions: Floats, *, reach: float) -> Floats:
    """Return points moved along their directions on to the surface, seen from outside.

    Args:
        solid: the solid.
        points: [N, 3], less than `reach` away from its surface.
        directions: [N, 3], unit vectors to the outside.
        reach: where to start from.
    """
    height = np.full(len(points), reach)
    for _ in range(_MARCH):
        gap = solid(points + height[:, None] * directions)
        height = np.maximum(height - 0.7 * gap, -reach)
    return points + height[:, None] * directions
