"""One process at a time: a lock that the operating system lets go when its holder dies."""

from __future__ import annotations

import errno
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["file_lock"]

_log = logging.getLogger(__name__)

_POLL_S = 0.1


@contextmanager
def file_lock(path: str | os.PathLike[str], *, wait: bool = True) -> Iterator[None]:
    """Hold the lock on a file (created if absent, left empty) while the block runs.

    Waits while another process or thread holds it, if asked to. There are no stale locks: a lock
    belongs to the open file, not to the file's presence.

    Raises:
        BlockingIOError: another one holds it, and is not waited for.
        OSError: the file cannot be written, or its file system has no locks.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        waiting = False
        while not _acquire(descriptor):
            if not wait:
                raise BlockingIOError(errno.EWOULDBLOCK, "another process is at work on it", path)
            if not waiting:
                _log.warning("waiting for another process that is at work on %s", path)
            waiting = True
            time.sleep(_POLL_S)
        try:
            yield
        finally:
            _release(descriptor)
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _acquire(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def _release(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _acquire(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _release(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
