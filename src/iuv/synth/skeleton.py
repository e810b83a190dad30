"""The skeleton: joints, which vertices follow them, and how a pose moves both.

J: joints; V: vertices. Rotations are about the axes of the rest pose (x left, y up, z front), where
arms lie along x and legs along y; each joint turns what hangs on it relative to its parent.
Blending follows L. Kavan et al., "Skinning with dual quaternions": limbs keep their volume.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from iuv.synth.anatomy import FINGERS, JOINTS
from iuv.synth.mesh import Floats

__all__ = [
    "JOINT_NAMES",
    "MIRROR_JOINTS",
    "PARENTS",
    "REST_JOINTS",
    "Posed",
    "Scaling",
    "Turned",
    "blended",
    "pose",
    "stretched",
    "turn",
]

_TRUNK = (
    ("pelvis", "", (0.0, 0.545, -0.005)),
    ("spine", "pelvis", (0.0, 0.605, -0.012)),
    ("chest", "spine", (0.0, 0.690, -0.018)),
    ("neck", "chest", (0.0, 0.845, -0.014)),
    ("head", "neck", (0.0, 0.885, 0.000)),
)
_SIDE = (
    ("clavicle", "chest", (0.020, 0.815, 0.000)),
    ("shoulder", "clavicle", (0.104, 0.796, -0.010)),
    ("elbow", "shoulder", JOINTS["elbow"]),
    ("forearm", "elbow", (0.300, 0.803, -0.0185)),
    ("wrist", "forearm", JOINTS["wrist"]),
    ("hip", "pelvis", (0.056, 0.515, 0.002)),
    ("knee", "hip", JOINTS["knee"]),
    ("ankle", "knee", JOINTS["ankle"]),
    ("toes", "ankle", (0.0625, 0.014, 0.052)),
    *(
        (f"{finger}{bone + 1}", f"{finger}1" if bone else "wrist", FINGERS[finger][bone])
        for finger in FINGERS
        for bone in range(2)
    ),
)


def _table() -> tuple[tuple[str, ...], tuple[int, ...], Floats]:
    rows = list(_TRUNK)
    trunk = {name for name, _, _ in _TRUNK}
    for side, sign in (("left", 1), ("right", -1)):
        for name, parent, (x, y, z) in _SIDE:
            above = parent if parent in trunk else f"{side}_{parent}"
            rows.append((f"{side}_{name}", above, (sign * x, y, z)))
    names = [name for name, _, _ in rows]
    parents = tuple(names.index(parent) if parent else -1 for _, parent, _ in rows)
    return tuple(names), parents, np.array([place for _, _, place in rows])


JOINT_NAMES, PARENTS, REST_JOINTS = _table()
"""Names; indices of parents, which come first (-1: the pelvis has none); [J, 3] in body heights."""


def _mirrored(name: str) -> str:
    side, _, rest = name.partition("_")
    return {"left": f"right_{rest}", "right": f"left_{rest}"}.get(side, name)


MIRROR_JOINTS: tuple[int, ...] = tuple(JOINT_NAMES.index(_mirrored(n)) for n in JOINT_NAMES)
"""The index of each joint's mirror image."""


def _levels() -> list[tuple[list[int], list[int]]]:
    """Joints that are equally far from the pelvis, which comes first, and their parents."""
    depths: list[int] = []
    for parent in PARENTS:
        depths.append(depths[parent] + 1 if parent >= 0 else 0)
    joints = [[j for j, depth in enumerate(depths) if depth == level] for level in range(1, 99)]
    return [(own, [PARENTS[j] for j in own]) for own in joints if own]


_LEVELS = _levels()
_STEPS: list[list[float]] = [
    (place - REST_JOINTS[parent] * (parent >= 0)).tolist()
    for place, parent in zip(REST_JOINTS, PARENTS, strict=True)
]  # from the parent
_ORIGIN, _SAME = [0.0] * 3, [1.0] * 3


class Scaling(NamedTuple):
    """How long and wide bones are, as multiples of the average body's, along x, y and z."""

    factors: Floats
    """[J, 3]: of everything between a joint and its children."""

    def joints(self) -> Floats:
        """Return [J, 3]: where the joints of a body so scaled lie in the rest pose."""
        places: list[list[float]] = []
        factors = self.factors.tolist()  # so few numbers are added faster without arrays
        for step, parent in zip(_STEPS, PARENTS, strict=True):
            start, factor = (places[parent], factors[parent]) if parent >= 0 else (_ORIGIN, _SAME)
            places.append([a + f * s for a, f, s in zip(start, factor, step, strict=True)])
        return np.array(places)

    def table(self) -> Floats:
        """Return [J, 6]: what stretches points about each joint, and what moves them then."""
        return np.concatenate([self.factors, self.joints() - self.factors * REST_JOINTS], axis=1)

    def apply(self, points: Floats, weights: csr_matrix) -> Floats:
        """Return [V, 3]: points of the rest pose on the scaled body.

        Args:
            points: [V, 3]
            weights: [V, J], how much each follows each joint; rows sum to 1.
        """
        mixed = (weights @ self.table()).T
        return np.ascontiguousarray(stretched(points.T, mixed).T)


