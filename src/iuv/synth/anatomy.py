"""The shape of the left half of a body, as a smooth solid, in body heights.

The rest pose is a T, palms down, at the place where the charts were measured: joints and girths
follow the rings of the chart convention, so that its formulas hold. The rest is drawn by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from iuv.synth.mesh import Floats
from iuv.synth.solids import Solid, ball, blend, carve, cone, loft, within

__all__ = ["FINGERS", "JOINTS", "Figure", "body_solid"]

JOINTS: dict[str, tuple[float, float, float]] = {
    "shoulder": (0.103, 0.793, -0.008),
    "elbow": (0.248, 0.802, -0.017),
    "wrist": (0.398, 0.805, -0.022),
    "hip": (0.060, 0.515, 0.005),
    "knee": (0.055, 0.265, -0.004),
    "ankle": (0.057, 0.058, -0.019),
}
"""Centres of the left joints in the rest pose."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What a body is like apart from its proportions; 0 is the average of men and women."""

    female: float = 0.0
    """-1: chest, waist and hips of a man; 1: of a woman."""
    heavy: float = 0.0
    """-1: thin; 1: fat."""
    muscle: float = 0.0
    """0: ordinary; 1: athletic."""


def body_solid(figure: Figure, *, face: bool) -> Solid:
    """Return the left half of a body, whose points lie at x >= 0, with or without a face."""
    return blend(
        [
            (within(_torso(figure), (-1, 0.40, -1), (0.22, 0.95, 1)), 0),
            (within(_leg(figure), (-1, -1, -1), (1, 0.60, 1)), 0.016),
            (within(_arm(figure), (0.02, -1, -1), (0.44, 1, 1)), 0.030),
            (within(_foot(), (-1, -1, -1), (1, 0.09, 1)), 0.012),
            (within(_hand(), (0.37, -1, -1), (1, 1, 1)), 0.008),
            (within(_head(figure, face), (-1, 0.84, -1), (0.1, 2, 1)), 0.012),
        ]
    )


def _torso(figure: Figure) -> Solid:
    f, h, m = figure.female, figure.heavy, figure.muscle
    fat, thin = max(h, 0), max(-h, 0)
    # y, half width, front, back
    rows = [
        (0.462, 0.070, 0.050, -0.040),
        (0.480, 0.090 + 0.004 * f, 0.066, -0.050),
        (0.510, 0.104 + 0.005 * f, 0.074, -0.056),
        (0.535, 0.107 + 0.005 * f, 0.077, -0.056),
        (0.570, 0.102 + 0.002 * f, 0.077, -0.050),
        (0.610, 0.093 - 0.006 * f, 0.074 - 0.003 * f, -0.042),
        (0.645, 0.091 - 0.008 * f, 0.074 - 0.003 * f, -0.042),
        (0.690, 0.097 - 0.006 * f, 0.079 - 0.002 * f, -0.054),
        (0.735, 0.104 - 0.006 * f + 0.002 * m, 0.080 - 0.004 * f, -0.064),
        (0.775, 0.100 - 0.006 * f + 0.004 * m, 0.071 - 0.003 * f, -0.066),
        (0.805, 0.086 - 0.004 * f, 0.054, -0.060),
        (0.828, 0.062, 0.037, -0.050),
        (0.845, 0.038, 0.027, -0.042),
        (0.860, 0.028, 0.018, -0.036),
    ]
    waist = [np.exp(-(((y - 0.61) / 0.075) ** 2)) for y, *_ in rows]
    round_rows = [
        (y, 0.0, (a + b) / 2, w, w, (a - b) / 2, (a - b) / 2)
        for (y, w, a, b) in [
            (
                y,
                w + (0.030 * fat - 0.010 * thin) * g + 0.010 * fat - 0.006 * thin,
                a + (0.050 * fat - 0.010 * thin) * g + 0.010 * fat - 0.006 * thin,
                b - (0.012 * fat - 0.004 * thin) * g - 0.008 * fat + 0.005 * thin,
            )
            for (y, w, a, b), g in zip(rows, waist, strict=True)
        ]
    ]
    return blend([(loft(1, round_rows, 2.3), 0), *_muscles(figure)])


