"""Box AP as published: the COCO library's own sample, and the golden sets."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from golden_evaluation import FOLDER, detections, main_dataset, results
from iuv.data.datasets import load_dataset
from iuv.data.records import Annotation, ImageRecord
from iuv.evaluation.box_ap import evaluate_boxes, score_boxes
from iuv.evaluation.detections import Detections


@pytest.fixture(scope="module")
def sample():
    dataset = load_dataset(FOLDER / "coco_sample" / "gt_boxes.json")
    entries = json.loads((FOLDER / "coco_sample" / "detections.json").read_text())
    found = {}
    for record in dataset.images:
        own = [entry for entry in entries if entry["image_id"] == record.id]
        classes = [dataset.class_of_category[entry["category_id"]] for entry in own]
        found[record.id] = Detections(
            classes=np.array(classes, np.int64),
            scores=np.array([entry["score"] for entry in own]),
            boxes_xywh=np.array([entry["bbox"] for entry in own], np.float64).reshape(-1, 4),
        )
    return dataset, found


@pytest.fixture(scope="module")
def scores(sample):
    return score_boxes(*sample)


def test_coco_sample(scores):
    golden = results("coco_sample/results")["pycocotools_all_images"]
    found = [scores[name] / 100 for name in ("AP", "AP50", "AP75", "APs", "APm", "APl")]
    assert found == pytest.approx(golden[:6], abs=1e-12)
    assert [round(scores[name] / 100, 3) for name in ("AP", "AP50", "AP75")] == [
        0.505,
        0.697,
        0.573,
    ]


def test_classes_of_coco_sample(scores):
    """The reference's float32 corners cost it a bat, whose IoU is 0.8 exactly."""
    golden = results("coco_sample/results")["reference_evaluator"]
    assert set(scores) == set(golden)
    expected = {name: np.nan if value is None else value for name, value in golden.items()}
    different = {
        name
        for name, value in scores.items()
        if value != pytest.approx(expected[name], abs=1e-9, nan_ok=True)
    }
    assert different == {"AP", "APs", "AP-baseball bat"}


def test_golden_curves():
    evaluation = evaluate_boxes(main_dataset(), detections())
    with np.load(FOLDER / "precision_recall.npz") as golden:
        precision = golden["min_0.5/box/precision"]
        np.testing.assert_allclose(evaluation.eval["precision"], precision, atol=1e-9)
        recall = golden["min_0.5/box/recall"]
        np.testing.assert_allclose(evaluation.eval["recall"], recall, atol=1e-9)


def library_alone(dataset, detections):
    """The COCO library without any help of ours."""
    truth = COCO()
    truth.dataset = {
        "images": [{"id": record.id} for record in dataset.images],
        "categories": [{"id": index} for index in range(len(dataset.classes))],
        "annotations": [
            {
                "id": 1000 * record.id + index,
                "image_id": record.id,
                "category_id": one.category,
                "bbox": list(one.box_xywh),
                "area": one.area,
                "iscrowd": int(one.is_crowd),
            }
            for record in dataset.images
            for index, one in enumerate(record.annotations)
        ],
    }
    truth.createIndex()
    entries = [
        {"image_id": image, "category_id": category, "score": score, "bbox": box}
        for image, found in detections.items()
        for category, score, box in zip(
            found.classes.tolist(), found.scores.tolist(), found.boxes_xywh.tolist(), strict=True
        )
    ]
    evaluation = COCOeval(truth, truth.loadRes(entries), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval


def crowded_scene(rng, image, classes):
    """People side by side and crowds, found more than once, with few different scores."""
    count = rng.integers(0, 9)
    boxes = np.column_stack([rng.integers(0, 60, (count, 2)), rng.choice([8, 20, 60, 150], count)])
    boxes = np.column_stack([boxes, boxes[:, 2] + rng.integers(0, 40, count)]).astype(np.float64)
    people = tuple(
        Annotation(
            id=index,
            category=int(rng.integers(classes)),
            box_xywh=tuple(box),
            area=box[2] * box[3] * 0.7,
            is_crowd=bool(rng.random() < 0.2),
        )
        for index, box in enumerate(boxes.tolist())
    )
    record = ImageRecord(id=image, path=Path(), height=99, width=99, annotations=people)
    D = 3 * count if image % 7 else 110  # more than count at all
    found = np.zeros((D, 4)) if not count else boxes[rng.integers(0, count, D)]
    return record, Detections(
        classes=rng.integers(0, classes, D),
        scores=rng.integers(1, 9, D) / 8,
        boxes_xywh=found + rng.integers(0, 5, (D, 4)),
    )


@pytest.mark.parametrize("classes", [1, 3])
def test_like_the_library_alone(classes):
    rng = np.random.default_rng(classes)
    scenes = [crowded_scene(rng, image, classes) for image in range(1, 60)]
    dataset = replace(
        main_dataset(), images=tuple(record for record, _ in scenes), classes=("a",) * classes
    )
    found = {record.id: of_image for record, of_image in scenes}
    ours, theirs = evaluate_boxes(dataset, found).eval, library_alone(dataset, found)
    for name in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(ours[name], theirs[name])


def test_nothing_is_printed(capsys):
    score_boxes(main_dataset(), detections())
    assert capsys.readouterr().out == ""


def test_nothing_was_found():
    scores = score_boxes(main_dataset(), {1: Detections.none()})
    assert list(scores) == ["AP", "AP50", "AP75", "APs", "APm", "APl"]
    assert np.isnan(list(scores.values())).all()
    dataset = replace(main_dataset(), classes=("person", "dog"))
    assert list(score_boxes(dataset, {}))[-2:] == ["AP-person", "AP-dog"]


def test_nobody_is_there(sample):
    dataset, found = sample
    images = tuple(replace(record, annotations=()) for record in dataset.images)
    assert np.isnan(list(score_boxes(replace(dataset, images=images), found).values())).all()
