"""The 24 charts in the rest pose: which part a point is in, and its U and V.

The formulas are measured facts about the charts of DensePose, in body heights, on a body in T-pose
whose joints lie where ours do (`iuv.synth.anatomy`); they are fits, so values are clipped to 0..1.
Everything is written for the left half of the body, x >= 0; `right_uv` mirrors it.

P: points. Angles about a limb: 0 front, 90 outside, 180 back, -90 inside; the arm's outside is up,
as if it hung down.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from iuv.synth.mesh import Floats

__all__ = [
    "HIP_LINE",
    "LEFT_PARTS",
    "LIMBS",
    "PLANES",
    "Limb",
    "beyond",
    "flank",
    "groin",
    "left_part",
    "left_uv",
    "limb_place",
    "mirrored_axis",
    "palm_side",
    "right_uv",
    "seam_offset",
    "sole_side",
]

HIP_LINE = 0.529
"""Height of the border between back and buttocks."""

_CROTCH_Z = 0.036  # where the belly's tip ends, between the legs

LEFT_PARTS = (1, 2, 4, 5, 8, 10, 12, 14, 15, 17, 19, 21, 24)
"""The parts on the left half of the body; 1 and 2 lie on both."""


class Limb(NamedTuple):
    """A stretch between two joints, with a part in front (of the seams) and one behind."""

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    front: int
    back: int
    low_seam: tuple[float, float, float]
    """Degrees at position t on the limb: c0 + c1 t + c2 t^2; the front part begins here ..."""
    high_seam: tuple[float, float, float]
    """... and ends here."""


LIMBS: dict[str, Limb] = {
    "thigh": Limb(
        (0.060, 0.530, 0.022), (0.055, 0.265, -0.004), 10, 8,
        (-42.3, -61.4, -5.2), (125.0, -17.0, -8.7),
    ),
    "shin": Limb(
        (0.055, 0.265, -0.004), (0.057, 0.058, -0.019), 14, 12,
        (-106.1, -67.0, 63.7), (99.5, 24.2, -32.2),
    ),
    "upper_arm": Limb(
        (0.103, 0.793, -0.008), (0.248, 0.802, -0.017), 15, 17,
        (-85.2, -62.3, 33.7), (68.8, 10.7, -24.6),
    ),
    "forearm": Limb(
        (0.248, 0.802, -0.017), (0.398, 0.805, -0.022), 19, 21,
        (-121.1, -124.7, 55.4), (52.0, -40.5, -38.8),
    ),
}  # fmt: skip

PLANES: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "neck": ((0.0, 0.846, -0.005), (0.0, 0.985, 0.174)),
    "shoulder": ((0.102, 0.792, -0.009), (0.994, 0.110, 0.007)),
    "elbow": ((0.247, 0.801, -0.018), (0.999, 0.049, -0.006)),
    "wrist": ((0.397, 0.805, -0.023), (0.984, -0.172, -0.047)),
    "knee": ((0.055, 0.265, -0.004), (-0.038, 0.979, 0.202)),
    "ankle": ((0.058, 0.058, -0.018), (-0.043, 0.998, 0.055)),
}
"""A point and the normal of each plane between parts; the normal points to the hand, or up."""

# U and V of limb parts: 1, t, s, t^2, ts, s^2 with s = (angle - middle) / 90 degrees.
_LIMB_UV: dict[int, tuple[float, tuple[float, ...], tuple[float, ...]]] = {
    8: (
        -165,
        (-0.0028, 1.0012, -0.0311, -0.0430, 0.0384, 0.0758),
        (0.6028, -0.2577, -0.5066, 0.2020, 0.3472, -0.0195),
    ),
    10: (
        20,
        (0.9004, -0.7728, 0.1084, -0.0282, -0.0524, -0.0104),
        (0.6972, -0.4602, -0.5519, 0.0172, 0.2277, 0.0211),
    ),
    12: (
        170,
        (0.9793, -0.9760, 0.0069, 0.0185, -0.0008, -0.0198),
        (0.4880, 0.0463, -0.6758, -0.0731, 0.2253, 0.0223),
    ),
    14: (
        -5,
        (0.0021, 0.9804, 0.0035, 0.0038, -0.0019, 0.0035),
        (0.4850, -0.0255, 0.4082, 0.0175, -0.1888, 0.0175),
    ),
    15: (
        -15,
        (0.0348, 0.9181, -0.0393, -0.0174, 0.0034, 0.0120),
        (0.4298, 0.0354, 0.4583, 0.1092, -0.1587, 0.0356),
    ),
    17: (
        160,
        (0.0289, 0.9078, -0.0716, -0.0320, 0.0279, 0.0291),
        (0.5624, -0.2316, -0.4239, 0.0436, 0.1776, 0.0088),
    ),
    19: (
        -80,
        (0.9439, -0.9099, 0.0498, 0.0275, -0.0205, -0.0143),
        (0.6958, -0.3920, -0.5581, -0.0273, 0.3156, 0.0572),
    ),
    21: (
        110,
        (0.0567, 0.8804, -0.0748, -0.0183, 0.0377, 0.0188),
        (0.6921, -0.4255, -0.5262, 0.0143, 0.2462, 0.0046),
    ),
}
_LIMB_OF = {part: name for name, limb in LIMBS.items() for part in (limb.front, limb.back)}

# 1, a, b, a^2, ab, b^2
_PALM = (
    (0.3884, -0.1786, -0.2038, -0.1736, -0.0367, 0.0695),
    (0.1484, 1.0402, -0.2269, -0.4380, -0.1656, -0.1268),
)
_HAND_BACK = (
    (0.6300, 0.0732, 0.2520, 0.1536, 0.0316, 0.0119),
    (0.1534, 1.0285, -0.1901, -0.2752, -0.0062, -0.0709),
)
# 1, f, o, h, f^2, fo, fh, o^2, oh, h^2
_SOLE = (
    (0.2782, 0.4813, 0.1393, -0.2921, -0.0664, 0.0097, -0.0319, -0.0287, 0.0388, -0.1044),
    (0.4592, 0.4427, -0.0692, 0.2861, -0.0522, -0.0841, 0.0297, -0.1032, 0.1012, -0.0308),
)
_INSTEP = (
    (0.2293, 0.6279, -0.0289, -0.1276, -0.2160, -0.0309, -0.1291, -0.0641, 0.0131, -0.0618),
    (0.6022, -0.0345, 0.1556, -0.3210, 0.0763, 0.1579, 0.2354, -0.1144, -0.0285, 0.0561),
)
_HEAD = (
    (-0.1253, 1.4394, 0.1274, -0.1947, -0.1661, -0.0817),
    (0.5215, -0.2914, 0.4847, 0.2753, 0.0044, -0.0171),
)


def limb_place(points: Floats, name: str) -> tuple[Floats, Floats]:
    """Return [P] position on a limb (0 at its start, 1 at its end) and [P] angle in degrees."""
    limb = LIMBS[name]
    start, along = np.array(limb.start), np.array(limb.end) - np.array(limb.start)
    t = (points - start) @ along / (along @ along)
    across = points - start - t[:, None] * along
    outside = across[:, 1] if "arm" in name else across[:, 0]
    angle: Floats = np.rad2deg(np.arctan2(outside, across[:, 2]))
    return t, angle


def seam_offset(points: Floats, name: str, *, high: bool) -> Floats:
    """Return [P] degrees, -180..180, by which points lie beyond a seam of a limb."""
    t, angle = limb_place(points, name)
    c0, c1, c2 = LIMBS[name].high_seam if high else LIMBS[name].low_seam
    t = np.clip(t, -0.1, 1.1)
    return _wrapped(angle - (c0 + c1 * t + c2 * t * t))


def flank(points: Floats) -> Floats:
    """Return [P]: how far points lie in front of the border between belly and back."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    x, low = np.minimum(x, 0.11), np.clip(y - 0.53, 0, 0.23)
    side = -0.0053 + 0.0061 * low - 0.3893 * low**2
    top = -0.0025 - 0.3272 * x + 4.0662 * x * x
    border: Floats = z - np.where(y > 0.795, top, side)
    return border


