"""Which vertices and faces the left half of a body has: the cage, pulled limb by limb.

Positions are rough here; `iuv.synth.anatomy` says where the surface is. Body heights, rest pose.
"""

from __future__ import annotations

from iuv.synth.anatomy import FINGERS
from iuv.synth.cage import Cage, Patch, Section

__all__ = ["body_net", "grow_hand"]

_COLUMNS = (0.0, 0.2, 0.6, 1.0)  # of the torso: the crotch, the inside and the outside of the leg
_ROWS = (-1.0, 0.0, 1.0)  # from back to front

# y, half width, front, back
_TORSO = (
    (0.500, 0.105, 0.074, -0.066),
    (0.530, 0.107, 0.077, -0.060),
    (0.565, 0.102, 0.077, -0.050),
    (0.605, 0.094, 0.074, -0.042),
    (0.645, 0.092, 0.074, -0.042),
    (0.685, 0.096, 0.079, -0.054),
    (0.720, 0.101, 0.083, -0.062),
    (0.752, 0.104, 0.080, -0.066),
    (0.793, 0.100, 0.060, -0.064),
    (0.832, 0.096, 0.026, -0.046),
)
# x, centre y, z, half axes along z and y
_ARM = (
    (0.130, 0.795, -0.009, 0.036, 0.038),
    (0.168, 0.797, -0.012, 0.032, 0.032),
    (0.208, 0.800, -0.015, 0.028, 0.027),
    (0.248, 0.802, -0.017, 0.026, 0.021),
    (0.290, 0.803, -0.018, 0.025, 0.021),
    (0.345, 0.804, -0.020, 0.021, 0.016),
    (0.397, 0.805, -0.022, 0.0175, 0.0125),
)
# y, centre x, z, half axes along x and z
_LEG = (
    (0.440, 0.061, 0.008, 0.053, 0.058),
    (0.395, 0.060, 0.005, 0.048, 0.053),
    (0.345, 0.058, 0.002, 0.042, 0.046),
    (0.300, 0.056, -0.001, 0.036, 0.038),
    (0.265, 0.055, -0.003, 0.0325, 0.033),
    (0.230, 0.055, -0.008, 0.032, 0.034),
    (0.185, 0.056, -0.013, 0.034, 0.036),
    (0.140, 0.057, -0.017, 0.027, 0.030),
    (0.095, 0.057, -0.018, 0.0205, 0.023),
    (0.058, 0.057, -0.019, 0.020, 0.0225),
    (0.028, 0.060, -0.012, 0.022, 0.040),
    (0.002, 0.060, -0.012, 0.020, 0.038),
)
# z, centre x, y, half axes along x and y
_TOES = (
    (0.045, 0.063, 0.017, 0.027, 0.016),
    (0.070, 0.0635, 0.013, 0.027, 0.012),
    (0.090, 0.062, 0.010, 0.016, 0.008),
)
# centre y, z, half width, rise and reach of the front
_HEAD = (
    (0.850, -0.005, 0.037, -0.012, 0.034),
    (0.868, -0.003, 0.037, -0.012, 0.036),
    (0.880, 0.010, 0.037, -0.012, 0.052),
    (0.900, 0.011, 0.043, -0.008, 0.057),
    (0.919, 0.010, 0.046, -0.004, 0.061),
    (0.938, 0.008, 0.047, -0.002, 0.060),
    (0.960, 0.008, 0.045, 0.000, 0.058),
    (0.982, 0.007, 0.034, 0.000, 0.045),
    (0.998, 0.006, 0.016, 0.000, 0.022),
)
# x, centre y, z, half axes along z and y
_PALM = (
    (0.408, 0.804, -0.022, 0.019, 0.012),
    (0.420, 0.803, -0.0225, 0.022, 0.011),
    (0.432, 0.801, -0.023, 0.0235, 0.010),
    (0.446, 0.800, -0.0235, 0.024, 0.008),
)
_THUMB_ROWS = (0, 1)  # of the palm, from which the thumb grows
_RADIUS = 0.0055
# bone from the knuckle on, place on it (0 start, 1 end), radius
_FINGER_STEPS = ((0, 0.5, 1), (1, 0, 1), (1, 0.6, 1), (2, 0.3, 1), (2, 0.9, 1), (2, 1.2, 0.6))
_THUMB_STEPS = ((0, 0.9, 0.9), (1, 0.5, 0.8), (2, 0.1, 0.8), (2, 0.9, 0.8), (2, 1.2, 0.5))


