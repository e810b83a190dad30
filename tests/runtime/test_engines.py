"""Which engine is chosen, and that all of them find the same people."""

from __future__ import annotations

import importlib.util
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import iuv
from iuv.checkpoint import save_weights
from iuv.checkpoint.download import cache_folder
from iuv.decode import decode_people
from iuv.runtime import engines, prepared
from iuv.runtime.engines import EngineChoice, EngineError, choose_engine
from iuv.synth.person import sample_person
from iuv.synth.render import render
from iuv.synth.scene import sample_scene
from tiny import TINY, tiny_model

CPU = torch.device("cpu")
CUDA = torch.device("cuda")


@pytest.fixture
def installed(monkeypatch):
    """Says which packages there are."""
    names: set[str] = set()
    monkeypatch.setattr(
        engines.importlib.util, "find_spec", lambda name: object() if name in names else None
    )
    return names


def test_auto_takes_what_is_installed(installed, monkeypatch):
    monkeypatch.delenv("IUV_ENGINE")
    assert choose_engine("auto", "fp32", CPU) == EngineChoice("eager", "fp32")
    installed |= {"onnxruntime", "onnx", "onnxscript"}
    assert choose_engine("auto", "fp32", CPU).engine == "onnxruntime"
    installed |= {"openvino"}
    assert choose_engine("auto", "fp32", CPU).engine == "openvino"
    assert choose_engine("auto", "fp32", CPU, 255).engine == "openvino"
    assert choose_engine("auto", "fp32", CPU, 256).engine == "eager"
    assert choose_engine("auto", "int8", CPU, 256).engine == "openvino"
    assert choose_engine("auto", "fp32", CUDA).engine == "eager"
    assert choose_engine("auto", "fp16", CUDA).engine == "eager"
    assert choose_engine("eager", "fp32", CPU).engine == "eager"
    assert choose_engine("auto", "int8", CPU) == EngineChoice("openvino", "int8")
    installed.discard("openvino")
    assert choose_engine("auto", "int8", CPU) == EngineChoice("onnxruntime", "int8")


def test_the_environment_says_what_auto_is(installed, monkeypatch):
    installed |= {"openvino", "onnx", "onnxscript"}
    monkeypatch.setenv("IUV_ENGINE", "compile")
    assert choose_engine("auto", "fp32", CPU).engine == "compile"
    assert choose_engine("openvino", "fp32", CPU).engine == "openvino"
    monkeypatch.setenv("IUV_ENGINE", "warp")
    with pytest.raises(EngineError, match="got 'warp'"):
        choose_engine("auto", "fp32", CPU)


@pytest.mark.parametrize(
    ("engine", "precision", "device", "message"),
    [
        ("tensorrt", "fp32", CPU, "engine must be one of auto, eager, .*, got 'tensorrt'"),
        ("eager", "fp8", CPU, "precision must be one of fp32, .*, got 'fp8'"),
        ("openvino", "fp32", CPU, r"needs openvino, onnx, onnxscript.*pip install 'iuv\[openvino"),
        ("onnxruntime", "bf16", CPU, "computes with fp32, int8 on cpu, not with bf16"),
        ("openvino", "fp32", CUDA, "runs on processors only, not on cuda; take 'eager'"),
        ("auto", "fp16", CPU, "no engine can compute with fp16 here"),
        ("eager", "fp16", CPU, "with fp32, bf16 on cpu, not with fp16"),
        ("eager", "int8", CPU, "not with int8; take engine 'openvino' or 'onnxruntime' on a cpu"),
        ("compile", "int8", CPU, "not with int8; take engine 'openvino' or 'onnxruntime'"),
        ("auto", "int8", CPU, r"no engine can compute with int8 here: .*'iuv\[openvino"),
        ("auto", "int8", CUDA, "not with int8; take engine 'openvino' or 'onnxruntime' on a cpu"),
    ],
)
@pytest.mark.usefixtures("installed")
def test_what_cannot_be_is_said(engine, precision, device, message, monkeypatch):
    monkeypatch.delenv("IUV_ENGINE")
    with pytest.raises(EngineError, match=message):
        choose_engine(engine, precision, device)


