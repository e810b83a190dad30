"""Whether the C library keeps memory that is freed, for what asks for it next.

By itself, glibc gives blocks of over 32 MB, such as the maps of a network, back to the system at
once. The next map gets new pages, and the system fills each with zeros first: a quarter of the time
of a prediction was measured to go there.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # parameters of mallopt(3)
_KEPT = {_TRIM_THRESHOLD: 256 << 20, _MMAP_MAX: 0}
_USUAL = {_TRIM_THRESHOLD: 64 << 20, _MMAP_THRESHOLD: 32 << 20, _MMAP_MAX: 1 << 16}
"""What glibc's own settings, which adapt to the program, come to."""


def keep_freed_memory(keep: bool = True) -> None:
    """Keep up to 256 MB of freed memory in this process, or as little as usual.

    For programs to decide, not libraries: it is a setting of the whole process. The `iuv` command
    makes it. Where the C library is not glibc, nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):  # AttributeError: a C library without it
        for parameter, value in (_KEPT if keep else _USUAL).items():
            ctypes.CDLL(None).mallopt(parameter, value)
