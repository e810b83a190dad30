from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from iuv.results import CONFIDENCE_FIELDS, People, quantize_uv
from sample_people import make_person

SIZE = (6, 8)  # H, W, of `make_person`


def people(*persons):
    return People(SIZE, persons)


THREE = people(
    make_person((0, 0, 2, 2), part=1, score=0.9),
    make_person((1, 1, 4, 4), part=2, score=0.8),
    make_person((4, 3, 2, 2), part=3, score=0.7),
)


def test_uv_is_clamped_and_truncated():
    uv = np.float32([-0.5, 0.0, 0.999, 1.0, 1.5, 1 / 255, 127.99 / 255])
    assert quantize_uv(uv).tolist() == [0, 0, 254, 255, 255, 1, 127]
    assert quantize_uv(uv).dtype == np.uint8


def test_every_byte_survives_a_round_trip():
    exact = np.arange(256, dtype=np.float32)
    assert quantize_uv((exact + np.float32(0.5)) / np.float32(255)).tolist() == list(range(256))


def test_iuv_of_a_person():
    person = make_person((1, 2, 3, 2), part=np.array([[7, 0, 7], [7, 7, 7]]))
    iuv = person.iuv()
    assert (iuv.shape, iuv.dtype) == ((*SIZE, 3), np.uint8)
    assert iuv[2:4, 1:4].tolist() == person.iuv_crop().tolist()
    assert iuv[2, 1].tolist() == [7, 127, 63]
    assert iuv[2, 2].tolist() == [0, 0, 0]
    assert np.count_nonzero(iuv[..., 0]) == 5
    assert np.array_equal(person.mask(), iuv[..., 0] == 7)


@pytest.mark.parametrize("x", range(-6, 12))
@pytest.mark.parametrize("y", [-5, -2, 0, 1, 5, 9])
def test_paste_cuts_at_the_borders(x, y):
    w, h = 4, 3
    labels = np.arange(1, 13).reshape(h, w)
    person = make_person((x, y, w, h), part=labels)
    expected = np.zeros(SIZE, dtype=np.uint8)
    for row in range(h):
        for column in range(w):
            if 0 <= y + row < SIZE[0] and 0 <= x + column < SIZE[1]:
                expected[y + row, x + column] = labels[row, column]
    image, maps = person.paste()
    canvas = np.zeros(SIZE, dtype=np.uint8)
    canvas[image] = person.labels[maps]
    assert np.array_equal(canvas, expected)
    assert np.array_equal(person.iuv()[..., 0], expected)
    assert np.array_equal(person.mask(), expected > 0)
    assert np.array_equal(people(person).iuv()[..., 0], expected)
    assert np.array_equal(people(person).instance_map(), expected > 0)


def test_a_box_larger_than_the_image():
    person = make_person((-3, -4, 20, 20), part=9)
    assert (person.iuv()[..., 0] == 9).all()


def test_the_better_score_is_on_top():
    iuv = THREE.iuv()
    assert iuv[0:2, 0:2, 0].tolist() == [[1, 1], [1, 1]]
    assert iuv[1, 2, 0] == 2
    assert iuv[3:5, 4:6, 0].tolist() == [[2, 3], [2, 3]]
    assert np.array_equal(THREE.label_map(), iuv[..., 0])
    assert np.array_equal(THREE.instance_map(), iuv[..., 0])  # persons 1, 2, 3 show parts 1, 2, 3
    assert THREE.instance_map().dtype == np.int32


def test_background_inside_a_better_box_does_not_hide_others():
    hole = make_person((0, 0, 3, 1), part=np.array([[5, 0, 5]]), score=0.9)
    below = make_person((0, 0, 3, 1), part=6, score=0.8)
    assert people(hole, below).iuv()[0, :3, 0].tolist() == [5, 6, 5]
    assert people(hole, below).instance_map()[0, :3].tolist() == [1, 2, 1]


def test_masks_show_each_person_whole():
    masks = THREE.masks()
    assert (masks.shape, masks.dtype) == ((3, *SIZE), np.bool_)
    assert masks.sum(axis=(1, 2)).tolist() == [4, 16, 4]


def test_boxes_and_scores():
    assert THREE.boxes_xyxy.tolist() == [[0, 0, 2, 2], [1, 1, 5, 5], [4, 3, 6, 5]]
    assert THREE.boxes_xyxy.dtype == THREE.scores.dtype == np.float32
    assert THREE.scores.tolist() == pytest.approx([0.9, 0.8, 0.7])


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (slice(1, None), [1, 2]),
        (slice(None, None, -1), [2, 1, 0]),
        ([2, 0], [2, 0]),
        ([-1], [2]),
        ([], []),
        (np.array([True, False, True]), [0, 2]),
        ([False, True, False], [1]),
        (np.array([1, 1]), [1, 1]),
        (np.zeros(0, dtype=np.float64), []),
    ],
)
def test_indexing_with_many_gives_people(key, expected):
    chosen = THREE[key]
    assert isinstance(chosen, People)
    assert chosen.image_size == SIZE
    assert [THREE.persons.index(person) for person in chosen] == expected


