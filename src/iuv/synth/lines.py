"""Lines on the left half of the body: borders of parts, of clothes and of face features.

The surface is cut along all of them, so that triangles lie on one side each. P: points.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from iuv.synth.charts import (
    HIP_LINE,
    beyond,
    flank,
    groin,
    palm_side,
    seam_offset,
    sole_side,
)
from iuv.synth.mesh import Floats

__all__ = ["LINES", "Line", "Sides"]

Sides = npt.NDArray[np.bool_]
_HAND = ("hand", "index", "middle", "ring", "little", "thumb")
_BODY = ("torso", "arm", "leg", "head")


class Line(NamedTuple):
    """Where a function of points [P, 3] and normals [P, 3] in the rest pose is zero."""

    level: Callable[[Floats, Floats], Floats]
    limbs: tuple[str, ...]
    """Of `iuv.synth.net`: where the line runs."""
    where: Callable[[Floats], Sides] | None = None
    """Told triangles' centres [P, 3]: which the line may run through."""
    limit: float = np.inf
    """The function jumps where it is larger."""
    turned: bool = False
    """It depends on the normals; otherwise they may be anything."""


def _plane(name: str, *limbs: str, where: Callable[[Floats], Sides] | None = None) -> Line:
    return Line(lambda p, _n: beyond(p, name), limbs, where)


def _seam(limb: str, high: bool, low: float, top: float, *labels: str) -> Line:
    """Seam of a limb that lies between two values of its coordinate: x of arms, y of legs."""
    axis = 0 if "arm" in limb else 1
    return Line(
        lambda p, _n: seam_offset(p, limb, high=high),
        labels,
        lambda c: (c[:, axis] > low) & (c[:, axis] < top),
        limit=60,
    )


def _behind(centres: Floats) -> Sides:
    low, high = (seam_offset(centres, "thigh", high=high) for high in (False, True))
    behind: Sides = (low < 8) | (high > -8)
    return behind


_PARTS: dict[str, Line] = {
    "neck": _plane("neck", "torso", "head", where=lambda c: (c[:, 1] > 0.8) & (c[:, 0] < 0.07)),
    "shoulder": _plane("shoulder", "torso", "arm", where=lambda c: c[:, 1] > 0.7),
    "elbow": _plane("elbow", "arm"),
    "wrist": _plane("wrist", "arm", *_HAND),
    "knee": _plane("knee", "leg"),
    "ankle": _plane("ankle", "leg", "foot"),
    "hip line": Line(lambda p, _n: p[:, 1] - HIP_LINE, ("torso", "leg"), _behind),
    "groin": Line(
        lambda p, _n: groin(p), ("torso", "leg"), lambda c: (c[:, 2] > -0.02) & (c[:, 1] > 0.44)
    ),
    "flank": Line(
        lambda p, _n: flank(p),
        _BODY,
        lambda c: (c[:, 1] > 0.52) & (c[:, 0] < 0.115) & (c[:, 1] < 0.86),
    ),
    "thigh low": _seam("thigh", False, 0.26, 0.54, "torso", "leg"),
    "thigh high": _seam("thigh", True, 0.26, 0.54, "torso", "leg"),
    "shin low": _seam("shin", False, 0.05, 0.28, "leg", "foot"),
    "shin high": _seam("shin", True, 0.05, 0.28, "leg", "foot"),
    "upper arm low": _seam("upper_arm", False, 0.09, 0.255, "torso", "arm"),
    "upper arm high": _seam("upper_arm", True, 0.09, 0.255, "torso", "arm"),
    "forearm low": _seam("forearm", False, 0.24, 0.405, "arm"),
    "forearm high": _seam("forearm", True, 0.24, 0.405, "arm"),
    "palm": Line(lambda p, n: palm_side(p, n), _HAND, lambda c: c[:, 0] > 0.39, turned=True),
    "sole sheet": Line(
        lambda _p, n: sole_side(n), ("leg", "foot"), lambda c: c[:, 1] < 0.07, turned=True
    ),
}


def _across(axis: int, place: float, *limbs: str) -> Line:
    return Line(lambda p, _n: p[:, axis] - place, limbs)


def _ellipse(x: float, y: float, width: float, height: float) -> Line:
    """Return an outline on the face; its inside is the negative side."""
    return Line(
        lambda p, _n: np.hypot((p[:, 0] - x) / width, (p[:, 1] - y) / height) - 1,
        ("head",),
        lambda c: (c[:, 2] > 0.03) & (c[:, 1] > 0.88),
    )


