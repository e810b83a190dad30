from __future__ import annotations

import json
import subprocess
import sys

import pytest
import safetensors.torch
import torch
from stub_model import (
    CONFIG,
    MODELS,
    SMALL,
    STATE,
    assert_holds,
    our_shapes,
    random_state,
    stub_model,
)

from iuv.checkpoint import (
    CheckpointError,
    guess_model_name,
    load_weights,
    save_weights,
)
from iuv.modeling.rcnn import RCNN
from iuv.zoo import EMBEDDED


def test_misfits_are_listed_together(tmp_path):
    path = tmp_path / "weights.safetensors"
    changed = dict(STATE)
    for index in range(3):
        del changed[f"decoder.p5.{index}.bias"]
    changed["spare.weight"] = torch.zeros(1)
    changed["box_head.fc1.bias"] = torch.zeros(5)
    changed["box_head.fc2.bias"] = torch.zeros(3, dtype=torch.int64)
    save = {name: tensor.clone() for name, tensor in changed.items()}
    metadata = {"iuv": json.dumps({"format": 1, "config": {}})}
    safetensors.torch.save_file(save, path, metadata)
    model = stub_model(SMALL)
    with pytest.raises(CheckpointError) as caught:
        load_weights(model, path)
    assert str(caught.value).splitlines() == [
        f"{path}: does not fit the model",
        "  missing: 3: decoder.p5.0.bias, decoder.p5.1.bias, decoder.p5.2.bias",
        "  unexpected: 1: spare.weight",
        "  of another shape: 2: box_head.fc1.bias (expected [3], got [5]), "
        "box_head.fc2.bias (expected [3], got [3] int64)",
    ]
    assert_holds(model, stub_model(SMALL).state_dict())


def test_long_lists_are_cut(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"box_head.fc1.bias": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match=r"missing: 334: .* and 326 more") as caught:
        load_weights(stub_model(SMALL), path)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("model", MODELS)
def test_architecture_is_recognised(model):
    with torch.device("meta"):
        state = stub_model(our_shapes(model)).state_dict()
    assert guess_model_name(state) == model


def test_the_embedded_architecture_is_recognised():
    def guess(**changes):
        with torch.device("meta"):
            return guess_model_name(RCNN(EMBEDDED.config.replace(**changes)).state_dict())

    assert guess() == guess(**{"backbone.norm": "frozen_batch_norm"}) == "synth-S"
    for change in (
        {"backbone.depth": 50},
        {"backbone.width": 64},
        {"backbone.fpn_channels": 128},
        {"dense.conv_dim": 128},
        {"dense.head": "deeplab", "dense.batch_norm": False},
        {"dense.uv_confidence": "iid_iso"},
    ):
        assert guess(**change) != "synth-S", change


def test_the_right_model_is_suggested(tmp_path):
    path = tmp_path / "weights.pkl"
    save_weights(random_state(our_shapes("R_101_FPN_DL_WC2M_s1x", limit=3)), CONFIG, path)
    with pytest.raises(CheckpointError, match="try --model R_101_FPN_DL_WC2M_s1x"):
        load_weights(stub_model(SMALL), path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_broken_numbers_are_refused(tmp_path, value):
    path = tmp_path / "weights.pkl"
    broken = {name: tensor.clone() for name, tensor in STATE.items()}
    broken["dense.chart.u.weight"][0, 0, 0, 0] = value
    save_weights(broken, CONFIG, path)
    model = stub_model(SMALL)
    with pytest.raises(CheckpointError, match=r"not finite .* in 1: dense\.chart\.u\.weight"):
        load_weights(model, path)
    assert_holds(model, stub_model(SMALL).state_dict())


def test_reading_needs_little_more_than_the_file(tmp_path):
    """Peak memory of a fresh process that loads 80 MB into a model without memory of its own."""
    resource = pytest.importorskip("resource", reason="not on Windows")
    del resource
    shapes = {f"dense.head.convs.{i}.conv.weight": (512, 512, 3, 3) for i in range(8)}
    path = tmp_path / "weights.pkl"
    save_weights(random_state(shapes), CONFIG, path)
    code = f"""
import resource, sys, torch
sys.path[:0] = {sys.path!r}
from stub_model import stub_model
from iuv.checkpoint import load_weights
with torch.device("meta"):
    model = stub_model({shapes!r})
unit = 1 if sys.platform == "darwin" else 1024
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
load_weights(model, {str(path)!r})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 1.4 * path.stat().st_size