def groin(points: Floats) -> Floats:
    """Return [P]: how far points of the front lie above the border between belly and thigh."""
    x = np.minimum(np.abs(points[:, 0]), 0.125)
    above: Floats = points[:, 1] - (0.4613 + 0.9226 * x - 2.8354 * x * x)
    return above


def beyond(points: Floats, plane: str) -> Floats:
    """Return [P] signed distances to one of `PLANES`."""
    point, normal = (np.array(v) for v in PLANES[plane])
    distance: Floats = (points - point) @ normal
    return distance


def palm_side(points: Floats, normals: Floats) -> Floats:
    """Return [P]: positive on the palm's sheet of the hand's chart; 0 is its border.

    The hand's plane is turned at the wrist, like the seams of the forearm, and level further out.
    """
    turn = np.clip((0.43 - points[:, 0]) / 0.03, 0, 1) * np.deg2rad(19)
    side: Floats = -np.cos(turn) * normals[:, 1] - np.sin(turn) * normals[:, 2]
    return side


def sole_side(normals: Floats) -> Floats:
    """Return [P]: positive on the sheet of sole and inner side of the foot's chart."""
    side: Floats = 1.71 - 3.35 * normals[:, 0] - 5.83 * normals[:, 1]
    return side


def left_part(points: Floats, labels: npt.NDArray[np.str_]) -> npt.NDArray[np.uint8]:
    """Return [P]: the part of points on the left half of the surface.

    Args:
        points: [P, 3], x >= 0, in the rest pose.
        labels: [P], the limb that the surface was grown with there (see `iuv.synth.net`); it tells
            the upper arm from the chest beside it, and one finger from the next.
    """
    part = np.where(flank(points) > 0, 2, 1)
    low = points[:, 1] < HIP_LINE
    behind = ~_in_front(points, "thigh") & ((groin(points) < 0) | (points[:, 2] < _CROTCH_Z))
    part = np.where(low & behind, 8, part)
    part = np.where(low & ~behind & (groin(points) < 0), 10, np.where(low & ~behind, 2, part))
    leg = np.isin(labels, ("leg", "foot"))
    below = leg & (beyond(points, "knee") < 0)
    part = np.where(below, np.where(_in_front(points, "shin"), 14, 12), part)
    part = np.where(leg & (beyond(points, "ankle") < 0), 5, part)
    out = (beyond(points, "shoulder") > 0) & (points[:, 1] > 0.7)
    part = np.where(out, np.where(_in_front(points, "upper_arm"), 15, 17), part)
    out &= beyond(points, "elbow") > 0
    part = np.where(out, np.where(_in_front(points, "forearm"), 19, 21), part)
    part = np.where(out & (beyond(points, "wrist") > 0), 4, part)
    head = (points[:, 0] < 0.07) & (points[:, 1] > 0.8) & (beyond(points, "neck") > 0)
    return np.where(head, 24, part).astype(np.uint8)


