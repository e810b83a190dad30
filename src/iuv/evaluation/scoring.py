"""From compared images to curves of precision and recall.

N: groups with equal numbers of detections and people; D: detections, G: people of a group; S:
similarities; A: ranges of size; T: thresholds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from iuv.data.records import ImageRecord
from iuv.evaluation.comparison import Group
from iuv.evaluation.detections import Detections
from iuv.evaluation.matching import AREA_RANGES, Matches, match
from iuv.evaluation.metrics import Curves, accumulate

__all__ = ["SIMILARITIES", "Compared", "Similarity", "draw_curves", "match_groups"]

Floats = npt.NDArray[np.float64]

Similarity = Literal["densepose_gps", "densepose_gpsm", "densepose_segm"]
SIMILARITIES: tuple[Similarity, ...] = ("densepose_gps", "densepose_gpsm", "densepose_segm")
"""GPS, GPSm = sqrt(GPS * mask IoU), mask IoU: the S similarities of this module, in order."""

_AT_ONCE = 4096  # groups


class Compared(NamedTuple):
    """A group, and what else its score depends on."""

    record: ImageRecord
    detections: Detections
    group: Group


def draw_curves(
    compared: Sequence[Compared], classes: int, thresholds: Floats
) -> dict[Similarity, Curves]:
    """Return the curves of all similarities.

    Args:
        compared: the groups of all images. Of detections with equal scores the first counts first.
        classes: how many there are.
        thresholds: [T], ascending.
    """
    shape = (len(thresholds), 101, classes, len(AREA_RANGES))
    curves = {
        name: Curves(np.full(shape, -1.0), np.full((shape[0], *shape[2:]), -1.0))
        for name in SIMILARITIES
    }
    matches = match_groups(compared, thresholds)
    for category in range(classes):
        own = [i for i, one in enumerate(compared) if one.group.category == category]
        if not own:
            continue
        scores = np.concatenate(
            [compared[i].detections.scores[compared[i].group.detections] for i in own]
        )
        matched = np.concatenate([matches[i].person >= 0 for i in own], axis=-1)
        ignored = np.concatenate([matches[i].ignored for i in own], axis=-1)
        wanted = ~np.concatenate([matches[i].person_ignored for i in own], axis=-1)
        for area, people in enumerate(wanted.sum(axis=-1).tolist()):
            if not people:
                continue
            for s, (precision, recall) in enumerate(curves.values()):
                precision[..., category, area], recall[:, category, area] = accumulate(
                    scores, matched[s, area], ignored[s, area], people
                )
    return curves


def match_groups(compared: Sequence[Compared], thresholds: Floats) -> list[Matches]:
    """Return what became of each group, without the axis N of `Matches`."""
    alike = defaultdict(list)
    for index, one in enumerate(compared):
        alike[one.group.box_iou.shape].append(index)
    results: dict[int, Matches] = {}
    for indices in alike.values():
        for start in range(0, len(indices), _AT_ONCE):
            chunk = indices[start : start + _AT_ONCE]
            matches = _match([compared[index] for index in chunk], thresholds)
            for index, *parts in zip(chunk, *matches, strict=True):
                results[index] = Matches(*parts)
    return [results[index] for index in range(len(compared))]


def _match(compared: Sequence[Compared], thresholds: Floats) -> Matches:
    """Match N groups of equal numbers of detections and people."""
    groups = [one.group for one in compared]
    gps, masks = (np.stack([getattr(g, name) for g in groups]) for name in ("gps", "mask_iou"))
    boxes = np.stack([one.detections.boxes_xywh[one.group.detections] for one in compared])
    people = [[one.record.annotations[i] for i in one.group.people] for one in compared]
    shape = (len(people), len(people[0]))
    return match(
        np.stack([gps, np.sqrt(gps * masks), masks], axis=1),
        np.stack([group.box_iou for group in groups]),
        detection_areas=boxes[..., 2] * boxes[..., 3],
        person_areas=np.array([[a.area for a in row] for row in people]).reshape(shape),
        ignored=np.array([[a.points is None for a in row] for row in people], bool).reshape(shape),
        crowd=np.array([[a.is_crowd for a in row] for row in people], bool).reshape(shape),
        thresholds=thresholds,
    )
