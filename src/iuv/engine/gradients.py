"""The gradients of one step: forward in the chosen precision, backward, a look at the losses."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from iuv.targets import Batch
from iuv.training_config import SolverConfig

__all__ = ["StepReport", "TrainingError", "compute_gradients"]

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TrainingError(ValueError):
    """The training cannot begin, or not go on."""


class StepReport(NamedTuple):
    """What is known of a step once its gradients are."""

    losses: dict[str, float]
    """By name, means over the parts."""
    data_s: float
    """Seconds waited for batches."""


def compute_gradients(
    step: nn.Module,
    batches: Iterator[Batch],
    solver: SolverConfig,
    scaler: torch.amp.GradScaler,
    device: torch.device,
) -> StepReport:
    """Add the gradients of the mean loss of `solver.accumulate` batches to the parameters'.

    Those of several processes are averaged as well, along with the last batch.

    Args:
        step: a batch → its losses; wrapped by `DistributedDataParallel` if there are others.
        batches: those of this process.
        solver: precision and number of parts.
        scaler: of the loss in fp16.
        device: of the parameters.

    Raises:
        TrainingError: the network or a loss is not finite; names the loss and the images.
    """
    parts = solver.accumulate
    total: dict[str, float] = {}
    waited = 0.0
    for part in range(parts):
        start = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - start
        alone = part < parts - 1 and isinstance(step, DistributedDataParallel)
        with step.no_sync() if alone else nullcontext():  # type: ignore[operator]  # it has that
            losses = _losses(step, batch.to(device), solver.precision)
            read = _read_later(torch.stack([loss.detach().float() for loss in losses.values()]))
            scaler.scale(sum(losses.values(), torch.zeros((), device=device)) / parts).backward()
        found = dict(zip(losses, read(), strict=True))
        _require_finite(found, batch)
        total = {name: total.get(name, 0.0) + value / parts for name, value in found.items()}
    return StepReport(total, waited)


def _losses(step: nn.Module, batch: Batch, precision: str) -> dict[str, Tensor]:
    device, dtype = batch.images[0].device.type, _DTYPES[precision]
    try:
        with torch.autocast(device, dtype, enabled=precision != "fp32"):
            losses: dict[str, Tensor] = step(batch)
    except ValueError as error:
        raise _diverged("the network computes nothing finite any more", batch) from error
    return losses


def _read_later(values: Tensor) -> Callable[[], list[float]]:
    """Begin to copy values to the CPU; returns what waits for them, and not for later work."""
    if values.device.type != "cuda":
        return values.tolist
    copy = torch.empty_like(values, device="cpu", pin_memory=True)
    copy.copy_(values, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()

    def read() -> list[float]:
        copied.synchronize()
        return copy.tolist()

    return read


def _require_finite(losses: dict[str, float], batch: Batch) -> None:
    for name, value in losses.items():
        if not math.isfinite(value):
            raise _diverged(f"{name} is {value}", batch)


def _diverged(what: str, batch: Batch) -> TrainingError:
    return TrainingError(
        f"{what}, for the images {', '.join(map(str, batch.image_ids))}. Lower solver.base_lr, "
        "clip gradients (solver.clip), or see whether these images are annotated as they should "
        "be (iuv data check)"
    )
