"""Average precision of boxes, by the COCO library."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask
from pycocotools.cocoeval import COCOeval

from iuv.data.records import Annotation, Dataset
from iuv.evaluation.detections import Detections
from iuv.evaluation.matching import Candidates, match_all

__all__ = ["evaluate_boxes", "score_boxes"]

_METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def score_boxes(dataset: Dataset, detections: Mapping[int, Detections]) -> dict[str, float]:
    """Return AP, AP50, AP75, APs, APm, APl in per cent, NaN where undefined.

    With several classes also ``AP-<class>``. Every annotation that is no crowd is to be found, with
    DensePose points or without.

    Args:
        dataset: all its images count.
        detections: by image id.
    """
    evaluation = evaluate_boxes(dataset, detections)
    if evaluation is None:
        values, per_class = [-1.0] * len(_METRICS), [-1.0] * len(dataset.classes)
    else:
        values = evaluation.stats[: len(_METRICS)].tolist()
        # [T, R, C, A, M]: every size, up to 100 detections
        precision = evaluation.eval["precision"][:, :, :, 0, -1]
        per_class = [_mean(precision[:, :, index]) for index in range(len(dataset.classes))]
    scores = dict(zip(_METRICS, values, strict=True))
    if len(dataset.classes) > 1:
        named = zip(dataset.classes, per_class, strict=True)
        scores |= {f"AP-{name}": value for name, value in named}
    return {name: 100 * value if value > -1 else np.nan for name, value in scores.items()}


def evaluate_boxes(dataset: Dataset, detections: Mapping[int, Detections]) -> COCOeval | None:
    """Return the COCO library's evaluation after all its steps; None if nothing was detected.

    IoU, curves and averages are the library's. Its matching, which takes most of the time, is ours,
    for many images at once: by the same rules, with the same result.
    """
    if not any(map(len, detections.values())):
        return None
    evaluation = COCOeval(iouType="bbox")
    evaluation.params.imgIds = [record.id for record in dataset.images]
    evaluation.params.catIds = list(range(len(dataset.classes)))
    evaluation.evalImgs = _match_images(dataset, detections, evaluation.params)
    evaluation._paramsEval = evaluation.params
    with redirect_stdout(io.StringIO()):  # it prints what it does
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def _match_images(
    dataset: Dataset, detections: Mapping[int, Detections], params: Any
) -> list[dict[str, Any] | None]:
    """Return, as `COCOeval.evaluate` leaves it, what became of each class, range of size, image."""
    places, scores, candidates = [], [], []
    for place, record in enumerate(dataset.images):
        found = detections.get(record.id) or Detections.none()
        classes = [annotation.category for annotation in record.annotations]
        for category in {*found.classes.tolist(), *classes}:
            people = [one for one in record.annotations if one.category == category]
            own = np.flatnonzero(found.classes == category)
            best = own[np.argsort(-found.scores[own], kind="stable")[: params.maxDets[-1]]]
            places.append((category, place))
            scores.append(found.scores[best])
            candidates.append(_candidates(found.boxes_xywh[best], people))
    matches = match_all(candidates, params.areaRng, params.iouThrs)
    shape = (len(dataset.classes), len(params.areaRng), len(dataset.images))
    results = np.full(shape, None, dtype=object)
    for (category, place), of_image, one in zip(places, scores, matches, strict=True):
        for area in range(shape[1]):
            results[category, area, place] = {
                "dtScores": of_image,
                "dtMatches": one.person[0, area] + 1,
                "dtIgnore": one.ignored[0, area],
                "gtIgnore": one.person_ignored[area],
            }
    listed: list[dict[str, Any] | None] = results.ravel().tolist()
    return listed


def _candidates(boxes_xywh: npt.NDArray[np.float64], people: Sequence[Annotation]) -> Candidates:
    crowd = np.array([person.is_crowd for person in people], dtype=np.bool_)
    iou = np.zeros((len(boxes_xywh), len(people)))
    if iou.size:
        annotated = np.array([person.box_xywh for person in people], dtype=np.float64)
        iou = coco_mask.iou(boxes_xywh, annotated, crowd)
    return Candidates(
        similarity=iou[None],
        box_iou=None,
        detection_areas=boxes_xywh[:, 2] * boxes_xywh[:, 3],
        person_areas=np.array([person.area for person in people], dtype=np.float64),
        ignored=crowd,
        crowd=crowd,
    )


def _mean(precision: npt.NDArray[np.float64]) -> float:
    defined = precision[precision > -1]
    return float(defined.mean()) if len(defined) else -1.0
