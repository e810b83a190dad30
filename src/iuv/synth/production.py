"""Many pictures, in one process or in several, whatever happens in between."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import cv2

from iuv.locking import file_lock
from iuv.synth.dataset import (
    ANNOTATIONS,
    JOURNAL,
    DatasetError,
    SampleWriter,
    check_folder,
    complete,
    make_folder,
    write_settings,
)
from iuv.synth.journal import MOST_PICTURES, Journal, Record

__all__ = ["available_cores", "produce"]

_LOCK = ".lock"
_MOST_WORKERS = 61 if sys.platform == "win32" else 1000  # Windows waits for no more processes
_AHEAD = 16  # pictures per worker that are ordered, or wait for an earlier one

_Result = TypeVar("_Result")

_writer: SampleWriter | None = None  # of a worker process


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def produce(
    writer: SampleWriter,
    count: int,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Make the first `count` pictures of a recipe, and what belongs to the data set.

    What is in the folder is kept: a run that was stopped goes on, and a larger count adds pictures.
    The result is the same for any number of workers, to the byte.

    Args:
        writer: the recipe and the folder.
        count: how many pictures there shall be, 1 to a million.
        workers: processes, 1 or more. With more than one, a script that calls this must do so below
            ``if __name__ == "__main__":``.
        progress: called after each picture with the number of those made, and of all to be made.

    Returns:
        How many were made.

    Raises:
        DatasetError: count or workers are out of their range, the folder has another data set or
            more pictures than asked for, another process is at work in it, or a worker was killed.
        OSError: the folder cannot be made or written.
        ValueError: a background cannot be read.
    """
    for name, value in (("pictures", count), ("workers", workers)):
        if value < 1:
            raise DatasetError(f"the number of {name} must be 1 or more, got {value}")
    if count > MOST_PICTURES:
        raise DatasetError(
            f"a data set has at most {MOST_PICTURES:,} pictures, got {count:,}; make several, with "
            "different seeds"
        )
    check_folder(writer)
    make_folder(writer)
    with _only_run(writer.folder):
        check_folder(writer)  # again: another process may have been at work since
        write_settings(writer)
        return _fill(writer, count, workers, progress)


def _fill(
    writer: SampleWriter, count: int, workers: int, progress: Callable[[int, int], None]
) -> int:
    """Make what is missing, and the annotations of it all; return how many were made."""
    with Journal(writer.folder / JOURNAL) as journal:
        published = not journal.places
        journal.read_published(writer.folder / ANNOTATIONS)
        former = max(journal.places, default=-1) + 1
        if former > count:
            if published:  # what was just made from it is of no use
                journal.remove()
            raise DatasetError(
                f"{writer.folder}: has {former} pictures, more than {count}; ask for as many or "
                "more, or choose another folder"
            )
        missing = writer.missing(count, journal.places)
        for done, record in enumerate(_records(writer, missing, workers), start=1):
            journal.add(record)
            progress(done, len(missing))
        complete(writer, journal)
        journal.remove()
    return len(missing)


@contextmanager
def _only_run(folder: Path) -> Iterator[None]:
    """Keep others from working in this folder: they would mix up the records."""
    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(folder / _LOCK, wait=False))
        except BlockingIOError:
            raise DatasetError(
                f"{folder}: another process is making pictures in this folder; wait for its end, "
                "or choose another folder"
            ) from None
        except OSError:  # not every file system has locks
            pass
        yield


def _records(writer: SampleWriter, indices: Sequence[int], workers: int) -> Iterator[Record]:
    workers = min(workers, len(indices), _MOST_WORKERS)
    if workers <= 1:
        yield from map(writer, indices)
        return
    with _pool(writer, workers) as pool:

        def order(index: int) -> Future[Record]:
            with _uninterrupted():  # a worker that starts inherits it: the parent stops them
                return pool.submit(_make, index)

        try:
            yield from _in_order(order, indices, _AHEAD * workers)
        except BrokenProcessPool:
            raise DatasetError(
                f"{writer.folder}: a worker process was killed, as happens when there is too "
                "little memory, or when a script makes pictures outside of `if __name__ == "
                '"__main__":`; run the same again with fewer workers: what is done is kept'
            ) from None


@contextmanager
def _pool(writer: SampleWriter, workers: int) -> Iterator[ProcessPoolExecutor]:
    with TemporaryDirectory() as folder:
        # By file: of a worker that dies at its start, Python would wait for ever to take its
        # arguments, if they are more than a pipe holds.
        path = Path(folder, "writer.pickle")
        path.write_bytes(pickle.dumps(writer))
        pool = ProcessPoolExecutor(
            workers,
            # forked processes inherit locked locks, of OpenCV's threads among others
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start,
            initargs=(path,),
        )
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold back Ctrl-C, where there is a way to; it counts afterwards."""
    if sys.platform == "win32":
        yield
        return
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def _in_order(
    submit: Callable[[int], Future[_Result]], indices: Sequence[int], ahead: int
) -> Iterator[_Result]:
    """Yield the result of each, never with more than some of them ahead of what is taken.

    `Executor.map` orders all at once, which takes gigabytes for a million pictures.
    """
    rest = iter(indices)
    ordered = deque(submit(index) for index in islice(rest, ahead))
    while ordered:
        result = ordered.popleft().result()
        ordered.extend(submit(index) for index in islice(rest, 1))
        yield result


def _start(path: Path) -> None:
    """Prepare a worker process, which is to use the writer in a file."""
    global _writer  # a pool gives its workers nothing else to keep
    _writer = pickle.loads(path.read_bytes())  # noqa: S301 - our own, where only we can write
    cv2.setNumThreads(1)  # there is a process per core
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for Windows: see `_uninterrupted`
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _make(index: int) -> Record:
    if _writer is None:
        raise RuntimeError("this process has not been started as a worker")
    return _writer(index)
