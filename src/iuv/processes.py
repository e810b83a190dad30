"""The processes that train or evaluate together, as torchrun starts them; usually just one."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist

__all__ = ["ALONE", "Processes", "joined_processes"]

_T = TypeVar("_T")

_PATIENCE = datetime.timedelta(hours=4)
"""How long processes wait for each other. Torch's 10 and 30 minutes are less than one of them may
need for a large download, or for more of an evaluation than the others."""


@dataclass(frozen=True)
class Processes:
    """This process among those of the run. What is exchanged goes through the CPU."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes and speaks for all."""
        return self.rank == 0

    def max(self, value: int) -> int:
        """Return the greatest of all processes' values; all must call this, as all of these."""
        if self.size == 1:
            return value
        greatest = torch.tensor(value)
        dist.all_reduce(greatest, dist.ReduceOp.MAX)
        return int(greatest)

    def mean(self, values: Sequence[float]) -> list[float]:
        """Return the means over all processes, each of which gives as many values."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        return [value / self.size for value in total.tolist()]

    def gather(self, value: _T) -> list[_T]:
        """Return every process's value, by rank, in all of them."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def broadcast(self, value: _T) -> _T:
        """Return the main process's value in all of them."""
        if self.size == 1:
            return value
        box = [value if self.is_main else None]
        dist.broadcast_object_list(box)
        return box[0]  # type: ignore[return-value]  # filled in by the main process


ALONE = Processes()
"""The only process."""


@contextmanager
def joined_processes(device: torch.device) -> Iterator[Processes]:
    """Join the processes that torchrun has started along with this one, if it has.

    Gradients on CUDA are exchanged by NCCL, everything on the CPU by gloo.

    Args:
        device: what this process computes on.
    """
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys():
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
