"""The body's vocabulary: 24 surface parts, 14 mask parts, and which of them mirror each other.

A *part* is the label I of a pixel: 0 is background, 1..24 are the charts of DensePose. Left and
right are the person's own. Part 5 is the left foot and part 6 the right one, although hands,
thighs and lower legs number the right side first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "MASK_MIRROR",
    "MASK_PARTS",
    "NUM_PARTS",
    "PARTS",
    "PART_MIRROR",
    "PART_TO_MASK",
    "BodyPart",
    "MaskPart",
    "part_index",
]

Side = Literal["left", "right", "both"]


@dataclass(frozen=True, slots=True)
class MaskPart:
    """One of the 14 coarse parts that DensePose-COCO annotates as masks."""

    index: int
    """1..14; 0 is background."""
    name: str
    side: Side


@dataclass(frozen=True, slots=True)
class BodyPart:
    """One of the 24 charts of the body surface."""

    index: int
    """I, 1..24; 0 is background."""
    name: str
    side: Side
    mask_name: str
    """Name of the coarse mask part this chart belongs to."""


MASK_PARTS: tuple[MaskPart, ...] = (
    MaskPart(1, "torso", "both"),
    MaskPart(2, "right_hand", "right"),
    MaskPart(3, "left_hand", "left"),
    MaskPart(4, "left_foot", "left"),
    MaskPart(5, "right_foot", "right"),
    MaskPart(6, "right_thigh", "right"),
    MaskPart(7, "left_thigh", "left"),
    MaskPart(8, "right_lower_leg", "right"),
    MaskPart(9, "left_lower_leg", "left"),
    MaskPart(10, "left_upper_arm", "left"),
    MaskPart(11, "right_upper_arm", "right"),
    MaskPart(12, "left_forearm", "left"),
    MaskPart(13, "right_forearm", "right"),
    MaskPart(14, "head", "both"),
)

PARTS: tuple[BodyPart, ...] = (
    BodyPart(1, "torso_back", "both", "torso"),
    BodyPart(2, "torso_front", "both", "torso"),
    BodyPart(3, "right_hand", "right", "right_hand"),
    BodyPart(4, "left_hand", "left", "left_hand"),
    BodyPart(5, "left_foot", "left", "left_foot"),
    BodyPart(6, "right_foot", "right", "right_foot"),
    BodyPart(7, "right_thigh_back", "right", "right_thigh"),
    BodyPart(8, "left_thigh_back", "left", "left_thigh"),
    BodyPart(9, "right_thigh_front", "right", "right_thigh"),
    BodyPart(10, "left_thigh_front", "left", "left_thigh"),
    BodyPart(11, "right_calf", "right", "right_lower_leg"),
    BodyPart(12, "left_calf", "left", "left_lower_leg"),
    BodyPart(13, "right_shin", "right", "right_lower_leg"),
    BodyPart(14, "left_shin", "left", "left_lower_leg"),
    BodyPart(15, "left_upper_arm_front", "left", "left_upper_arm"),
    BodyPart(16, "right_upper_arm_front", "right", "right_upper_arm"),
    BodyPart(17, "left_upper_arm_back", "left", "left_upper_arm"),
    BodyPart(18, "right_upper_arm_back", "right", "right_upper_arm"),
    BodyPart(19, "left_forearm_inner", "left", "left_forearm"),
    BodyPart(20, "right_forearm_inner", "right", "right_forearm"),
    BodyPart(21, "left_forearm_outer", "left", "left_forearm"),
    BodyPart(22, "right_forearm_outer", "right", "right_forearm"),
    BodyPart(23, "head_right", "right", "head"),
    BodyPart(24, "head_left", "left", "head"),
)

NUM_PARTS = len(PARTS)


def _mirrored(name: str) -> str:
    return name.replace("left", "\0").replace("right", "left").replace("\0", "right")


def _mirror_table(parts: tuple[BodyPart, ...] | tuple[MaskPart, ...]) -> tuple[int, ...]:
    index = {part.name: part.index for part in parts}
    return (0, *(index[_mirrored(part.name)] for part in parts))


PART_MIRROR: tuple[int, ...] = _mirror_table(PARTS)
"""``PART_MIRROR[i]`` is the label of part i's mirror image; 25 entries, 0 maps to 0."""

MASK_MIRROR: tuple[int, ...] = _mirror_table(MASK_PARTS)
"""``MASK_MIRROR[m]`` is the mirror image of mask part m; 15 entries, 0 maps to 0."""

PART_TO_MASK: tuple[int, ...] = (
    0,
    *(next(m.index for m in MASK_PARTS if m.name == p.mask_name) for p in PARTS),
)
"""``PART_TO_MASK[i]`` is the mask part that chart i belongs to; 25 entries, 0 maps to 0."""


def part_index(name: str) -> int:
    """Return the label (1..24) of a part by its name, e.g. ``"left_foot"`` → 5.

    Raises:
        ValueError: no part has this name.
    """
    for part in PARTS:
        if part.name == name:
            return part.index
    known = ", ".join(part.name for part in PARTS)
    raise ValueError(f"unknown body part {name!r}; the parts are: {known}")
