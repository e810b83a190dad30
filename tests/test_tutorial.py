"""What docs/tutorials tell people to type: all commands run, in order, with smaller numbers."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from iuv.cli.app import app
from test_readme import blocks, commands

TUTORIALS = Path(__file__).parents[1] / "docs" / "tutorials"
SYNTHETIC = (TUTORIALS / "train-on-synthetic.md").read_text(encoding="utf-8")

SMALLER = {
    "images": {"4000": "6", "200": "2"},
    "limit": {"20": "2"},
    "set": {
        "solver.max_iter=3000": "solver.max_iter=2",
        "solver.schedule=cosine": "solver.schedule=cosine",
        "solver.base_lr=0.0002": "solver.base_lr=0.0002",
    },
}
"""By option: what the tutorial says, and what is run."""
ADDED = {
    "synth": ["--size", "96", "--workers", "1"],
    "train": ["--set", "loader.batch_size=2", "--set", "loader.workers=0"],
    "eval": ["--engine", "eager"],  # others take a minute to prepare
    "predict": ["--engine", "eager"],
}
"""By command: what is run as well."""


def shortened(words: list[str]) -> list[str]:
    """The command with smaller numbers; all of those it has must be known here."""
    short = list(words)
    for place, (option, value) in enumerate(pairwise(words), start=1):
        known = SMALLER.get(option.removeprefix("--"))
        if known is not None:
            assert value in known, f"{option} {value}: say in SMALLER what to run instead"
            short[place] = known[value]
    return short + ADDED.get(words[1], [])


@pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")  # pycocotools on numpy 2
@pytest.mark.usefixtures("photo")
def test_train_on_synthetic_people(tmp_path, monkeypatch):
    """All of it works, and what the text speaks of is there in the end."""
    monkeypatch.chdir(tmp_path)
    done = []
    for line, block in blocks(SYNTHETIC, "bash"):
        for words in commands(block):
            assert words[0] == "iuv", f"line {line}: nothing here runs {words[0]}"
            result = CliRunner().invoke(app, shortened(words)[1:])
            assert result.exit_code == 0, f"line {line}: {shlex.join(words)}\n{result.output}"
            done.append(words[1])
            if words[1:3] == ["data", "check"]:
                assert "0 errors" in result.output
    assert done == ["synth", "synth", "data", "data", "eval", "train", "eval", "predict"]
    files = {name for name in re.findall(r"`([\w/-]+\.\w+)`", SYNTHETIC) if "/" in name}
    assert {"people/sheet.png", "after/results.json", "results/photo_overlay.png"} <= files
    for name in files:
        assert Path(name).exists(), f"{name} is mentioned, but none of the commands made it"
    assert len(list(Path("pictures").rglob("*.png"))) == 4


@pytest.mark.parametrize("page", sorted(TUTORIALS.glob("*.md")), ids=lambda page: page.name)
def test_links_of_tutorials_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert (page.parent / link).exists(), link
