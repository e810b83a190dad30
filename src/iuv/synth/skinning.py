"""Which joints a point of the body follows: smooth functions of where it lies in the rest pose.

P: points; J: joints. Each joint has a share of what its parent moves; what the children leave is
the parent's own.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from iuv.synth.anatomy import FINGERS
from iuv.synth.charts import beyond
from iuv.synth.mesh import Floats
from iuv.synth.skeleton import JOINT_NAMES, PARENTS

__all__ = ["skin_weights"]

_Labels = npt.NDArray[np.str_]


def skin_weights(points: Floats, labels: _Labels) -> Floats:
    """Return [P, J] weights; rows sum to 1.

    Args:
        points: [P, 3], in the rest pose, in body heights.
        labels: [P], the limb of `iuv.synth.net` that each belongs to.
    """
    mirrored = points * (-1, 1, 1)
    shares = {**_trunk_shares(points)}
    for side, seen in (("left", points), ("right", mirrored)):
        limbs = {**_arm_shares(seen), **_leg_shares(seen), **_finger_shares(seen, labels)}
        shares.update({f"{side}_{name}": share for name, share in limbs.items()})
    reach = np.ones((len(points), len(JOINT_NAMES)))  # how much lies beyond each joint
    own = np.ones_like(reach)
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            reach[:, joint] = reach[:, parent] * shares[JOINT_NAMES[joint]]
            own[:, parent] -= shares[JOINT_NAMES[joint]]
    weights = reach * np.clip(own, 0, 1)
    weights[weights < 1e-4] = 0
    normal: Floats = weights / weights.sum(axis=1, keepdims=True)
    return normal


def _rise(value: Floats, start: float, end: float) -> Floats:
    """Return a smooth step from 0 at `start` to 1 at `end`."""
    t = np.clip((value - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def _trunk_shares(p: Floats) -> dict[str, Floats]:
    x, y = np.abs(p[:, 0]), p[:, 1]
    jaw = (p - (0, 0.872, 0.0)) @ np.array([0.0, 0.8, 0.6])
    return {
        "spine": _rise(y, 0.545, 0.665),
        "chest": _rise(y, 0.630, 0.760),
        "neck": _rise(beyond(p, "neck"), -0.022, 0.020) * _rise(-x, -0.085, -0.040),
        "head": _rise(jaw, -0.018, 0.020),
    }


def _arm_shares(p: Floats) -> dict[str, Floats]:
    x, y = p[:, 0], p[:, 1]
    high = _rise(y, 0.700, 0.770)
    return {
        "clavicle": _rise(x, 0.020, 0.100) * _rise(y, 0.735, 0.800) * (1 - _rise(x, 0.1, 0.14))
        + _rise(x, 0.1, 0.14) * high,
        "shoulder": _rise(x, 0.070, 0.142) * high,
        "elbow": _rise(x, 0.222, 0.274),
        "forearm": np.clip((x - 0.270) / 0.115, 0, 1),  # even, as it only twists
        "wrist": _rise(x, 0.384, 0.412),
    }


def _leg_shares(p: Floats) -> dict[str, Floats]:
    inside = np.array([-0.35, 0.909, 0.226])
    hip = -((p - (0.064, 0.514, 0.008)) @ inside)
    return {
        "hip": _rise(hip, -0.045, 0.045) * _rise(p[:, 0], -0.022, 0.022),
        "knee": _rise(-beyond(p, "knee"), -0.034, 0.034),
        "ankle": _rise(-beyond(p, "ankle"), -0.018, 0.016),
        "toes": _rise(p[:, 2], 0.040, 0.064) * _rise(-p[:, 1], -0.09, -0.06),
    }


def _finger_shares(p: Floats, labels: _Labels) -> dict[str, Floats]:
    shares = {}
    for name, joints in FINGERS.items():
        for bone in range(2):
            start, end = np.array(joints[bone]), np.array(joints[bone + 1])
            along = (p - start) @ ((end - start) / np.linalg.norm(end - start))
            own = (labels == name) & (p[:, 0] > 0)
            shares[f"{name}{bone + 1}"] = np.where(own, _rise(along, -0.005, 0.006), 0.0)
    return shares
