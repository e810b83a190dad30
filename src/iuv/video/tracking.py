"""Who is who from one frame to the next, and steady boxes.

T tracks, D detections. Boxes are float32 xyxy in pixels of the frame.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from iuv.results import FloatArray

__all__ = ["Found", "Track", "Tracker", "iou_matrix", "match_boxes", "one_euro"]

_MIN_IOU = 0.2  # boxes that overlap less are two people
_DOUBLE = 0.6  # a known person who overlaps a found one more than this is the same one
_ESTABLISHED = 3  # detections after which somebody is believed to be there when not found
_HOLD = 2  # detections in a row that somebody may be missed, and still be shown
_MEMORY = 30  # detections after which somebody who comes back is somebody new
_FADE = 0.9  # of the score of somebody who is not found, each time
_BETA = 8.0  # of the one-euro filter: hertz per box side per second
_SPEED_CUTOFF = 1.0  # hertz; the filter's own smoothing of speeds


def iou_matrix(first: FloatArray, second: FloatArray) -> FloatArray:
    """Intersection over union of every pair: [T, 4], [D, 4] → [T, D]; 0 for two empty boxes."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    return np.asarray(shared / np.maximum(union, 1e-9), dtype=np.float32)


def match_boxes(
    tracks: FloatArray, boxes: FloatArray, min_iou: float = _MIN_IOU
) -> list[tuple[int, int]]:
    """Pair tracks [T, 4] with detections [D, 4] so that the pairs' overlaps are greatest in sum.

    Returns:
        (track, detection) of each pair that overlaps by more than `min_iou`; nobody is in two.
    """
    overlaps = iou_matrix(tracks, boxes)
    # Pairs below the threshold count nothing, or two of them could outweigh a good one.
    gains = np.where(overlaps > min_iou, overlaps, 0)
    pairs = zip(*linear_sum_assignment(gains, maximize=True), strict=True)
    return [(int(t), int(d)) for t, d in pairs if gains[t, d] > 0]


def one_euro(
    before: FloatArray,
    speed: FloatArray,
    value: FloatArray,
    *,
    seconds: float,
    cutoff: float,
    beta: float,
) -> tuple[FloatArray, FloatArray]:
    """Smooth values the less, the faster they change (Casiez, Roussel and Vogel, CHI 2012).

    Args:
        before: [n], smoothed, a step ago.
        speed: [n], smoothed, per second, a step ago; 0 to begin with.
        value: [n], measured now.
        seconds: how long the step is.
        cutoff: hertz, at rest; lower is steadier.
        beta: hertz per unit of speed; higher follows sooner.

    Returns:
        The smoothed values and speeds.
    """
    slope = (value - before) / seconds
    speed = speed + _share(_SPEED_CUTOFF, seconds) * (slope - speed)
    share = _share(cutoff + beta * np.abs(speed), seconds)
    smoothed = before + share * (value - before)
    return np.asarray(smoothed, dtype=np.float32), np.asarray(speed, dtype=np.float32)


def _share(cutoff: npt.ArrayLike, seconds: float) -> FloatArray:
    """How much of a new value an exponential filter takes."""
    turned = 2 * math.pi * seconds * np.asarray(cutoff, dtype=np.float32)
    return np.asarray(turned / (turned + 1), dtype=np.float32)


class Found(NamedTuple):
    """The people that a network finds in one frame."""

    boxes: FloatArray
    """[D, 4]."""
    scores: FloatArray
    """[D], 0..1."""
    classes: npt.NDArray[np.int64]
    """[D]."""


@dataclass(eq=False)
class Track:
    """Somebody, as of the last frame."""

    number: int
    """From 1, in the order of appearance; never used again."""
    box: FloatArray
    """[4], smoothed."""
    score: float
    """0..1, smoothed."""
    class_index: int
    seen: int = 1
    """Detections."""
    missed: int = 0
    """Detections in a row without this person, up to now."""
    speed: FloatArray = field(default_factory=lambda: np.zeros(4, dtype=np.float32))
    """[4], box sides per second: what the filter knows."""


