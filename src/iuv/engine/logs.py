"""What a run tells: lines on the screen and in log.txt, metrics.json, TensorBoard, a bar.

`metrics.json` has one JSON object per line, each with "iteration", the number of steps done.
"""

from __future__ import annotations

import datetime
import json
import logging
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from iuv.writers.atomic import atomic_write

__all__ = ["EVALUATION", "Averages", "RunLog", "is_scored", "peak_memory_mb"]

EVALUATION = "eval/"
"""How the names of scores begin, among the metrics."""

_log = logging.getLogger(__name__)
_OURS = logging.getLogger("iuv")

Metrics = dict[str, float]


class Averages:
    """Means of a few numbers over the steps since the last look."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, values: Metrics) -> None:
        """Count the values of a step; they have the same names each time."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1

    def take(self) -> dict[str, float]:
        """Return the means and begin anew."""
        means = {name: total / self._count for name, total in self._sums.items()}
        self._sums, self._count = {}, 0
        return means


class RunLog:
    """Everything that a run says, in a ``with`` block. Only the main process has one.

    In the block, messages of all `iuv` loggers go to the screen and into log.txt.

    Args:
        folder: of the run; exists.
        begin: steps done before. Metrics of later ones are removed: those steps come again.
        end: steps in all.
    """

    def __init__(self, folder: Path, *, begin: int, end: int) -> None:
        self._folder = folder
        self._begin, self._end = begin, end
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("", total=end, completed=begin, state="")
        self._tensorboard: Any = None
        self._start = 0.0
        self._stack = ExitStack()

    def __enter__(self) -> RunLog:
        level = _OURS.level
        _OURS.setLevel(logging.INFO)
        self._stack.callback(_OURS.setLevel, level)
        for handler in (_Screen(self._console), _LogFile(self._folder / "log.txt")):
            _OURS.addHandler(handler)
            self._stack.callback(handler.close)
            self._stack.callback(_OURS.removeHandler, handler)
        _cut_metrics(self._folder / "metrics.json", self._begin)
        self._tensorboard = _tensorboard(self._folder / "tensorboard", self._begin)
        if self._tensorboard is not None:
            self._stack.callback(self._tensorboard.close)
        self._stack.enter_context(self._progress)
        self._start = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def advance(self, iteration: int, values: Metrics) -> None:
        """Move the bar, and show beside it how the step has gone."""
        state = _summary(values | {"eta_s": self.eta_s(iteration)})
        self._progress.update(self._task, completed=iteration, state=state)

    def eta_s(self, iteration: int) -> float:
        """Return the seconds that the remaining steps will take at the mean pace so far."""
        done = iteration - self._begin
        return (time.perf_counter() - self._start) / max(done, 1) * (self._end - iteration)

    def training(self, iteration: int, values: Metrics) -> None:
        """Write the metrics of training, and a line that sums them up."""
        self.metrics(iteration, values)
        losses = ", ".join(f"{k[5:]} {v:.4g}" for k, v in values.items() if k.startswith("loss_"))
        _log.info(
            f"step {iteration}/{self._end}: {_summary(values)}, lr {values['lr']:.3g}, "
            f"{values['max_memory_mb'] / 1e3:.1f} GB ({losses})"
        )

    def metrics(self, iteration: int, values: Metrics) -> None:
        """Add a line to metrics.json, and curves to TensorBoard."""
        _append(self._folder / "metrics.json", json.dumps({"iteration": iteration, **values}))
        if self._tensorboard is not None:
            for name, value in values.items():
                self._tensorboard.add_scalar(name, value, iteration)


def is_scored(folder: Path, iteration: int) -> bool:
    """Tell whether the metrics of a run have the scores of an evaluation after this step."""
    path = folder / "metrics.json"
    lines = path.read_text("utf-8", errors="replace").splitlines() if path.exists() else []
    return any(_iteration(line) == iteration and f'"{EVALUATION}' in line for line in lines)


def peak_memory_mb(device: torch.device) -> float:
    """Return the most memory that this process has used so far: CUDA's, or the resident one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    if sys.platform == "win32":
        return 0.0  # not to be had without another package
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)  # macOS counts bytes, Linux kB


class _Screen(logging.Handler):
    """Lines above the bar."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(self.format(record), markup=False, soft_wrap=True)


class _LogFile(logging.Handler):
    """Lines of log.txt. Logging's own handler prints a traceback for each when the disk is full."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        _append(self._path, self.format(record))


def _append(path: Path, line: str) -> None:
    try:
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{line}\n")
    except OSError as error:  # of a full disk, without the name
        raise OSError(error.errno, error.strerror, str(path)) from error


def _tensorboard(folder: Path, begin: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        _log.info("no TensorBoard files are written; `pip install iuv[train]` has what it takes")
        return None
    return SummaryWriter(str(folder), purge_step=begin + 1)


def _cut_metrics(path: Path, last: int) -> None:
    """Remove what was written after step `last`, and a line that a crash has cut off."""
    if not path.exists():
        return
    lines = path.read_text("utf-8", errors="replace").splitlines()
    kept = [line for line in lines if (found := _iteration(line)) is not None and found <= last]
    with atomic_write(path) as file:
        file.write("".join(f"{line}\n" for line in kept).encode())


def _iteration(line: str) -> int | None:
    try:
        return int(json.loads(line)["iteration"])
    except (ValueError, KeyError, TypeError):
        return None


def _summary(values: Metrics) -> str:
    to_go = datetime.timedelta(seconds=round(values["eta_s"]))
    pace = f"{values['s_per_iter']:.3g} s/iter (data {values['data_s']:.2g})"
    return f"loss {values['total_loss']:.4g}, {pace}, {to_go} to go"
