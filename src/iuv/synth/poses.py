"""Poses: what joints can do, in words of the body, and the rotations that this means.

Angles are in degrees and from the rest pose, where people stand in a T with their palms down. Those
of an arm or a leg are meant for the left side; the right side does the mirror image.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import cos, radians, sin
from typing import TypeVar

import numpy as np

from iuv.synth.mesh import Floats, SurfaceError
from iuv.synth.rounding import on_grid
from iuv.synth.skeleton import JOINT_NAMES

__all__ = ["Arm", "Leg", "Pose", "Trunk", "jittered", "rotations"]


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """Bending forward, to the left side, and turning left."""

    bend: float = 0.0
    side: float = 0.0
    turn: float = 0.0
    nod: float = 0.0
    """Of the head, forward."""
    tilt: float = 0.0
    look: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Arm:
    """An arm: 0 all over is the T."""

    lower: float = 78.0
    """From straight out (0) to hanging down (90); below 0 upwards."""
    swing: float = 0.0
    """Of the lowered arm, forward."""
    across: float = 0.0
    """Of the arm held out, to the front."""
    twist: float = 0.0
    """About its own axis: the elbow's crease turns up."""
    elbow: float = 12.0
    roll: float = 0.0
    """Of the forearm: the palm turns to the front, then up."""
    flex: float = 0.0
    """Of the wrist, to the palm."""
    curl: float = 20.0
    """Of the fingers."""
    shrug: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Leg:
    """A leg: 0 all over is the rest pose."""

    flex: float = 0.0
    """Of the hip, forward."""
    spread: float = 3.0
    turn: float = 4.0
    """Of the foot, outwards."""
    knee: float = 2.0
    ankle: float = 0.0
    """Toes up."""
    toes: float = 0.0


_LIMITS: dict[type, dict[str, tuple[float, float]]] = {
    Trunk: {
        "bend": (-30, 95), "side": (-35, 35), "turn": (-50, 50),
        "nod": (-40, 45), "tilt": (-30, 30), "look": (-70, 70),
    },
    Arm: {
        "lower": (-85, 92), "swing": (-50, 170), "across": (-25, 110), "twist": (-70, 70),
        "elbow": (0, 145), "roll": (-60, 110), "flex": (-60, 70), "curl": (-5, 95),
        "shrug": (-8, 25),
    },
    Leg: {
        "flex": (-30, 125), "spread": (-20, 60), "turn": (-25, 50), "knee": (0, 145),
        "ankle": (-45, 30), "toes": (-30, 45),
    },
}  # fmt: skip
"""Degrees: what joints can do."""


@dataclass(frozen=True, kw_only=True)
class Pose:
    """What all joints do, and how the whole body is turned."""

    name: str = "stand"
    trunk: Trunk = field(default_factory=Trunk)
    left_arm: Arm = field(default_factory=Arm)
    right_arm: Arm = field(default_factory=Arm)
    left_leg: Leg = field(default_factory=Leg)
    right_leg: Leg = field(default_factory=Leg)
    pitch: float = 0.0
    """Of the whole body, forward: 90 lies on the belly, -90 on the back."""
    roll: float = 0.0
    """Of the whole body about its long axis, before `pitch`."""

    def __post_init__(self) -> None:
        for limb in (self.trunk, self.left_arm, self.right_arm, self.left_leg, self.right_leg):
            for name, (low, high) in _LIMITS[type(limb)].items():
                value = getattr(limb, name)
                if not low <= value <= high:
                    raise SurfaceError(
                        f"{name} of a {type(limb).__name__.lower()} must lie in "
                        f"{low:g}..{high:g} degrees, got {value:g}"
                    )


