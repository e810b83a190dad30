"""``iuv predict``: which files come out, and what becomes of every kind of mistake.

The predictor is a fake: what the network finds is tested elsewhere.
"""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import iuv.checkpoint
import iuv.predictor
from hashing import GOLDEN
from iuv.cli.app import app
from iuv.config import BackboneConfig, BoxConfig, DenseConfig, InputConfig, ModelConfig
from iuv.modeling.rcnn import RCNN
from iuv.pipeline import WORKERS
from iuv.results import People, Person
from iuv.zoo import get_model


def person(size, box, score):
    x, y, w, h = box
    labels = np.full((h, w), 3, np.uint8)
    uv = np.full((2, h, w), 0.5, np.float32)
    return Person(
        image_size=size,
        box_xyxy=np.array([x, y, x + w, y + h], np.float32),
        score=score,
        box_xywh=box,
        labels=labels,
        uv=uv,
    )


class FakePredictor:
    """Finds two people, the second one larger; nobody in black, and trouble in white images."""

    def __init__(self, model=None, **options):
        self.call = {"model": model, **options}
        self.batches = []

    def __call__(self, image):
        return next(self.stream([image]))

    def stream(self, inputs, *, batch_size=1, channel_order="rgb"):
        inputs = iter(inputs)
        while batch := [image for _, image in zip(range(batch_size), inputs, strict=False)]:
            self.batches.append(len(batch))
            if any(image.min() == 255 for image in batch):
                raise RuntimeError("out of memory")
            yield from map(self.find, batch)

    def find(self, image):
        size = image.shape[:2]
        if image.max() == 0:
            return People(size)
        return People(size, (person(size, (2, 3, 5, 6), 0.9), person(size, (4, 4, 9, 9), 0.8)))


