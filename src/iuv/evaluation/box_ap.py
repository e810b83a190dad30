"""Average precision of boxes, by the COCO library itself."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from iuv.data.records import Dataset
from iuv.evaluation.detections import Detections

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
    """Return the COCO library's evaluation after all its steps; None if nothing was detected."""
    results = [
        {"image_id": image, "category_id": category, "bbox": box, "score": score}
        for image in sorted(detections)
        for category, box, score in zip(
            detections[image].classes.tolist(),
            detections[image].boxes_xywh.tolist(),
            detections[image].scores.tolist(),
            strict=True,
        )
    ]
    if not results:
        return None
    truth = COCO()
    truth.dataset = _document(dataset)
    with redirect_stdout(io.StringIO()):  # it prints its progress
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def _document(dataset: Dataset) -> dict[str, Any]:
    """Return what box AP needs of a COCO file; its category ids are class indices."""
    annotations: list[dict[str, Any]] = [
        {
            "image_id": record.id,
            "category_id": annotation.category,
            "bbox": list(annotation.box_xywh),
            "area": annotation.area,
            "iscrowd": int(annotation.is_crowd),
        }
        for record in dataset.images
        for annotation in record.annotations
    ]
    for number, entry in enumerate(annotations, start=1):
        entry["id"] = number  # the library takes id 0 for nobody
    images = [{"id": i.id, "width": i.width, "height": i.height} for i in dataset.images]
    categories = [{"id": index, "name": name} for index, name in enumerate(dataset.classes)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _mean(precision: npt.NDArray[np.float64]) -> float:
    defined = precision[precision > -1]
    return float(defined.mean()) if len(defined) else -1.0
