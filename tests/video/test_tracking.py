"""Who is who: pairing boxes, smoothing them, keeping numbers."""

from __future__ import annotations

import numpy as np
import pytest

from iuv.video.tracking import Found, Tracker, iou_matrix, match_boxes, one_euro


def boxes(*rows):
    return np.array(rows, dtype=np.float32).reshape(-1, 4)


def found(*rows, scores=None):
    scores = [0.9] * len(rows) if scores is None else scores
    return Found(boxes(*rows), np.float32(scores), np.zeros(len(rows), dtype=np.int64))


LEFT, RIGHT = (0, 0, 10, 20), (50, 0, 60, 20)


def test_iou():
    expected = [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 0]]
    three = boxes((0, 0, 10, 10), (5, 0, 15, 10), (3, 3, 3, 3))
    np.testing.assert_allclose(iou_matrix(three, three), expected, atol=1e-6)
    assert iou_matrix(boxes(), three).shape == (0, 3)


def test_matching_is_best_in_sum_not_greedy():
    """Greedy would give the first track its best box and leave the second without."""
    tracks = boxes((0, 0, 10, 10), (3, 0, 13, 10))
    seen = boxes((2, 0, 12, 10), (-4, 0, 6, 10))
    assert match_boxes(tracks, seen) == [(0, 1), (1, 0)]


def test_matching_needs_overlap():
    assert match_boxes(boxes(LEFT), boxes(RIGHT)) == []
    assert match_boxes(boxes(LEFT, RIGHT), boxes((51, 0, 61, 20))) == [(1, 0)]
    assert match_boxes(boxes(), boxes(LEFT)) == []


def run_filter(values, *, cutoff=1.0, beta=8.0):
    smoothed, speed, out = values[0], np.zeros(1, np.float32), []
    for value in values:
        smoothed, speed = one_euro(smoothed, speed, value, seconds=0.04, cutoff=cutoff, beta=beta)
        out.append(smoothed)
    return np.array(out)


def test_one_euro_is_steady_at_rest():
    noise = np.random.default_rng(0).normal(0, 0.01, (300, 1)).astype(np.float32)
    assert run_filter(noise)[50:].std() < 0.45 * noise.std()


def test_one_euro_follows_the_faster_the_faster():
    ramp = np.arange(100, dtype=np.float32)[:, None] * 0.04  # one unit per second
    lag = (ramp - run_filter(ramp))[-1, 0]
    stiff = (ramp - run_filter(ramp, beta=0.0))[-1, 0]
    assert lag < 0.04
    assert stiff > 0.12


def test_one_euro_equals_its_definition_at_rest():
    """Without speed, it is an exponential filter of the cut-off frequency."""
    value, _ = one_euro(
        np.zeros(1, np.float32), np.zeros(1, np.float32), np.ones(1, np.float32),
        seconds=0.04, cutoff=1.0, beta=0.0,
    )  # fmt: skip
    tau = 1 / (2 * np.pi)
    assert value[0] == pytest.approx(0.04 / (0.04 + tau))


def numbers(tracks):
    return [track.number for track in tracks]


def test_numbers_stay_when_people_move_and_scores_change():
    tracker = Tracker()
    assert numbers(tracker.update(found(LEFT, RIGHT), 0.04)) == [1, 2]
    for step in range(1, 6):
        moved = (3 * step, 0, 10 + 3 * step, 20)
        shown = tracker.update(found(RIGHT, moved, scores=[0.95, 0.6]), 0.04)
        assert numbers(shown) == [2, 1]  # best score first
    np.testing.assert_array_equal(shown[1].box, moved)


def test_without_smoothing_nothing_is_changed_or_kept():
    tracker = Tracker()
    for _ in range(5):
        tracker.update(found(LEFT), 0.04)
    (track,) = tracker.update(found((2, 1, 13, 22), scores=[0.7]), 0.04)
    np.testing.assert_array_equal(track.box, (2, 1, 13, 22))
    assert track.score == pytest.approx(0.7)
    assert tracker.update(found(), 0.04) == []


def test_who_is_missed_for_a_moment_stays():
    tracker = Tracker(smooth=0.7)
    for _ in range(3):
        tracker.update(found(LEFT), 0.04)
    assert [numbers(tracker.update(found(), 0.04)) for _ in range(4)] == [[1], [1], [], []]
    assert numbers(tracker.update(found(LEFT), 0.04)) == [1]  # known again


def test_who_was_seen_once_does_not_stay():
    tracker = Tracker(smooth=0.7)
    tracker.update(found(LEFT), 0.04)
    assert tracker.update(found(), 0.04) == []


def test_somebody_else_at_the_place_of_somebody_forgotten():
    tracker = Tracker(smooth=0.7)
    tracker.update(found(LEFT), 0.04)
    for _ in range(31):
        tracker.update(found(), 0.04)
    assert numbers(tracker.update(found(LEFT), 0.04)) == [2]


def test_low_scores_keep_but_do_not_begin():
    tracker = Tracker(new_score=0.5)
    assert tracker.update(found(LEFT, scores=[0.4]), 0.04) == []
    assert numbers(tracker.update(found(LEFT, scores=[0.6]), 0.04)) == [1]
    assert numbers(tracker.update(found(LEFT, scores=[0.4]), 0.04)) == [1]


def test_a_missed_person_is_not_shown_twice():
    """A new box over a missed one is the same person, though the pairing was spent on another."""
    tracker = Tracker(smooth=0.7)
    for _ in range(3):
        tracker.update(found((0, 0, 10, 20), (6, 0, 16, 20)), 0.04)
    tracker.move({2: np.float32((1, 0, 11, 20))})
    assert len(tracker.update(found((0, 0, 10, 20)), 0.04)) == 1


def test_smoothed_boxes_tremble_less_and_follow():
    rng = np.random.default_rng(3)
    tracker, shown = Tracker(smooth=0.7), []
    for _ in range(60):
        (track,) = tracker.update(found(np.add((0, 0, 100, 200), rng.normal(0, 2, 4))), 0.04)
        shown.append(track.box.copy())
    assert np.std(shown[20:], axis=0).max() < 1.2
    for step in range(10):
        tracker.update(found((5 * step, 0, 100 + 5 * step, 200)), 0.04)
    (track,) = tracker.present
    assert abs(track.box[0] - 45) < 12


def test_dropped_people_are_gone():
    tracker = Tracker()
    tracker.update(found(LEFT, RIGHT), 0.04)
    tracker.drop({1})
    assert numbers(tracker.present) == [2]
    assert numbers(tracker.update(found(LEFT, RIGHT), 0.04)) == [2, 3]
