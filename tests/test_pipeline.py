"""Work that threads do: in order, bounded, and without a thread left behind."""

from __future__ import annotations

import itertools
import threading
import time
import tracemalloc
from contextlib import closing

import numpy as np
import pytest

from iuv.pipeline import behind, in_batches, in_order, read_ahead

STAGES = {
    "in_order": lambda work, items: in_order(work, items, workers=3, ahead=4),
    "behind": lambda work, items: behind(work, items, workers=3, most=4),
}


@pytest.fixture(params=STAGES)
def stage(request):
    """One of the two that call a function in threads; five items at most are under way."""
    return STAGES[request.param]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def counted(taken, count=10**9, last=None):
    """The numbers from 0 on, which are noted as they are taken; then an error."""
    for number in range(count):
        taken.append(number)
        yield number
    if last is not None:
        raise last


def test_results_are_in_order_though_the_work_is_not(stage):
    def work(number):
        time.sleep(0.002 * (number % 3 == 0))
        finished.append(number)
        return number * number

    finished = []
    assert list(stage(work, range(40))) == [n * n for n in range(40)]
    assert finished != sorted(finished)


def test_nothing_to_do(stage):
    assert list(stage(str, [])) == list(read_ahead([], 3)) == []
    assert list(in_batches(list, [], kind=str, size=2, window=8)) == []


def test_threads_work_side_by_side(stage):
    meeting = threading.Barrier(3, timeout=20)  # breaks unless three come
    assert len(list(stage(lambda _: meeting.wait(), range(6)))) == 6


def test_a_slow_consumer_stops_the_others(stage):
    taken = []
    with closing(stage(str, counted(taken))) as results:
        assert not taken  # nobody has asked yet
        for number in range(20):
            assert next(results) == str(number)
            assert len(taken) <= number + 5
            time.sleep(0.001)


def test_in_order_works_ahead_while_the_consumer_is_busy():
    started = [threading.Event() for _ in range(5)]
    with closing(in_order(lambda e: e.set(), started, workers=1, ahead=3)) as results:
        next(results)
        assert all(event.wait(20) for event in started[:4])
        assert not started[4].is_set()


def test_behind_hands_over_what_is_ready_before_it_asks_for_more():
    """So that a result does not wait for as many more of the items, which take long."""
    taken = []
    done = threading.Event()

    def items():
        yield from counted(taken, 1)
        assert done.wait(20)
        time.sleep(0.05)  # for the future to learn of it
        yield from counted(taken)

    with closing(behind(lambda _: done.set(), items(), workers=1, most=50)) as results:
        next(results)
        assert len(taken) <= 2


def test_an_error_of_the_work_comes_in_turn(stage):
    def work(number):
        if number == 5:
            raise ValueError("five")
        time.sleep(0.002)
        return number

    results = stage(work, range(100))
    assert list(itertools.islice(results, 5)) == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="five"):
        next(results)
    assert list(results) == []


def test_an_error_of_the_items_comes_in_turn(stage):
    slow = lambda number: time.sleep(0.002) or number  # noqa: E731 - one line is enough
    for results in (
        stage(slow, counted([], 3, KeyError("no more"))),
        read_ahead(counted([], 3, KeyError("no more")), 4),
        in_batches(list, counted([], 3, KeyError("no more")), kind=str, size=2, window=8),
    ):
        assert list(itertools.islice(results, 3)) == [0, 1, 2]
        with pytest.raises(KeyError, match="no more"):
            next(results)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_is_not_an_items_error(stage, interruption):
    """It ends all at once, wherever the consumer's thread is; what is begun is finished."""
    finished = []

    def items():
        yield from range(3)
        raise interruption

    with pytest.raises(interruption):
        list(stage(lambda n: time.sleep(0.01) or finished.append(n), items()))
    assert len(finished) < 4


def test_closing_drops_what_has_not_begun():
    begun = []
    with closing(in_order(begun.append, range(1000), workers=1, ahead=100)) as results:
        next(results)
    assert len(begun) <= 101
    slow = in_order(lambda n: begun.append(n) or time.sleep(0.05), range(100), workers=1, ahead=99)
    begun.clear()
    with closing(slow):
        next(slow)
    assert len(begun) < 10


def test_read_ahead_takes_items_from_one_thread_alone():
    threads = set()

    def items():
        for number in range(50):
            threads.add(threading.current_thread())
            yield number

    assert list(read_ahead(items(), 3)) == list(range(50))
    assert len(threads) == 1
    assert threading.current_thread() not in threads
    taken = []
    with closing(read_ahead(counted(taken), 3)) as numbers:
        next(numbers)
    assert len(taken) <= 4


def test_batches_hold_one_kind_and_results_keep_the_order():
    batches = []

    def work(items):
        batches.append(items)
        return [item.upper() for item in items]

    items = ["a1", "b1", "a2", "c1", "a3", "b2", "a4"]
    results = in_batches(work, items, kind=lambda item: item[0], size=2, window=5)
    assert list(results) == [item.upper() for item in items]
    assert batches == [["a1", "a2"], ["b1", "b2"], ["c1"], ["a3", "a4"]]


def test_batches_wait_no_longer_than_needed():
    taken = []
    results = in_batches(list, counted(taken), kind=lambda n: 0, size=3, window=12)
    next(results)
    assert len(taken) == 3
    taken.clear()
    results = in_batches(list, counted(taken), kind=lambda n: n, size=3, window=12)
    next(results)
    assert len(taken) == 12


@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_thousands_of_images_take_the_memory_of_a_few(count):
    """Through all stages: each is 60 kB, so that 10,000 would be 600 MB."""
    made = (np.full((100, 200, 3), n % 251, np.uint8) for n in range(count))
    tracemalloc.start()
    try:
        read = read_ahead(made, 4)
        prepared = in_order(lambda image: image + 1, read, workers=2, ahead=6)
        kind = lambda image: int(image[0, 0, 0]) % 3  # noqa: E731 - one line is enough
        found = in_batches(
            lambda images: [i + 1 for i in images], prepared, kind=kind, size=4, window=16
        )
        saved = behind(lambda image: int(image[0, 0, 0]), found, workers=2, most=6)
        assert sum(1 for _ in saved) == count
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        for stage in (saved, found, prepared, read):
            stage.close()
    assert peak < 60 * 60_000
