"""The end-to-end proof: from synthetic people, a tiny model learns to find others.

From pictures to scores everything goes through the commands: `iuv synth` (with scenes that are
quick to learn from), `iuv train`, and the evaluation that `iuv eval` does, too.
"""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from iuv.cli.app import app
from iuv.config import ModelConfig
from iuv.recipes import recipe
from iuv.training_config import TrainingConfig
from portraits import sample_portrait

SIDE = 96
STEPS = 240
MODEL = ModelConfig().replace(
    **{
        "input.short_side": SIDE,
        "input.long_side": SIDE,
        "backbone.depth": 18,
        "backbone.norm": "batch_norm",
        "backbone.width": 16,
        "backbone.fpn_channels": 32,
        "backbone.fpn_norm": True,
        "rpn.anchor_sizes": [16, 32, 48, 64, 88],
        "rpn.aspect_ratios": [1.0, 2.0, 3.0],
        "rpn.pre_nms_topk": 100,
        "rpn.post_nms_topk": 30,
        "box.fc_dim": 64,
        "dense.pool_size": 8,
        "dense.num_convs": 2,
        "dense.conv_dim": 48,
        "dense.batch_norm": True,
    }
)
TRAINING: TrainingConfig = recipe(MODEL).replace(
    **{
        "augment.short_sides": [88, 96, 104],
        "augment.long_side": 128,
        "loader.batch_size": 8,
        "loader.workers": 0,
        "sampling.pre_nms_topk": 100,
        "sampling.post_nms_topk": 50,
        "sampling.anchors_per_image": 64,
        "sampling.boxes_per_image": 16,
        "sampling.dense_min_iou": 0.5,
        "solver.optimizer": "adamw",
        "solver.base_lr": 0.004,
        "solver.base_batch_size": None,
        "solver.weight_decay": 0.02,
        "solver.schedule": "cosine",
        "solver.max_iter": STEPS,
        "solver.warmup_iters": 20,
        "solver.clip": "norm",
        "solver.ema_decay": 0.95,
        "solver.freeze_at": 0,
        "run.eval_period": STEPS // 4,
    }
)


def run(*words: object) -> None:
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == 0, result.output


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")  # pycocotools on numpy 2
def test_average_precision_rises(tmp_path, monkeypatch):
    monkeypatch.setattr("iuv.synth.dataset.sample_scene", sample_portrait)
    monkeypatch.chdir(tmp_path)
    for folder, seed, count in (("people", 1, 120), ("others", 2, 40)):
        options = ["--size", SIDE, "--workers", 1]
        run("synth", "--images", count, "--out", folder, "--seed", seed, *options)
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps(TRAINING.to_dict()))
    data = ["--data", "people/annotations.json", "--symmetry", "people/symmetry.npz"]
    held_out = ["--eval-data", "others/annotations.json", "--mesh", "others/mesh.npz"]
    run("train", settings, "--init", "none", "--out", "run", *data, *held_out)

    lines = map(json.loads, (tmp_path / "run/metrics.json").read_text().splitlines())
    scores = {line["iteration"]: line for line in lines if "eval/bbox/AP" in line}
    early, late = scores[STEPS // 4], scores[STEPS]
    # Measured: box AP 12 → 36, GPS 0.4 → 9.7, GPSm 2 → 19.
    for task, least in (("bbox", 20), ("densepose_gps", 4), ("densepose_gpsm", 9)):
        before, after = (line[f"eval/{task}/AP"] for line in (early, late))
        assert after > max(least, 1.5 * before), (task, before, after)