def body_net() -> tuple[Cage, Patch]:
    """Return the cage without the hand, and the patch at the wrist that the hand grows from."""
    cage = Cage()
    torso, square = _first_patch(cage)
    legs = [f for f in _downward(cage, torso) if _between(cage, square, f, 0.2, 1)]
    arm_faces: list[int] = []
    arm_square: dict[int, tuple[float, float]] = {}
    for row, (y, width, front, back) in enumerate(_TORSO):
        section = Section((0, y, (front + back) / 2), (width, 0, 0), (0, 0, (front - back) / 2))
        low = torso
        torso, sides = cage.pull(low, section, "torso")
        if row >= len(_TORSO) - 2:
            for face, edge in sides:
                if all(low.square[c][0] == 1 for c in edge):
                    arm_faces.append(face)
                    arm_square.update({c: (low.square[c][1], float(row)) for c in edge})
    arm_square.update({c: (v, float(len(_TORSO))) for c, (u, v) in torso.square.items() if u == 1})
    _grow_leg(cage, cage.patch(legs, square))
    _grow_head(cage, [f for f in torso.faces if _between(cage, torso.square, f, 0, 0.6)], torso)
    arm = cage.patch(arm_faces, arm_square)
    for x, y, z, along_z, along_y in _ARM:
        arm, _ = cage.pull(arm, Section((x, y, z), (0, 0, along_z), (0, along_y, 0)), "arm")
    return cage, arm


def _first_patch(cage: Cage) -> tuple[Patch, dict[int, tuple[float, float]]]:
    section = Section((0, 0.466, 0.004), (0.085, 0, 0), (0, 0, 0.052))
    ids = {(i, j): cage.add_point(section.place(u, v)) for i, u in enumerate(_COLUMNS)
           for j, v in enumerate(_ROWS)}  # fmt: skip
    faces = [
        cage.add_face((ids[i, j], ids[i, j + 1], ids[i + 1, j + 1], ids[i + 1, j]), "torso")
        for i in range(len(_COLUMNS) - 1)
        for j in range(len(_ROWS) - 1)
    ]
    square = {c: (_COLUMNS[i], _ROWS[j]) for (i, j), c in ids.items()}
    return Patch(faces, square), square


def _downward(cage: Cage, patch: Patch) -> list[int]:
    return [cage.add_face(cage.faces[f][::-1], "torso") for f in patch.faces]


def _between(
    cage: Cage, square: dict[int, tuple[float, float]], face: int, low: float, high: float
) -> bool:
    return all(low <= square[c][0] <= high for c in cage.faces[face])


def _grow_leg(cage: Cage, patch: Patch) -> None:
    front: list[int] = []
    square: dict[int, tuple[float, float]] = {}
    for row, (y, x, z, along_x, along_z) in enumerate(_LEG):
        label = "foot" if row >= len(_LEG) - 2 else "leg"
        old = patch
        patch, sides = cage.pull(old, Section((x, y, z), (along_x, 0, 0), (0, 0, along_z)), label)
        if label == "foot":
            for face, edge in sides:
                if all(old.square[c][1] == 1 for c in edge):
                    front.append(face)
                    square.update({c: (old.square[c][0], float(row)) for c in edge})
    square.update({c: (u, float(len(_LEG))) for c, (u, v) in patch.square.items() if v == 1})
    toes = cage.patch(front, square)
    for z, x, y, along_x, along_y in _TOES:
        toes, _ = cage.pull(toes, Section((x, y, z), (along_x, 0, 0), (0, -along_y, 0)), "foot")


def _grow_head(cage: Cage, faces: list[int], torso: Patch) -> None:
    patch = cage.patch(faces, torso.square, half=True)
    for y, z, width, rise, reach in _HEAD:
        patch, _ = cage.pull(patch, Section((0, y, z), (width, 0, 0), (0, rise, reach)), "head")


def grow_hand(cage: Cage, wrist: Patch) -> None:
    """Grow palm and fingers from the wrist's patch, which must be 4 x 4 faces by now."""
    thumb: list[int] = []
    thumb_square: dict[int, tuple[float, float]] = {}
    patch = wrist
    for row, (x, y, z, along_z, along_y) in enumerate(_PALM):
        old = patch
        patch, sides = cage.pull(old, Section((x, y, z), (0, 0, along_z), (0, along_y, 0)), "hand")
        if row in _THUMB_ROWS:
            for face, edge in sides:
                if all(old.square[c][0] == 1 for c in edge):
                    thumb.append(face)
                    thumb_square.update({c: (float(row), old.square[c][1]) for c in edge})
        if row == _THUMB_ROWS[-1]:
            ends = {c: (row + 1.0, v) for c, (u, v) in patch.square.items() if u == 1}
            thumb_square.update(ends)
    _grow_finger(cage, cage.patch(thumb, thumb_square), "thumb")
    columns = [
        [f for f in patch.faces if _between(cage, patch.square, f, low, low + 0.5)]
        for low in (-1.0, -0.5, 0.0, 0.5)
    ]
    for name, faces in zip(("little", "ring", "middle", "index"), columns, strict=True):
        _grow_finger(cage, cage.patch(faces, patch.square), name)


def _grow_finger(cage: Cage, patch: Patch, name: str) -> None:
    across = (_RADIUS, 0.0, -_RADIUS) if name == "thumb" else (0.0, 0.0, _RADIUS)
    for bone, share, width in _THUMB_STEPS if name == "thumb" else _FINGER_STEPS:
        start, end = FINGERS[name][bone : bone + 2]
        x, y, z = (a + share * (b - a) for a, b in zip(start, end, strict=True))
        wide = (across[0] * width, 0.0, across[2] * width)
        patch, _ = cage.pull(patch, Section((x, y, z), wide, (0.0, _RADIUS * width, 0.0)), name)
