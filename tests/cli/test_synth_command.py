"""``iuv synth``: from a call to a data set that the other commands take."""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import iuv.synth.dataset
from capsules import capsule_person
from iuv.cli.app import app
from iuv.images import read_image
from iuv.results import People
from iuv.synth.dataset import Recipe
from iuv.writers import write_npz
from mesh_writing import write_obj
from sample_people import make_person

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ impl:DeprecationWarning"  # pycocotools on numpy 2
)


def call(*arguments: object):
    return CliRunner().invoke(app, list(map(str, arguments)))


def synth(*arguments: object):
    return call("synth", "--workers", 1, *arguments)


@pytest.fixture(scope="module")
def mesh():
    return capsule_person(np.random.default_rng(0), arms=90).mesh


@pytest.fixture
def quick(monkeypatch, mesh):
    """Capsules in place of our own people, who take seconds to begin."""

    def recipe(**options: object) -> Recipe:
        return Recipe(**{"people": capsule_person, "surface": mesh} | options)

    monkeypatch.setattr(iuv.synth.dataset, "Recipe", recipe)


@pytest.mark.usefixtures("quick")
def test_a_data_set_that_other_commands_take(tmp_path):
    out = tmp_path / "people"
    result = synth(
        "--images", 3, "--out", out, "--size", "96x64", "--seed", 3, "--dense", "--sheet"
    )
    assert result.exit_code == 0, result.output
    assert "3 images made, " in result.stderr
    assert f"images/s; {out / 'annotations.json'}" in result.stderr
    assert read_image(out / "images" / "000002.jpg").shape == (64, 96, 3)
    with np.load(out / "dense" / "000002.npz") as dense:
        assert dense["part"].shape == (64, 96)
    assert read_image(out / "sheet.png").shape[1] > 1000
    checked = call("data", "check", out / "annotations.json")
    assert checked.exit_code == 0
    assert "0 errors, 0 warnings" in checked.stdout
    again = synth("--images", 4, "--out", out, "--size", "96x64", "--seed", 3, "--dense")
    assert "1 images made, 3 were there" in again.stderr
    scored = call("eval", out / "annotations.json", "--results", results(tmp_path), "--mesh",
                  out / "mesh.npz", "--json")  # fmt: skip
    assert scored.exit_code == 0, scored.output
    names = {"bbox", "densepose_segm", "densepose_gps", "densepose_gpsm"}
    assert set(json.loads(scored.stdout)["scores"]) == names


def results(folder):
    """Somebody in the first picture, as `iuv predict` writes it."""
    (folder / "results").mkdir()
    people = People((64, 96), (make_person(image_size=(64, 96)),))
    write_npz(folder / "results" / "000000.npz", people)
    return folder / "results"


def test_our_own_people(tmp_path):
    """All of the command: nothing in place of anything."""
    out = tmp_path / "people"
    result = synth("--images", 1, "--out", out, "--size", 64)
    assert result.exit_code == 0, result.output
    assert os.listdir(out / "images") == ["000000.jpg"]
    settings = json.loads((out / "synth.json").read_text())
    assert (settings["seed"], settings["size"], settings["body"]) == (0, [64, 64], "iuv")


def test_a_mesh_with_holes(tmp_path, mesh):
    write_obj(tmp_path / "body.obj", mesh)
    result = synth("--images", 1, "--out", tmp_path / "out", "--mesh", tmp_path / "body.obj")
    assert result.exit_code == 2
    assert "must be watertight" in result.stderr
    write_obj(tmp_path / "body.obj", mesh, named="cloth_{}")
    result = synth("--images", 1, "--out", tmp_path / "out", "--mesh", tmp_path / "body.obj")
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--images", "0"], "'--images'"),
        (["--images", "1", "--size", "20"], "sides of at least 32 and at most 4096 pixels, got 20"),
        (["--images", "1", "--size", "99999"], "4096 pixels, got 99999 x 99999 (width x height)"),
        (["--images", "1000001"], "at most 1,000,000 pictures"),
        (["--images", "1", "--size", "320x"], "--size: expected pixels, such as 320 or 640x480"),
        (["--images", "1", "--workers", "0"], "'--workers'"),
        (["--images", "1", "--seed", "-1"], "'--seed'"),
        (
            ["--images", "1", "--backgrounds", "."],
            "no picture (a file with an image's suffix, such as .jpg) in .",
        ),
        (["--images", "1", "--mesh", "none.obj"], "none.obj"),
    ],
)
def test_calls_that_are_wrong(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = call("synth", "--out", "out", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("quick")
def test_folders_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    result = synth("--images", 1, "--out", tmp_path / "file")
    assert result.exit_code == 2
    assert "cannot be the folder of a data set" in result.stderr
    if sys.platform != "win32" and os.geteuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
        result = synth("--images", 1, "--out", tmp_path / "locked")
        assert result.exit_code == 2
        assert "Permission denied" in result.stderr


def test_one_body_or_the_other(tmp_path):
    """Scoring on two bodies at once means nothing."""
    (tmp_path / "mesh.npz").write_bytes(b"")
    (tmp_path / "people.json").write_text(
        json.dumps(
            {
                "images": [{"id": 0, "file_name": "000000.jpg", "height": 64, "width": 96}],
                "annotations": [
                    {"id": 1, "image_id": 0, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 9}
                ],
                "categories": [{"id": 1, "name": "person"}],
            }
        )
    )
    result = call("eval", tmp_path / "people.json", "--results", results(tmp_path), "--mesh",
                  tmp_path / "mesh.npz", "--geodesics", tmp_path)  # fmt: skip
    assert result.exit_code == 2
    assert "--geodesics is DensePose-COCO's body, --mesh another one" in result.stderr
