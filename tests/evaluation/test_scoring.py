"""Golden curves; the toy set, on a surface that is a formula."""

from __future__ import annotations

import base64
import json
import zlib

import numpy as np
import pytest

from golden_evaluation import FOLDER, TASKS, evaluated, main_evaluator
from iuv.data.datasets import load_dataset
from iuv.evaluation.detections import Detections
from iuv.evaluation.meshes import SurfaceMesh
from iuv.evaluation.scoring import draw_curves


@pytest.mark.parametrize("least", [0.5, 0.2])
def test_curves_of_main_set(least):
    curves = main_evaluator(least).curves()
    with np.load(FOLDER / "precision_recall.npz") as golden:
        for task, name in zip(TASKS, ("gps", "gpsm", "iou"), strict=True):
            precision = golden[f"min_{least}/{name}/precision"][..., 0]
            recall = golden[f"min_{least}/{name}/recall"][..., 0]
            np.testing.assert_allclose(curves[task].precision, precision, atol=1e-9)
            np.testing.assert_allclose(curves[task].recall, recall, atol=1e-9)


def test_no_groups():
    for curves in draw_curves([], 1, np.array([0.5])).values():
        assert (curves.precision == -1).all()


# The toy set


class Formula:
    """Distances as the golden README makes them up."""

    num_vertices = 27_554

    def distances(self, a, b):
        high, low = np.maximum(a, b), np.minimum(a, b)
        return np.where(a == b, 0, (high * (high - 1) // 2 + low) % 1000 / 2000)


def hashed(i, k):
    x = np.sin(i * 12.9898 + k * 78.233) * 43758.5453
    return x - np.floor(x)


@pytest.fixture(scope="module")
def toy():
    return json.loads((FOLDER / "eval_toy.json").read_text())


@pytest.fixture(scope="module")
def toy_evaluators(toy, tmp_path_factory):
    path = tmp_path_factory.mktemp("toy") / "toy.json"
    path.write_text(json.dumps(toy["gt"]))
    dataset = load_dataset(path)
    j = np.arange(1, 193)
    mesh = SurfaceMesh(
        parts=(j - 1) // 8 + 1,
        u=hashed(j, 1),
        v=hashed(j, 2),
        vertices=137 * j % 27_554,
        geodesics=Formula(),
    )
    found = {}
    for record in dataset.images:
        own = [entry for entry in toy["detections"] if entry["image_id"] == record.id]
        maps = []
        for entry in own:
            raw = zlib.decompress(base64.b64decode(entry["labels_uv_zlib_b64"]))
            maps.append(np.frombuffer(raw, np.uint8).reshape(entry["labels_uv_shape"]))
        found[record.id] = Detections(
            classes=np.zeros(len(own), np.int64),
            scores=np.array([entry["score"] for entry in own], np.float64),
            boxes_xywh=np.array([entry["bbox"] for entry in own], np.float64).reshape(-1, 4),
            maps=tuple(maps),
        )
    return {m: evaluated(dataset, found, mesh, min_similarity=m) for m in (0.5, 0.2)}


@pytest.mark.parametrize("least", [0.5, 0.2])
def test_toy_scores(toy, toy_evaluators, least):
    scores = toy_evaluators[least].summarize()
    for task, name in zip(TASKS, ("GPS", "GPSM", "IOU"), strict=True):
        assert scores[task] == pytest.approx(toy["results"][f"min_iou_{least}"][name], abs=1e-9)


def test_toy_similarities(toy, toy_evaluators):
    for record, _, group in toy_evaluators[0.5].compared():
        for name in ("gps", "box_iou", "mask_iou"):
            expected = toy[f"{name}_matrix"][str(record.id)]
            if expected:
                np.testing.assert_allclose(getattr(group, name), expected, atol=1e-9)
