"""Where a model runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F

__all__ = ["exact_convolutions", "pick_device"]


def pick_device(device: str | torch.device) -> torch.device:
    """Return the device that ``"auto"`` or a name means.

    Raises:
        ValueError: the name is not a device, or this machine does not have it.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device(
            "mps" if torch.backends.mps.is_available() and _mps_is_able() else "cpu"
        )
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen).cpu()  # so that "meta", which holds no numbers, fails too
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ValueError(
            f"device {str(device)!r} cannot be used here; try 'auto' or 'cpu'"
        ) from error
    return chosen


def _mps_is_able() -> bool:
    """Tell whether this torch has RoIAlign's operator on Apple GPUs (torch 2.10 and later)."""
    try:
        one = torch.zeros((1, 1), device="mps")
        F.embedding_bag(one.long(), one, per_sample_weights=one, mode="sum")
    except (NotImplementedError, RuntimeError):
        return False
    return True


class _Rounding:
    """Whether CUDA convolutions round to TF32: a setting of the process, for all threads alike."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.before: bool | str = True

    def forbid(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.before = self._set(False)
            self.inside += 1

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self._set(self.before)

    @staticmethod
    def _set(value: bool | str) -> bool | str:
        """Change the setting, and return what it was: a word where torch has got the newer API."""
        cudnn = torch.backends.cudnn
        before: bool | str
        try:
            before, cudnn.allow_tf32 = cudnn.allow_tf32, bool(value) and value != "ieee"
        except RuntimeError:  # the program has used the newer one, after which this one fails
            conv = cudnn.conv  # type: ignore[attr-defined]  # torch 2.9 and later, set at run time
            before, conv.fp32_precision = conv.fp32_precision, value or "ieee"
        return before


_ROUNDING = _Rounding()


@contextmanager
def exact_convolutions(device: torch.device) -> Iterator[None]:
    """Keep TF32, which CUDA convolutions use by default, from rounding to ten bits.

    While several threads are inside, the first one has made the setting, and the last one leaves it
    as it was.
    """
    if device.type != "cuda":
        yield
        return
    _ROUNDING.forbid()
    try:
        yield
    finally:
        _ROUNDING.leave()
