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
    "palm": Line(lambda p, n: palm_side(p, n), _HAND, lambda c: c[:, 0] > 0.39),
    "sole sheet": Line(lambda _p, n: sole_side(n), ("leg", "foot"), lambda c: c[:, 1] < 0.07),
}

LINES: dict[str, Line] = _PARTS
"""By name, in the order of cutting."""
