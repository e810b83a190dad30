"""Work on a stream of items that threads do beside it, in order and in bounded memory.

    items → in_order(prepare) → in_batches(the network) → behind(save)

Each stage is a generator that pulls from the one before, in the thread of whoever consumes it. So a
slow consumer stops all that comes before, and a source is never iterated by two threads. What goes
wrong with an item is raised where its result would be. Close a generator that is not used up
(`contextlib.closing`): it waits for what has begun, drops the rest, and leaves no thread.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, NoReturn, TypeVar

__all__ = ["WORKERS", "behind", "in_batches", "in_order", "read_ahead"]

Item = TypeVar("Item")
Result = TypeVar("Result")

WORKERS = min(os.cpu_count() or 1, 8)
"""Threads of a stage. More would wait for cores, and hold memory meanwhile."""

_END: Any = object()


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], *, workers: int, ahead: int
) -> Generator[Result, None, None]:
    """Yield ``work(item)`` for each item, done by threads while the consumer is busy.

    Args:
        work: called in a thread.
        items: consumed `ahead` items further than results are.
        workers: how many threads.
        ahead: how many results are in the making, or wait, besides the one that the consumer has.

    Raises:
        Exception: that of `work`, or of `items`, after the results of all items before.
    """
    jobs = _jobs(work, items)
    tasks: deque[Future[Result]] = deque()
    with _threads(workers) as submit:
        while True:
            tasks.extend(map(submit, itertools.islice(jobs, ahead + 1 - len(tasks))))
            if not tasks:
                return
            yield tasks.popleft().result()


def behind(
    work: Callable[[Item], Result], items: Iterable[Item], *, workers: int, most: int
) -> Generator[Result, None, None]:
    """Yield ``work(item)`` for each item, done by threads while the next items are made.

    Unlike `in_order`, it is for items that take long: none is asked for while a result is ready.

    Args:
        work: called in a thread.
        items: consumed until `most` of them are without result.
        workers: how many threads.
        most: how many, at least 1.

    Raises:
        Exception: that of `work`, or of `items`, after the results of all items before.
    """
    tasks: deque[Future[Result]] = deque()
    with _threads(workers) as submit:
        for job in _jobs(work, items):
            tasks.append(submit(job))
            del job  # or its item would be held while the next one is made
            while tasks and (tasks[0].done() or len(tasks) >= most):
                yield tasks.popleft().result()
        while tasks:
            yield tasks.popleft().result()


def read_ahead(items: Iterable[Item], ahead: int) -> Generator[Item, None, None]:
    """Yield items that one thread, and no other, takes from an iterable.

    Args:
        items: consumed `ahead` items further than the consumer has come.
        ahead: how far.

    Raises:
        Exception: that of `items`.
    """
    iterator = iter(items)
    turns = itertools.repeat(None)
    with closing(in_order(lambda _: next(iterator, _END), turns, workers=1, ahead=ahead)) as taken:
        yield from itertools.takewhile(lambda item: item is not _END, taken)


def in_batches(
    work: Callable[[Sequence[Item]], Sequence[Result]],
    items: Iterable[Item],
    *,
    kind: Callable[[Item], Hashable],
    size: int,
    window: int,
) -> Generator[Result, None, None]:
    """Yield a result for each item, in order; items of one kind are worked on together.

    Args:
        work: called with 1 to `size` items of one kind; gives their results.
        items: consumed until there is a full batch for the one in turn, or the window is full.
        kind: what items of a batch have in common.
        size: of a full batch.
        window: most items that wait, or have results which wait for their turn; at least 1.

    Raises:
        Exception: that of `work`; that of `items`, after the results of all items before.
    """
    source: Iterator[tuple[int, Item]] | None = enumerate(items)
    failed: Exception | None = None
    waiting: dict[int, Item] = {}
    done: dict[int, Result] = {}
    turn = 0
    while True:
        batch = _first_batch(waiting, kind, size)
        if source is not None and len(batch) < size and len(waiting) + len(done) < window:
            try:
                waiting |= [next(source)]
            except StopIteration:
                source = None
            except Exception as error:  # of the items: its turn comes
                source, failed = None, error
        elif batch:
            done |= zip(batch, work([waiting.pop(place) for place in batch]), strict=True)
            while turn in done:
                yield done.pop(turn)
                turn += 1
        else:
            break
    if failed is not None:
        raise failed


def _first_batch(
    waiting: Mapping[int, Item], kind: Callable[[Item], Hashable], size: int
) -> list[int]:
    """Places of the first item that waits and of others of its kind."""
    first = next(map(kind, waiting.values()), None)
    same = (place for place, item in waiting.items() if kind(item) == first)
    return list(itertools.islice(same, size))


def _jobs(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Callable[[], Result]]:
    """What to do for each item; if there is no next one for an error, raising it is the last."""
    try:
        yield from map(
            lambda item: partial(work, item), items
        )  # which holds no item, as a loop would
    except Exception as error:
        yield partial(_fail, error)


def _fail(error: Exception) -> NoReturn:
    raise error


@contextmanager
def _threads(count: int) -> Iterator[Callable[[Callable[[], Result]], Future[Result]]]:
    """Threads that end with the block: what has begun is finished, the rest dropped."""
    pool = ThreadPoolExecutor(count, thread_name_prefix="iuv")
    try:
        yield pool.submit
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
