"""All metrics of the golden sets; any order, any number of processes; what goes wrong."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from golden_evaluation import (
    FOLDER,
    TASKS,
    detections,
    evaluated,
    main_dataset,
    main_evaluator,
    results,
    surface,
    two_class_evaluator,
)
from hashing import affine
from iuv.data.datasets import load_dataset
from iuv.decode import decode_people
from iuv.evaluation.detections import Detections
from iuv.evaluation.evaluator import Evaluator
from iuv.evaluation.mask_iou import paste
from iuv.results import ChartOutputs


def assert_equal(found, expected):
    """Compare metrics of a task, where golden files write NaN as null."""
    assert found.keys() == expected.keys()
    expected = {name: np.nan if value is None else value for name, value in expected.items()}
    assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("least", [0.5, 0.2])
@pytest.mark.parametrize("task", TASKS)
def test_main_set(least, task):
    expected = results()["results"][f"min_{least}"][task]
    assert_equal(main_evaluator(least).summarize()[task], expected)


def test_boxes_of_main_set():
    assert_equal(main_evaluator().summarize()["bbox"], results()["results"]["box"])


@pytest.mark.parametrize("task", [*TASKS, "bbox"])
def test_two_classes(task):
    golden = results("classes_results")
    expected = golden["box"] if task == "bbox" else golden["results"][task]
    assert_equal(two_class_evaluator().summarize()[task], expected)


def test_some_images_only():
    golden = dict(results()["results"]["img_ids_subset"])
    chosen = golden.pop("img_ids")
    images = tuple(record for record in main_dataset().images if record.id in chosen)
    evaluator = evaluated(replace(main_dataset(), images=images), detections(), surface())
    scores = evaluator.summarize()
    for task, expected in golden.items():
        assert_equal(scores[task], expected)


def test_nobody_was_found(caplog):
    scores = Evaluator(main_dataset(), surface()).summarize()
    for task, expected in results()["results"]["no_predictions"].items():
        assert_equal(scores[task], expected)
    assert np.isnan(list(scores["bbox"].values())).all()
    assert "nobody was found in any image" in caplog.text


def test_no_images():
    scores = Evaluator(replace(main_dataset(), images=()), surface()).summarize()
    assert scores["densepose_gps"]["AP"] == -1


@pytest.mark.parametrize("mode", ["iuvdt", "iuvgt", "igtuvdt"])
def test_modes(mode):
    expected = results()["results"]["data_modes_gps"][mode]
    options = {"mode": mode, "tasks": ["densepose_gps"]}
    scores = evaluated(main_dataset(), detections(), surface(), **options).summarize()
    assert_equal(scores["densepose_gps"], expected)


@pytest.mark.parametrize(("mode", "like"), [("igtuv0", "igtuvdt"), ("idtuv0", "iuvdt")])
def test_modes_with_zeros(mode, like):
    """The reference fails in these. They are like others in which a prediction is all zeros."""
    blank = {
        image: replace(
            of_image,
            maps=tuple(m * np.array([1, 0, 0], np.uint8)[:, None, None] for m in of_image.maps),
        )
        for image, of_image in detections().items()
    }
    tasks = ["densepose_gps"]
    scores = evaluated(main_dataset(), detections(), surface(), mode=mode, tasks=tasks).summarize()
    expected = evaluated(main_dataset(), blank, surface(), mode=like, tasks=tasks).summarize()
    assert scores == expected
    assert 0 < scores["densepose_gps"]["AP"] < results()["results"]["data_modes_gps"]["iuvgt"]["AP"]


def test_any_order_in_any_number_of_processes():
    """The same to the last digit, although scores tie across images."""
    shares = [Evaluator(main_dataset(), surface()) for _ in range(3)]
    for turn, image in enumerate(reversed(detections())):
        shares[turn % 3].update(image, detections()[image])
    states = [pickle.loads(pickle.dumps(share.state())) for share in shares]
    shares[1].merge([states[2], states[0]])
    assert repr(shares[1].summarize()) == repr(main_evaluator().summarize())


def test_state_is_small():
    size = len(pickle.dumps(main_evaluator().state()))
    assert size < 117 * 2000  # detections; their maps have 33 kB each


def test_look_ups_in_small_batches(monkeypatch):
    monkeypatch.setattr("iuv.evaluation.gps._BATCH", 100)
    scores = evaluated(main_dataset(), detections(), surface()).summarize()
    assert repr(scores) == repr(main_evaluator().summarize())


# Raw outputs of a network


@pytest.fixture(scope="module")
def raw():
    with np.load(FOLDER / "raw_outputs.npz") as file:
        return {key: file[key] for key in file.files}


@pytest.fixture(scope="module")
def raw_charts(raw):
    n, S = len(raw["score"]), results("raw_results")["S"]
    label = torch.from_numpy(raw["label_small"])[:, None].long()
    fine = 4 * (label == torch.arange(25)[:, None, None]) + affine(
        "eval_raw/fine", (n, 25, S, S), 1
    )
    coarse = 2 * torch.cat([label == 0, label > 0], dim=1).float()
    return ChartOutputs(
        coarse_segm=coarse + affine("eval_raw/coarse", (n, 2, S, S), 1.4),
        fine_segm=fine,
        u=torch.from_numpy(raw["U_small"])[:, None] + affine("eval_raw/u", (n, 25, S, S), 0.04),
        v=torch.from_numpy(raw["V_small"])[:, None] + affine("eval_raw/v", (n, 25, S, S), 0.04),
    )


def from_raw(raw, charts, record):
    own = torch.from_numpy(np.flatnonzero(raw["image_id"] == record.id))
    boxes, scores = (torch.from_numpy(raw[name])[own] for name in ("box_xyxy", "score"))
    people = decode_people(charts.at(own), boxes, scores, (record.height, record.width))
    found = Detections.of(people)
    for index, own_map in zip(own.tolist(), found.maps, strict=True):
        np.testing.assert_array_equal(own_map, raw[f"quantised/{index}"])
    return found, charts.at(own).coarse_segm


def test_network_outputs(raw, raw_charts):
    dataset = load_dataset(FOLDER / "raw_gt.json")
    found = {record.id: from_raw(raw, raw_charts, record)[0] for record in dataset.images}
    scores = evaluated(dataset, found, surface()).summarize()
    for task, expected in results("raw_results")["storage_none"]["results"].items():
        assert_equal(scores[task], expected)


def test_masks_in_place_of_labels(raw, raw_charts):
    """The reference takes the coarse segmentation for mask when it has stored its results."""
    dataset, found = load_dataset(FOLDER / "raw_gt.json"), {}
    for record in dataset.images:
        of_image, coarse = from_raw(raw, raw_charts, record)
        masks = []
        for box, logits, own_map in zip(of_image.boxes_xywh, coarse, of_image.maps, strict=True):
            resized = torch.nn.functional.interpolate(
                logits[None], own_map.shape[1:], mode="bilinear"
            )
            canvas = np.zeros((record.height, record.width), np.uint8, order="F")
            top, left, pixels = paste(resized[0].argmax(0).numpy() > 0, box, canvas.shape)
            canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
            masks.append(coco_mask.encode(canvas))
        found[record.id] = replace(of_image, masks=tuple(masks))
    scores = evaluated(dataset, found, surface()).summarize()
    for task, expected in results("raw_results")["storage_ram"]["results"].items():
        assert_equal(scores[task], expected)


# Choice of tasks, and mistakes


def test_without_mesh():
    scores = evaluated(main_dataset(), detections()).summarize()
    whole = main_evaluator().summarize()
    assert scores == {task: whole[task] for task in ("bbox", "densepose_segm")}


def test_boxes_alone_need_nothing_else():
    found = {image: replace(of_image, maps=None) for image, of_image in detections().items()}
    scores = evaluated(main_dataset(), found, tasks=["bbox"]).summarize()
    assert scores == {"bbox": main_evaluator().summarize()["bbox"]}


def test_tasks_keep_their_order():
    assert Evaluator(main_dataset(), None, tasks=["densepose_segm", "bbox"]).tasks == (
        "bbox",
        "densepose_segm",
    )


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (["densepose_iou"], "there is no task 'densepose_iou'; the tasks are bbox, densepose_gps"),
        (
            ["densepose_gps"],
            r"densepose_gps needs a mesh with geodesic distances, e.g. .*load_smpl",
        ),
    ],
)
def test_impossible_tasks(tasks, message):
    with pytest.raises(ValueError, match=message):
        Evaluator(main_dataset(), None, tasks=tasks)


def test_impossible_mode():
    with pytest.raises(ValueError, match="there is no mode 'iuv'; the modes are iuvdt, iuvgt, ig"):
        Evaluator(main_dataset(), None, mode="iuv")


def one_box(**changes):
    fields = {
        "classes": np.zeros(1, np.int64),
        "scores": np.ones(1),
        "boxes_xywh": np.array([[0.0, 0, 9, 9]]),
    }
    return Detections(**fields | changes)


@pytest.mark.parametrize(
    ("mesh", "found", "message"),
    [
        (None, one_box(), "image 1: mask IoU needs maps or masks, and these .* choose other tasks"),
        ("surface", one_box(), "image 1: GPS and GPSm need maps of I, U, V"),
        (
            None,
            one_box(classes=np.ones(1, np.int64)),
            r"image 1: the classes of detections must be 0\.\.0, .* got \[1\]",
        ),
        (
            None,
            one_box(masks=({"size": [9, 9], "counts": [81]},)),
            r"image 1: the mask of detection 0 must have the image's size, .*, got \[9, 9\]",
        ),
    ],
)
def test_unfit_detections(mesh, found, message):
    evaluator = Evaluator(main_dataset(), mesh and surface())
    with pytest.raises(ValueError, match=message):
        evaluator.update(1, found)


def test_unknown_and_repeated_images():
    evaluator = evaluated(main_dataset(), {1: Detections.none()})
    with pytest.raises(ValueError, match="'gt' has no image with the id 2"):
        evaluator.update(2, Detections.none())
    with pytest.raises(ValueError, match="image 1 was given before"):
        evaluator.update(1, Detections.none())
    with pytest.raises(ValueError, match="image 1 was given to two evaluators"):
        evaluator.merge([evaluator.state()])
    with pytest.raises(ValueError, match="has no image with the id 2"):
        evaluator.merge([{2: evaluator.state()[1]}])
