"""How far results are from the reference: by known differences."""

from __future__ import annotations

import numpy as np
import pytest

from iuv.bench.agreement import agreement
from iuv.bench.stages import Trace
from iuv.results import People, Person


def trace(*boxes, change=None):
    """People in these boxes, whose parts are 3 and U, V 0.5, some of it changed."""
    persons = []
    for x, y, w, h in boxes:
        labels, uv = np.full((h, w), 3, np.uint8), np.full((2, h, w), 0.5, np.float32)
        if change:
            change(labels, uv)
        box = np.array([x, y, x + w, y + h], np.float32)
        whole = tuple(int(side) for side in (x, y, w, h))
        person = Person(
            image_size=(100, 200), box_xyxy=box, score=0.9, box_xywh=whole, labels=labels, uv=uv
        )
        persons.append(person)
    people = People((100, 200), tuple(persons))
    return Trace({}, {}, [people.boxes_xyxy], [people])


def test_itself():
    found = agreement(trace((0, 0, 20, 40)), trace((0, 0, 20, 40)))
    assert (found.found_reference, found.found, found.matched) == (1, 1, 1)
    assert (found.shift_median, found.labels_equal, found.uv_error) == (0, 1, 0)


def test_pixels_of_another_part_and_other_u_and_v():
    def change(labels, uv):
        labels[:10, :] = 4
        uv[0, 10:] += 0.1
        uv[:, :10] = 9  # of another part, so not compared

    found = agreement(trace((0, 0, 20, 40)), trace((0, 0, 20, 40), change=change))
    assert found.labels_equal == 0.75
    assert found.uv_error == pytest.approx(0.05)


def test_a_box_that_moved():
    found = agreement(trace((10, 10, 20, 40)), trace((13, 8, 20, 40)))
    assert found.shift_median == found.shift_p95 == 3
    # both boxes cover 17 x 38, each of them 20 x 40
    assert found.labels_equal == pytest.approx(17 * 38 / (2 * 20 * 40 - 17 * 38))


def test_people_are_matched_whatever_their_order():
    ours = trace((0, 0, 20, 40), (50, 0, 20, 40), (100, 0, 20, 40))
    theirs = trace((101, 0, 20, 40), (0, 0, 20, 40), (150, 50, 20, 40))
    found = agreement(ours, theirs)
    assert (found.found_reference, found.found, found.matched) == (3, 3, 2)
    assert (found.shift_median, found.shift_p95) == (0.5, pytest.approx(0.95))


@pytest.mark.parametrize("others", [(), ((0, 0, 20, 40),)])
def test_nobody(others):
    found = agreement(trace(), trace(*others))
    assert (found.found_reference, found.found, found.matched) == (0, len(others), 0)
    assert found.shift_median is found.labels_equal is found.uv_error is None
