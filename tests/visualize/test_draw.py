"""Drawings against the reference's own pictures."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from iuv.bodyparts import PART_MIRROR
from iuv.results import People, quantize_uv
from iuv.visualize.colors import PART_COLORS, grey_photo, label_colors
from iuv.visualize.draw import KINDS, draw
from sample_people import make_person, photo, picture, sample_people


def differs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a != b).any(-1)


@pytest.mark.parametrize("kind", ["segm", "u", "v"])
def test_maps_equal_the_reference(kind: str) -> None:
    drawn = draw(photo(), sample_people("inside"), kind)
    assert not differs(drawn, picture(f"dp_{kind}__inside")).any()


@pytest.mark.parametrize(("kind", "channel"), [("u", 0), ("v", 1)])
def test_values_outside_0_1_are_clamped_and_nothing_else_differs(kind: str, channel: int) -> None:
    people = sample_people("outside")
    wraps = np.zeros(people.image_size, dtype=bool)
    for person in people:
        image, maps = person.paste()
        scaled = person.uv[channel] * 255
        wraps[image] |= (((scaled < 0) | (scaled >= 256)) & (person.labels > 0))[maps]
    difference = differs(draw(photo(), people, kind), picture(f"dp_{kind}__outside"))
    assert wraps.sum() > 5000
    assert difference[wraps].mean() > 0.99
    assert not difference[~wraps].any()


def test_contours_equal_the_reference() -> None:
    difference = differs(
        draw(photo(), sample_people("inside"), "contour"), picture("dp_contour_custom__inside")
    )
    # Column 137 is where a line's end falls on a whole number, give or take a rounding error.
    assert difference.sum() <= 3
    assert not np.delete(difference, 137, axis=1).any()


def test_contours_of_values_outside_0_1_are_those_of_clamped_values() -> None:
    people = sample_people("outside")
    clamped = People(
        people.image_size,
        tuple(replace(p, uv=np.clip(p.uv, 0, 1)) for p in people),
    )
    drawn = draw(photo(), people, "contour")
    assert np.array_equal(drawn, draw(photo(), clamped, "contour"))
    wraps = np.zeros(people.image_size, dtype=np.uint8)
    for person in people:
        image, maps = person.paste()
        scaled = person.uv * 255
        wraps[image] |= (((scaled < 0) | (scaled >= 256)).any(0) & (person.labels > 0))[maps]
    far = cv2.dilate(wraps, np.ones((7, 7), np.uint8)) == 0
    # Further off, a wrapped value can only add or remove a level of its part.
    assert differs(drawn, picture("dp_contour_custom__outside"))[far].mean() < 0.005


def test_contour_of_a_ramp_is_where_it_should_be() -> None:
    ramp = np.linspace(0, 1, 101)
    person = make_person((10, 5, 101, 50), part=2, image_size=(60, 120), uv=(ramp, 0))
    black = np.zeros((60, 120, 3), dtype=np.uint8)
    drawn = draw(black, People((60, 120), (person,)), "contour").any((0, 2))
    # Levels 1/9 .. 9/9 of U; nothing is below level 0.
    columns = np.flatnonzero(drawn)
    assert len(columns) == 9
    assert np.abs(columns - [10 + 101 * k / 9 for k in range(1, 10)]).max() < 1.5


def test_boxes_equal_the_reference() -> None:
    drawn = draw(photo(), sample_people(), "bbox")
    text = differs(picture("bbox_with_text"), picture("bbox_no_text"))
    assert not differs(drawn, picture("bbox_no_text"))[~text].any()
    # Fonts differ a little between versions of OpenCV.
    assert differs(drawn, picture("bbox_no_text"))[text].mean() > 0.8


def test_kinds_chain_on_one_canvas() -> None:
    drawn = draw(photo(), sample_people(), "segm+bbox")
    text = differs(picture("bbox_with_text"), picture("bbox_no_text"))
    assert not differs(drawn, picture("dp_segm+bbox_no_text"))[~text].any()
    assert differs(draw(photo(), sample_people(), "bbox+segm"), drawn).any()


def test_overlay_keeps_the_photo_and_puts_the_best_on_top() -> None:
    people = sample_people()
    drawn = draw(photo(), people, "overlay")
    near = cv2.dilate(people.masks().any(0).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert np.array_equal(drawn[~near], photo()[~near])
    best = draw(photo(), people[:1], "overlay")
    inside = cv2.erode(people[0].mask().astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert inside.sum() > 1000
    assert np.array_equal(drawn[inside], best[inside])
    assert not np.array_equal(drawn, best)


def test_overlay_colours_the_right_side_warm_and_the_left_side_cool() -> None:
    red_minus_blue = PART_COLORS[:, 0].astype(int) - PART_COLORS[:, 2]
    right = [p for p in range(3, 25) if p not in (4, 5, 8, 10, 12, 14, 15, 17, 19, 21, 24)]
    assert (red_minus_blue[right] > 0).all()
    assert (red_minus_blue[[PART_MIRROR[p] for p in right]] < 0).all()
    assert len(np.unique(PART_COLORS, axis=0)) == 25


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_leaves_the_canvas_and_the_photo_is_never_touched(kind: str) -> None:
    image = photo()
    drawn = draw(image, People(image.shape[:2]), kind)
    assert np.array_equal(drawn, image if kind in ("overlay", "tracks") else grey_photo(image))
    draw(image, sample_people(), kind)
    assert np.array_equal(image, photo())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("box", [(-30, -20, 40, 35), (190, 160, 40, 35), (300, 300, 9, 9)])
def test_a_person_beyond_the_border_is_cut(kind: str, box: tuple[int, int, int, int]) -> None:
    person = make_person(box, part=7, image_size=photo().shape[:2])
    assert draw(photo(), People(person.image_size, (person,)), kind).shape == photo().shape


def test_the_colour_table_is_the_documented_one() -> None:
    assert label_colors("parula")[[0, 1, 24]].tolist() == [
        [53, 42, 135],
        [37, 60, 163],
        [249, 251, 14],
    ]
    assert label_colors("viridis")[[0, 1, 24]].tolist() == [
        [68, 1, 84],
        [71, 16, 99],
        [253, 231, 37],
    ]


def test_quantised_values_are_truncated_and_clamped() -> None:
    uv = np.array([-0.35, 0.0, 0.5, 0.999, 1.0, 1.3], dtype=np.float32)
    assert quantize_uv(uv).tolist() == [0, 0, 127, 254, 255, 255]


def test_an_unknown_kind_lists_the_kinds() -> None:
    with pytest.raises(ValueError, match=r"unknown drawing 'segment'; the kinds are overlay, segm"):
        draw(photo(), sample_people(), "segment")


def test_another_photo_is_refused() -> None:
    with pytest.raises(ValueError, match=r"found in an image .*\(176, 208\).*\(10, 20\)"):
        draw(np.zeros((10, 20, 3), dtype=np.uint8), sample_people())


@pytest.mark.parametrize("image", [np.zeros((176, 208), np.uint8), np.zeros((176, 208, 3))])
def test_what_is_not_rgb_bytes_is_refused(image: np.ndarray) -> None:
    with pytest.raises(
        ValueError, match=r"must be RGB, uint8 of shape \(H, W, 3\); got .*read_image"
    ):
        draw(image, sample_people())
