"""The golden sets of evaluation: annotations, detections, surfaces, and what the reference says."""

from __future__ import annotations

import functools
import json

import numpy as np

from hashing import GOLDEN
from iuv.data.datasets import load_dataset
from iuv.data.records import Dataset
from iuv.evaluation.detections import Detections
from iuv.evaluation.evaluator import Evaluator
from iuv.evaluation.meshes import SurfaceMesh
from iuv.evaluation.smpl import load_smpl

FOLDER = GOLDEN / "evaluation"

TASKS = ("densepose_gps", "densepose_gpsm", "densepose_segm")


@functools.cache
def results(name: str = "results") -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text())


@functools.cache
def surface() -> SurfaceMesh:
    return load_smpl(FOLDER / "geodesic")


@functools.cache
def main_dataset() -> Dataset:
    return load_dataset(FOLDER / "gt.json")


@functools.cache
def two_class_dataset() -> Dataset:
    classes = {1: "person", 18: "dog", 19: "dog"}
    return load_dataset(FOLDER / "classes_gt.json", classes=classes)


@functools.cache
def detections(name: str = "detections") -> dict[int, Detections]:
    """By image id, in the order of the file."""
    with np.load(FOLDER / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    pieces = np.split(arrays["map_data"], arrays["map_offset"][1:-1])
    maps = [piece.reshape(shape) for piece, shape in zip(pieces, arrays["map_shape"], strict=True)]
    return {
        image: Detections(
            classes=arrays["category_id"][own].astype(np.int64),
            scores=arrays["score"][own],
            boxes_xywh=arrays["bbox_xywh"][own],
            maps=tuple(maps[index] for index in own),
        )
        for image, own in positions(name).items()
    }


@functools.cache
def positions(name: str = "detections") -> dict[int, np.ndarray]:
    """Where an image's detections are in the file; their ids in the results are one more."""
    with np.load(FOLDER / f"{name}.npz") as file:
        image_ids = file["image_id"]
    return {int(image): np.flatnonzero(image_ids == image) for image in np.unique(image_ids)}


def evaluated(dataset: Dataset, found: dict[int, Detections], mesh=None, **options) -> Evaluator:
    """An evaluator that was given all detections on images of the data set."""
    evaluator = Evaluator(dataset, mesh, **options)
    known = {record.id for record in dataset.images}
    for image, of_image in found.items():
        if image in known:
            evaluator.update(image, of_image)
    return evaluator


@functools.cache
def main_evaluator(min_similarity: float = 0.5) -> Evaluator:
    return evaluated(main_dataset(), detections(), surface(), min_similarity=min_similarity)


@functools.cache
def two_class_evaluator() -> Evaluator:
    return evaluated(two_class_dataset(), detections("classes_detections"), surface())
