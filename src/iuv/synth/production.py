"""Many pictures, in one process or in several, whatever happens in between."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

import cv2

from iuv.synth.dataset import ANNOTATIONS, DatasetError, SampleWriter, claim, complete
from iuv.synth.journal import Journal, Record

__all__ = ["available_cores", "produce"]

_JOURNAL = "records.part"
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
        count: how many pictures there shall be, 1 or more.
        workers: processes. With more than one, a script that calls this must do so below
            ``if __name__ == "__main__":``.
        progress: called after each picture with the number of those made, and of all to be made.

    Returns:
        How many were made.

    Raises:
        DatasetError: count or workers are below 1, the folder has another data set or more
            pictures than asked for, or a worker was killed.
        OSError: the folder cannot be made or written.
        ValueError: a background cannot be read.
    """
    for name, value in (("pictures", count), ("workers", workers)):
        if value < 1:
            raise DatasetError(f"the number of {name} must be 1 or more, got {value}")
    claim(writer)
    with Journal(writer.folder / _JOURNAL) as journal:
        journal.read_published(writer.folder / ANNOTATIONS)
        former = max(journal.places, default=-1) + 1
        if former > count:
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


def _records(writer: SampleWriter, indices: Sequence[int], workers: int) -> Iterator[Record]:
    workers = min(workers, len(indices))
    if workers <= 1:
        yield from map(writer, indices)
        return
    pool = ProcessPoolExecutor(
        workers,
        # forked processes inherit locked locks, of OpenCV's threads among others
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(writer,),
    )
    try:
        yield from _in_order(lambda index: pool.submit(_make, index), indices, _AHEAD * workers)
    except BrokenProcessPool:
        raise DatasetError(
            f"{writer.folder}: a worker process was killed, as happens when there is too little "
            "memory; run the same again with fewer workers: what is done is kept"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


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


def _start(writer: SampleWriter) -> None:
    """Prepare a worker process."""
    global _writer  # a pool gives its workers nothing else to keep
    _writer = writer
    cv2.setNumThreads(1)  # there is a process per core
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops, and tells the workers
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
