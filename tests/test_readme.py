"""What the README and the pages in docs/ tell people to type: it works.

Python blocks, and the shell blocks of the README, are run, with a tiny model in place of the
released ones; other commands are only parsed, as some need files that only their user has.
"""

from __future__ import annotations

import json
import re
import runpy
import shlex
import shutil
from importlib.metadata import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from typer.main import get_command
from typer.testing import CliRunner

from clips import write_clip
from hashing import GOLDEN
from iuv.cli.app import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MODELS = sorted((ROOT / "docs" / "zoo").glob("*.md"))
TRAINED = ("run/model_final.safetensors", "run/model_final_average.safetensors")
"""What `iuv train --out run` writes: `iuv.engine.trainer`."""
PROJECT = metadata("iuv")


def blocks(text: str, *languages: str) -> list[tuple[int, str]]:
    """The fenced blocks in these languages, each with the number of its first line."""
    fence = re.compile(rf"^```(?:{'|'.join(languages)})\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [(text[: m.start(1)].count("\n") + 1, m[1]) for m in fence.finditer(text)]


def commands(block: str) -> list[list[str]]:
    """The commands of a shell block, as lists of words, without the output of a session."""
    lines = block.replace("\\\n", " ").splitlines()
    if any(line.startswith("$ ") for line in lines):
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    parts = [part for line in lines for part in line.split("&&")]
    return [words for part in parts if (words := shlex.split(part, comments=True))]


SHELL = [words for _, block in blocks(README, "bash", "sh", "shell") for words in commands(block)]


ANNOTATIONS = {
    "images": [{"id": 1, "file_name": "photo.jpg", "width": 80, "height": 60}],
    "annotations": [
        {
            **{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 80, 60], "area": 4000},
            **{"dp_x": [128], "dp_y": [90], "dp_I": [2], "dp_U": [0.4], "dp_V": [0.5]},
        }
    ],
    "categories": [{"id": 1, "name": "person"}],
}


@pytest.fixture
def folder(tmp_path, photo, tiny, monkeypatch):
    """Work where photo.jpg is, with a model that needs no download."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("iuv.predictor.load", lambda *arguments, **options: tiny)
    return tmp_path


def test_the_readme_shows_how_to_start():
    (tests,) = [shlex.join(words) for words in SHELL if words[0] == "pytest"]
    assert f"\n{tests} ||" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    _, first = blocks(README, "bash")[0]
    install, demo = commands(first)
    assert install[:2] == ["pip", "install"]
    assert demo == ["iuv", "demo"]
    assert any(words[:2] == ["iuv", "predict"] for words in SHELL)
    assert blocks(README, "python")


@pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")  # pycocotools on numpy 2
@pytest.mark.usefixtures("fake_densepose")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run(folder, page):
    """In order and in one namespace, as a reader would go on typing, where results lie already.

    So do annotations of the photo, the files of a body's surface, and a video.
    """
    shutil.copytree(GOLDEN / "evaluation" / "geodesic", "geodesics")
    Path("people.json").write_text(json.dumps(ANNOTATIONS), encoding="utf-8")
    if "clip.mp4" in page.read_text(encoding="utf-8"):
        write_clip(Path("clip.mp4"), 3)
    for out in (".", "results"):
        arguments = ["predict", "photo.jpg", "--out", out, "--save", "npz,iuv,json,dump"]
        assert CliRunner().invoke(app, arguments).exit_code == 0
    names: dict[str, object] = {}
    for line, block in blocks(page.read_text(encoding="utf-8"), "python"):
        exec(compile("\n" * (line - 1) + block, str(page), "exec"), names)


@pytest.mark.parametrize("words", SHELL, ids=shlex.join)
def test_shell_commands_work(words, folder):
    match words:
        case ["iuv", *arguments]:
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, result.output
        case ["pip", "install", *arguments]:
            check_pip(arguments)
        case ["pytest", *_] | ["ruff", "check"] | ["ruff", "format", "--check"] | ["mypy"]:
            pass  # .ci/run runs these
        case ["git", "clone", _] | ["cd", _] | ["python", "-m", "venv", _]:
            pass
        case _:
            pytest.fail(f"nothing here checks this command: {shlex.join(words)}")


def check_pip(arguments: list[str]) -> None:
    """The files and folders exist, as do the extras; a package is this one."""
    while arguments:
        argument, *arguments = arguments
        if argument in ("-c", "-r", "-e"):
            value, *arguments = arguments
            path, _, extras = value.partition("[")
            assert (ROOT / path).exists()
        elif argument[0] == ".":
            path, _, extras = argument.partition("[")
            assert (ROOT / path).is_dir()
        else:
            requirement = Requirement(argument)
            assert requirement.name == PROJECT["Name"]
            extras = ",".join(requirement.extras)
        names = {extra.strip() for extra in extras.strip("]").split(",")} - {""}
        assert names <= set(PROJECT.get_all("Provides-Extra"))


@pytest.mark.parametrize(
    ("arguments", "works"),
    [
        (["-c", "constraints.txt", "-e", ".[dev]"], True),
        (["iuv[video,onnx]>=0.1"], True),
        (["-c", "requirements.txt", "."], False),
        ([".[devel]"], False),
        (["iuv[gpu]"], False),
        (["densepose"], False),
    ],
)
def test_check_pip(arguments, works):
    if works:
        check_pip(arguments)
    else:
        with pytest.raises(AssertionError):
            check_pip(arguments)


def mentioned() -> set[str]:
    """All ``iuv`` commands in shell blocks and in `code` of running text."""
    found = set()
    for page in PAGES + MODELS:
        text = page.read_text(encoding="utf-8")
        for _, block in blocks(text, "bash", "sh", "shell", "console"):
            found |= {shlex.join(words) for words in commands(block) if words[0] == "iuv"}
        prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        found |= {" ".join(code.split()) for code in re.findall(r"`(iuv [^`]+)`", prose)}
    return {text for text in found if "..." not in text and not re.search(r"\b[A-Z]{3,}\b", text)}


@pytest.mark.parametrize("text", sorted(mentioned()))
def test_mentioned_commands_parse(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, name, *arguments = shlex.split(text)
    for argument in arguments:
        if argument.startswith("run/") and argument.endswith(".safetensors"):
            assert argument in TRAINED
        if argument.endswith((".pkl", ".pth", ".safetensors", ".yaml", ".json", ".npz", ".glb")):
            Path(argument).parent.mkdir(exist_ok=True)
            Path(argument).touch()  # options may ask that a file exists
        elif argument in ("photos", "results"):
            Path(argument).mkdir()
    command = get_command(app).commands[name]
    if arguments:  # `iuv convert` alone names the command
        command.make_context(name, arguments)


def test_table_of_models_is_up_to_date():
    assert runpy.run_path(str(ROOT / "docs" / "zoo_table.py"))["table"]() in README
