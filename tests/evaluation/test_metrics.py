"""Precision, recall and their averages on numbers small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest

from iuv.evaluation.metrics import Curves, accumulate, get_thresholds, summarize


@pytest.mark.parametrize(
    ("least", "expected"),
    [(0.5, [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]), (0.95, [0.95])],
)
def test_thresholds(least, expected):
    assert get_thresholds(least) == pytest.approx(expected)


@pytest.mark.parametrize("least", [-0.1, 0.96, 50, float("nan")])
def test_thresholds_out_of_range(least):
    with pytest.raises(ValueError, match=rf"similarity must lie in 0\.\.0\.95, got {least}"):
        get_thresholds(least)


def test_sixteen_thresholds_from_a_fifth():
    assert len(get_thresholds(0.2)) == 16


def test_accumulate():
    scores = np.array([0.7, 0.9, 0.8, 0.6])
    matched = np.array([[True, True, False, True]])
    ignored = np.array([[False, False, False, True]])
    # By score: right, wrong, right, and one that does not count; of four people.
    precision, recall = accumulate(scores, matched, ignored, people=4)
    assert recall == pytest.approx(0.5)
    assert precision[0, :26] == pytest.approx(1)
    assert precision[0, 26:51] == pytest.approx(2 / 3)
    assert not precision[0, 51:].any()


def test_accumulate_breaks_ties_by_order():
    ignored = np.zeros((1, 2), bool)
    first, _ = accumulate(np.ones(2), np.array([[True, False]]), ignored, people=1)
    last, _ = accumulate(np.ones(2), np.array([[False, True]]), ignored, people=1)
    assert (first.mean(), last.mean()) == pytest.approx((1, 0.5))


def test_accumulate_nothing():
    precision, recall = accumulate(np.zeros(0), *np.zeros((2, 3, 0), bool), people=2)
    assert not precision.any()
    assert recall.tolist() == [0, 0, 0]


def curves(classes=1):
    """Precision is the threshold, recall half of it; nobody is large."""
    thresholds = get_thresholds(0.2)
    precision = np.tile(thresholds[:, None, None, None], (1, 101, classes, 3))
    recall = np.tile(thresholds[:, None, None] / 2, (1, classes, 3))
    precision[..., 2], recall[..., 2] = -1, -1
    return Curves(precision, recall), thresholds


def test_summarize():
    scores = summarize(*curves(), ("person",))
    names = "AP AP20 AP30 AP40 AP50 AP75 APm APl AR AR50 AR75 ARm ARl"
    values = [57.5, 20, 30, 40, 50, 75, 57.5, -100, 28.75, 25, 37.5, 28.75, -100]
    assert list(scores) == names.split()
    assert list(scores.values()) == pytest.approx(values)


def test_summarize_classes():
    (precision, recall), thresholds = curves(classes=2)
    precision[:, :, 1], recall[:, 1] = -1, -1
    scores = summarize(Curves(precision, recall), thresholds, ("person", "dog"))
    assert scores["AP"] == scores["AP-person"] == pytest.approx(57.5)
    assert np.isnan(scores["AP-dog"])
