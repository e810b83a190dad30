from __future__ import annotations

import numpy as np
import pytest

from golden_data import ANNOTATIONS, document, golden
from iuv.data.datasets import load_dataset


def as_golden(image, dataset):
    """An image as the reference's record has it."""
    category = {index: id for id, index in dataset.class_of_category.items()}
    return {
        "file_name": image.path.name,
        "height": image.height,
        "width": image.width,
        "image_id": image.id,
        "dataset": "golden_ds",
        "annotations": [annotation_as_golden(a, category) for a in image.annotations],
    } | ({} if image.frame_id is None else {"frame_id": image.frame_id, "video_id": image.video_id})


def annotation_as_golden(annotation, category):
    record = {
        "iscrowd": int(annotation.is_crowd),
        "category_id": category[annotation.category],
        "bbox": list(annotation.box_xywh),
    }
    segmentation = annotation.segmentation
    if segmentation is not None:
        plain = isinstance(segmentation, tuple)
        record["segmentation"] = list(map(list, segmentation)) if plain else segmentation
    if annotation.points is not None:
        points = annotation.points
        lists = zip(
            ("x", "y", "I", "U", "V"), (points.x, points.y, points.labels, points.u, points.v)
        )
        record |= {f"dp_{name}": values.tolist() for name, values in lists}
    if annotation.part_masks is not None:
        masks = annotation.part_masks
        record["dp_masks"] = [m or [] for m in masks] if isinstance(masks, tuple) else masks
    if annotation.keypoints is not None:
        # The reference moves key points to the centres of pixels; ours are as in the file.
        moved = np.reshape(annotation.keypoints, (-1, 3)) + (0.5, 0.5, 0)
        record["keypoints"] = moved.ravel().tolist()
    return record


def as_ours(record):
    """A golden record without what we leave out: the lists of incomplete points."""
    fields = {"dp_x", "dp_y", "dp_I", "dp_U", "dp_V"}
    annotations = []
    for annotation in record["annotations"]:
        if not fields <= set(annotation):
            annotation = {k: v for k, v in annotation.items() if k not in fields}
        annotations.append({k: v for k, v in annotation.items() if k != "bbox_mode"})
    return record | {"annotations": annotations}


def test_records_are_the_golden_ones():
    dataset = load_dataset(ANNOTATIONS)
    records = [as_golden(image, dataset) for image in dataset.images]
    assert records == [as_ours(record) for record in golden("records")]
