"""From matches to average precision and recall, as COCO computes them.

C: classes; A: ranges of size; T: thresholds; R = 101 recalls; n: detections of all images.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["AREA_RANGES", "Curves", "accumulate", "get_thresholds", "summarize"]

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

AREA_RANGES = {"all": (0.0, 1e10), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""Ranges of size that are scored, in pixels, both ends included."""

_RECALLS = np.linspace(0, 1, 101)
_EPSILON = np.spacing(1)


class Curves(NamedTuple):
    """Precision and recall; -1 where nobody was there to be found."""

    precision: Floats
    """[T, R, C, A], at the recalls 0, 0.01, ... 1."""
    recall: Floats
    """[T, C, A], of all detections."""


def get_thresholds(least: float) -> Floats:
    """Return [T] similarities from `least` to 0.95, 0.05 apart.

    Raises:
        ValueError: `least` is not in 0..0.95.
    """
    if not 0 <= least <= 0.95:
        raise ValueError(f"the lowest similarity must lie in 0..0.95, got {least}")
    return np.linspace(least, 0.95, round((0.95 - least) / 0.05) + 1)


def accumulate(
    scores: Floats, matched: Flags, ignored: Flags, people: int
) -> tuple[Floats, Floats]:
    """Return the precision [T, R] and recall [T] of the detections of one class.

    Args:
        scores: [n]; between equals, the order decides.
        matched: [T, n].
        ignored: [T, n], detections that do not count.
        people: how many there are to be found, at least 1.
    """
    order = np.argsort(-scores, kind="stable")
    matched, ignored = matched[:, order], ignored[:, order]
    right = np.cumsum(matched & ~ignored, axis=1, dtype=np.float64)
    wrong = np.cumsum(~matched & ~ignored, axis=1, dtype=np.float64)
    recall = right / people
    precision = right / (right + wrong + _EPSILON)
    # What may be had at a recall is the best precision at this recall or any higher one.
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    at_recalls = np.zeros((len(matched), len(_RECALLS)))
    for t in range(len(matched)):
        places = np.searchsorted(recall[t], _RECALLS, side="left")
        reached = places < len(scores)
        at_recalls[t, reached] = precision[t, places[reached]]
    return at_recalls, recall[:, -1] if len(scores) else np.zeros(len(matched))


def summarize(curves: Curves, thresholds: Floats, classes: tuple[str, ...]) -> dict[str, float]:
    """Return the metrics in per cent; -100 where nobody was there to be found.

    AP and AR are means over all thresholds; AP50, AR75 are those at one, APm, ARl those of medium
    and large people. AP20, AP30 and AP40 are there if the thresholds are, and ``AP-<class>`` (NaN
    if there is nobody) if there are several classes.
    """
    precision, recall = curves
    medium, large = (list(AREA_RANGES).index(name) for name in ("medium", "large"))

    def at(values: Floats, threshold: float) -> float:
        return _mean(values[np.abs(thresholds - threshold) < 1e-3, ..., 0])

    low = [percent for percent in (20, 30, 40) if thresholds[0] <= percent / 100 + 1e-3]
    scores = {"AP": _mean(precision[..., 0])}
    scores |= {f"AP{percent}": at(precision, percent / 100) for percent in (*low, 50, 75)}
    scores |= {"APm": _mean(precision[..., medium]), "APl": _mean(precision[..., large])}
    scores |= {"AR": _mean(recall[..., 0]), "AR50": at(recall, 0.5), "AR75": at(recall, 0.75)}
    scores |= {"ARm": _mean(recall[..., medium]), "ARl": _mean(recall[..., large])}
    if len(classes) > 1:
        per_class = (_mean(precision[:, :, index, 0]) for index in range(len(classes)))
        named = zip(classes, per_class, strict=True)
        scores |= {f"AP-{name}": value if value >= 0 else np.nan for name, value in named}
    return {name: 100 * value for name, value in scores.items()}


def _mean(values: Floats) -> float:
    defined = values[values > -1]
    return float(defined.mean()) if len(defined) else -1.0
