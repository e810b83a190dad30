"""What annotators would say of a picture agrees with what is seen in it."""

from __future__ import annotations

import numpy as np
import pytest

from iuv.bodyparts import PART_TO_MASK
from iuv.data.masks import decode_part_masks, decode_rle
from iuv.synth.annotations import CATEGORY, FEWEST_PIXELS, KEYPOINTS, SHORTEST_SIDE, annotate
from iuv.synth.render import Frame

HEIGHT, WIDTH = 80, 100
FAR = np.array([[-50.0] * 17, [-50.0] * 17, [3.0] * 17])  # key points outside of the picture


def empty() -> Frame:
    shape = (HEIGHT, WIDTH)
    return Frame(
        rgb=np.zeros((*shape, 3), np.uint8),
        part=np.zeros(shape, np.uint8),
        uv=np.zeros((2, *shape), np.float32),
        depth=np.full(shape, np.inf, np.float32),
        instance=np.zeros(shape, np.uint8),
    )


def paint(frame: Frame, rows: slice, columns: slice, *, part: int = 2, number: int = 1) -> Frame:
    """Somebody's part, 3 m away, with U and V all over it."""
    frame.instance[rows, columns] = number
    frame.part[rows, columns] = part
    frame.depth[rows, columns] = 3
    frame.uv[:, rows, columns] = np.random.default_rng(part).random(
        (2, *frame.part[rows, columns].shape), np.float32
    )
    return frame


def body() -> Frame:
    """Torso, head, and a hand of three pixels."""
    frame = paint(empty(), slice(30, 70), slice(20, 50))
    paint(frame, slice(10, 30), slice(28, 42), part=23)
    return paint(frame, slice(50, 51), slice(50, 53), part=4)


def say(frame: Frame, *keypoints: np.ndarray, seed: int = 0) -> list[dict]:
    return annotate(frame, list(keypoints or (FAR,)), np.random.default_rng(seed))


def test_box_and_mask_are_what_is_seen():
    frame = body()
    (person,) = say(frame)
    assert person["bbox"] == [20, 10, 33, 60]
    np.testing.assert_array_equal(decode_rle(person["segmentation"]), frame.instance)
    assert person["area"] == (frame.instance == 1).sum() == 40 * 30 + 20 * 14 + 3
    assert (person["category_id"], person["iscrowd"]) == (1, 0)


def test_specks_are_overlooked():
    frame = body()
    paint(frame, slice(0, 1), slice(95, 100), part=5)  # five pixels of 1488: a 298th
    (person,) = say(frame)
    assert person["bbox"] == [20, 10, 33, 60]
    assert 5 not in person["dp_I"]
    paint(frame, slice(0, 2), slice(95, 100), part=5)  # ten are not
    (person,) = say(frame)
    assert person["bbox"] == [20, 0, 80, 70]
    assert 5 in person["dp_I"]


def test_nobody_sees_the_hidden():
    assert say(empty()) == []
    frame = paint(body(), slice(0, 30), slice(70, 100), number=3)
    first, third = say(frame, FAR, FAR, FAR)  # the second is behind the others
    assert (first["bbox"], third["bbox"]) == ([20, 10, 33, 60], [70, 0, 30, 30])
    assert (first["id"], third["id"]) == (1, 3)


