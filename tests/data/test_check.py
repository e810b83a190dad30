from __future__ import annotations

import json
import shutil

import pytest
from PIL import Image

from golden_data import ANNOTATIONS, document
from iuv.data.catalog import DataSource
from iuv.data.check import check_data


@pytest.fixture
def folder(tmp_path):
    """The golden images, to be spoilt."""
    for image in ANNOTATIONS.parent.glob("*.png"):
        shutil.copyfile(image, tmp_path / image.name)
    return tmp_path


def check(folder, content):
    path = folder / "people.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return check_data(DataSource(name="mine", annotations=path))


def found(result, kind):
    """What the problems of a kind say, with their severity."""
    return [f"{p.severity}: {p}" for p in result.problems if p.kind == kind]


def test_the_golden_data_set():
    calls = []
    source = DataSource(name="golden", annotations=ANNOTATIONS)
    result = check_data(source, lambda done, total: calls.append((done, total)))
    assert calls == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    assert result.counts == {
        "images": 5,
        "annotations": 10,
        "class person": 9,
        "class dog": 1,
        "crowds": 2,
        "with points": 5,
        "with part masks": 5,
        "with a mask": 8,
        "points": 57,
    }
    people, sizes, points, parts = result.histograms.values()
    assert people == {"0": 1, "1": 1, "2": 1, "3": 1, "4": 1, "5-9": 0, "10-19": 0, "20+": 0}
    assert list(sizes)[:2] == ["0-15", "16-31"]
    assert sum(sizes.values()) == 10
    assert sum(points.values()) == 5
    assert (points["1-24"], points["25-49"]) == (4, 1)
    assert len(parts) == 24
    assert sum(parts.values()) == 57
    assert (parts["4 left_hand"], parts["23 head_right"]) == (6, 0)
    assert result.by_kind("error") == {}
    assert {kind: len(problems) for kind, problems in result.by_kind("warning").items()} == {
        "polygon left out": 2,
        "incomplete points": 1,
        "box sticks out of the image": 1,
        "empty box": 1,
    }


def test_everything_is_found_in_one_go(folder):
    changed = document()
    first, second, crowd, *_ = changed["annotations"]
    first["dp_U"][3] = 1.7
    second["dp_I"][0] = 25
    second["dp_masks"][0] = {"size": [256, 256], "counts": "garbage!"}
    crowd["segmentation"]["counts"][0] += 1
    (folder / "im20.png").unlink()
    result = check(folder, changed)
    assert {kind: len(problems) for kind, problems in result.by_kind("error").items()} == {
        "mask that cannot be decoded": 2,
        "dp_U outside 0..1": 1,
        "unknown part": 1,
        "missing image": 1,
    }
    masks = "error: annotation 101 of image 11: dp_masks[0]: its counts are not run lengths in "
    assert found(result, "mask that cannot be decoded")[0].startswith(masks)
    crowds = "annotation 102 of image 11: segmentation: its run lengths must be 0 or more and cover"
    assert crowds in found(result, "mask that cannot be decoded")[1]
    assert result.counts["annotations"] == 7
    assert next(iter(result.by_kind("error"))) == "mask that cannot be decoded"  # twice: first


@pytest.mark.parametrize(
    ("box", "kind", "message"),
    [
        (
            [200, 0, 10, 10],
            "box outside the image",
            "error: annotation 100 of image 11: bbox: [200, 0, 10, 10] is outside the image of "
            "128 x 96 (width x height); correct it",
        ),
        ([0, -30, 10, 10], "box outside the image", "error: annotation 100 of image 11"),
        ([10, 10, 120, 10], "box sticks out of the image", "warning: annotation 100 of image 11"),
        ([-3, 10, 20, 10], "box sticks out of the image", "by 3.0"),
        ([10, 10, 118.9, 10], "box sticks out of the image", None),  # by rounding
        ([10, 10, 0, 10], "empty box", "warning: annotation 100 of image 11: bbox: [10, 10, 0,"),
    ],
)
def test_boxes(folder, box, kind, message):
    changed = document()
    changed["annotations"] = changed["annotations"][:1]
    changed["annotations"][0]["bbox"] = box
    problems = found(check(folder, changed), kind)
    assert len(problems) == (message is not None)
    assert not problems or message in problems[0]


def test_points(folder):
    changed = document()
    person = changed["annotations"][0]
    person["dp_x"][2], person["dp_y"][5], person["dp_I"][7] = -1, 256.5, 0
    result = check(folder, changed)
    assert not result.by_kind("error")
    (outside,) = found(result, "points outside the box")
    assert outside.startswith("warning: annotation 100 of image 11: dp_x, dp_y: expected 0..256")
    assert "2 of 26 points are not in it, such as [2] (-1, 30.2323)" in outside
    (background,) = found(result, "points on the background")
    assert "dp_I: 1 of 26 points have part 0" in background


def test_images(folder):
    turned = Image.open(folder / "im5.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(folder / "im5.png", exif=exif)
    cut = (folder / "im11.png").read_bytes()
    (folder / "im11.png").write_bytes(cut[: len(cut) // 2])
    Image.new("RGB", (50, 60)).save(folder / "im30.png")
    result = check(folder, document())
    turned, other = found(result, "image of another size")
    assert turned.startswith("error: image 5: ")
    assert "expected 90 x 120 pixels (width x height), got 120 x 90; if its EXIF" in turned
    assert other.endswith("im30.png: expected 64 x 48 pixels (width x height), got 50 x 60")
    (unreadable,) = found(result, "unreadable image")
    assert "im11.png: damaged or incomplete" in unreadable


def test_a_file_name_beyond_all_bounds(folder):
    changed = document()
    changed["images"][0]["file_name"] = "x" * 1000
    assert len(found(check(folder, changed), "missing image")) == 1


def test_half_a_file(folder):
    result = check(folder, ANNOTATIONS.read_text(encoding="utf-8")[:5000])
    (problem,) = result.problems
    assert (problem.severity, problem.where) == ("error", "")
    assert str(problem).startswith("not complete, valid JSON (")
    assert (result.counts, result.histograms) == ({}, {})


def test_nobody_has_points(folder):
    changed = document()
    changed["annotations"] = []
    result = check(folder, changed)
    assert found(result, "no points") == [
        "warning: nobody has DensePose points; they are what training and scoring need"
    ]
    assert result.counts["points"] == 0
