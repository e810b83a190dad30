"""People told apart by colour."""

import numpy as np

from iuv.results import People
from iuv.visualize.draw import draw
from iuv.visualize.tracks import track_color
from sample_people import make_person

PHOTO = np.full((60, 90, 3), 100, dtype=np.uint8)


def person(x, number, score=0.9):
    return make_person((x, 20, 30, 30), image_size=(60, 90), track=number, score=score)


def test_colours_are_far_apart():
    colors = np.array([track_color(number) for number in range(1, 9)], dtype=int)
    far = np.abs(colors[:, None] - colors[None]).sum(axis=2) + 999 * np.eye(8, dtype=int)
    assert far.min() > 80
    assert track_color(3) == track_color(3)


def test_the_track_decides_the_colour_not_the_order():
    first = draw(PHOTO, People((60, 90), (person(2, 1), person(50, 2, 0.8))), "tracks")
    later = draw(PHOTO, People((60, 90), (person(50, 2), person(2, 1, 0.8))), "tracks")
    np.testing.assert_array_equal(first, later)
    assert tuple(first[45, 1]) == (100, 100, 100)
    assert (
        np.abs(first[45, 20].astype(int) - track_color(1)).sum()
        < np.abs(first[45, 20].astype(int) - track_color(2)).sum()
    )


def test_people_of_a_photo_are_numbered_in_order():
    numbered = draw(PHOTO, People((60, 90), (person(2, 1), person(50, 2, 0.8))), "tracks")
    plain = draw(PHOTO, People((60, 90), (person(2, None), person(50, None, 0.8))), "tracks")
    np.testing.assert_array_equal(numbered, plain)
    assert (draw(PHOTO, People((60, 90)), "tracks") == PHOTO).all()