def _muscles(figure: Figure) -> list[tuple[Solid, float]]:
    """Return what stands out from the trunk, and the neck."""
    f, m = figure.female, figure.muscle
    fat, male, breast = max(figure.heavy, 0), max(-f, 0), max(f, 0)
    chest = 0.004 + 0.005 * male + 0.008 * m
    size = 0.6 + 0.4 * fat
    return [
        (ball((0.044, 0.760, 0.052), (0.048, 0.036, 0.014 + chest), -14), 0.025),  # pectorals
        (
            ball(
                (0.045, 0.742, 0.066 + 0.006 * breast),
                (0.030 + 0.006 * size * breast, 0.032, 0.006 + 0.034 * breast * size),
            ),
            0.018,
        ),
        (
            ball((0.044, 0.503, -0.026), (0.048 + 0.004 * f, 0.046, 0.044 + 0.008 * fat)),
            0.022,
        ),  # buttocks
        (ball((0.055, 0.775, -0.050), (0.036, 0.048, 0.016 + 0.005 * m)), 0.025),  # blades
        (cone((0.006, 0.836, -0.020), (0.096, 0.814, -0.013), 0.016, 0.019 + 0.004 * m), 0.022),
        (cone((0.070, 0.700, -0.025), (0.098, 0.768, -0.028), 0.022, 0.018 + 0.004 * m), 0.02),
        (
            cone(
                (0.0, 0.83, -0.012),
                (0.0, 0.905, 0.002),
                0.0345 - 0.003 * f + 0.004 * fat + 0.002 * m,
                0.0325 - 0.002 * f + 0.004 * fat,
            ),
            0.020,
        ),
    ]


def _widened(rows: Sequence[Sequence[float]], by: Sequence[float] | float) -> list[list[float]]:
    """Return rows of a loft with all half axes longer by an amount, one per row or for all."""
    more = np.broadcast_to(by, len(rows))
    return [
        [*row[:3], *(v + d for v in row[3:])] for row, d in zip(rows, more.tolist(), strict=True)
    ]


def _leg(figure: Figure) -> Solid:
    fat, thin = max(figure.heavy, 0), max(-figure.heavy, 0)
    # y, centre x, z, half axes to the outside, inside, front, back
    rows = [
        (0.050, 0.0570, -0.019, 0.0195, 0.0195, 0.0230, 0.0230),
        (0.062, 0.0570, -0.019, 0.0200, 0.0200, 0.0230, 0.0220),
        (0.090, 0.0570, -0.018, 0.0205, 0.0210, 0.0235, 0.0230),
        (0.130, 0.0570, -0.016, 0.0265, 0.0265, 0.0270, 0.0310),
        (0.170, 0.0565, -0.013, 0.0325, 0.0325, 0.0305, 0.0400),
        (0.200, 0.0560, -0.010, 0.0335, 0.0345, 0.0320, 0.0410),
        (0.235, 0.0550, -0.007, 0.0320, 0.0325, 0.0325, 0.0345),
        (0.265, 0.0550, -0.004, 0.0325, 0.0325, 0.0345, 0.0315),
        (0.300, 0.0560, -0.002, 0.0365, 0.0360, 0.0400, 0.0360),
        (0.350, 0.0580, 0.001, 0.0430, 0.0415, 0.0485, 0.0440),
        (0.400, 0.0600, 0.004, 0.0490, 0.0480, 0.0560, 0.0510),
        (0.440, 0.0610, 0.006, 0.0530, 0.0530, 0.0605, 0.0560),
        (0.470, 0.0620, 0.007, 0.0550, 0.0560, 0.0630, 0.0580),
        (0.500, 0.0600, 0.008, 0.0540, 0.0540, 0.0630, 0.0560),
        (0.530, 0.0560, 0.008, 0.0500, 0.0500, 0.0600, 0.0520),
        (0.550, 0.0500, 0.008, 0.0350, 0.0350, 0.0450, 0.0350),
    ]
    thigh = [np.clip((row[0] - 0.2) / 0.25, 0, 1) for row in rows]
    calf = [np.exp(-(((row[0] - 0.19) / 0.05) ** 2)) for row in rows]
    more = [
        t * (0.012 * fat - 0.007 * thin + 0.003 * figure.female + 0.003 * figure.muscle)
        + c * (0.003 * figure.muscle - 0.003 * thin)
        + 0.004 * fat
        - 0.0015 * thin
        for t, c in zip(thigh, calf, strict=True)
    ]
    return loft(1, _widened(rows, more), 2.1)


