"""Signals that ask a run to end: SIGTERM of a scheduler, Ctrl-C of a person."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

__all__ = ["StopNow", "StopRequest"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopNow(BaseException):
    """A signal has come where the run may end at once."""


class StopRequest:
    """While entered, signals are noted in `signal`, for the run to end where it can go on later.

    A second Ctrl-C ends it at once. Does nothing outside the main thread, which alone gets signals.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        """The one that has come."""
        self._waits = True
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let signals raise `StopNow` in this block, as nothing would be lost."""
        self._waits = False
        try:
            if self.signal is not None:
                raise StopNow
            yield
        finally:
            self._waits = True

    def _note(self, number: int, _frame: FrameType | None) -> None:
        again, self.signal = self.signal is not None, signal.Signals(number)
        if again and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self._waits:
            raise StopNow
