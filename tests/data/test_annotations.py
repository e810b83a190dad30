from __future__ import annotations

import json

import numpy as np
import pytest

from golden_data import document
from iuv.data.annotations import pack_numbers, parse_annotation
from iuv.data.problems import Fields


def parse(annotation):
    """Read an annotation of an image of 96 x 128; return it and what was said about it."""
    problems = []
    fields = Fields(annotation, "annotation 100 of image 11", problems.append)
    parsed = parse_annotation(fields, id=100, category=0, height=96, width=128)
    return parsed, [str(problem) for problem in problems], [p.severity for p in problems]


@pytest.fixture
def annotation():
    return document()["annotations"][0]


SMALL = {"size": [128, 128], "counts": [128 * 128]}
BAD = [
    ("bbox", None, r"bbox: expected \[left, top, width, height\] .* got None"),
    ("bbox", [1, 2, 3], r"bbox: .* got \[1, 2, 3\]"),
    ("bbox", [1, 2, -3, 4], r"bbox: .* from 0 on, each below 1e\+06, got \[1, 2, -3, 4\]"),
    ("bbox", [-1e6, 2, 3, 4], r"bbox: .* each below 1e\+06, got \[-1000000.0, 2, 3, 4\]"),
    ("bbox", [1, 2, float("nan"), 4], r"bbox: .* got \[1, 2, nan, 4\]"),
    ("bbox", ["1", 2, 3, 4], r"bbox: .* got \['1', 2, 3, 4\]"),
    ("area", -1, "area: expected a number of pixels from 0 on, got -1"),
    ("area", "big", "area: .* got 'big'"),
    ("iscrowd", 2, "iscrowd: expected 0 or 1, got 2"),
    ("ignore", 1, "ignore: expected 0, got 1; remove the annotation, or make it a crowd"),
    ("segmentation", 7, "segmentation: expected a list of polygons or a run-length mask, got 7"),
    ("segmentation", [["a"]], r"segmentation\[0\]: expected x0, y0"),
    ("segmentation", [[1, 2, 3, 4, 5, float("nan")]], r"segmentation\[0\]: expected x0, y0"),
    ("segmentation", [[1, 2, 3, 4, 5, 1e12]], r"segmentation\[0\]: expected x0, .* of the image"),
    ("segmentation", {"size": [96, 128]}, "segmentation: expected a run-length mask"),
    ("segmentation", SMALL, r"segmentation: expected the image's size \[96, 128\] .* \[128, 128\]"),
    ("dp_masks", "x", "dp_masks: expected a mask or a list of at most 14, got 'x'"),
    ("dp_masks", [[]] * 15, "dp_masks: expected a mask or a list of at most 14, got 15 masks"),
    ("dp_masks", [[], SMALL], r"dp_masks\[1\]: expected the frame of the box, size \[256, 256\]"),
    ("dp_masks", [[], [5]], r"dp_masks\[1\]: expected a run-length mask \(size, counts\), got \[5"),
    ("dp_masks", SMALL, r"dp_masks: expected the frame of the box, size .* \[128, 128\]"),
    ("dp_x", [1, 2], "expected as many numbers, got 2 in dp_x, 26 in dp_y, 26 in dp_I, 26 in dp_U"),
    ("dp_y", ["a"] * 26, r"dp_y: expected a list of numbers, got \['a'"),
    ("dp_y", [[1, 2], [3]], "dp_y: expected a list of numbers"),
    ("dp_y", [None] * 26, "dp_y: expected a list of numbers"),
    ("dp_y", 5, "dp_y: expected a list of numbers, got 5"),
    ("dp_y", [1, float("nan")], r"dp_y\[1\]: expected a number, got nan"),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD)
def test_bad_field(annotation, name, value, message):
    annotation[name] = value
    parsed, problems, severities = parse(annotation)
    assert parsed is None
    assert severities == ["error"]
    assert problems[0].startswith("annotation 100 of image 11: ")
    (problem,) = problems
    assert_matches(problem, message)


def assert_matches(text, pattern):
    with pytest.raises(ValueError, match=pattern):
        raise ValueError(text)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("dp_U", 1.7, r"dp_U\[3\]: expected 0\.\.1, got 1\.7"),
        ("dp_V", -0.1, r"dp_V\[3\]: expected 0\.\.1, got -0\.1"),
        ("dp_I", 25, r"dp_I\[3\]: expected a part 1\.\.24 or 0 for background, got 25"),
        ("dp_I", -1, r"dp_I\[3\]: expected a part .* got -1"),
        ("dp_I", 1e300, r"dp_I\[3\]: expected a part .* got 1e\+300"),
        ("dp_I", 1.5, r"dp_I\[3\]: expected a part .* got 1\.5"),
        ("dp_x", "1.5", "dp_x: expected a list of numbers"),
        ("dp_x", float("inf"), r"dp_x\[3\]: expected a number, got inf"),
    ],
)
def test_bad_point(annotation, name, value, message, packed):
    annotation[name][3] = value
    if packed:
        annotation = pack_numbers(annotation)
    parsed, (problem,), severities = parse(annotation)
    assert parsed is None
    assert severities == ["error"]
    assert_matches(problem, message)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("area", None, "area: missing; the box's is taken"),
        ("keypoints", [1, 2], "keypoints: no list of x, y, visibility; left out"),
        ("dp_U", None, "there are points, but no dp_U; its points are left out"),
        ("segmentation", [[1, 2, 3, 4]], r"segmentation\[0\]: .* got 4 numbers; left out"),
        ("segmentation", [[1, 2, 3, 4, 5, 6, 7]], r"segmentation\[0\]: .* got 7 numbers; left out"),
    ],
)
def test_odd_field(annotation, name, value, message):
    annotation[name] = value
    parsed, (problem,), severities = parse(annotation)
    assert parsed is not None
    assert severities == ["warning"]
    assert_matches(problem, message)


def test_all_errors_of_an_annotation(annotation):
    annotation |= {"bbox": [], "area": "", "iscrowd": 3, "dp_masks": 3, "dp_x": 3}
    parsed, problems, _ = parse(annotation)
    assert parsed is None
    assert len(problems) == 5


def test_whole_numbers_are_numbers(annotation):
    annotation["dp_I"] = [int(label) for label in annotation["dp_I"]]
    parsed, problems, _ = parse(annotation)
    assert not problems
    assert parsed.points.labels.tolist() == annotation["dp_I"]


def test_packing_leaves_what_is_no_list_of_numbers():
    text = (
        '{"dp_x": [1, 2.5], "dp_y": ["1"], "dp_I": 4, "other": [1.0], "segmentation": [[1, 2], 3]}'
    )
    values = json.loads(text, object_hook=pack_numbers)
    assert isinstance(values["dp_x"], np.ndarray)
    assert values["dp_x"].tolist() == [1, 2.5]
    assert (values["dp_y"], values["dp_I"], values["other"]) == (["1"], 4, [1.0])
    assert isinstance(values["segmentation"][0], np.ndarray)
    assert values["segmentation"][1] == 3