SMALL = TINY.replace(**{"backbone.depth": 18, "backbone.width": 16})  # few layers to export


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("engines") / "small.safetensors"
    save_weights(tiny_model(SMALL).state_dict(), SMALL, path)
    return path


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, size, dtype=np.uint8) for size in ((60, 80, 3), (90, 50, 3))]


def predict(weights, images, engine, precision="fp32"):
    predictor = iuv.load(weights, engine=engine, precision=precision, device="cpu", min_score=0.05)
    assert predictor.choice == EngineChoice(engine, precision)
    return predictor(images)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own compiler
@pytest.mark.parametrize(
    "engine", ["openvino", "onnxruntime", pytest.param("compile", marks=pytest.mark.slow)]
)
def test_engines_agree_with_eager_torch(weights, images, engine):
    if engine != "compile" and importlib.util.find_spec(engine) is None:
        pytest.skip(f"{engine} is an extra, and not installed here")
    if engine == "compile" and shutil.which("c++") is None:
        pytest.skip("torch.compile needs a C++ compiler, which is not installed here")
    for expected, actual in zip(
        predict(weights, images, "eager"), predict(weights, images, engine), strict=True
    ):
        assert len(expected) > 0
        np.testing.assert_allclose(actual.boxes_xyxy, expected.boxes_xyxy, rtol=1e-4, atol=1e-2)
        np.testing.assert_allclose(actual.scores, expected.scores, atol=1e-4)
        for one, other in zip(actual, expected, strict=True):
            assert one.box_xywh == other.box_xywh
            assert (one.labels == other.labels).mean() > 0.999
            same = one.labels == other.labels
            np.testing.assert_allclose(one.uv[:, same], other.uv[:, same], atol=1e-3)