@pytest.fixture
def fakes(monkeypatch):
    """The predictors that were loaded."""
    loaded = []

    def load(model="default", **options):
        get_model(model) if not str(model).endswith((".safetensors", ".yaml")) else None
        loaded.append(FakePredictor(model, **options))
        return loaded[-1]

    monkeypatch.setattr(iuv.predictor, "load", load)
    return loaded


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Save images of one colour in an empty working folder."""
    monkeypatch.chdir(tmp_path)

    def save(**colours):
        os.makedirs("in", exist_ok=True)
        for name, colour in colours.items():
            Image.new("RGB", (30, 20), colour).save(f"in/{name}.png")

    save(a="red")
    return save


@pytest.fixture
def predict(fakes, photos):
    def run(*arguments):
        return CliRunner().invoke(app, ["predict", *map(str, arguments)])

    return run


def files(folder="out"):
    return sorted(
        os.path.relpath(os.path.join(parent, name), folder).replace(os.sep, "/")
        for parent, _, names in os.walk(folder)
        for name in names
    )


# Results


def test_npz_as_the_contract_says(predict):
    result = predict("in/a.png", "--out", "out", "--save", "npz")
    assert result.exit_code == 0, result.output
    assert files() == ["a.npz"]
    with np.load("out/a.npz") as data:
        assert data["image_size"].tolist() == [20, 30]
        np.testing.assert_array_equal(data["scores"], np.array([0.9, 0.8], np.float32))
        assert data["labels_1"].shape == (9, 9)
    assert result.stdout == ""
    assert re.fullmatch(r"1 done, [0-9.]+ images/s; results in out\n", result.stderr)


def test_every_kind_and_its_name(predict):
    kinds = "npz,iuv,overlay,segm,u,v,contour,bbox,json,dump"
    result = predict("in", "--out", "out", "--save", kinds)
    assert result.exit_code == 0, result.output
    names = [f"a_{kind}.png" for kind in ("bbox", "contour", "iuv", "overlay", "segm", "u", "v")]
    assert files() == sorted(["a.json", "a.npz", "a.pkl", *names])
    with Image.open("out/a_iuv.png") as image:
        assert (image.size, image.mode) == ((30, 20), "RGB")
        assert image.getpixel((3, 4)) == (3, 127, 127)
    for kind in ("overlay", "segm", "u", "v", "contour", "bbox"):
        with Image.open(f"out/a_{kind}.png") as image:
            assert image.size == (30, 20)
    with open("out/a.json") as file:
        assert json.load(file)


def test_a_first_look_without_save(predict):
    assert predict("in", "--out", "out").exit_code == 0
    assert files() == ["a_iuv.png", "a_overlay.png"]


def test_drawings_on_one_canvas(predict):
    assert predict("in", "--out", "out", "--save", "segm+bbox,bbox").exit_code == 0
    assert files() == ["a_bbox.png", "a_segm+bbox.png"]


def test_nobody_in_the_picture_is_fine(predict, photos):
    photos(a="black")
    result = predict("in", "--out", "out", "--save", "npz,iuv,overlay,json,dump,contour,bbox")
    assert result.exit_code == 0, result.output
    with np.load("out/a.npz") as data:
        assert sorted(data) == ["boxes_xyxy", "image_size", "scores"]


@pytest.mark.parametrize(
    ("who", "scores"), [("best", [0.9]), ("largest", [0.8]), ("all", [0.9, 0.8]), ("1", [0.8])]
)
def test_person(predict, who, scores):
    assert predict("in", "--out", "out", "--save", "npz", "--person", who).exit_code == 0
    with np.load("out/a.npz") as data:
        np.testing.assert_array_equal(data["scores"], np.array(scores, np.float32))


def test_same_names_in_different_folders(predict, photos):
    os.makedirs("in/sub/deep")
    Image.new("RGB", (9, 9), "blue").save("in/sub/deep/a.jpg")
    Image.new("RGB", (9, 9), "blue").save("in/a.webp")
    Image.new("RGB", (9, 9), "blue").save("in/sub/b.webp")
    assert predict("in", "-r", "--out", "in/out", "--save", "npz").exit_code == 0
    expected = ["a.png.npz", "a.webp.npz", "b.npz", "sub/deep/a.npz"]
    assert files("in/out") == expected
    assert predict("in", "-r", "--out", "in/out", "--save", "npz").exit_code == 0
    assert files("in/out") == expected


def test_images_reach_the_predictor_upright_and_rgb(predict, fakes, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (30, 20), 77).save("in/a.png", exif=exif)
    assert predict("in", "--out", "out", "--save", "npz").exit_code == 0
    with np.load("out/a.npz") as data:
        assert data["image_size"].tolist() == [30, 20]


# Options that reach the model


def test_defaults(predict, fakes):
    assert predict("in", "--out", "out").exit_code == 0
    assert fakes[0].call == {
        "model": "R_50_FPN_s1x",
        "device": "auto",
        "engine": "auto",
        "precision": "fp32",
        "calibration": None,
        "min_score": 0.5,
        "max_people": 100,
        "min_size": 0.0,
        "short_side": None,
        "max_proposals": None,
    }
    assert fakes[0].batches == [1]


def test_options_are_passed_on(predict, fakes, photos):
    photos(b="red", c="red")
    with open("w.pkl", "wb"):
        pass
    options = "--model R_101_FPN_DL_s1x --weights w.pkl --device cpu --min-score 0.05"
    more = "--max-people 7 --batch-size 2 --engine eager --save npz"
    limits = "--min-size 0.1 --short-side 400 --max-proposals 50"
    result = predict("in", "--out", "out", *options.split(), *more.split(), *limits.split())
    assert result.exit_code == 0, result.output
    assert {key: str(value) for key, value in fakes[0].call.items()} == {
        "model": "R_101_FPN_DL_s1x",
        "weights": "w.pkl",
        "device": "cpu",
        "engine": "eager",
        "precision": "fp32",
        "calibration": "None",
        "min_score": "0.05",
        "max_people": "7",
        "min_size": "0.1",
        "short_side": "400",
        "max_proposals": "50",
    }
    assert fakes[0].batches == [2, 1]


@pytest.mark.parametrize(
    ("config", "model", "weights"),
    [(object(), "w.safetensors", None), (None, "R_50_FPN_s1x", "w.safetensors")],
)
def test_weights_that_say_what_they_are(predict, fakes, monkeypatch, config, model, weights):
    with open("w.safetensors", "wb"):
        pass
    monkeypatch.setattr("iuv.checkpoint.read_config", lambda path: config)
    assert predict("in", "--out", "out", "--weights", "w.safetensors").exit_code == 0
    call = fakes[0].call
    assert str(call["model"]) == model
    assert str(call.get("weights")) == str(weights)


# The model of those who name none


@pytest.fixture
def offline(fakes, monkeypatch):
    """Nothing that must be downloaded can be loaded."""
    load = iuv.predictor.load

    def refuse(model, weights=None, **options):
        if model != "synth-S" and weights is None:
            raise iuv.checkpoint.DownloadError(f"cannot download {model}: no route")
        return load(model, weights=weights, **options)

    monkeypatch.setattr(iuv.predictor, "load", refuse)


@pytest.mark.usefixtures("offline")
def test_without_a_download_the_embedded_model_steps_in(predict, fakes):
    result = predict("in", "--out", "out", "--max-people", "7", "--min-score", "0.3")
    assert result.exit_code == 0, result.output
    assert files() == ["a_iuv.png", "a_overlay.png"]
    call = fakes[0].call
    assert (call["model"], call["max_people"], call["min_score"]) == ("synth-S", 7, 0.3)
    first, second, *_ = result.stderr.splitlines()
    assert first.startswith("iuv: NOTE: the weights of R_50_FPN_s1x are not to be had: cannot down")
    assert "no route" in first
    assert second.startswith("iuv: NOTE: synth-S is used instead, a small model that has learnt ")
    assert "--model R_50_FPN_s1x fails" in second


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    "options", [["--model", "R_50_FPN_s1x"], ["--preset", "viton_hd"]], ids=" ".join
)
def test_a_model_that_is_named_is_never_replaced(predict, fakes, options):
    result = predict("in", "--out", "out", *options)
    assert result.exit_code == 2
    assert result.stderr == "iuv: cannot download R_50_FPN_s1x: no route\n"
    assert (fakes, files()) == ([], [])


@pytest.mark.usefixtures("offline")
def test_weights_that_are_given_are_used(predict, fakes, monkeypatch):
    monkeypatch.setattr("iuv.checkpoint.read_config", lambda path: None)
    with open("w.pkl", "wb"):
        pass
    result = predict("in", "--out", "out", "--weights", "w.pkl")
    assert result.exit_code == 0, result.output
    assert str(fakes[0].call["weights"]) == "w.pkl"
    assert "NOTE" not in result.stderr


# Inputs that fail


def test_a_broken_input_is_reported_and_the_rest_is_done(predict, photos):
    photos(b="red", z="red")
    with open("in/m.jpg", "w") as file:
        file.write("text")
    result = predict("in", "in/gone.png", "--out", "out", "--save", "npz")
    assert result.exit_code == 1
    assert files() == ["a.npz", "b.npz", "z.npz"]
    lines = result.stderr.splitlines()
    assert lines[0] == "failed: in/gone.png: no such file; check the path"
    assert lines[1].startswith("failed: in/m.jpg: not an image")
    assert lines[2].startswith("3 done, 2 failed, ")


def test_all_inputs_broken(predict, photos):
    with open("in/a.png", "w") as file:
        file.write("text")
    result = predict("in", "--out", "out")
    assert result.exit_code == 1
    assert "1 failed; results in out" in result.stderr


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 9])
def test_an_image_that_fails_in_the_network(predict, photos, batch_size):
    """Its batch is done again one by one, and the next ones go on."""
    photos(b="white", c="red", d="blue", e="white", f="lime", g="red")
    result = predict("in", "--out", "out", "--save", "npz", "--batch-size", batch_size)
    assert result.exit_code == 1
    assert files() == ["a.npz", "c.npz", "d.npz", "f.npz", "g.npz"]
    lines = result.stderr.splitlines()
    assert lines[:2] == ["failed: in/b.png: out of memory", "failed: in/e.png: out of memory"]
    assert lines[2].startswith("5 done, 2 failed")


def test_a_failure_of_the_predictor_itself_is_no_images_fault(predict, monkeypatch):
    def stream(*_, **__):
        raise ValueError("no such engine")
        yield

    monkeypatch.setattr(FakePredictor, "stream", stream)
    result = predict("in", "--out", "out")
    assert (result.exit_code, result.stderr) == (2, "iuv: no such engine\n")


def test_a_defect_is_not_an_image_failure(predict, monkeypatch):
    monkeypatch.setattr(FakePredictor, "find", lambda self, image: 1 / 0)
    assert isinstance(predict("in", "--out", "out").exception, ZeroDivisionError)


def test_a_result_that_cannot_be_written(predict, photos):
    photos(b="red")
    os.makedirs("out/a.npz/full")
    result = predict("in", "--out", "out", "--save", "npz")
    assert result.exit_code == 1
    assert "failed: in/a.png: " in result.stderr
    assert os.path.isfile("out/b.npz")


def test_a_full_disk_ends_the_run(predict, photos, monkeypatch):
    photos(**{f"b{index}": "red" for index in range(60)})
    calls = []

    def write(self, source, image, people):
        calls.append(source)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("iuv.cli.outputs.Outputs.write", write)
    result = predict("in", "--out", "out")
    assert result.exit_code == 2
    assert result.stderr == "iuv: No space left on device\n"
    assert len(calls) <= 2 * WORKERS + 1  # those that were under way


def test_debug_shows_why_an_image_failed(predict, photos):
    photos(a="white")
    result = CliRunner().invoke(app, ["--debug", "predict", "in", "--out", "out"])
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert "RuntimeError: out of memory" in result.stderr


# Wrong calls


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.jpg"], "no such file: gone.jpg"),
        (["empty"], "empty: no images in this folder"),
        (["in/*.tif"], "in/*.tif: no images match this pattern"),
        (["in", "--save", "npz,overlai"], "unknown kind 'overlai'; did you mean overlay?"),
        (["in", "--save", "zzz"], "unknown kind 'zzz'; choose from npz, iuv, json, dump, overlay"),
        (["in", "--save", "segm+npz"], "unknown kind 'segm+npz'"),
        (["in", "--save", ""], "unknown kind ''; choose from"),
        (["in", "--person", "second"], "use 'best', 'largest', 'all' or an index from 0"),
        (["in", "--person", "-1"], "use 'best', 'largest', 'all' or an index from 0"),
        (["in", "--person", "--1"], "use 'best', 'largest', 'all' or an index from 0"),
        (
            ["in", "--model", "R_50_FPN_s1"],
            "unknown model 'R_50_FPN_s1'; did you mean",
        ),
        (["in", "--preset", "viton"], "did you mean viton_hd"),
    ],
)
def test_wrong_calls(predict, arguments, message):
    os.makedirs("empty")
    result = predict(*arguments, "--out", "out")
    assert result.exit_code == 2
    assert result.stderr.startswith("iuv: ")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert files() == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--min-score", "1.5"),
        ("--max-people", "0"),
        ("--min-size", "2"),
        ("--short-side", "31"),
        ("--max-proposals", "0"),
        ("--batch-size", "0"),
        ("--engine", "warp"),
        ("--weights", "gone.pkl"),
    ],
)
def test_values_out_of_range(predict, option, value):
    result = predict("in", "--out", "out", option, value)
    assert result.exit_code == 2
    assert option in result.stderr
    assert files() == []


def test_a_folder_that_cannot_be_written(predict, fakes):
    """Found out before the model is loaded."""
    for out in ("in/a.png", "in/a.png/below", *(["/proc/iuv"] if os.path.isdir("/proc") else [])):
        result = predict("in", "--out", out)
        assert result.exit_code == 2
        assert f"--out {out}: cannot write there" in result.stderr
    assert fakes == []


def test_a_result_never_overwrites_an_input(predict, photos, fakes):
    photos(a_iuv="red")
    result = predict("in", "--out", "in", "--save", "iuv")
    assert result.exit_code == 2
    assert "in/a_iuv.png: would overwrite the input in/a_iuv.png" in result.stderr
    assert fakes == []


def test_what_stands_in_the_way_of_a_result_is_named(predict):
    os.makedirs("out/a.npz")
    result = predict("in", "--out", "out", "--save", "npz")
    assert result.exit_code == 1
    assert f"{os.path.join('out', 'a.npz')}: " in result.stderr
    assert ".part" not in result.stderr


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_nor_through_a_link(predict, photos, fakes):
    photos(a_iuv="red")
    os.symlink("in", "link")
    os.mkdir("links")
    os.symlink("../in/a_iuv.png", "links/b.png")
    for call in (["in", "--out", "link"], ["in/a.png", "links/b.png", "--out", "in"]):
        result = predict(*call, "--save", "iuv")
        assert result.exit_code == 2
        assert "a_iuv.png: would overwrite the input" in result.stderr
    assert fakes == []


# Presets


def test_a_preset_alone_writes_its_own_files_only(predict, fakes):
    assert predict("in", "--out", "out", "--preset", "caffe2_iuv").exit_code == 0
    assert files() == ["a_INDS.png", "a_IUV.png"]


def test_a_preset_beside_other_results(predict):
    result = predict("in", "--out", "out", "--preset", "dreampose_npy", "--save", "npz")
    assert result.exit_code == 0, result.output
    assert files() == ["a.npz", "a_densepose.npy"]
    assert np.load("out/a_densepose.npy").shape[0] == 2


def test_a_preset_that_resizes_leaves_other_results_at_the_photos_size(predict, fakes, photos):
    """The photo goes through the network twice then: as it is, and as the tool wants it."""
    photos(b="blue", w="white")
    options = ["--preset", "viton_hd", "--save", "npz,overlay", "--batch-size", "3"]
    result = predict("in", "--out", "out", *options)
    assert result.exit_code == 1
    assert files() == [f"{stem}{end}" for stem in "ab" for end in (".npz", ".png", "_overlay.png")]
    assert result.stderr.startswith("failed: in/w.png: out of memory\n2 done, 1 failed")
    for stem in "ab":
        with np.load(f"out/{stem}.npz") as data:
            assert data["image_size"].tolist() == [20, 30]
        with Image.open(f"out/{stem}.png") as image:
            assert image.size == (768, 1024)
        with Image.open(f"out/{stem}_overlay.png") as image:
            assert image.size == (30, 20)


def test_a_preset_alone_predicts_once(predict, fakes):
    assert predict("in", "--out", "out", "--preset", "viton_hd").exit_code == 0
    assert fakes[0].batches == [1]


@pytest.mark.parametrize(
    ("arguments", "model", "min_score"),
    [
        (["detectron2_segm"], "R_50_FPN_s1x", 0.8),
        (["pose_with_style"], "R_101_FPN_DL_s1x", 0.5),
        (["vid2densepose"], "R_50_FPN_s1x", 0.05),
        (["vid2densepose", "--min-score", "0.3"], "R_50_FPN_s1x", 0.3),
        (["vid2densepose", "--model", "R_50_FPN_DL_s1x"], "R_50_FPN_DL_s1x", 0.05),
    ],
)
def test_a_preset_brings_its_model_and_minimum_score(predict, fakes, arguments, model, min_score):
    assert predict("in", "--out", "out", "--preset", *arguments).exit_code == 0
    assert (fakes[0].call["model"], fakes[0].call["min_score"]) == (model, min_score)


def test_a_preset_that_needs_a_person(predict, photos):
    """The image without one fails, and leaves no other files either."""
    photos(b="black")
    result = predict("in", "--out", "out", "--preset", "dreampose_npy", "--save", "npz")
    assert result.exit_code == 1
    assert files() == ["a.npz", "a_densepose.npy"]
    assert "failed: in/b.png: the preset dreampose_npy needs a person: 0 found" in result.stderr


def test_the_person_counts_for_presets_too(predict):
    options = ["--preset", "catvton_labels", "--save", "npz", "--person", "1"]
    assert predict("in", "--out", "out", *options).exit_code == 0
    with np.load("out/a.npz") as data:
        assert data["box_xywh_0"].tolist() == [4, 4, 9, 9]
    with Image.open("out/a.png") as image:
        assert np.argwhere(np.asarray(image)).min(axis=0).tolist() == [4, 4]


def test_names_that_differ_in_capitals_only(predict, fakes):
    result = predict("in", "--out", "out", "--preset", "caffe2_iuv", "--save", "iuv")
    assert result.exit_code == 2
    assert "--preset caffe2_iuv and --save iuv give files whose names differ" in result.stderr
    assert fakes == []


# Going on where a run stopped


def test_skip_existing(predict, photos, fakes):
    photos(b="red")
    assert predict("in/a.png", "--out", "out", "--save", "npz,iuv").exit_code == 0
    os.remove("out/a_iuv.png")
    result = predict("in", "--out", "out", "--save", "npz", "--skip-existing")
    assert (result.exit_code, fakes[-1].batches) == (0, [1])
    assert result.stderr.startswith("1 done, 1 skipped (results exist), ")
    result = predict("in", "--out", "out", "--save", "npz,iuv", "--skip-existing")
    assert fakes[-1].batches == [1, 1]  # both lack their iuv


def test_nothing_left_to_do_loads_no_model(predict, fakes):
    assert predict("in", "--out", "out").exit_code == 0
    result = predict("in", "--out", "out", "--skip-existing")
    assert result.exit_code == 0
    assert result.stderr == "0 done, 1 skipped (results exist); results in out\n"
    assert len(fakes) == 1


@pytest.mark.parametrize("batch_size", [1, 3])
def test_images_are_read_a_little_ahead(predict, photos, monkeypatch, batch_size):
    photos(**{f"b{index}": "red" for index in range(60)})
    events, ahead = [], []
    read = iuv.cli.batch.read_image
    monkeypatch.setattr("iuv.cli.batch.read_image", lambda path: events.append(path) or read(path))

    def write(self, source, *_):
        ahead.append(len(events) - len(ahead))

    monkeypatch.setattr("iuv.cli.outputs.Outputs.write", write)
    assert predict("in", "--out", "out", "--batch-size", batch_size).exit_code == 0
    assert len(events) == len(ahead) == 61
    assert max(ahead) <= 1 + batch_size + 3 * WORKERS


def test_an_image_is_saved_and_another_read_while_the_network_runs(predict, photos, monkeypatch):
    photos(b="red", c="red", d="red", e="red", f="red")
    meeting = threading.Barrier(3, timeout=20)  # breaks unless all three are there
    read, find = iuv.cli.batch.read_image, FakePredictor.find
    order = sorted(os.listdir("in"))
    looks = []

    def look(self, image):
        looks.append(image)
        if len(looks) == 2:  # the first image can be saved, later ones can be read
            meeting.wait()
        return find(self, image)

    def late(path):
        if path.name == order[2]:
            meeting.wait()
        return read(path)

    monkeypatch.setattr(FakePredictor, "find", look)
    monkeypatch.setattr("iuv.cli.batch.read_image", late)
    monkeypatch.setattr(
        "iuv.cli.outputs.Outputs.write",
        lambda self, source, *_: meeting.wait() if source.path.name == order[0] else None,
    )
    monkeypatch.setattr("iuv.cli.batch.WORKERS", 2)
    result = predict("in", "--out", "out")
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("6 done, ")


@pytest.fixture
def one_thread():
    """Threads of tests that run side by side wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_with_a_real_model(tmp_path, monkeypatch):
    """A small one, with random weights: the files hold what the library finds."""
    monkeypatch.chdir(tmp_path)
    config = ModelConfig(
        input=InputConfig(short_side=64, long_side=96),
        backbone=BackboneConfig(fpn_channels=8),
        box=BoxConfig(fc_dim=8),
        dense=DenseConfig(num_convs=2, conv_dim=8),
    )
    torch.manual_seed(1)
    iuv.checkpoint.save_weights(RCNN(config).state_dict(), config, "tiny.safetensors")
    os.mkdir("in")
    for name in ("astronaut", "person_small"):
        shutil.copy(GOLDEN / f"{name}.png", "in")

    options = "--weights tiny.safetensors --min-score 0 --max-people 2 --save npz --device cpu"
    result = CliRunner().invoke(app, ["predict", "in", "--out", "out", *options.split()])
    assert result.exit_code == 0, result.output

    predictor = iuv.load("tiny.safetensors", min_score=0, max_people=2, device="cpu")
    for name in ("astronaut", "person_small"):
        people = predictor(f"in/{name}.png")
        with np.load(f"out/{name}.npz") as data:
            assert len(people) == len(data["scores"]) > 0
            np.testing.assert_array_equal(data["scores"], people.scores)
            np.testing.assert_array_equal(data["boxes_xyxy"], people.boxes_xyxy)
            np.testing.assert_array_equal(data["labels_0"], people[0].labels)
            np.testing.assert_array_equal(data["uv_0"], people[0].uv)


SLOW_RUN = """
import sys, time
import iuv.predictor
from iuv.cli.app import main
from test_predict_command import FakePredictor

iuv.predictor.load = FakePredictor
sys.argv = ["iuv", "predict", "in", "--out", "out", "--save", "npz,iuv"]
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_run_leaves_no_half_file(photos, number):
    noise = np.random.default_rng(0).integers(1, 250, (400, 500, 3), dtype=np.uint8)
    Image.fromarray(noise).save("in/0.bmp")
    for index in range(1, 100):
        os.link("in/0.bmp", f"in/{index}.bmp")
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_RUN],
        env=os.environ | {"PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not any(name.endswith(".png") for name in files()) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, message = process.communicate(timeout=60)
    left = files()
    assert process.returncode == {"SIGTERM": 143, "SIGKILL": -9}[number.name]
    assert "Traceback" not in message
    assert 1 < len(left) < 200
    for name in left:
        if name.endswith(".npz"):
            with np.load(f"out/{name}") as data:
                assert data["labels_1"].shape == (9, 9)
        elif name.endswith(".png"):
            Image.open(f"out/{name}").load()
        else:  # only a kill that nobody can catch leaves a file, and a hidden one
            assert name.startswith(".")
            assert number == signal.SIGKILL
