"""``iuv convert``: there and back through every format, and what it refuses."""

import os
import re

import pytest
import torch
from typer.testing import CliRunner

import iuv.checkpoint
from iuv.cli.app import app
from iuv.detectron2_yaml import read_detectron2_yaml
from iuv.modeling.rcnn import RCNN

SMALL_MODEL = """\
_BASE_: densepose_rcnn_R_50_FPN_s1x.yaml
MODEL:
  ROI_BOX_HEAD: {FC_DIM: 8}
  ROI_DENSEPOSE_HEAD: {CONV_HEAD_DIM: 8}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a small model in our own format, and its YAML."""
    folder = tmp_path_factory.mktemp("convert")
    (folder / "small.yaml").write_text(SMALL_MODEL)
    config = read_detectron2_yaml(folder / "small.yaml")
    network = RCNN(config)
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            parameter.fill_(number / 100)
    iuv.checkpoint.save_weights(network.state_dict(), config, folder / "small.safetensors")
    return folder


@pytest.fixture
def convert(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return lambda *arguments: CliRunner().invoke(app, ["convert", *arguments])


def test_there_and_back(convert):
    there = convert("small.safetensors", "small.pkl")
    assert there.exit_code == 0, there.output
    assert re.fullmatch(r"small\.pkl: [0-9.]+ million parameters, [0-9.]+ MB\n", there.stdout)
    for before, after in (("small.pkl", "small.pth"), ("small.pth", "back.safetensors")):
        with open(before, "rb") as file:
            assert b"backbone.bottom_up.stem.conv1.weight" in file.read()
        result = convert(before, after, "--model", "small.yaml")
        assert result.exit_code == 0, result.output
    with open("small.safetensors", "rb") as before, open("back.safetensors", "rb") as after:
        assert before.read() == after.read()


def test_half(convert, folder):
    result = convert("small.safetensors", "half.safetensors", "--half")
    assert result.exit_code == 0, result.output
    sizes = [(folder / f"{name}.safetensors").stat().st_size for name in ("small", "half")]
    assert 0.49 < sizes[1] / sizes[0] < 0.52
    # what is rounded already stays as it is
    assert convert("half.safetensors", "full.safetensors").exit_code == 0
    assert convert("full.safetensors", "again.safetensors", "--half").exit_code == 0
    assert (folder / "again.safetensors").read_bytes() == (folder / "half.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["small.safetensors", "out.onnx"], "out.onnx: the name must end in one of .safetensors"),
        (["small.safetensors", "out.pkl", "--half"], "out.pkl: --half is for .safetensors; leave"),
        (["small.safetensors", "gone/out.pkl"], "gone: no such folder; create it first"),
        (["small.safetensors", "./small.safetensors"], "is the checkpoint itself"),
        (
            ["small.safetensors", "out.pkl", "--model", "R_50_FPN"],
            "unknown model 'R_50_FPN'; did you mean",
        ),
        (["small.safetensors", "out.pkl", "--model", "gone.yaml"], "gone.yaml"),
        (["small.safetensors", "out.pkl", "--model", "R_50_FPN_s1x"], "small.safetensors"),
    ],
)
def test_refusals(convert, arguments, message):
    result = convert(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert not os.path.exists("out.pkl")


def test_weights_that_do_not_say_what_they_are(convert):
    torch.save({"model": {}}, "plain.pth")
    result = convert("plain.pth", "out.pkl")
    assert result.exit_code == 2
    assert "plain.pth does not say which model it holds; name it" in result.stderr


def test_a_name_of_the_zoo(convert, folder, monkeypatch):
    path = folder / "small.safetensors"
    zoo = {"R_50_FPN_s1x": (iuv.checkpoint.read_config(path), path)}
    monkeypatch.setattr("iuv.predictor.resolve_model", lambda name, config: zoo[name])
    assert convert("R_50_FPN_s1x", "named.safetensors").exit_code == 0
    assert (folder / "named.safetensors").read_bytes() == path.read_bytes()


def test_missing_weights(convert):
    result = convert("gone.pkl", "out.pkl")
    assert result.exit_code == 2
    assert "gone.pkl" in result.stderr
