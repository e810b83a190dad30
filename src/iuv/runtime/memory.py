"""Whether the C library keeps memory that is freed, for what asks for it next.

By itself, glibc gives blocks of over 32 MB, such as the maps of a network, back to the system at
once. The next map gets new pages, and the system fills each with zeros first: a sixth of the time
of a prediction was measured to go there (docs/benchmarks.md).
"""

from __future__ import annotations

import contextlib
import ctypes
import sys

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of mallopt(3)
_KEPT = {_TRIM_THRESHOLD: 256 << 20, _MMAP_THRESHOLD: 256 << 20}
_USUAL = {_TRIM_THRESHOLD: 64 << 20, _MMAP_THRESHOLD: 32 << 20}
"""What glibc's own settings, which adapt to the program, come to."""


def keep_freed_memory(keep: bool = True) -> None:
    """Keep freed memory in this process, or as little as usual.

    Kept are blocks of up to 256 MB, as long as no more than that is free at the end of the heap or
    something behind them is in use. A process then holds about as much as it ever needed at once.

    For programs to decide, not libraries: it is a setting of the whole process. The `iuv` command
    makes it. Where the C library is not glibc, nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):  # AttributeError: a C library without it
        for parameter, value in (_KEPT if keep else _USUAL).items():
            ctypes.CDLL(None).mallopt(parameter, value)
