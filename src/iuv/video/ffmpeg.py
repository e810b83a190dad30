"""FFmpeg, by PyAV: an extra, imported on use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

__all__ = ["VideoError", "explained", "load_av"]


class VideoError(ValueError):
    """A video cannot be read or written; says which, why, and what to do."""


def load_av() -> Any:
    """Return the module ``av``.

    Raises:
        VideoError: PyAV is not installed; says how to.
    """
    try:
        return import_module("av")
    except ImportError as error:
        raise VideoError(
            "videos need PyAV, which is not installed: pip install 'iuv[video]' (or pip install av)"
        ) from error


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn FFmpeg's own errors in this block into a `VideoError` that begins with `what`.

    Those of the operating system (no such file, no space left) pass through.
    """
    av = load_av()
    try:
        yield
    except av.FFmpegError as error:
        if isinstance(error, OSError) and not isinstance(error, ValueError):
            raise
        raise VideoError(f"{what} ({error.strerror or type(error).__name__})") from error
