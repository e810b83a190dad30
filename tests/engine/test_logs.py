"""Lines, metrics, curves, and the bar."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest
import torch
from rich.console import Console
from rich.text import Text

from iuv.engine.logs import Averages, RunLog, is_scored, peak_memory_mb

VALUES = {
    "total_loss": 1.5,
    "loss_cls": 0.5,
    "lr": 0.01,
    "s_per_iter": 0.25,
    "data_s": 0.01,
    "eta_s": 3600.0,
    "max_memory_mb": 1234.0,
}


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]


def test_a_line_per_report(tmp_path, capsys):
    with RunLog(tmp_path, begin=0, end=10) as log:
        log.training(5, VALUES)
        log.metrics(5, {"eval/bbox/AP": 40.0})
    assert lines(tmp_path) == [{"iteration": 5, **VALUES}, {"iteration": 5, "eval/bbox/AP": 40.0}]
    line = (
        "step 5/10: loss 1.5, 0.25 s/iter (data 0.01), 1:00:00 to go, lr 0.01, 1.2 GB (cls 0.5)\n"
    )
    assert capsys.readouterr().err.endswith(line)
    assert (tmp_path / "log.txt").read_text().endswith(line)


def test_messages_of_others_are_kept_too(tmp_path, capsys):
    logger = logging.getLogger("iuv")
    before = (logger.level, list(logger.handlers))
    with RunLog(tmp_path, begin=0, end=10):
        logging.getLogger("iuv.checkpoint.download").info("downloading [a] file")
    assert "downloading [a] file" in capsys.readouterr().err
    assert "downloading [a] file" in (tmp_path / "log.txt").read_text()
    assert (logger.level, list(logger.handlers)) == before


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's disk that is always full")
def test_a_full_disk_is_said_once_and_with_the_name(tmp_path, capsys):
    (tmp_path / "log.txt").symlink_to("/dev/full")
    with RunLog(tmp_path, begin=0, end=10), pytest.raises(OSError, match=r"No space.*log\.txt"):
        logging.getLogger("iuv").info("a line")
    assert capsys.readouterr().err.endswith("a line\n")


def test_going_on_removes_the_metrics_of_later_steps_and_half_lines(tmp_path):
    text = b'{"iteration": 5}\n{"iteration": 10, "lr": 1}\n{"iteration": 15}\n\xff{"iterat'
    (tmp_path / "metrics.json").write_bytes(text)
    with RunLog(tmp_path, begin=10, end=20) as log:
        log.metrics(15, {"lr": 2.0})
    assert [line["iteration"] for line in lines(tmp_path)] == [5, 10, 15]


def test_is_scored(tmp_path):
    assert not is_scored(tmp_path, 5)
    with RunLog(tmp_path, begin=0, end=10) as log:
        log.training(5, VALUES)
        assert not is_scored(tmp_path, 5)
        log.metrics(5, {"eval/bbox/AP": 40.0})
    assert is_scored(tmp_path, 5)
    assert not is_scored(tmp_path, 10)


def test_the_bar_of_a_terminal(tmp_path, monkeypatch):
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=120)
    monkeypatch.setattr("iuv.engine.logs.Console", lambda **_: terminal)
    with RunLog(tmp_path, begin=0, end=10) as log:
        log.advance(4, VALUES)
    shown = Text.from_ansi(screen.getvalue()).plain
    assert "4/10 loss 1.5, 0.25 s/iter (data 0.01), 0:00:0" in shown


def test_without_tensorboard_there_is_a_notice(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with RunLog(tmp_path, begin=0, end=10) as log:
        log.training(5, VALUES)
    assert "no TensorBoard files are written; `pip install iuv[train]`" in capsys.readouterr().err
    assert not (tmp_path / "tensorboard").exists()


def test_curves(tmp_path):
    reason = "TensorBoard is an extra"
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason=reason
    )
    for begin, steps in ((0, (5, 10)), (5, (10,))):  # interrupted after 5
        with RunLog(tmp_path, begin=begin, end=10) as log:
            for step in steps:
                log.metrics(step, {"loss_cls": begin + step})
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss_cls")] == [(5, 5.0), (10, 15.0)]


def test_averages():
    averages = Averages()
    averages.add({"a": 1.0, "b": 4.0})
    averages.add({"a": 2.0, "b": 6.0})
    assert averages.take() == {"a": 1.5, "b": 5.0}
    averages.add({"a": 3.0})
    assert averages.take() == {"a": 3.0}


def test_peak_memory():
    before = peak_memory_mb(torch.device("cpu"))
    torch.ones(200, 1024, 1024).sum()
    if sys.platform != "win32":
        assert 500 < peak_memory_mb(torch.device("cpu")) - before + 500 < 5000
