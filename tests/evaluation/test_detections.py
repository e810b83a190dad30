"""Detections from people; what does not fit together is refused."""

from __future__ import annotations

import numpy as np
import pytest

from iuv.evaluation.detections import Detections, map_size
from iuv.results import People, quantize_uv
from sample_people import make_person


def test_of_people():
    person, other = make_person(), make_person(class_index=3)
    found = Detections.of(People(person.image_size, (other, person)))
    x0, y0, x1, y1 = person.box_xyxy
    assert found.classes.tolist() == [3, 0]
    assert found.scores.tolist() == [np.float32(person.score)] * 2
    assert found.boxes_xywh[0].tolist() == [x0, y0, x1 - x0, y1 - y0]
    assert found.boxes_xywh.dtype == np.float64
    np.testing.assert_array_equal(found.maps[1][0], person.labels)
    np.testing.assert_array_equal(found.maps[1][1:], quantize_uv(person.uv))


def test_nobody():
    for found in (Detections.of(People((6, 8))), Detections.none()):
        assert len(found) == 0
        assert found.boxes_xywh.shape == (0, 4)


@pytest.mark.parametrize(
    ("width", "height", "size"), [(5.9, 4.1, (4, 5)), (0.5, 3, (3, 1)), (-2, 0, (1, 1))]
)
def test_map_size(width, height, size):
    assert map_size(np.array([1, 2, width, height], np.float64)) == size


FIELDS = {
    "classes": np.zeros(2, np.int64),
    "scores": np.ones(2),
    "boxes_xywh": np.array([[0, 0, 3.5, 2.5]] * 2),
    "maps": (np.zeros((3, 2, 3), np.uint8),) * 2,
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"classes": np.zeros(3, np.int64)},
            r"classes must be int64 of shape \(2,\), got .*\(3,\)",
        ),
        ({"scores": np.ones(2, np.float32)}, r"scores must be float64 .*, got float32"),
        ({"boxes_xywh": np.ones((2, 5))}, r"boxes_xywh must be float64 of shape \(2, 4\)"),
        ({"scores": np.array([1, np.nan])}, r"scores must be finite, .*, got \[1.0, nan\]"),
        ({"boxes_xywh": np.full((2, 4), 1e10)}, "boxes_xywh must be finite, and below 1e9"),
        ({"maps": FIELDS["maps"][:1]}, "2 detections cannot have 1 maps"),
        ({"masks": ({},) * 3}, "2 detections cannot have 3 masks"),
        (
            {"maps": (np.zeros((3, 2, 3), np.uint8), np.zeros((3, 2, 4), np.uint8))},
            r"map of detection 1 must be uint8 of shape \(3, 2, 3\), as its box says, got .*4\)",
        ),
        ({"maps": (np.zeros((3, 2, 3)),) * 2}, "map of detection 0 must be uint8 .* got float64"),
        (
            {"maps": (np.full((3, 2, 3), 25, np.uint8),) * 2},
            r"labels of detection 0 must lie in 0\.\.24, got 25",
        ),
    ],
)
def test_unfit_fields(changes, message):
    with pytest.raises(ValueError, match=message):
        Detections(**FIELDS | changes)
