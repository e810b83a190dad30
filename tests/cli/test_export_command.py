"""``iuv export``: what it writes and says, and what it refuses."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import iuv.export.formats
from iuv.checkpoint import save_weights
from iuv.cli.app import app
from tiny import TINY, tiny_model

SMALL = TINY.replace(**{"backbone.depth": 18, "backbone.width": 16})


@pytest.fixture
def export(tmp_path, monkeypatch):
    """Runs the command beside ``small.safetensors``; nothing is traced."""
    monkeypatch.chdir(tmp_path)
    save_weights(tiny_model(SMALL).state_dict(), SMALL, "small.safetensors")
    monkeypatch.setattr(iuv.export.formats, "_trace", lambda network, *_: network)
    monkeypatch.setattr(
        iuv.export.formats._Batch, "save_torch", lambda _, network, path: path.write_text("model")
    )
    return lambda *arguments: CliRunner().invoke(app, ["export", *arguments])


def test_what_is_written(export, tmp_path):
    result = export("small.safetensors", "--to", "torch", "--out", "new/out", "--min-score", "0.3")
    assert result.exit_code == 0, result.output
    out = tmp_path / "new/out"
    names = ["small.pt2", "example.py", "small.json"]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    last = result.stdout.splitlines()[-1]
    assert last == "try it: python new/out/example.py new/out/small.pt2 PHOTO OUT.png"
    card = json.loads((out / "small.json").read_text())
    assert card["min_score"] == 0.3
    assert card["input"]["short_side"] == 64
    assert card["weights_licence"].startswith("not known")
    assert len(card["I"]) == 25
    assert list(card["outputs"])[:4] == ["boxes", "scores", "classes", "coarse_segm"]


def test_parts(export, tmp_path):
    result = export("small.safetensors", "--to", "torch", "--out", "out", "--parts")
    assert result.exit_code == 0, result.output
    names = {path.name for path in (tmp_path / "out").iterdir()}
    kinds = ("trunk", "box_head", "dense", "decoder")
    assert names == {"small.json", *(f"small.{kind}.pt2" for kind in kinds)}


def test_a_name_of_the_zoo_says_its_licence(export, tmp_path):
    assert export("synth-S", "--to", "torch", "--out", ".").exit_code == 0
    card = json.loads((tmp_path / "synth-S.json").read_text())
    assert (card["model"], card["weights_licence"]) == ("synth-S", "Apache-2.0")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["small.safetensors", "--to", "coreml", "--out", "o"], "'coreml' is not one of 'onnx'"),
        (["R_50_FPN", "--to", "torch", "--out", "o"], "unknown model 'R_50_FPN'; did you mean"),
        (["gone.safetensors", "--to", "torch", "--out", "o"], "gone.safetensors"),
        (["small.safetensors", "--to", "torch", "--out", "small.safetensors"], "is a file"),
        (["small.safetensors", "--to", "torch", "--out", "small.safetensors/o"], "ot a directory"),
    ],
)
def test_refusals(export, tmp_path, arguments, message):
    result = export(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"small.safetensors"}


def test_missing_packages(export, monkeypatch):
    monkeypatch.setattr(iuv.export.formats.importlib.util, "find_spec", lambda name: None)
    result = export("small.safetensors", "--to", "onnx", "--out", "o")
    assert result.exit_code == 2
    assert "pip install 'iuv[onnx]'" in result.stderr