@pytest.mark.parametrize(
    ("rows", "columns", "grade"),
    [
        (SHORTEST_SIDE, 5, "points"),
        (SHORTEST_SIDE - 1, 23, "box"),
        (FEWEST_PIXELS // 4, 4, "points"),
        (33, 3, "box"),
        (4, 4, "box"),
        (3, 5, "crowd"),
    ],
)
def test_grades(rows, columns, grade):
    (person,) = say(paint(empty(), slice(0, rows), slice(0, columns)))
    assert ("dp_x" in person) == ("dp_masks" in person) == (grade == "points")
    assert person["iscrowd"] == (grade == "crowd")


def test_what_belongs_to_no_chart_counts_for_the_mask_alone():
    frame = paint(empty(), slice(0, 60), slice(0, 60), part=0)
    paint(frame, slice(0, 9), slice(0, 11))  # 99 pixels
    (person,) = say(frame)
    assert person["area"] == 3600
    assert "dp_I" not in person


def pixels_of(person: dict) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the picture that the points of a person lie in."""
    left, top, width, height = person["bbox"]
    x = left + np.array(person["dp_x"]) * width / 256
    y = top + np.array(person["dp_y"]) * height / 256
    return np.floor(y).astype(int), np.floor(x).astype(int)


@pytest.mark.parametrize("seed", range(5))
def test_points_say_what_is_seen_there(seed):
    frame = body()
    (person,) = say(frame, seed=seed)
    rows, columns = pixels_of(person)
    assert 100 <= len(rows) <= 180
    assert len(set(zip(rows, columns, strict=True))) == len(rows)
    assert frame.part[rows, columns].tolist() == person["dp_I"]
    np.testing.assert_allclose(frame.uv[0, rows, columns], person["dp_U"], atol=1e-5)
    np.testing.assert_allclose(frame.uv[1, rows, columns], person["dp_V"], atol=1e-5)


def test_points_are_shared_out_by_the_root_of_pixels():
    (person,) = say(body())
    counts = np.bincount(person["dp_I"], minlength=25)
    assert counts[4] == 3  # all there are
    assert counts[2] / counts[23] == pytest.approx((1200 / 280) ** 0.5, rel=0.1)


def test_few_pixels_all_become_points():
    (person,) = say(paint(empty(), slice(0, 25), slice(0, 4)), seed=3)
    assert len(person["dp_I"]) == 100
    assert set(zip(*pixels_of(person), strict=True)) == {
        (y, x) for y in range(25) for x in range(4)
    }


def test_points_are_spread():
    """Each quarter of a part has its share: at random alone, it would now and then be far off."""
    frame = paint(empty(), slice(0, 64), slice(0, 64))
    for seed in range(20):
        (person,) = say(frame, seed=seed)
        rows, columns = pixels_of(person)
        counts = np.bincount(2 * (rows // 32) + columns // 32, minlength=4)
        assert np.ptp(counts) <= 2


def test_part_masks_are_what_is_seen():
    frame = body()
    (person,) = say(frame)
    labels = decode_part_masks([mask or None for mask in person["dp_masks"]])
    left, top, width, height = map(int, person["bbox"])
    rows = top + ((np.arange(256) + 0.5) * height / 256).astype(int)
    columns = left + ((np.arange(256) + 0.5) * width / 256).astype(int)
    expected = np.array(PART_TO_MASK)[frame.part][rows[:, None], columns]
    np.testing.assert_array_equal(labels, expected)
    shown = [number for number, mask in enumerate(person["dp_masks"], start=1) if mask]
    assert (len(person["dp_masks"]), shown) == (14, [1, 3, 14])
    assert person["dp_masks"][1] == []


def keypoints_of(**places: tuple[float, float, float]) -> np.ndarray:
    points = FAR.copy()
    for name, place in places.items():
        points[:, KEYPOINTS.index(name)] = place
    return points


def visibility(person: dict, name: str) -> float:
    return person["keypoints"][3 * KEYPOINTS.index(name) + 2]


def test_key_points_are_seen_by_depth():
    frame = paint(body(), slice(60, 80), slice(0, 60), number=2)
    places = keypoints_of(
        nose=(30.04, 20.0, 3.0),
        left_eye=(32, 20, 3.2),  # on the other side of the head
        left_hip=(25, 55, 3.15),  # below the skin
        right_hip=(45, 65, 3.05),  # behind the second person
        left_knee=(90, 75, 3.0),  # behind something else
        right_knee=(50, 85, 3.0),
        left_ankle=(25, 55, -3.0),
    )
    person, _ = say(frame, places, FAR)
    assert person["keypoints"][:3] == [30.0, 20.0, 2]
    names = "left_eye", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle"
    assert [visibility(person, name) for name in names] == [1, 2, 1, 1, 0, 0]
    assert person["num_keypoints"] == 5
    assert len(person["keypoints"]) == 51
    assert person["keypoints"][-6:-3] == [0, 0, 0]


def test_key_points_at_the_edge_are_seen():
    """A pixel beside the silhouette: the ear's centre line, rounded."""
    (person,) = say(body(), keypoints_of(left_ear=(42, 20, 3.0), right_ear=(43, 20, 3.0)))
    assert [visibility(person, name) for name in ("left_ear", "right_ear")] == [2, 1]


def test_key_points_are_not_seen_through_others():
    """Neither through whoever stands before the silhouette, nor through one's other leg."""
    frame = paint(body(), slice(10, 30), slice(42, 60), number=2)
    frame.depth[frame.instance == 2] = 2.9
    paint(frame, slice(60, 70), slice(20, 35), part=14)  # left
    places = keypoints_of(
        left_ear=(42, 20, 3.0), left_ankle=(25, 65, 3.05), right_ankle=(26, 65, 3.05)
    )
    person, _ = say(frame, places, FAR)
    names = "left_ear", "left_ankle", "right_ankle"
    assert [visibility(person, name) for name in names] == [1, 2, 1]
    frame.depth[frame.instance == 2] = 3.1  # behind the ear
    person, _ = say(frame, places, FAR)
    assert visibility(person, "left_ear") == 2


def test_key_points_are_at_pixels():
    frame = paint(empty(), slice(0, 80), slice(0, 100))
    (person,) = say(frame, keypoints_of(nose=(-0.4, 79.4, 3.0), left_eye=(99.4, 3, 3.0)))
    assert person["keypoints"][:6] == [0, 79, 2, 99, 3, 2]


def test_the_category_is_coco():
    assert (len(KEYPOINTS), KEYPOINTS[0]) == (17, "nose")
    assert np.array(CATEGORY["skeleton"]).max() == 17
