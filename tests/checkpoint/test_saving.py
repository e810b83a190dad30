from __future__ import annotations

import errno
import io
import pickle

import numpy as np
import pytest
import torch
from safetensors import safe_open
from stub_model import (
    CONFIG,
    MODELS,
    STATE,
    assert_holds,
    our_shapes,
    random_state,
    released,
    stub_model,
)

import hashing
from iuv.checkpoint import (
    CheckpointError,
    load_weights,
    read_config,
    save_weights,
)
from iuv.checkpoint.keys import to_released
from iuv.checkpoint.saving import _write_pth
from iuv.config import ModelConfig


@pytest.mark.parametrize(
    ("model", "suffix"),
    [
        *((model, ".pkl") for model in MODELS),
        *(("R_101_FPN_DL_WC2M_s1x", suffix) for suffix in (".safetensors", ".pth")),
    ],
)
def test_what_is_written_loads_strictly(tmp_path, model, suffix):
    shapes = our_shapes(model, limit=2)
    state = random_state(shapes)
    path = tmp_path / f"weights{suffix}"
    save_weights(state, CONFIG, path)
    fresh = stub_model(shapes)
    load_weights(fresh, path)
    assert_holds(fresh, state)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".pkl", ".pth"])
def test_written_layout_is_the_released_one(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    save_weights(STATE, CONFIG, path)
    # Detectron2 reads with these very calls.
    if suffix == ".pkl":
        data = pickle.loads(path.read_bytes(), encoding="latin1")
        assert all(array.dtype == np.float32 for array in data["model"].values())
    else:
        data = torch.load(path, weights_only=True)
    assert data["__author__"]
    assert data["model"].keys() == hashing.manifest("R_50_FPN_s1x").keys()
    for key, tensor in released(STATE).items():
        np.testing.assert_array_equal(data["model"][key], tensor)


def test_written_pickle_names_what_old_numpy_knows(tmp_path):
    path = tmp_path / "weights.pkl"
    save_weights(STATE, CONFIG, path)
    assert b"numpy._core" not in path.read_bytes()


def test_real_sizes_through_a_released_file(tmp_path):
    """A whole R_50_FPN_s1x, 250 MB: the hash weights of the golden numbers."""
    weights = hashing.state_dict("R_50_FPN_s1x")
    shapes = our_shapes("R_50_FPN_s1x")
    path = tmp_path / "model_final_162be9.pkl"
    state = {name: weights[to_released(name)] for name in shapes}
    save_weights(state, ModelConfig(), path)
    with torch.device("meta"):
        fresh = stub_model(shapes)
    load_weights(fresh, path)
    assert_holds(fresh, state)
    path.unlink()


def test_same_weights_are_the_same_bytes(tmp_path):
    for suffix in (".safetensors", ".pkl"):
        paths = [tmp_path / f"{i}{suffix}" for i in range(2)]
        for path in paths:
            save_weights(STATE, CONFIG, path)
        assert paths[0].read_bytes() == paths[1].read_bytes()


def test_any_layout_in_memory_is_written_plainly(tmp_path):
    shapes = {"trunk.rpn.conv.weight": (4, 4, 3, 3), "trunk.rpn.conv.bias": (4,)}
    state = random_state(shapes)
    odd = {
        "trunk.rpn.conv.weight": state["trunk.rpn.conv.weight"].to(
            memory_format=torch.channels_last
        ),
        "trunk.rpn.conv.bias": torch.cat([state["trunk.rpn.conv.bias"]] * 2)[:4].requires_grad_(),
    }
    for suffix in (".safetensors", ".pkl", ".pth"):
        path = tmp_path / f"weights{suffix}"
        save_weights(odd, CONFIG, path)
        fresh = stub_model(shapes)
        load_weights(fresh, path)
        assert_holds(fresh, state)


def test_half_precision(tmp_path):
    """Kernels and matrices are rounded to 11 bits; what norms keep may be beyond float16."""
    state = {
        "box_head.fc1.weight": torch.tensor([[1 / 3, -65504.0], [6e-8, 0.0]]),
        "trunk.resnet.stem.norm.running_var": torch.tensor([1 / 3, 1e6]),
    }
    path = tmp_path / "half.safetensors"
    save_weights(state, CONFIG, path, half=True)
    with safe_open(path, framework="pt") as file:
        kinds = {name: file.get_tensor(name).dtype for name in state}
    assert list(kinds.values()) == [torch.float16, torch.float32]
    fresh = stub_model({name: tuple(tensor.shape) for name, tensor in state.items()})
    load_weights(fresh, path)
    assert {tensor.dtype for tensor in fresh.state_dict().values()} == {torch.float32}
    expected = state | {"box_head.fc1.weight": state["box_head.fc1.weight"].half().float()}
    assert_holds(fresh, expected)
    assert read_config(path) == CONFIG


@pytest.mark.parametrize("value", [65520.0, float("inf"), float("nan")])
def test_half_precision_does_not_hold_everything(tmp_path, value):
    state = {"box_head.fc1.weight": torch.tensor([[value]])}
    with pytest.raises(
        CheckpointError, match=r"fc1\.weight: has values that half precision cannot"
    ):
        save_weights(state, CONFIG, tmp_path / "half.safetensors", half=True)
    assert not list(tmp_path.iterdir())


def test_half_precision_is_ours_only(tmp_path):
    with pytest.raises(CheckpointError, match=r"half precision is for \.safetensors only"):
        save_weights(STATE, CONFIG, tmp_path / "weights.pkl", half=True)
    assert not list(tmp_path.iterdir())


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"expected a name that ends in \.safetensors, \.pkl"):
        save_weights(STATE, CONFIG, tmp_path / "weights.bin")
    assert not list(tmp_path.iterdir())


def test_unknown_parameters_cannot_be_written_as_released(tmp_path):
    with pytest.raises(CheckpointError, match=r"'mine\.weight' has no name .*; write it as \.safe"):
        save_weights({"mine.weight": torch.zeros(1)}, CONFIG, tmp_path / "weights.pkl")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_what_torch_files_report(tmp_path):
    class Full(io.BytesIO):
        def write(self, data):
            if self.tell() + len(data) > 1000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    with pytest.raises(OSError, match="No space left"):
        _write_pth(Full(), {"a": torch.ones(10_000)}, CONFIG)
