"""What a user sees of a run: a bar on a terminal, every failure at once, one line at the end."""

from __future__ import annotations

import time
import traceback
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from iuv.cli.errors import explain

if TYPE_CHECKING:
    from iuv.cli.sources import Source

__all__ = ["ProgressReport", "progress_bar"]


def progress_bar(console: Console) -> Progress:
    """Return a bar for tasks that have a field ``rate``; nothing is shown but on a terminal."""
    return Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


class ProgressReport:
    """Counts results and shows them on stderr, leaving stdout to data. Use it in a ``with`` block.

    Args:
        total: number of images to come.
        debug: show the traceback of each failure.
    """

    def __init__(self, total: int, *, debug: bool = False) -> None:
        self.done = 0
        self.failed = 0
        self._debug = debug
        self._console = Console(stderr=True, highlight=False)
        self._progress = progress_bar(self._console)
        self._task = self._progress.add_task("", total=total, rate="")
        self._start = 0.0

    def __enter__(self) -> ProgressReport:
        self._start = time.perf_counter()
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def __call__(self, source: Source, error: Exception | None) -> None:
        """Count one image, done (None) or failed."""
        if error is None:
            self.done += 1
        else:
            self.failed += 1
            reason, name = explain(error), str(source.path)
            self._say(f"failed: {reason if name in reason else f'{name}: {reason}'}")
            if self._debug:
                self._say("".join(traceback.format_exception(error)))
        self._progress.update(self._task, advance=1, rate=self._rate())

    def summarise(self, *, skipped: int, folder: Path) -> None:
        """Say how it went, in one line."""
        parts = [f"{self.done} done"]
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{skipped} skipped (results exist)"] if skipped else []
        rate = f", {self._rate()}" if self.done else ""
        self._say(f"{', '.join(parts)}{rate}; results in {folder}")

    def _rate(self) -> str:
        seconds = max(time.perf_counter() - self._start, 1e-9)
        return f"{(self.done + self.failed) / seconds:.2f} images/s"

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)