def rotations(pose: Pose) -> Floats:
    """Return [J, 3, 3]: how each joint of `iuv.synth.skeleton` is turned relative to its parent."""
    local = dict.fromkeys(JOINT_NAMES, np.eye(3))
    trunk = pose.trunk
    local["pelvis"] = _turn(("x", pose.pitch), ("y", pose.roll))
    for name, share in (("spine", 0.5), ("chest", 0.5)):
        local[name] = _turn(
            ("y", trunk.turn * share), ("z", -trunk.side * share), ("x", trunk.bend * share)
        )
    for name, share in (("neck", 0.4), ("head", 0.6)):
        local[name] = _turn(
            ("y", trunk.look * share), ("z", -trunk.tilt * share), ("x", trunk.nod * share)
        )
    for side, arm, leg in (
        ("left", pose.left_arm, pose.left_leg),
        ("right", pose.right_arm, pose.right_leg),
    ):
        for joint, matrix in (_arm(arm) | _leg(leg)).items():
            mirrored = matrix * _MIRROR if side == "right" else matrix
            local[f"{side}_{joint}"] = mirrored
    turned = np.stack([local[name] for name in JOINT_NAMES])
    return on_grid(turned, bits=20)


_MIRROR = np.array([[1.0, -1, -1], [-1, 1, 1], [-1, 1, 1]])  # of a rotation matrix, in x


def _arm(arm: Arm) -> dict[str, Floats]:
    raised = max(-arm.lower, 0) + max(arm.swing - 60, 0) * 0.6
    clavicle = 0.20 * arm.lower - 0.35 * raised - arm.shrug
    lower = arm.lower - 0.20 * arm.lower + 0.25 * raised
    local = {
        "clavicle": _turn(("y", -0.15 * arm.across), ("z", -clavicle)),
        "shoulder": _turn(
            ("x", -arm.swing), ("y", -0.85 * arm.across), ("z", -lower), ("x", arm.twist)
        ),
        "elbow": _turn(("y", -arm.elbow)),
        "forearm": _turn(("x", -arm.roll)),
        "wrist": _turn(("z", -arm.flex)),
    }
    for i, finger in enumerate(("index", "middle", "ring", "little")):
        curl = arm.curl * (0.8 + 0.1 * i)
        local[f"{finger}1"] = _turn(("z", -curl * 0.8))
        local[f"{finger}2"] = _turn(("z", -curl))
    local["thumb1"] = _turn(("y", arm.curl * 0.25), ("x", arm.curl * 0.3))
    local["thumb2"] = _turn(("y", arm.curl * 0.4))
    return local


def _leg(leg: Leg) -> dict[str, Floats]:
    return {
        "hip": _turn(("x", -leg.flex), ("z", leg.spread), ("y", leg.turn)),
        "knee": _turn(("x", leg.knee)),
        "ankle": _turn(("x", -leg.ankle)),
        "toes": _turn(("x", -leg.toes)),
    }


def _turn(*steps: tuple[str, float]) -> Floats:
    """Return [3, 3]: the last rotation is done first."""
    rows = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    for axis, degrees in steps:
        c, s = cos(radians(degrees)), sin(radians(degrees))
        j, k = _ACROSS[axis]
        for row in rows:
            row[j], row[k] = row[j] * c + row[k] * s, row[k] * c - row[j] * s
    return np.array(rows)


_ACROSS = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}


def jittered(rng: np.random.Generator, pose: Pose, amount: float) -> Pose:
    """Return a pose with all angles changed a little, within what joints can do.

    Args:
        rng: where chance comes from.
        pose: the pose.
        amount: standard deviation, as percent of each joint's range.
    """
    return replace(
        pose,
        trunk=_varied(rng, pose.trunk, amount * 0.7),
        left_arm=_varied(rng, pose.left_arm, amount),
        right_arm=_varied(rng, pose.right_arm, amount),
        left_leg=_varied(rng, pose.left_leg, amount * 0.6),
        right_leg=_varied(rng, pose.right_leg, amount * 0.6),
    )


_Limb = TypeVar("_Limb", Trunk, Arm, Leg)


def _varied(rng: np.random.Generator, limb: _Limb, amount: float) -> _Limb:
    values = {}
    for name, (low, high) in _LIMITS[type(limb)].items():
        spread = amount * (high - low) / 100
        value = getattr(limb, name) + spread * rng.standard_normal()
        values[name] = min(max(float(value), low), high)
    return replace(limb, **values)
