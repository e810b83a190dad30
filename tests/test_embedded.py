"""The weights in the package: they are there, are what the zoo says, and work without a network.

How well they do is tested elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import re
import runpy
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from typer.testing import CliRunner

import iuv
from iuv.checkpoint import find_weights, guess_model_name, read_config, read_state, zoo_weights
from iuv.cli.app import app
from iuv.cli.training import make_network, read_settings
from iuv.recipes import recipe
from iuv.training_config import TrainingConfig
from iuv.zoo import EMBEDDED


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setattr(zoo_weights, "fetch", lambda url: pytest.fail(f"asked for {url}"))


def test_the_file_is_small_and_of_the_zoos_model():
    path = find_weights(EMBEDDED)
    assert path.stat().st_size <= 10_000_000
    assert read_config(path) == EMBEDDED.config
    assert guess_model_name(read_state(path)) == EMBEDDED.name
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118  # the handle itself cannot be iterated
            tensor = file.get_tensor(name)
            assert tensor.dtype == (torch.float32 if tensor.ndim < 2 else torch.float16), name


def test_the_zoo_says_what_was_trained():
    """Of the same file, which is also what `iuv train synth-S` does: docs/zoo/synth-S.json."""
    text = (Path(__file__).parents[1] / "docs" / "zoo" / "synth-S.json").read_text("utf-8")
    trained = TrainingConfig.from_dict(json.loads(text))
    assert EMBEDDED.config == trained.model
    assert recipe(EMBEDDED.config) == trained


def test_the_readme_shows_what_the_demo_finds():
    """With these weights, as docs/images/demo.py writes into the picture."""
    readme = Path(__file__).parents[1] / "README.md"
    (link,) = re.findall(r"\]\((docs/images/demo\.jpg)\)", readme.read_text("utf-8"))
    weights = hashlib.sha256(find_weights(EMBEDDED).read_bytes()).hexdigest()
    with Image.open(readme.parent / link) as picture:
        assert picture.info["comment"].decode() == weights, "python docs/images/demo.py draws it"


def test_it_loads_by_name_and_finds_somebody():
    predict = iuv.load("synth-S", device="cpu")
    assert predict.config == EMBEDDED.config.replace(**{"box.min_score": 0.5})
    assert {p.dtype for p in predict.model.parameters()} == {torch.float32}
    photo = Path(iuv.__file__).parent / "demo" / "astronaut.jpg"
    assert len(predict(photo)) >= 1


def test_the_command_knows_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["demo"])
    assert result.exit_code == 0, result.output
    words = ["predict", "iuv-demo/astronaut.jpg", "--out", "out", "--model", "synth-S"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    for name in ("astronaut_iuv.png", "astronaut_overlay.png"):
        assert Path("out", name).read_bytes() == Path("iuv-demo", name).read_bytes()


def test_training_begins_with_it():
    config = read_settings("synth-S", [], "synth-S")
    assert config.model == EMBEDDED.config
    network = make_network(config, "synth-S", torch.device("cpu"))
    state = read_state(find_weights(EMBEDDED))
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, state[name].float()), name


def test_it_compresses():
    """As docs/zoo/round_weights.py has rounded it: what it writes of it is the same."""
    script = runpy.run_path(str(Path(__file__).parents[1] / "docs" / "zoo" / "round_weights.py"))
    for name, tensor in read_state(find_weights(EMBEDDED)).items():
        if tensor.ndim > 1:
            assert torch.equal(script["rounded"](tensor), tensor), name
    few = script["rounded"](torch.tensor([1 / 3, -200.7, 0.0, 31 / 32]))
    assert few.tolist() == [21 / 64, -200.0, 0.0, 31 / 32]


def test_it_is_rounded_once(tmp_path):
    """What `iuv convert` writes of it in full and halves again is the same."""
    full, half = tmp_path / "full.safetensors", tmp_path / "half.safetensors"
    for call in (["synth-S", full], [full, half, "--half"]):
        result = CliRunner().invoke(app, ["convert", *map(str, call)])
        assert result.exit_code == 0, result.output
    shipped = find_weights(EMBEDDED)
    assert read_config(half) == read_config(shipped)
    with safe_open(half, "pt") as one, safe_open(shipped, "pt") as other:
        assert set(one.keys()) == set(other.keys())
        for name in one.keys():  # noqa: SIM118 - no dictionary
            assert one.get_tensor(name).dtype == other.get_tensor(name).dtype
            assert torch.equal(one.get_tensor(name), other.get_tensor(name))
