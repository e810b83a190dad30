"""Where a model runs."""

from __future__ import annotations

import torch
import torch.nn.functional as F

__all__ = ["pick_device"]


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
