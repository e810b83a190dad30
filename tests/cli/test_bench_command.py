"""``iuv bench``: what it measures, prints and writes."""

from __future__ import annotations

import json
import sys

import pytest
from typer.testing import CliRunner

import iuv.predictor
from iuv.bench import suite
from iuv.bench.fresh import Fresh
from iuv.checkpoint import DownloadError, save_weights
from iuv.cli.app import app
from iuv.images import read_image
from tiny import TINY, tiny_model


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_weights(tiny_model().state_dict(), TINY, path)
    return path


@pytest.fixture
def quick(monkeypatch):
    """Without fresh processes and products of large matrices."""
    monkeypatch.setattr(suite, "measure_fresh", lambda task: Fresh(1.0, 2 * 10**9, None))
    monkeypatch.setattr(suite, "matrix_product", lambda precision, device: 1e9)


def bench(*words):
    return CliRunner().invoke(app, ["bench", *map(str, words)])


def test_a_model_beside_its_plain_form(weights, tmp_path):
    out = tmp_path / "out"
    result = bench("--model", weights, "--runs", 1, "--people", 2, "--threads", 1, "--out", out)
    assert result.exit_code == 0, result.output
    data = json.loads((out / "bench.json").read_text())
    lean, plain = data["results"]
    assert [lean["engine"], plain["engine"]] == ["eager", "plain"]
    assert [lean["size"], lean["people"], lean["batch"]] == [[64, 119], 2, 1]
    for form in (lean, plain):
        assert form["fresh"]["first_result_s"] > 0.1
        if sys.platform != "win32":
            assert 5e7 < form["fresh"]["peak_bytes"] < 5e9
    assert lean["ratio_to_plain"]["total"] == plain["ms"]["total"][0] / lean["ms"]["total"][0]
    assert plain["agreement"]["labels_equal"] > 0.99
    assert (out / "bench.md").read_text() == result.stdout
    assert "## Stages: 64x119, 2 people" in result.stdout
    assert read_image(out / "bench.png").shape[1] > 500


@pytest.mark.usefixtures("quick")
def test_every_form_on_every_scene(weights, photo):
    words = ["--engines", "auto,openvino", "--precisions", "fp16", "--sizes", "64x96,32x64"]
    result = bench("--weights", weights, "--runs", 1, *words, "--batch-sizes", "1,2")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("| plain ") == 2 * 4  # speed, agreement
    assert "* openvino fp16: engine 'openvino' computes with" in result.stdout
    assert "64x96, batch 2, 5 people" in result.stdout
    alone = bench("--model", weights, "--image", photo, "--runs", 1, "--no-baseline")
    assert alone.exit_code == 0, alone.output
    assert "plain" not in alone.stdout
    assert "| 64x85 |" in alone.stdout


@pytest.mark.usefixtures("quick")
def test_weights_that_are_not_here(monkeypatch):
    resolve = iuv.predictor.resolve_model

    def offline(model, *rest):
        if model == "R_50_FPN_s1x":
            raise DownloadError("no network")
        return resolve(model, *rest)

    monkeypatch.setattr(iuv.predictor, "resolve_model", offline)
    result = bench("--runs", 1, "--no-baseline")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("# synth-S\n")
    assert "the weights of R_50_FPN_s1x are not to be had: no network" in result.stderr
    assert "--random-weights" in result.stderr
    made_up = bench("--model", "synth-S", "--random-weights", "--runs", 1)
    assert made_up.exit_code == 0, made_up.output
    assert made_up.stdout.startswith("# synth-S, made-up weights\n")
    assert "so is this agreement" in made_up.stdout
    named = bench("--model", "R_50_FPN_s1x", "--runs", 1)
    assert (named.exit_code, "no network" in named.stderr) == (2, True)


@pytest.mark.usefixtures("quick")
def test_ctrl_c_prints_what_is_done(weights, monkeypatch):
    def stop(task):
        raise KeyboardInterrupt

    monkeypatch.setattr(suite, "measure_fresh", stop)
    result = bench("--model", weights, "--runs", 1, "--batch-sizes", "1,2")
    assert result.exit_code == 130
    assert "64x119, 5 people" in result.stdout
    assert "batch 2" not in result.stdout


@pytest.mark.usefixtures("quick")
def test_nothing_that_can_run(weights):
    result = bench("--model", weights, "--precisions", "fp16", "--no-baseline")
    assert result.exit_code == 1
    assert "## Not measured\n\n* auto fp16: " in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--engines", "tensorrt"], "--engines: unknown 'tensorrt'; choose from auto, eager"),
        (["--precisions", "fp8"], "--precisions: unknown 'fp8'; choose from fp32"),
        (["--people", "1,x"], "--people: expected numbers from 1, such as 1,5,14, got '1,x'"),
        (["--batch-sizes", "0"], "--batch-sizes: expected numbers from 1"),
        (["--sizes", "717"], "--sizes: expected height x width of 32 pixels or more, such as"),
        (["--sizes", "64x16"], "--sizes: expected height x width of 32 pixels or more, such as"),
        (["--image", "a.jpg", "--people", "3"], "--people: in a photo are as many as there are"),
        (["--image", "nowhere.jpg"], "nowhere.jpg: no such file"),
    ],
)
def test_wrong_calls(weights, words, message):
    result = bench("--model", weights, *words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_two_kinds_of_weights(weights):
    result = bench("--random-weights", "--weights", weights)
    assert (result.exit_code, "give one of them" in result.stderr) == (2, True)
