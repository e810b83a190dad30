"""Who was found: detections matched to annotated people, as COCO does, many images at a time.

N: images with equal numbers of detections and people; S: similarities that are scored side by side;
A: ranges of size; T: thresholds; D: detections of an image and class, best score first; G: its
annotated people. Sizes are numbers of pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["AREA_RANGES", "Matches", "match"]

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

AREA_RANGES = {"all": (0.0, 1e10), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""Ranges of size that are scored, both ends included."""

_SAME_PERSON = 0.8  # box IoU


class Matches(NamedTuple):
    """What became of each detection and each person."""

    person: Ids
    """[N, S, A, T, D]: who the detection was matched to, 0..G-1, or -1."""
    ignored: Flags
    """[N, S, A, T, D]: the detection counts neither for nor against."""
    person_ignored: Flags
    """[N, A, G]: nobody needs to find this person."""


def match(
    similarity: Floats,
    box_iou: Floats,
    *,
    detection_areas: Floats,
    person_areas: Floats,
    ignored: Flags,
    crowd: Flags,
    thresholds: Floats,
) -> Matches:
    """Match detections to people, in the order of their scores, at each threshold on its own.

    A detection takes the most similar person who is left, the last of equals, and takes an ignored
    one only if nobody else is similar enough. A crowd may be taken again and again. A detection
    that matches nobody is ignored if its own size is out of range, or if everybody is ignored.

    Args:
        similarity: [N, S, D, G].
        box_iou: [N, D, G].
        detection_areas: [N, D].
        person_areas: [N, G].
        ignored: [N, G], people whom nobody needs to find, whatever their size.
        crowd: [N, G].
        thresholds: [T], ascending.
    """
    N, S, D, G = similarity.shape
    person_ignored = ignored[:, None] | _out_of_range(person_areas)
    state = Matches(
        person=np.full((N, S, len(AREA_RANGES), len(thresholds), D), -1, dtype=np.int64),
        ignored=np.empty((N, S, len(AREA_RANGES), len(thresholds), D), dtype=np.bool_),
        person_ignored=person_ignored,
    )
    taken: Flags = np.zeros((*state.person.shape[:-1], G), dtype=np.bool_)
    least = np.minimum(thresholds, 1 - 1e-10)[:, None]
    avoided, again = person_ignored[:, None, :, None], crowd[:, None, None, None]
    state.ignored[:] = ~_any(~avoided)
    for d in range(D):
        near = similarity[:, :, None, None, d]  # [N, S, 1, 1, G]
        fitting = (again | ~taken) & (near >= least) & (near > 0)
        chosen = _last(_largest(_prefer(fitting, ~avoided), near))
        taken |= chosen
        state.person[..., d] = _index(chosen)
        state.ignored[..., [d]] |= _any(chosen & avoided)
    _look_again(state, taken[:, :, :, -1], box_iou, crowd)
    missed = state.person < 0
    state.ignored[missed & _out_of_range(detection_areas)[:, None, :, None]] = True
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


def _out_of_range(areas: Floats) -> Flags:
    """Return [N, A, n] for areas [N, n]."""
    least, most = np.array(list(AREA_RANGES.values())).T[..., None]  # [A, 1] each
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