def test_auto_does_without_a_cache(weights, tmp_path, monkeypatch, caplog):
    """In a container, say: an engine that needs files to be kept is no reason to fail."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("IUV_HOME", str(tmp_path / "file"))
    monkeypatch.delenv("IUV_ENGINE", raising=False)
    monkeypatch.setattr(
        "iuv.predictor.choose_engine", lambda *_: EngineChoice("onnxruntime", "fp32")
    )
    assert iuv.load(weights, device="cpu").choice == EngineChoice("eager", "fp32")
    assert "onnxruntime cannot be made ready" in caplog.text
    with pytest.raises(OSError, match=r"file|director"):
        iuv.load(weights, device="cpu", engine="onnxruntime")


def test_bf16_is_close(weights, images):
    """Random weights, whose numbers are far from 1, say little: trunk and heads do run in bf16."""
    predictor = iuv.load(weights, engine="eager", precision="bf16", device="cpu", min_score=0.05)
    kinds = {p.dtype for p in predictor.model.parameters()}
    assert kinds == {torch.bfloat16}
    for people in predictor(images):
        assert len(people) > 0
        assert people.boxes_xyxy.dtype == np.float32
        assert people[0].uv.dtype == np.float32


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_int8_is_calibrated_once(weights, images, engine, tmp_path, monkeypatch):
    """How close it comes is for trained weights to say: `test_few_bits_change_little`."""
    if importlib.util.find_spec(engine) is None:
        pytest.skip(f"{engine} is an extra, and not installed here")
    for index, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{index}.png")
    given = {"device": "cpu", "engine": engine, "precision": "int8", "min_score": 0.05}
    predictor = iuv.load(weights, calibration=tmp_path, **given)
    assert predictor.choice == EngineChoice(engine, "int8")
    expected = predict(weights, images, engine)
    with torch.inference_mode():
        exact, rounded = (
            p.look(images[0]).outputs.features[0]
            for p in (iuv.load(weights, device="cpu", engine=engine), predictor)
        )
    error = (rounded - exact).norm() / exact.norm()
    assert 0 < error < 0.1
    monkeypatch.setattr("iuv.runtime.prepared.measure_ranges", None)  # not called any more
    people = iuv.load(weights, calibration=tmp_path, **given)(images)
    assert [len(found) > 0 for found in people] == [len(found) > 0 for found in expected]


def test_calibration_is_for_int8(weights, tmp_path):
    with pytest.raises(
        EngineError, match="calibration goes with precision 'int8', not with 'fp32'"
    ):
        iuv.load(weights, device="cpu", engine="eager", calibration=tmp_path)


def test_a_damaged_file_is_told_with_the_way_out(weights, images, monkeypatch):
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed here")
    iuv.load(weights, device="cpu", engine="onnxruntime")
    files = sorted((cache_folder() / "engines").rglob("trunk.onnx"))
    kept = [file.read_bytes() for file in files]
    try:
        for file in files:
            file.write_bytes(b"no network")
        with pytest.raises(EngineError, match=r"ONNX Runtime cannot read .*; delete the folder"):
            iuv.load(weights, device="cpu", engine="onnxruntime")
        monkeypatch.delenv("IUV_ENGINE", raising=False)
        monkeypatch.setattr(
            "iuv.predictor.choose_engine", lambda *_: EngineChoice("onnxruntime", "fp32")
        )
        assert iuv.load(weights, device="cpu").choice == EngineChoice("eager", "fp32")
    finally:
        for file, content in zip(files, kept, strict=True):
            file.write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "precision", "least"),
    [("eager", "bf16", 0.98), ("openvino", "int8", 0.97), ("onnxruntime", "int8", 0.96)],
)
def test_few_bits_change_little(engine, precision, least):
    """Trained weights, on pictures that they were neither trained on nor fitted to."""
    if engine != "eager":
        pytest.importorskip(engine, reason=f"{engine} is an extra, and not installed here")
    exact = iuv.load("synth-S", device="cpu", engine="eager")
    rounded = iuv.load("synth-S", device="cpu", engine=engine, precision=precision)
    same, pixels = 0, 0
    for index in range(8):
        rng = np.random.Generator(np.random.PCG64([31337, index]))
        image = render(sample_scene(rng, sample_person, (320, 320))).rgb
        look, other = exact.look(image), rounded.look(image)
        found = exact.find(look)
        for one, two in zip(
            decode_people(exact.charts_at(look, found.boxes), *found, look.image_size),
            decode_people(rounded.charts_at(other, found.boxes), *found, look.image_size),
            strict=True,
        ):
            body = one.labels > 0
            same, pixels = same + int((one.labels == two.labels)[body].sum()), pixels + body.sum()
    assert pixels > 1000
    assert same / pixels > least


def test_records_of_the_cache_are_checked(tmp_path, monkeypatch):
    """What stands where digests and names are kept may be anything after a power cut."""
    folder = tmp_path / "parts"
    folder.mkdir()
    record = folder / "parts.json"
    for text in ("", '["tru', "{}", "3", "[]"):
        record.write_text(text)
        with pytest.raises(EngineError, match=r"parts\.json .*; delete the folder"):
            prepared._recorded(record, list)
    record.write_text('["trunk"]')
    assert prepared._recorded(record, list) == ["trunk"]

    monkeypatch.setenv("IUV_HOME", str(tmp_path / "home"))
    file = tmp_path / "w"
    file.write_bytes(b"A" * 100)
    os.utime(file, ns=(10**18, 10**18))
    first = prepared._digest(file)
    assert prepared._digest(file) == first
    (known,) = (tmp_path / "home/engines").glob("*.sha256")
    known.write_text("")
    assert prepared._digest(file) == first
    other = tmp_path / "other"
    other.write_bytes(b"B" * 100)
    os.utime(other, ns=(10**18, 10**18))
    os.replace(other, file)
    assert prepared._digest(file) != first