def _in_front(points: Floats, name: str) -> npt.NDArray[np.bool_]:
    t, angle = limb_place(points, name)
    limb, t = LIMBS[name], np.clip(t, -0.1, 1.1)
    low, high = (c0 + c1 * t + c2 * t * t for c0, c1, c2 in (limb.low_seam, limb.high_seam))
    middle = (low + high) / 2
    inside: npt.NDArray[np.bool_] = np.abs(_wrapped(angle - middle)) < (high - low) / 2
    return inside


def left_uv(points: Floats, part: int, second_sheet: npt.NDArray[np.bool_]) -> Floats:
    """Return [P, 2]: U and V of points of one part on the left half of the body.

    Args:
        points: [P, 3], in the rest pose.
        part: one of `LEFT_PARTS`.
        second_sheet: [P], whether a point lies on the back of the hand, or on the instep and outer
            side of the foot; hands and feet are laid out in two sheets.
    """
    if part in _LIMB_UV:
        uv = _limb_uv(points, part)
    elif part == 4:
        uv = _hand_uv(points, second_sheet)
    elif part == 5:
        uv = _foot_uv(points, second_sheet)
    elif part == 24:
        q = np.arctan2(np.abs(points[:, 0]) + 0.02, points[:, 2] - 0.01) / np.pi
        uv = _quadratic(_HEAD, q, (points[:, 1] - 0.915) / 0.08)
    else:
        uv = _torso_uv(points, part)
    return np.clip(uv, 0, 1)


