"""Exported files, run by their engines: the same people as with torch, in photos of any size."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_whole_network import SMALL, VARIANTS, assert_same, noise_image, plainly

from iuv.export import example
from iuv.export.card import describe_parts, describe_weights, describe_whole
from iuv.export.formats import FORMATS, check_format, export_parts, export_whole
from iuv.modeling.rcnn import RCNN
from iuv.predictor import Predictor
from iuv.results import People
from iuv.runtime.eager import fold_batch_norm
from iuv.runtime.engines import EngineError
from iuv.runtime.parts import split
from tiny import tiny_model

_ENGINE = {"onnx": "onnxruntime", "openvino": "openvino", "torch": "torch"}


def ready(config) -> RCNN:
    model = tiny_model(config).eval().requires_grad_(False)
    fold_batch_norm(model)
    return model


def needs(to):
    if importlib.util.find_spec(_ENGINE[to]) is None:
        pytest.skip(f"{_ENGINE[to]} is an extra, and not installed here")


def assert_no_paths(path):
    """An exported file tells nothing of the machine that wrote it."""
    assert str(Path(example.__file__).parents[1]).encode() not in path.read_bytes()


def card(tmp_path, described):
    (tmp_path / "weights").write_bytes(b"w")
    return describe_weights("tiny", tmp_path / "weights", None) | described


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "to"),
    # a minute each: every format, and every variant that is traced in another way
    [("large people", "onnx"), ("adaptive", "onnx"), ("deeplab", "openvino"), ("legacy", "torch")],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's exporter of itself
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # likewise, and OpenVINO's
def test_an_exported_model_finds_the_same(variant, to, tmp_path):
    needs(to)
    sizes = ((64, 85), (128, 70), (33, 20), (96, 64))
    images = [noise_image(*size) for size in sizes]
    images += [torch.zeros(*size, 3, dtype=torch.uint8) for size in sizes]
    # so that nobody is in some of the images
    config = VARIANTS[variant]
    best = sorted(plainly(ready(config), image)["scores"][0].item() for image in images)
    config = config.replace(**{"box.min_score": (best[2] + best[3]) / 2})

    model = ready(config)
    path, *_ = export_whole(model, card(tmp_path, describe_whole(config)), to, tmp_path / "out")
    assert_no_paths(path)
    counts = []
    for image in images:
        expected = plainly(model, image)
        counts.append(len(expected["boxes"]))
        assert_same(example.run(path, image.numpy()), expected, atol=5e-3)
    assert counts.count(0) == 3
    assert max(counts) > 1


@pytest.mark.parametrize(
    "to", ["torch", *(pytest.param(k, marks=pytest.mark.slow) for k in FORMATS[:2])]
)
@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's exporter of itself
def test_parts_are_written_one_by_one(to, tmp_path, monkeypatch):
    """Only the box head, as the others take their time."""
    needs(to)
    monkeypatch.setattr("iuv.export.formats.split", lambda model: split(model)[1:2])
    model = ready(SMALL)
    described = card(tmp_path, describe_parts(split(model)))
    path, *_, text = export_parts(model, described, to, tmp_path / "out")
    assert path.name.startswith("tiny.box_head.")
    head = json.loads(text.read_text())["parts"]["box_head"]
    shape = head["inputs"]["pooled"]["shape"]
    assert head["outputs"] == ["logits", "deltas"]
    pooled = torch.randn(4, *shape[1:], generator=torch.Generator().manual_seed(0))
    expected = model.box_head(pooled.permute(0, 3, 1, 2))
    for name, value in zip(head["outputs"], run_part(path, pooled), strict=True):
        torch.testing.assert_close(
            torch.as_tensor(value), expected[head["outputs"].index(name)], rtol=1e-4, atol=1e-4
        )
    assert_no_paths(path)


def run_part(path, pooled):
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return session.run(None, {"pooled": pooled.numpy()})
    if path.suffix == ".xml":
        import openvino

        compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return [np.array(value) for value in compiled([pooled.numpy()]).values()]
    return torch.export.load(path).module()(pooled)


def raw_outputs(predictor: Predictor, image) -> tuple[dict, tuple[int, int]]:
    look = predictor.look(image)
    height, width = look.size
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    found = plainly(predictor.model, torch.tensor(np.asarray(resized)))
    return {name: value.numpy() for name, value in found.items()}, (width, height)


def test_the_example_draws_what_iuv_draws(tiny):
    image = noise_image(75, 120, seed=3).numpy()
    outputs, size = raw_outputs(tiny, image)
    people: People = tiny(image)
    assert len(people) > 0
    expected, drawn = people.iuv(), example.draw(outputs, (120, 75), size)
    body = expected[..., 0] > 0
    assert (drawn[..., 0] == expected[..., 0])[body].mean() > 0.999
    same = drawn[..., 0] == expected[..., 0]
    assert np.abs(drawn.astype(int) - expected)[same].max() <= 1


def test_the_example_draws_nobody():
    maps = {"coarse_segm": 2, "fine_segm": 25, "u": 25, "v": 25}
    outputs = {name: np.zeros((0, channels, 8, 8), np.float32) for name, channels in maps.items()}
    outputs["boxes"] = np.zeros((0, 4), np.float32)
    picture = example.draw(outputs, (120, 80), (60, 40))
    assert picture.shape == (80, 120, 3)
    assert not picture.any()


def test_the_example_needs_nothing_of_iuv():
    code = f"""
import sys
sys.path.insert(0, {str(example.__file__).rpartition("/")[0]!r})
import example
print(sorted({{name.partition('.')[0] for name in sys.modules}} & {{'iuv', 'torch', 'cv2'}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_failure_leaves_nothing_and_replaces_nothing(tmp_path, monkeypatch):
    (tmp_path / "tiny.json").write_text("old")

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("iuv.export.formats._trace", fail)
    with pytest.raises(OSError, match="No space"):
        export_whole(ready(SMALL), card(tmp_path, describe_whole(SMALL)), "torch", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"tiny.json", "weights"}
    assert (tmp_path / "tiny.json").read_text() == "old"


def test_what_cannot_be_written_is_said(monkeypatch):
    with pytest.raises(EngineError, match="one of onnx, openvino, torch, got 'coreml'"):
        check_format("coreml", SMALL)
    with pytest.raises(EngineError, match="sampling_ratio is 0"):
        check_format("torch", SMALL.replace(**{"box.sampling_ratio": 0}))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"openvino, onnx, onnxscript, .*'iuv\[openvino\]'"):
        check_format("openvino", SMALL)
    with pytest.raises(EngineError, match=r"onnx, onnxscript, .*'iuv\[onnx\]'"):
        check_format("onnx", SMALL)
    monkeypatch.setattr(torch, "__version__", "2.6.0+cpu")
    with pytest.raises(EngineError, match=r"torch 2\.9 or newer, got 2\.6\.0"):
        check_format("torch", SMALL)
