"""Frames in, people with numbers out: with a network that says what it is told."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import flicker
from clips import textured
from iuv.results import People
from iuv.video import Chosen, Frame, PeopleTracker, track
from sample_people import make_person
from staged import Scripted

SIZE = (64, 80)


def people_of(network, count, **options):
    tracker = PeopleTracker(network, **options)
    return [tracker(textured(index)) for index in range(count)]


def moving(index, score=0.9):
    """The box of something that moves as the texture does."""
    return (20 + 2 * index, 10 + index, 50 + 2 * index, 50 + index, score)


def test_numbers_boxes_and_surfaces():
    script = [[moving(i), (0, 0, 9, 30, 0.95)] for i in range(4)]
    found = people_of(Scripted(*script), 4, smooth=0)
    for index, people in enumerate(found):
        assert [person.track for person in people] == [2, 1]  # best score first
        np.testing.assert_array_equal(people.boxes_xyxy[1], moving(index)[:4])
        assert (people[1].labels == 2).all()


def test_detection_now_and_then_follows_the_picture():
    network = Scripted(*([moving(i)] for i in range(9)))
    found = people_of(network, 9, smooth=0.5, every=4)
    assert network.finds == 3
    for index, people in enumerate(found):
        assert [person.track for person in people] == [1]
        np.testing.assert_allclose(people.boxes_xyxy[0], moving(index)[:4], atol=2)


def test_smoothed_boxes_are_whole_pixels():
    """So that the read-out, which truncates, does not move the surface."""
    network = Scripted(*([(20.4, 10.3, 50.7, 50.6, 0.9)] for _ in range(2)))
    tracker = PeopleTracker(network, smooth=0.5)
    tracker(textured(0))
    people = tracker(textured(0))
    np.testing.assert_array_equal(people.boxes_xyxy[0], (20, 10, 51, 51))
    assert people[0].box_xywh == (20, 10, 31, 41)
    np.testing.assert_array_equal(network.asked[1][0], (20, 10, 51, 51))


def test_who_is_missed_once_is_still_shown_where_the_picture_goes():
    script = [[moving(i)] if i != 4 else [] for i in range(6)]
    found = people_of(Scripted(*script), 6, smooth=0.5)
    assert [len(people) for people in found] == [1] * 6
    np.testing.assert_allclose(found[4].boxes_xyxy[0], moving(4)[:4], atol=2)


def test_who_leaves_the_picture_is_gone():
    network = Scripted(*([(90, 10, 99, 50, 0.9)] for _ in range(2)))  # right of it
    assert [len(people) for people in people_of(network, 2)] == [0, 0]
    assert network.asked == []


def test_nobody():
    assert [len(people) for people in people_of(Scripted([], [], []), 3, every=2)] == [0, 0, 0]


def test_scores_are_steady_so_that_nobody_jumps_to_the_front():
    script = [[moving(0, 0.9), (0, 0, 9, 30, 0.8)] for _ in range(8)]
    script[5] = [(0, 0, 9, 30, 0.92), moving(0, 0.85)]
    order = [[p.track for p in people] for people in people_of(Scripted(*script), 8, smooth=0.7)]
    assert order == [[1, 2]] * 8
    jumps = [[p.track for p in people] for people in people_of(Scripted(*script), 8, smooth=0)]
    assert jumps[5] == [2, 1]


def test_without_smoothing_it_is_the_plain_prediction(tiny):
    image = textured(0)
    for _, people in track(tiny, [Frame(image, i, Fraction(i, 25)) for i in range(2)], smooth=0):
        plain = tiny(image)
        np.testing.assert_allclose(people.boxes_xyxy, plain.boxes_xyxy, atol=1e-4)
        assert (people.iuv() == plain.iuv()).mean() > 0.99
        assert all(person.track for person in people)


@pytest.mark.parametrize("options", [{"smooth": 1.0}, {"smooth": -0.1}, {"every": 0}])
def test_wrong_numbers(options):
    with pytest.raises(ValueError, match="smooth must be at least 0 and below 1, and every at"):
        PeopleTracker(Scripted(), **options)


def test_frames_of_another_size():
    tracker = PeopleTracker(Scripted([moving(0)], [moving(0)]))
    tracker(textured(0))
    with pytest.raises(ValueError, match=r"one size: got \(50, 80\) after \(64, 80\)"):
        tracker(textured(0)[:50])


# Whom to show


def crowd(*tracks):
    """People of these tracks, best first, each smaller than the one before."""
    persons = [
        make_person((0, 0, 8 - k, 6), score=0.9 - 0.1 * k, image_size=SIZE, track=number)
        for k, number in enumerate(tracks)
    ]
    return People(SIZE, tuple(persons))


@pytest.mark.parametrize(("which", "first"), [("best", 4), ("largest", 4), (1, 7)])
def test_the_chosen_one_is_followed(which, first):
    chosen = Chosen(which)
    assert [p.track for p in chosen(crowd(4, 7))] == [first]
    assert [p.track for p in chosen(crowd(7, 4))] == [first]  # now the other is better
    assert len(chosen(crowd(9))) == 0  # a gap is no reason to change
    assert [p.track for p in chosen(crowd(9, first))] == [first]


def test_who_is_away_for_long_is_replaced():
    chosen = Chosen("best")
    chosen(crowd(4))
    shown = [len(chosen(crowd(9))) for _ in range(27)]
    assert shown == [0] * 25 + [1, 1]


def test_all_and_nobody():
    assert len(Chosen("all")(crowd(1, 2, 3))) == 3
    assert len(Chosen("best")(crowd())) == 0


# Flicker against truth: benchmarks/flicker.py in small


@pytest.fixture(scope="module")
def clip():
    return flicker.make_clip(0, 8, 96)


def test_smoothing_halves_flicker_and_raises_no_error(clip):
    plain, steady = (
        flicker.figures([clip], lambda _: flicker.NoisyTruth(clip, seed=1), smooth=smooth)
        for smooth in (0, 0.7)
    )
    labels, _, uv, box = (steady / plain)[:4]
    assert max(labels, uv) < 0.65
    assert box < 0.85
    assert (steady[4:8] < plain[4:8]).all()


def test_flicker_of_the_truth_is_next_to_none(clip):
    """And what is measured is not lost on the way: without noise, all figures are small."""
    exact = {"box": 0.0, "score": 0.0, "label": 0.0, "uv": 0.0}
    quiet, noisy = (
        flicker.figures([clip], lambda _, a=a: flicker.NoisyTruth(clip, seed=1, **a), smooth=0)
        for a in (exact, {})
    )
    assert (quiet[:3] < 0.4 * noisy[:3]).all()
    assert quiet[8] == 0


def test_places_of_the_surface_are_the_same_ones(clip):
    first, second = clip.truths[2:4]
    (y0, x0), (y1, x1) = flicker.same_places(first, second)
    assert len(y0) > 0.7 * (first.part > 0).sum()
    np.testing.assert_array_equal(first.part[y0, x0], second.part[y1, x1])
    assert np.abs(first.uv[:, y0, x0] - second.uv[:, y1, x1]).max() < 0.06
