"""Which images come when: endless shuffled streams for training, shares for inference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch

__all__ = ["group", "inference_share", "shuffled"]

_Sample = TypeVar("_Sample")


def shuffled(size: int, seed: int) -> Iterator[int]:
    """Yield 0..size-1 in random order, again and again, each time in another.

    Of several processes, number r of n takes every n-th index, from the r-th on. Parity with
    Detectron2's training sampler: the same seed gives the same indices.
    """
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield from torch.randperm(size, generator=generator).tolist()


def group(
    samples: Iterable[_Sample], batch_size: int, kind: Callable[[_Sample], object]
) -> Iterator[list[_Sample]]:
    """Yield batches of samples of one kind, each as soon as it is full.

    Samples of a kind keep their order. Parity with Detectron2's grouping by aspect ratio.
    """
    waiting: dict[object, list[_Sample]] = {}
    for sample in samples:
        key = kind(sample)
        batch = waiting.setdefault(key, [])
        batch.append(sample)
        if len(batch) == batch_size:
            yield waiting.pop(key)


def inference_share(size: int, rank: int, world_size: int) -> range:
    """Return the positions that process `rank` of `world_size` works on: a contiguous share.

    The first processes have one more if it does not come out even. Parity with Detectron2.
    """
    least, more = divmod(size, world_size)
    start = rank * least + min(rank, more)
    return range(start, start + least + (rank < more))