def _arm(figure: Figure) -> Solid:
    fat, thin, m = max(figure.heavy, 0), max(-figure.heavy, 0), figure.muscle
    # x, centre y, z, half axes up, down, front, back
    rows = [
        (0.060, 0.793, -0.010, 0.032, 0.036, 0.032, 0.034),
        (0.085, 0.793, -0.009, 0.039, 0.040, 0.036, 0.037),
        (0.110, 0.794, -0.008, 0.0415, 0.041, 0.0365, 0.038),
        (0.135, 0.795, -0.009, 0.0380, 0.0375, 0.0345, 0.0355),
        (0.170, 0.797, -0.012, 0.0310, 0.0330, 0.0325, 0.0310),
        (0.210, 0.800, -0.015, 0.0265, 0.0280, 0.0295, 0.0270),
        (0.248, 0.802, -0.017, 0.0210, 0.0215, 0.0255, 0.0260),
        (0.280, 0.803, -0.018, 0.0215, 0.0205, 0.0260, 0.0255),
        (0.310, 0.803, -0.019, 0.0195, 0.0190, 0.0240, 0.0240),
        (0.350, 0.804, -0.020, 0.0160, 0.0155, 0.0205, 0.0205),
        (0.385, 0.805, -0.022, 0.0130, 0.0130, 0.0175, 0.0175),
        (0.405, 0.805, -0.022, 0.0125, 0.0125, 0.0175, 0.0175),
    ]
    upper = [float(np.clip((0.32 - row[0]) / 0.15, 0, 1)) for row in rows]
    more = [
        u * (0.008 * fat - 0.006 * thin - 0.0025 * figure.female + 0.005 * m)
        + 0.002 * fat
        - 0.001 * thin
        - 0.0010 * figure.female
        for u in upper
    ]
    return loft(0, _widened(rows, more), 2.0)


def _foot() -> Solid:
    # z, centre x, y, half axes to the outside, inside, up, down
    rows = [
        (-0.055, 0.0600, 0.018, 0.010, 0.010, 0.012, 0.018),
        (-0.048, 0.0600, 0.022, 0.018, 0.018, 0.024, 0.023),
        (-0.030, 0.0600, 0.024, 0.0215, 0.0215, 0.038, 0.0255),
        (-0.010, 0.0605, 0.025, 0.0225, 0.0225, 0.038, 0.0265),
        (0.010, 0.0615, 0.024, 0.0240, 0.0235, 0.030, 0.025),
        (0.030, 0.0625, 0.022, 0.0265, 0.0255, 0.022, 0.023),
        (0.050, 0.0635, 0.018, 0.0290, 0.0265, 0.016, 0.018),
        (0.070, 0.0635, 0.014, 0.0280, 0.0260, 0.012, 0.014),
        (0.085, 0.0625, 0.012, 0.0220, 0.0220, 0.009, 0.012),
        (0.094, 0.0610, 0.010, 0.0120, 0.0130, 0.005, 0.009),
    ]
    tube = loft(2, rows, 2.6)

    def distance(points: Floats) -> Floats:
        ground = 0.0015 - points[:, 1]
        inside = tube(points)
        overlap = np.maximum(0.006 - np.abs(inside - ground), 0) / 0.006
        flat: Floats = np.maximum(inside, ground) + overlap * overlap * 0.0015
        return flat

    return distance


FINGERS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "index": (
        (0.447, 0.800, -0.0045),
        (0.468, 0.799, 0.000),
        (0.4835, 0.797, 0.0015),
        (0.494, 0.795, 0.002),
    ),
    "middle": (
        (0.449, 0.801, -0.0175),
        (0.472, 0.800, -0.0165),
        (0.489, 0.798, -0.0165),
        (0.501, 0.796, -0.0165),
    ),
    "ring": (
        (0.447, 0.800, -0.0305),
        (0.468, 0.799, -0.0325),
        (0.484, 0.797, -0.0345),
        (0.496, 0.795, -0.0355),
    ),
    "little": (
        (0.443, 0.799, -0.0430),
        (0.459, 0.798, -0.0470),
        (0.471, 0.796, -0.0505),
        (0.481, 0.794, -0.053),
    ),
    "thumb": (
        (0.412, 0.799, -0.006),
        (0.4265, 0.795, 0.0075),
        (0.440, 0.793, 0.0165),
        (0.4515, 0.791, 0.0225),
    ),
}
"""Knuckle, two joints and tip of the left fingers."""

_FINGER_RADII = {
    "index": 0.0062,
    "middle": 0.0064,
    "ring": 0.0060,
    "little": 0.0053,
    "thumb": 0.0070,
}