def stretched(points: Floats, mixed: Floats) -> Floats:
    """Return [3, V]: points [3, V] of the rest pose on a scaled body.

    Args:
        points: [3, V]
        mixed: [6, V], of the rows of `Scaling.table`, by the points' weights.
    """
    scaled: Floats = mixed[:3] * points
    scaled += mixed[3:]
    return scaled


class Posed(NamedTuple):
    """A body in a pose."""

    vertices: Floats
    """[V, 3]"""
    joints: Floats
    """[J, 3]"""


class Turned(NamedTuple):
    """A skeleton in a pose."""

    joints: Floats
    """[J, 3]"""
    table: Floats
    """[J, 8]: how each joint moves what follows it, as dual quaternions."""


def turn(joints: Floats, local: Floats) -> Turned:
    """Return the skeleton in a pose; the pelvis stays where it is.

    Args:
        joints: [J, 3], in the rest pose.
        local: [J, 3, 3], how each joint is turned relative to its parent.
    """
    rotations, places = local.copy(), joints.copy()
    for own, parents in _LEVELS:
        above = rotations[parents]
        rotations[own] = _products(above, local[own])
        step = joints[own] - joints[parents]
        places[own] = places[parents] + (above * step[:, None]).sum(axis=2)
    offsets = places - (rotations * joints[:, None]).sum(axis=2)
    real = _quaternions(rotations)
    for own, parents in _LEVELS:  # q and -q turn alike, but must not be averaged
        real[own] *= np.where((real[own] * real[parents]).sum(axis=1) < 0, -1, 1)[:, None]
    dual = 0.5 * _product(np.concatenate([np.zeros((len(offsets), 1)), offsets], axis=1), real)
    return Turned(places, np.concatenate([real, dual], axis=1))


def pose(points: Floats, weights: csr_matrix, joints: Floats, local: Floats) -> Posed:
    """Return a body in a pose; the pelvis stays where it is.

    Args:
        points: [V, 3], in the rest pose.
        weights: [V, J], rows sum to 1.
        joints: [J, 3], in the rest pose.
        local: [J, 3, 3], how each joint is turned relative to its parent.
    """
    turned = turn(joints, local)
    vertices = blended(points.T, (weights @ turned.table).T)
    return Posed(np.ascontiguousarray(vertices.T), turned.joints)


def _products(a: Floats, b: Floats) -> Floats:
    """Return [n, 3, 3]: products of matrices, rounded alike on all machines, unlike BLAS's."""
    result: Floats = (a[:, :, :, None] * b[:, None]).sum(axis=2)
    return result


def blended(points: Floats, mixed: Floats) -> Floats:
    """Return [3, V]: points in a pose.

    Args:
        points: [3, V], in the rest pose.
        mixed: [8, V], of the rows of `Turned.table`, by the points' weights.
    """
    w, x, y, z, dw, dx, dy, dz = mixed / np.sqrt((mixed[:4] ** 2).sum(axis=0))
    px, py, pz = points
    # v = (x, y, z): p + 2 v x (v x p + w p + d) + 2 (w d - dw v)
    ax = y * pz - z * py + w * px + dx
    ay = z * px - x * pz + w * py + dy
    az = x * py - y * px + w * pz + dz
    return np.stack(
        [
            px + 2 * (y * az - z * ay + w * dx - dw * x),
            py + 2 * (z * ax - x * az + w * dy - dw * y),
            pz + 2 * (x * ay - y * ax + w * dz - dw * z),
        ]
    )


def _product(a: Floats, b: Floats) -> Floats:
    """Return [n, 4] products of quaternions (w, x, y, z)."""
    w = a[:, 0] * b[:, 0] - (a[:, 1:] * b[:, 1:]).sum(axis=1)
    vector = a[:, :1] * b[:, 1:] + b[:, :1] * a[:, 1:] + np.cross(a[:, 1:], b[:, 1:])
    return np.concatenate([w[:, None], vector], axis=1)


def _quaternions(rotations: Floats) -> Floats:
    """Return [n, 4] (w, x, y, z) of rotation matrices [n, 3, 3]."""
    m = rotations
    trace = m[:, 0, 0] + m[:, 1, 1] + m[:, 2, 2]
    # Four ways to write it; the one with the largest first component divides by no small number.
    diagonal = np.stack([trace, m[:, 0, 0], m[:, 1, 1], m[:, 2, 2]], axis=1)
    best = diagonal.argmax(axis=1)
    a, b, c = m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]
    d, e, f = m[:, 1, 0] + m[:, 0, 1], m[:, 0, 2] + m[:, 2, 0], m[:, 2, 1] + m[:, 1, 2]
    x, y, z = (1 + 2 * diagonal[:, k] - trace for k in (1, 2, 3))
    ways = np.stack(
        [
            np.stack([1 + trace, a, b, c], axis=1),
            np.stack([a, x, d, e], axis=1),
            np.stack([b, d, y, f], axis=1),
            np.stack([c, e, f, z], axis=1),
        ],
        axis=1,
    )
    chosen: Floats = ways[np.arange(len(m)), best]
    chosen /= np.sqrt((chosen**2).sum(axis=1, keepdims=True))
    return chosen
