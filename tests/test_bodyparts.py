from __future__ import annotations

import pytest

from iuv.bodyparts import (
    MASK_MIRROR,
    MASK_PARTS,
    NUM_PARTS,
    PART_MIRROR,
    PART_TO_MASK,
    PARTS,
    part_index,
)

# Independent of bodyparts.py: the reference's tables, and where each chart lies on a body that
# stands upright with its front to us (measured; x grows to the subject's left).
POINT_SYMMETRIES = [0, 1, 2, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11]
POINT_SYMMETRIES += [14, 13, 16, 15, 18, 17, 20, 19, 22, 21, 24, 23]
MASK_SYMMETRIES = [0, 1, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 14]
LEFT = {4, 5, 8, 10, 12, 14, 15, 17, 19, 21, 24}
RIGHT = {3, 6, 7, 9, 11, 13, 16, 18, 20, 22, 23}
CHARTS_OF_MASK = [
    {0},
    {1, 2},
    {3},
    {4},
    {5},
    {6},
    {7, 9},
    {8, 10},
    {11, 13},
    {12, 14},
    {15, 17},
    {16, 18},
    {19, 21},
    {20, 22},
    {23, 24},
]


def test_mirror_tables_equal_the_reference():
    assert list(PART_MIRROR) == POINT_SYMMETRIES
    assert list(MASK_MIRROR) == MASK_SYMMETRIES


def test_sides():
    assert {part.index for part in PARTS if part.side == "left"} == LEFT
    assert {part.index for part in PARTS if part.side == "right"} == RIGHT
    for part in (*PARTS, *MASK_PARTS):
        assert (part.side == "both") == ("left" not in part.name and "right" not in part.name)
        assert part.side == "both" or part.side in part.name


def test_charts_of_each_mask_part():
    charts = [{i for i, mask in enumerate(PART_TO_MASK) if mask == m} for m in range(15)]
    assert charts == CHARTS_OF_MASK


def test_mirroring_a_chart_mirrors_its_mask_part():
    for part in range(NUM_PARTS + 1):
        assert PART_TO_MASK[PART_MIRROR[part]] == MASK_MIRROR[PART_TO_MASK[part]]


def test_indices_and_names():
    assert [part.index for part in PARTS] == list(range(1, 25))
    assert [part.index for part in MASK_PARTS] == list(range(1, 15))
    assert len({part.name for part in PARTS}) == NUM_PARTS == 24
    for part in PARTS:
        assert part_index(part.name) == part.index


def test_part_5_is_the_left_foot():
    assert part_index("left_foot") == 5
    assert part_index("right_foot") == 6


def test_unknown_part():
    with pytest.raises(ValueError, match=r"^unknown body part 'tail'; the parts are: torso_back, "):
        part_index("tail")
