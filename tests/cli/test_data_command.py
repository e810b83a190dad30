"""``iuv data``: what is printed and written, and the exit codes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from golden_data import ANNOTATIONS, document
from iuv.cli.app import app


def run(*arguments):
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


@pytest.fixture
def broken(tmp_path):
    """An annotation file with two kinds of errors; its images are the golden ones."""
    changed = document()
    for annotation in changed["annotations"][:2]:
        annotation["dp_U"][:5] = [1.7] * 5
    changed["annotations"][3]["category_id"] = 7
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(changed))
    return path


def test_check_of_a_sound_data_set():
    result = run("check", ANNOTATIONS)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f"dataset ({ANNOTATIONS})"
    assert "  points                          57" in lines
    assert re.search(r"^    4 left_hand +6 [█#]{40}$", result.stdout, re.MULTILINE)
    assert re.search(r"^    22 right_forearm_outer +0$", result.stdout, re.MULTILINE)
    assert "  warning: polygon left out (2)" in lines
    assert lines[-2] == "  0 errors, 5 warnings"


def test_check_of_a_broken_data_set(broken):
    result = run("check", broken, "--images", ANNOTATIONS.parent)
    assert result.exit_code == 1
    assert (
        "  error: dp_U outside 0..1 (2)\n    annotation 100 of image 11: dp_U[0]" in result.stdout
    )
    assert "annotation 103 of image 5: category_id: expected a category of the" in result.stdout
    assert "3 errors, " in result.stdout


def test_names_that_the_terminal_has_no_letters_for(tmp_path):
    changed = document()
    changed["images"][0]["file_name"] = "写真\udc80.jpg"
    path = tmp_path / "données.json"
    path.write_text(json.dumps(changed))
    done = subprocess.run(
        [sys.executable, "-m", "iuv", "data", "check", path],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 1, done.stderr
    assert r"donn\xe9es.json" in done.stdout
    assert r"\u5199\u771f\udc80.jpg" in done.stdout


def test_many_problems_are_cut_short(broken, tmp_path):
    result = run("check", broken, "--images", tmp_path)
    assert "  error: missing image (5)\n    image 5: " in result.stdout
    assert "\n    ... and 2 more\n" in result.stdout


def test_check_as_json(broken):
    result = run("check", f"{broken},{ANNOTATIONS}", "--json")
    assert result.exit_code == 1
    first, second = json.loads(result.stdout)
    assert (first["name"], second["name"]) == ("broken", "dataset")
    assert second["errors"] == []
    assert second["counts"]["points"] == 57
    (missing, points, category) = first["errors"]
    assert (missing["count"], len(missing["examples"])) == (5, 3)
    assert points["kind"] == "dp_U outside 0..1"
    assert category["examples"][0].startswith("annotation 103 of image 5: category_id")


def test_half_a_file_is_an_error_of_the_data(tmp_path):
    path = tmp_path / "half.json"
    path.write_text('{"images": [')
    result = run("check", path)
    assert result.exit_code == 1
    assert "error: unusable file (1)\n    not complete, valid JSON" in result.stdout


def test_unknown_data():
    for command in (["check"], ["show", "--out", "x"], ["sheet", "--out", "x.png"]):
        result = run(*command, "densepose_coco_2017")
        assert result.exit_code == 2
        assert "unknown data set 'densepose_coco_2017'" in result.stderr


def test_show(tmp_path):
    result = run("show", ANNOTATIONS, "--out", tmp_path / "a" / "b")
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in (tmp_path / "a" / "b").iterdir())
    stems = ["im11", "im20", "im31", "im5"]  # nobody is in im30
    assert names == [f"{stem}_{kind}.png" for stem in stems for kind in ("boxes+points_i", "parts")]
    with Image.open(tmp_path / "a" / "b" / "im5_parts.png") as picture:
        assert (picture.size, picture.mode) == ((90, 120), "RGB")
    assert "4 done" in result.stderr


def test_show_chosen_images(tmp_path):
    arguments = ["--out", tmp_path, "--id", 30, "--id", 5, "--kind", "points_u"]
    assert run("show", ANNOTATIONS, *arguments).exit_code == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"im30_points_u.png", "im5_points_u.png"}


def test_show_a_few(tmp_path):
    assert run("show", ANNOTATIONS, "--out", tmp_path, "--limit", 1).exit_code == 0
    assert {path.name.partition("_")[0] for path in tmp_path.iterdir()} == {"im5"}


def test_show_passes_over_what_cannot_be_read(tmp_path):
    folder = tmp_path / "images"
    shutil.copytree(ANNOTATIONS.parent, folder)
    (folder / "im5.png").unlink()
    Image.new("RGB", (7, 7)).save(folder / "im20.png")
    result = run("show", folder / "dataset.json", "--out", tmp_path / "out", "--kind", "boxes")
    assert result.exit_code == 1
    assert "2 done, 2 failed" in result.stderr
    assert "im5.png: no such file" in result.stderr
    assert "im20.png: the annotations expect 100 x 100 pixels" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kind", "boxes,masks"], "unknown drawing 'masks'; the kinds are boxes, points_i, poin"),
        (["--id", "6"], "--id: there is no image 6; the ids go from 5 to 31"),
    ],
)
def test_show_refuses(tmp_path, arguments, message):
    result = run("show", ANNOTATIONS, "--out", tmp_path, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_show_nothing(tmp_path):
    path = tmp_path / "empty.json"
    path.write_text(json.dumps(document() | {"annotations": []}))
    result = run("show", path, "--out", tmp_path)
    assert result.exit_code == 2
    assert "none of the images has an annotation; there is nothing to draw" in result.stderr


def test_sheet(tmp_path):
    out = tmp_path / "a" / "sheet.png"
    result = run("sheet", ANNOTATIONS, "--out", out, "--limit", 3)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"3 of 5 images: {out}\n"
    with Image.open(out) as picture:
        three = picture.size
    assert run("sheet", ANNOTATIONS, "--out", out).exit_code == 0
    with Image.open(out) as picture:
        assert (picture.width > three[0], picture.height > three[1]) == (True, True)  # 4 in a row


def test_sheet_refuses(tmp_path):
    result = run("sheet", ANNOTATIONS, "--out", tmp_path / "sheet.jpg")
    assert result.exit_code == 2
    assert "--out: expected the name of a .png, got" in result.stderr
    path = tmp_path / "empty.json"
    path.write_text(json.dumps(document() | {"annotations": [], "images": []}))
    result = run("sheet", path, "--out", tmp_path / "sheet.png")
    assert result.exit_code == 2
    assert "has no images; there is nothing to show" in result.stderr
    assert list(tmp_path.iterdir()) == [path]


def test_the_documentation_names_every_option():
    text = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
    section = text[text.index("\n## iuv data\n") :]
    section = section[: section.find("\n## ", 1)]
    for command in typer.main.get_command(app).commands["data"].commands.values():
        for parameter in command.params:
            for option in parameter.opts:
                assert not option.startswith("-") or f"`{option}" in section, option