def test_indexing_with_one_gives_a_person():
    assert THREE[0] is THREE.persons[0]
    assert THREE[-1] is THREE[np.int64(2)] is THREE.persons[2]
    assert list(THREE) == list(THREE.persons)
    assert len(THREE) == 3
    with pytest.raises(IndexError):
        THREE[3]
    with pytest.raises(IndexError):
        THREE[[True]]


@pytest.mark.parametrize(
    ("which", "expected"),
    [("all", [0, 1, 2]), ("best", [0]), ("largest", [1]), (0, [0]), (2, [2]), (3, [])],
)
def test_select(which, expected):
    assert [THREE.persons.index(person) for person in THREE.select(which)] == expected
    assert len(people().select(which)) == 0


@pytest.mark.parametrize("which", ["worst", -1, None, 1.0])
def test_select_refuses(which):
    with pytest.raises(ValueError, match=r"cannot select people by .*; use 'best', 'largest', "):
        THREE.select(which)


def test_nobody_never_raises():
    nobody = people()
    assert len(nobody) == 0
    assert list(nobody) == []
    assert nobody.boxes_xyxy.shape == (0, 4)
    assert nobody.boxes_xyxy.dtype == nobody.scores.dtype == np.float32
    assert nobody.scores.shape == (0,)
    assert nobody.iuv().shape == (*SIZE, 3)
    assert not nobody.iuv().any()
    assert not nobody.label_map().any()
    assert not nobody.instance_map().any()
    assert nobody.masks().shape == (0, *SIZE)
    assert len(nobody[:1]) == len(nobody[[]]) == len(nobody[nobody.scores > 0.5]) == 0
    assert repr(nobody) == "People(0 in 8x6; scores -)"
    assert repr(THREE) == "People(3 in 8x6; scores 0.90, 0.80, 0.70)"


def test_confidences():
    assert make_person().confidences() == {}
    maps = {name: np.full((2, 3), i, dtype=np.float32) for i, name in enumerate(CONFIDENCE_FIELDS)}
    person = make_person(**maps)
    assert list(person.confidences()) == list(CONFIDENCE_FIELDS)
    assert person.confidences()["kappa_v"] is maps["kappa_v"]
    assert list(make_person(sigma_2=maps["sigma_2"]).confidences()) == ["sigma_2"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"box_xyxy": np.zeros(5, dtype=np.float32)},
            r"box_xyxy must be float32 of shape \(4,\), got float32 of shape \(5,",
        ),
        ({"box_xyxy": np.zeros(4)}, r"box_xyxy must be float32 .*, got float64"),
        (
            {"labels": np.zeros((3, 2), dtype=np.uint8)},
            r"labels must be uint8 of shape \(2, 3\) .*, got uint8 of shape \(3, 2\)",
        ),
        ({"labels": np.zeros((2, 3), dtype=np.int64)}, r"labels must be uint8 .*, got int64"),
        (
            {"uv": np.zeros((2, 3), dtype=np.float32)},
            r"uv must be float32 of shape \(2, 2, 3\), got float32 of shape \(2, 3",
        ),
        (
            {"kappa_u": np.zeros((1, 2), dtype=np.float32)},
            r"kappa_u must be float32 of shape \(2, 3\), got float32 of shape \(1, 2\)",
        ),
    ],
)
def test_persons_with_maps_that_do_not_fit(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(make_person(), **fields)


def test_people_of_another_image():
    with pytest.raises(ValueError, match=r"of size \(5, 5\) cannot be among .* of size \(6, 8\)"):
        people(make_person(), make_person(image_size=(5, 5)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"box_xyxy": np.array([0, 0, np.inf, 1], np.float32)}, "box_xyxy must be finite"),
        ({"box_xywh": (0.0, 0.0, 3.0, 2.0)}, "box_xywh must be whole pixels"),
        ({"labels": np.full((2, 3), 25, np.uint8)}, r"labels must lie in 0\.\.24, got 25"),
        ({"class_index": -1}, "class_index must be 0 or more, got -1"),
    ],
)
def test_values_that_would_break_later_are_refused_at_once(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(make_person(), **fields)


def test_a_person_without_pixels_is_refused():
    empty = {"labels": np.zeros((0, 0), np.uint8), "uv": np.zeros((2, 0, 0), np.float32)}
    with pytest.raises(ValueError, match="width and height at least 1"):
        dataclasses.replace(make_person(), box_xywh=(0, 0, 0, 0), **empty)


@pytest.mark.parametrize("size", [(-1, 5), (1.5, 2), ("a", "b"), (10**30, 1)])
def test_the_size_of_the_image_is_checked(size):
    with pytest.raises(ValueError, match="image_size must be whole numbers"):
        People(size)
