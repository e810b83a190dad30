"""The command as a whole: help, version, and errors without tracebacks."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import iuv
from iuv.cli.app import app
from iuv.cli.errors import explain
from iuv.cli.loading import Engine, Precision
from iuv.predictor import ENGINES, PRECISIONS
from iuv.visualize.draw import KINDS
from iuv.visualize.presets import PRESETS


@pytest.fixture
def run():
    return lambda *arguments, **options: CliRunner().invoke(app, arguments, **options)


@pytest.fixture
def failing(monkeypatch):
    """Make `iuv models` raise this error."""

    def fail_with(error):
        class Zoo:
            def __iter__(self):
                raise error

        monkeypatch.setattr("iuv.cli.models.ZOO", Zoo())

    return fail_with


def test_version(run):
    assert run("--version").stdout == f"iuv {iuv.__version__}\n"


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_the_commands(run, flag):
    result = run(flag)
    assert result.exit_code == 0
    for command in ("models", "predict", "convert", "demo"):
        assert command in result.stdout
        assert run(command, flag).exit_code == 0


def test_help_keeps_what_is_in_brackets(run):
    """Rich would take it for markup."""
    assert "[default: overlay,iuv, or" in " ".join(run("predict", "--help").stdout.split())


def test_unknown_commands_and_options_are_wrong_calls(run):
    assert run("predictt").exit_code == 2
    assert run("models", "--jsom").exit_code == 2
    assert run("predict", "photo.jpg").exit_code == 2  # no --out


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("lower the gain"), "iuv: lower the gain\n"),
        (FileNotFoundError(2, "No such file", "w.pkl"), "iuv: w.pkl: No such file\n"),
        (OSError("offline"), "iuv: offline\n"),
    ],
)
def test_a_mistake_gets_one_message_and_code_2(run, failing, error, message):
    failing(error)
    result = run("models")
    assert (result.exit_code, result.stderr, result.stdout) == (2, message, "")


@pytest.mark.parametrize("call", [["--debug", "models"], ["models"]])
def test_debug_shows_the_traceback(run, failing, call):
    failing(ValueError("lower the gain"))
    result = run(*call, env={"IUV_DEBUG": "" if "--debug" in call else "1"})
    assert isinstance(result.exception, ValueError)


def test_a_defect_is_not_hidden(run, failing):
    failing(TypeError("a bug"))
    assert isinstance(run("models").exception, TypeError)


def test_ctrl_c(run, failing):
    failing(KeyboardInterrupt())
    result = run("models")
    assert (result.exit_code, result.exception.__class__) == (130, SystemExit)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError(13, "Permission denied", "out"), "out: Permission denied"),
        (MemoryError(), "MemoryError"),
        (ValueError("a\nb"), "a\nb"),
    ],
)
def test_explain(error, text):
    assert explain(error) == text


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_command_starts_without_torch():
    """Help and the zoo table must not wait for heavy imports."""
    code = """
import sys
from typer.testing import CliRunner
from iuv.cli.app import app
calls = ["--help", "models", "models --json"]
calls += [f"{name} --help" for name in ("predict", "video", "train", "eval", "synth", "demo")]
for call in calls:
    assert CliRunner().invoke(app, call.split()).exit_code == 0
print(sorted({"torch", "cv2", "PIL", "numpy", "scipy"} & set(sys.modules)))
"""
    assert python(code).stdout.strip() == "[]"


@pytest.mark.parametrize(
    "command", ["predict", "video", "models", "convert", "train", "eval", "synth", "demo"]
)
def test_the_documentation_names_every_option(command):
    text = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
    section = text[text.index(f"\n## iuv {command}\n") :]
    section = section[: section.find("\n## ", 1)]
    for parameter in typer.main.get_command(app).commands[command].params:
        for option in parameter.opts:
            assert not option.startswith("-") or re.search(rf"`{option}[ `]", section), option


def test_the_documentation_names_every_preset_and_kind():
    text = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
    for name in PRESETS:
        assert f"\n| `{name}` | " in text
    for name in KINDS:
        assert f"`{name}`" in text


def test_python_m():
    result = subprocess.run(
        [sys.executable, "-m", "iuv", "models", "--nope"],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "200"},
        check=False,
    )
    assert result.returncode == 2
    assert "--nope" in result.stderr
    assert "Traceback" not in result.stderr
    assert "Usage: iuv models" in result.stderr


def test_options_name_every_engine_and_precision():
    assert tuple(engine.value for engine in Engine) == ENGINES
    assert tuple(precision.value for precision in Precision) == PRECISIONS