def _brow(p: Floats, _normals: Floats) -> Floats:
    arch = 0.9490 - 22 * (p[:, 0] - 0.0185) ** 2
    return np.hypot((p[:, 0] - 0.0180) / 0.0115, (p[:, 1] - arch) / 0.0021) - 1


def _hairline(p: Floats, _normals: Floats) -> Floats:
    """Height above a line from the forehead, around the ear, to the nape."""
    angle = np.rad2deg(np.arctan2(np.abs(p[:, 0]), p[:, 2] - 0.002))
    places = (0, 25, 42, 56, 63, 68, 74, 98, 106, 125, 180)
    heights = (0.972, 0.971, 0.963, 0.955, 0.930, 0.926, 0.944, 0.944, 0.915, 0.890, 0.879)
    above: Floats = p[:, 1] - np.interp(angle, places, heights)
    return above


def _beard(p: Floats, _normals: Floats) -> Floats:
    """Depth below a line from the upper lip to the ear."""
    top = np.interp(np.abs(p[:, 0]), (0, 0.012, 0.018, 0.040), (0.9055, 0.9045, 0.893, 0.918))
    below: Floats = top - p[:, 1]
    return below


def _shoe(p: Floats, _normals: Floats) -> Floats:
    """Height above the opening of a low shoe."""
    y, z = p[:, 1], p[:, 2]
    above: Floats = y - (0.038 - 0.2 * z + 3 * np.maximum(z - 0.025, 0))
    return above


def _face(level: Callable[[Floats, Floats], Floats], low: float, high: float, back: float) -> Line:
    return Line(level, ("head",), lambda c: (c[:, 1] > low) & (c[:, 1] < high) & (c[:, 2] > back))


_CLOTHES: dict[str, Line] = {
    "cap sleeve": _across(0, 0.150, "arm"),
    "short sleeve": _across(0, 0.205, "arm"),
    "half sleeve": _across(0, 0.300, "arm"),
    "long sleeve": _across(0, 0.388, "arm"),
    "waist": _across(1, 0.585, "torso"),
    "belt": _across(1, 0.567, "torso"),
    "hips": _across(1, 0.505, "torso", "leg"),
    "hot pants": _across(1, 0.435, "leg"),
    "shorts": _across(1, 0.345, "leg"),
    "knee pants": _across(1, 0.250, "leg"),
    "calf": _across(1, 0.150, "leg"),
    "cuff": _across(1, 0.068, "leg", "foot"),
    "sock": _across(1, 0.095, "leg"),
    "crew": Line(
        lambda p, _n: beyond(p, "neck") + 0.004 + 0.10 * np.maximum(p[:, 2], 0),
        ("torso", "head"),
        lambda c: (c[:, 1] > 0.8) & (c[:, 0] < 0.07),
    ),
    "scoop": Line(
        lambda p, _n: p[:, 1] - (0.792 + 10 * p[:, 0] ** 2),
        ("torso", "head"),
        lambda c: (c[:, 1] > 0.76) & (c[:, 2] > -0.02) & (c[:, 0] < 0.08),
    ),
    "v neck": Line(
        lambda p, _n: p[:, 1] - (0.765 + 1.6 * p[:, 0]),
        ("torso", "head"),
        lambda c: (c[:, 1] > 0.75) & (c[:, 2] > -0.02) & (c[:, 0] < 0.07),
    ),
    "opening": Line(
        lambda p, _n: 0.010 + 0.12 * (p[:, 1] - 0.5) - p[:, 0],
        ("torso",),
        lambda c: (c[:, 2] > 0) & (c[:, 1] > 0.48),
    ),
    "shoe": Line(_shoe, ("foot", "leg"), lambda c: c[:, 1] < 0.07),
    "sole": _across(1, 0.011, "foot"),
}
_FEATURES: dict[str, Line] = {
    "eye": _ellipse(0.0180, 0.9345, 0.0085, 0.0036),
    "lens": _ellipse(0.0190, 0.9335, 0.0150, 0.0105),
    "hat": _face(lambda p, _n: p[:, 1] - 0.953 - 0.12 * p[:, 2], 0.93, 0.99, -1),
    "iris": _ellipse(0.0178, 0.9347, 0.0038, 0.0038),
    "pupil": _ellipse(0.0178, 0.9347, 0.0018, 0.0018),
    "lips": _ellipse(0.0, 0.8950, 0.0135, 0.0062),
    "brow": _face(_brow, 0.935, 0.962, 0.03),
    "beard": _face(_beard, 0.875, 0.925, -0.01),
    "hairline": _face(_hairline, 0.87, 0.985, -1),
}

LINES: dict[str, Line] = {**_PARTS, **_CLOTHES, **_FEATURES}
"""By name, in the order of cutting."""
