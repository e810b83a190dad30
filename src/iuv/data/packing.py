"""A batch in one piece of memory, for its way from a worker to the process that trains.

Workers hand over every tensor as an open file. A batch has hundreds of them, and systems let a
process open about a thousand files.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from iuv.targets import Batch

__all__ = ["PackedBatch"]

_ALIGNMENT = 8  # bytes, of the largest type


class _Slot(NamedTuple):
    start: int
    end: int
    dtype: torch.dtype
    shape: tuple[int, ...]

    def view(self, memory: Tensor) -> Tensor:
        """Return the tensor that lies here."""
        return memory[self.start : self.end].view(self.dtype).view(self.shape)


@dataclass(frozen=True, slots=True, eq=False)
class PackedBatch:
    """A batch whose tensors lie in one."""

    memory: Tensor
    """uint8, all bytes."""
    slots: Any
    """A `Batch` that says where its tensors lie."""

    @staticmethod
    def of(batch: Batch) -> PackedBatch:
        """Pack a batch."""
        tensors: list[tuple[_Slot, Tensor]] = []

        def reserve(tensor: Tensor) -> _Slot:
            end = tensors[-1][0].end if tensors else 0
            start = math.ceil(end / _ALIGNMENT) * _ALIGNMENT
            slot = _Slot(start, start + tensor.nbytes, tensor.dtype, tuple(tensor.shape))
            tensors.append((slot, tensor))
            return slot

        slots = _exchange(batch, Tensor, reserve)
        memory = torch.empty(tensors[-1][0].end if tensors else 0, dtype=torch.uint8)
        for slot, tensor in tensors:
            slot.view(memory).copy_(tensor)
        return PackedBatch(memory, slots)

    def pin_memory(self) -> PackedBatch:
        """Return a copy in page-locked memory, for quick uploads (torch's loader calls this)."""
        return PackedBatch(self.memory.pin_memory(), self.slots)

    def unpack(self) -> Batch:
        """Return the batch, without a copy: its tensors share their memory."""
        return cast(Batch, _exchange(self.slots, _Slot, lambda slot: slot.view(self.memory)))


def _exchange(value: Any, kind: type[Any], change: Callable[[Any], Any]) -> Any:
    """Return lists and named tuples, nested, with everything of a kind changed."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, list):
        return [_exchange(item, kind, change) for item in value]
    if isinstance(value, tuple):
        return type(value)(*(_exchange(item, kind, change) for item in value))
    return value
