"""From compared images to curves of precision and recall.

D: detections, G: people of a group; S: similarities; A: ranges of size; T: thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from iuv.data.records import ImageRecord
from iuv.evaluation.comparison import Group
from iuv.evaluation.detections import Detections
from iuv.evaluation.matching import Candidates, Matches, match_all
from iuv.evaluation.metrics import AREA_RANGES, Curves, accumulate

__all__ = ["SIMILARITIES", "Compared", "Similarity", "draw_curves", "match_groups"]

Floats = npt.NDArray[np.float64]

Similarity = Literal["densepose_gps", "densepose_gpsm", "densepose_segm"]
SIMILARITIES: tuple[Similarity, ...] = ("densepose_gps", "densepose_gpsm", "densepose_segm")
"""GPS, GPSm = sqrt(GPS * mask IoU), mask IoU: the S similarities of this module, in order."""


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
    """Return what became of each group."""
    candidates = [_candidates(one) for one in compared]
    return match_all(candidates, list(AREA_RANGES.values()), thresholds)


def _candidates(compared: Compared) -> Candidates:
    group = compared.group
    boxes = compared.detections.boxes_xywh[group.detections]
    people = [compared.record.annotations[index] for index in group.people.tolist()]
    return Candidates(
        similarity=np.stack([group.gps, np.sqrt(group.gps * group.mask_iou), group.mask_iou]),
        box_iou=group.box_iou,
        detection_areas=boxes[:, 2] * boxes[:, 3],
        person_areas=np.array([person.area for person in people], dtype=np.float64),
        ignored=np.array([person.points is None for person in people], dtype=np.bool_),
        crowd=np.array([person.is_crowd for person in people], dtype=np.bool_),
    )