def _hand() -> Solid:
    # x, centre y, z, half axes up, down, front, back
    palm = loft(
        0,
        [
            (0.392, 0.805, -0.022, 0.0120, 0.0120, 0.0165, 0.0165),
            (0.405, 0.804, -0.022, 0.0115, 0.0120, 0.0180, 0.0180),
            (0.420, 0.803, -0.0225, 0.0105, 0.0120, 0.0220, 0.0215),
            (0.435, 0.801, -0.0230, 0.0095, 0.0110, 0.0235, 0.0240),
            (0.448, 0.800, -0.0235, 0.0080, 0.0085, 0.0235, 0.0245),
            (0.455, 0.800, -0.0235, 0.0050, 0.0050, 0.0200, 0.0210),
        ],
        2.6,
    )
    parts: list[tuple[Solid, float]] = [(palm, 0)]
    parts.append((ball((0.418, 0.796, -0.008), (0.020, 0.0095, 0.011)), 0.008))  # ball of the thumb
    for name, joints in FINGERS.items():
        r = _FINGER_RADII[name]
        radii = (r * (1.25 if name == "thumb" else 1.05), r, r * 0.92, r * 0.80)
        bones = [
            (cone(a, b, ra, rb), 0.003)
            for a, b, ra, rb in zip(joints, joints[1:], radii, radii[1:], strict=False)
        ]
        parts.append((blend(bones), 0.006 if name == "thumb" else 0.004))
    return blend(parts)


def _head(figure: Figure, with_face: bool) -> Solid:
    f, fat = figure.female, max(figure.heavy, 0)
    skull = ball((0.0, 0.944, 0.007), (0.0455, 0.056, 0.0600))
    # y, centre x, z, half axes +x, -x, front, back
    front = loft(
        1,
        [
            (0.8655, 0.0, 0.036, 0.010, 0.010, 0.018, 0.022),
            (0.8690, 0.0, 0.034, 0.0185 - 0.0015 * f, 0.0185, 0.0295, 0.030),
            (0.8800, 0.0, 0.030, 0.0280 - 0.002 * f + 0.004 * fat, 0.028, 0.0345, 0.034),
            (0.8950, 0.0, 0.025, 0.0355 - 0.0015 * f + 0.005 * fat, 0.0355, 0.0395, 0.034),
            (0.9150, 0.0, 0.020, 0.0400 + 0.002 * fat, 0.0400, 0.0455, 0.034),
            (0.9350, 0.0, 0.015, 0.0425, 0.0425, 0.0490, 0.034),
            (0.9600, 0.0, 0.010, 0.0415, 0.0415, 0.0525, 0.034),
            (0.9800, 0.0, 0.008, 0.0300, 0.0300, 0.0400, 0.030),
        ],
        2.3,
    )
    head = blend([(skull, 0), (front, 0.012)])
    return _with_face(head) if with_face else head


def _with_face(head: Solid) -> Solid:
    solid = blend(
        [
            (head, 0),
            (ball((0.027, 0.916, 0.043), (0.013, 0.010, 0.013)), 0.012),  # cheek bone
            (cone((0.004, 0.9470, 0.0600), (0.020, 0.9475, 0.0555), 0.0040, 0.0036), 0.008),  # brow
            (cone((0.0, 0.9400, 0.0610), (0.0, 0.9165, 0.0745), 0.0040, 0.0052), 0.006),  # nose
            (ball((0.0, 0.9145, 0.0740), (0.0058, 0.0050, 0.0060)), 0.004),
            (ball((0.0072, 0.9120, 0.0680), (0.0045, 0.0046, 0.0062)), 0.004),  # its wings
            (ball((0.0, 0.8985, 0.0640), (0.0125, 0.0036, 0.0050)), 0.004),  # lips
            (ball((0.0, 0.8915, 0.0625), (0.0110, 0.0038, 0.0052)), 0.004),
            (ball((0.0, 0.8735, 0.0575), (0.0120, 0.0085, 0.0085)), 0.010),  # chin
        ]
    )
    hollows = [(ball((0.0180, 0.9350, 0.0690), (0.0125, 0.0075, 0.0120)), 0.008)]  # eye socket
    eye = ball((0.0180, 0.9345, 0.0500), (0.0085, 0.0065, 0.0085))
    return blend([(carve(solid, hollows), 0), (eye, 0.002), (_ear(), 0.004)])


def _ear() -> Solid:
    shell = ball((0.0450, 0.9225, -0.0010), (0.0070, 0.0170, 0.0100), -12)
    bowl = ball((0.0530, 0.9240, 0.0015), (0.0050, 0.0110, 0.0060), -12)
    return carve(shell, [(bowl, 0.003)])
