"""Who was found: detections matched to annotated people, as COCO does, many images at a time.

D: detections of an image and class, best score first; G: its annotated people; N: images with equal
D and G; S: similarities that are scored side by side; A: ranges of size, in pixels; T: thresholds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Candidates", "Matches", "match", "match_all"]

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_SAME_PERSON = 0.8  # box IoU
_AT_ONCE = 4096  # images


class Candidates(NamedTuple):
    """The detections and people of one class in one image; with an axis N in front, in several."""

    similarity: Floats
    """[S, D, G]."""
    box_iou: Floats | None
    """[D, G]; None for COCO's rules, without those that Detectron2 adds for DensePose."""
    detection_areas: Floats
    """[D]."""
    person_areas: Floats
    """[G]."""
    ignored: Flags
    """[G], people whom nobody needs to find, whatever their size."""
    crowd: Flags
    """[G]."""


class Matches(NamedTuple):
    """What became of each detection and each person; for several images with an axis N in front."""

    person: Ids
    """[S, A, T, D]: who the detection was matched to, 0..G-1, or -1."""
    ignored: Flags
    """[S, A, T, D]: the detection counts neither for nor against."""
    person_ignored: Flags
    """[A, G]: nobody needs to find this person."""


def match_all(
    candidates: Sequence[Candidates], area_ranges: Sequence[Sequence[float]], thresholds: Floats
) -> list[Matches]:
    """Return what became of each image, see `match`.

    Args:
        candidates: of images with any numbers of detections and people.
        area_ranges: A pairs, both ends included.
        thresholds: [T], ascending.
    """
    alike = defaultdict(list)
    for index, one in enumerate(candidates):
        alike[one.similarity.shape].append(index)
    results: dict[int, Matches] = {}
    for indices in alike.values():
        for start in range(0, len(indices), _AT_ONCE):
            chunk = indices[start : start + _AT_ONCE]
            matches = match(_stack([candidates[i] for i in chunk]), area_ranges, thresholds)
            for index, *parts in zip(chunk, *matches, strict=True):
                results[index] = Matches(*parts)
    return [results[index] for index in range(len(candidates))]


def _stack(candidates: Sequence[Candidates]) -> Candidates:
    fields: Iterable[Any] = zip(*candidates, strict=True)
    stacked: list[Any] = [None if field[0] is None else np.stack(field) for field in fields]
    return Candidates(*stacked)


def match(
    candidates: Candidates, area_ranges: Sequence[Sequence[float]], thresholds: Floats
) -> Matches:
    """Match detections to people, in the order of their scores, at each threshold on its own.

    A detection takes the most similar person who is left, the last of equals, and takes an ignored
    one only if nobody else is similar enough. A crowd may be taken again and again. A detection
    that matches nobody is ignored if its own size is out of range.

    With `box_iou`, every detection is ignored where everybody is, and see `_look_again`.

    Args:
        candidates: of N images with D detections and G people each.
        area_ranges: A pairs, both ends included.
        thresholds: [T], ascending.
    """
    similarity, box_iou, detection_areas, person_areas, ignored, crowd = candidates
    ranges = np.asarray(area_ranges, dtype=np.float64)
    N, S, D, G = similarity.shape
    shape = (N, S, len(ranges), len(thresholds), D)
    person_ignored = ignored[:, None] | _out_of_range(person_areas, ranges)
    state = Matches(np.full(shape, -1), np.zeros(shape, dtype=np.bool_), person_ignored)
    taken: Flags = np.zeros((*state.person.shape[:-1], G), dtype=np.bool_)
    least = np.minimum(thresholds, 1 - 1e-10)[:, None]
    avoided, again = person_ignored[:, None, :, None], crowd[:, None, None, None]
    for d in range(D):
        near = similarity[:, :, None, None, d]  # [N, S, 1, 1, G]
        fitting = (again | ~taken) & (near >= least) & (near > 0)
        chosen = _last(_largest(_prefer(fitting, ~avoided), near))
        taken |= chosen
        state.person[..., d] = _index(chosen)
        state.ignored[..., [d]] |= _any(chosen & avoided)
    if box_iou is not None:
        np.copyto(state.ignored, True, where=~_any(~avoided))
        _look_again(state, taken[:, :, :, -1], box_iou, crowd)
    out_of_range = _out_of_range(detection_areas, ranges)[:, None, :, None]
    np.copyto(state.ignored, True, where=out_of_range & (state.person < 0))
    return state


def _look_again(state: Matches, taken: Flags, box_iou: Floats, crowd: Flags) -> None:
    """Let a detection on somebody who is ignored pass, as Detectron2 does.

    To find somebody without DensePose points, whom nothing is similar to, is no mistake. Their
    boxes tell, of the people left at the *highest* threshold, and only for detections that matched
    nobody there; but the answer holds for all thresholds.

    Args:
        state: changed in place.
        taken: [N, S, A, G], the people who are matched at the highest threshold; changed in place.
        box_iou: [N, D, G].
        crowd: [N, G].
    """
    avoided, again = state.person_ignored[:, None], crowd[:, None, None]
    for d in range(state.person.shape[-1]):
        person = state.person[:, :, :, -1, d]
        near = box_iou[:, None, None, d]  # [N, 1, 1, G]
        fitting = (again | ~taken) & (near >= _SAME_PERSON) & (person[..., None] < 0)
        chosen = _last(_prefer(_largest(fitting, near), avoided))
        taken |= chosen & avoided
        passes = _any(chosen & avoided)
        np.copyto(person, _index(chosen), where=passes[..., 0])
        np.copyto(state.ignored[..., d], passes, where=_any(chosen))


def _out_of_range(areas: Floats, ranges: Floats) -> Flags:
    """Return [N, A, n] for areas [N, n] and ranges [A, 2]."""
    least, most = ranges.T[..., None]  # [A, 1] each
    return np.asarray((areas[:, None] < least) | (areas[:, None] > most))


# Of those who fit, [..., G], some: first, those with a property, if there are any ...
def _prefer(fitting: Flags, wanted: Flags) -> Flags:
    best = fitting & wanted
    return np.asarray(np.where(_any(best), best, fitting))


# ... the most similar ...
def _largest(fitting: Flags, similarity: Floats) -> Flags:
    most = np.max(np.where(fitting, similarity, 0), axis=-1, keepdims=True, initial=0)
    return np.asarray(fitting & (similarity == most))


# ... and the last.
def _last(fitting: Flags) -> Flags:
    return np.asarray(fitting & (np.arange(fitting.shape[-1]) == _index(fitting)[..., None]))


def _index(fitting: Flags) -> Ids:
    """Return [...]: the last who fits, or -1."""
    numbers = fitting * np.arange(1, fitting.shape[-1] + 1)
    return np.asarray(np.max(numbers, axis=-1, initial=0) - 1)


def _any(fitting: Flags) -> Flags:
    """Return [..., 1]."""
    return np.asarray(fitting.any(axis=-1, keepdims=True))