class Tracker:
    """Gives the people of each frame their numbers, in a stream of frames.

    Args:
        smooth: 0..1. 0 takes boxes and scores as they are found, and forgets at once who is not
            found. Above, boxes and scores change by no less than a share of 1 - `smooth`, more if
            they move, and somebody who is missed for a moment stays.
        new_score: a person who is not known must score above this; one who is known needs not.
    """

    def __init__(self, *, smooth: float = 0.0, new_score: float = 0.0) -> None:
        self._smooth = smooth
        self._new_score = new_score
        self._tracks: list[Track] = []
        self._next = 1

    @property
    def present(self) -> list[Track]:
        """Those who are shown, best score first."""
        shown = [track for track in self._tracks if self._is_shown(track)]
        return sorted(shown, key=lambda track: -track.score)

    def move(self, boxes: Mapping[int, FloatArray]) -> None:
        """Put people, by their numbers, where the picture has taken them since the last frame."""
        for track in self._tracks:
            track.box = boxes.get(track.number, track.box)

    def drop(self, numbers: set[int]) -> None:
        """Forget people who cannot be there any more."""
        self._tracks = [track for track in self._tracks if track.number not in numbers]

    def update(self, found: Found, seconds: float) -> list[Track]:
        """Take the detections of a frame, `seconds` after the last ones; return who is present."""
        known = _stacked([track.box for track in self._tracks])
        pairs = match_boxes(known, found.boxes)
        for t, d in pairs:
            self._follow(self._tracks[t], found, d, seconds)
        matched = {t for t, _ in pairs}
        for t, track in enumerate(self._tracks):
            if t not in matched:
                track.missed += 1
                track.score *= _FADE
        taken = {d for _, d in pairs}
        for d in range(len(found.boxes)):
            if d not in taken and found.scores[d] > self._new_score:
                self._begin(found, d)
        self._tracks = [track for track in self._tracks if track.missed <= _MEMORY]
        self._drop_doubles()
        return self.present

    def _is_shown(self, track: Track) -> bool:
        if track.missed == 0:
            return True
        return self._smooth > 0 and track.missed <= _HOLD and track.seen >= _ESTABLISHED

    def _follow(self, track: Track, found: Found, d: int, seconds: float) -> None:
        score = float(found.scores[d])
        if track.missed > _HOLD or not self._smooth:  # or where somebody was long ago would count
            track.box, track.speed, track.score = found.boxes[d], np.zeros_like(track.speed), score
        else:
            sides = np.tile(np.maximum(track.box[2:] - track.box[:2], 1), 2)
            # At rest, the share of the new box is 1 - smooth at any frame rate.
            cutoff = (1 - self._smooth) / (2 * math.pi * self._smooth * seconds)
            smoothed, track.speed = one_euro(
                track.box / sides,
                track.speed,
                found.boxes[d] / sides,
                seconds=seconds,
                cutoff=cutoff,
                beta=_BETA,
            )
            track.box = smoothed * sides
            track.score += (1 - self._smooth) * (score - track.score)
        track.class_index = int(found.classes[d])
        track.seen += 1
        track.missed = 0

    def _begin(self, found: Found, d: int) -> None:
        box, score, index = found.boxes[d], float(found.scores[d]), int(found.classes[d])
        self._tracks.append(Track(self._next, box, score, index))
        self._next += 1

    def _drop_doubles(self) -> None:
        """Forget missed people where others are found: the box has gone over to them."""
        found = _stacked([track.box for track in self._tracks if track.missed == 0])
        self._tracks = [
            track
            for track in self._tracks
            if track.missed == 0 or iou_matrix(track.box[None], found).max(initial=0) < _DOUBLE
        ]


def _stacked(boxes: list[FloatArray]) -> FloatArray:
    return np.stack(boxes) if boxes else np.zeros((0, 4), dtype=np.float32)