def mirrored_axis(part: int) -> str:
    """Return which coordinate of a part (1..24) the mirror image counts backwards: u, v or none."""
    if part in (1, 2):
        return "v"
    return "u" if part in (3, 4, 5, 6, 23, 24) else ""


def right_uv(uv: npt.NDArray[np.float32], part: int) -> npt.NDArray[np.float32]:
    """Return [..., 2]: U and V of the mirror images of points of a part."""
    mirrored = uv.copy()
    if axis := mirrored_axis(part):
        mirrored[..., "uv".index(axis)] = 1 - mirrored[..., "uv".index(axis)]
    return mirrored


def _limb_uv(points: Floats, part: int) -> Floats:
    middle, *coefficients = _LIMB_UV[part]
    t, angle = limb_place(points, _LIMB_OF[part])
    s = (angle - middle) / 90
    s = 2 - (2 - s) % 4  # in (-2, 2]
    return _quadratic(tuple(coefficients), t, s)


def _hand_uv(points: Floats, back: npt.NDArray[np.bool_]) -> Floats:
    start = np.array(LIMBS["forearm"].end)
    a, b = (points[:, 0] - start[0]) / 0.106, (points[:, 2] - start[2]) / 0.045
    return np.where(back[:, None], _quadratic(_HAND_BACK, a, b), _quadratic(_PALM, a, b))


def _foot_uv(points: Floats, instep: npt.NDArray[np.bool_]) -> Floats:
    o, h, f = ((points - np.array(LIMBS["shin"].end)) / (0.04, 0.058, 0.1)).T
    terms = np.stack([np.ones_like(f), f, o, h, f * f, f * o, f * h, o * o, o * h, h * h], axis=1)
    uv: Floats = np.where(instep[:, None], terms @ np.array(_INSTEP).T, terms @ np.array(_SOLE).T)
    return uv


def _torso_uv(points: Floats, part: int) -> Floats:
    x, y, z = ((points - (0, 0.53, 0)) / (0.11, 0.26, 0.08)).T
    if part == 1:
        u = 0.9915 - 0.7619 * y - 0.0253 * y * y + 0.0095 * x * x
        u += -0.0353 * z - 0.0558 * z * z - 0.0642 * y * z
        v = 0.5 - 0.4370 * x - 0.3015 * x * y - 0.1351 * x * z + 0.0049 * x**3 + 0.2075 * x * y * y
    else:
        u = 0.8064 - 0.6243 * y - 0.0031 * y * y - 0.0150 * x * x
        u += 0.0100 * z - 0.0021 * z * z - 0.0047 * y * z
        v = 0.5 - 0.5449 * x - 0.2357 * x * y + 0.2170 * x * z + 0.1064 * x**3 + 0.2705 * x * y * y
    return np.stack([u, v], axis=1)


def _quadratic(coefficients: tuple[tuple[float, ...], ...], a: Floats, b: Floats) -> Floats:
    terms = np.stack([np.ones_like(a), a, b, a * a, a * b, b * b], axis=1)
    result: Floats = terms @ np.array(coefficients).T
    return result


def _wrapped(degrees: Floats) -> Floats:
    return (degrees + 180) % 360 - 180
