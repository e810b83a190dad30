"""``iuv demo``: what it writes and says, with a tiny model; tests/test_embedded.py has its own."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

from iuv.cli import demo as demo_module
from iuv.cli.app import app

ENDINGS = (".jpg", ".npz", "_iuv.png", "_overlay.png")


@pytest.fixture
def demo(tiny, tmp_path, monkeypatch):
    loaded = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "iuv.predictor.load", lambda name, **options: loaded.append((name, options)) or tiny
    )

    def run(*options):
        loaded.clear()
        result = CliRunner().invoke(app, ["demo", *options])
        assert loaded == [("synth-S", {"device": "cpu", "engine": "eager"})] or result.exit_code
        return result

    return run


def test_pictures_and_results(demo, tiny):
    result = demo()
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    folder = Path("iuv-demo")
    names = [f"{name}{end}" for name in ("astronaut", "scene") for end in ENDINGS]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    for name, size in (("astronaut", (512, 512)), ("scene", (384, 512))):
        people = tiny(folder / f"{name}.jpg")
        assert people.image_size == size
        with np.load(folder / f"{name}.npz") as data:
            np.testing.assert_array_equal(data["scores"], people.scores)
        with Image.open(folder / f"{name}_iuv.png") as image:
            np.testing.assert_array_equal(np.asarray(image), people.iuv())
        with Image.open(folder / f"{name}_overlay.png") as image:
            assert image.size == size[::-1]
        assert f"{folder / name}.jpg: {len(people)} found (" in result.stdout


def test_it_says_what_the_model_is_and_what_to_do_next(demo):
    result = demo("--out", "elsewhere")
    assert Path("elsewhere", "scene_overlay.png").is_file()
    text = " ".join(result.stdout.split())
    assert "with 4 people" in text
    assert "public domain" in text
    assert "small model that has learnt from synthetic people only, never from a photo" in text
    calls = [shlex.split(line) for line in result.stdout.splitlines() if line[:6] == "  iuv "]
    assert [name for _, name, *_ in calls] == ["predict", "models", "synth", "train"]
    for _, name, *arguments in calls:
        for file in ("people/symmetry.npz", "people/annotations.json"):
            if file in arguments:
                Path(file).parent.mkdir(exist_ok=True)
                Path(file).touch()
        get_command(app).commands[name].make_context(name, arguments)


def test_a_folder_that_cannot_be_written(demo):
    Path("file").touch()
    result = demo("--out", "file")
    assert result.exit_code == 2
    assert result.stderr.startswith("iuv: --out file: cannot write there")


@pytest.mark.parametrize(
    "name", ["astronaut.jpg", "scene.jpg", "astronaut.npz", "scene_overlay.png"]
)
def test_other_peoples_pictures_are_kept(demo, name):
    Path(name).write_bytes(b"mine")
    result = demo("--out", ".")
    assert result.exit_code == 2
    assert (
        result.stderr
        == f"iuv: {name}: is there, and may not be of a former demo; delete it, or choose another "
        "--out\n"
    )
    assert [(path.name, path.read_bytes()) for path in Path().iterdir()] == [(name, b"mine")]


def test_a_former_demo_is_written_over(demo):
    assert demo().exit_code == 0
    scene = Path("iuv-demo", "scene.jpg")
    content = scene.read_bytes()
    scene.write_bytes(b"of an older version")
    assert demo().exit_code == 0
    assert scene.read_bytes() == content


def test_the_photo_is_small_and_free():
    photo = Path(demo_module._PHOTO)
    assert photo.stat().st_size < 80_000
    origin = photo.with_name("README.txt").read_text(encoding="utf-8")
    assert photo.name in origin
    assert "public domain" in origin
