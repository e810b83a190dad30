"""The checkpoints of a run: written whole or not at all, the newest few kept.

A checkpoint is tensors in plain containers, so that torch's restricted loader reads it back.
"""

from __future__ import annotations

import logging
import os
import random
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from iuv.checkpoint.errors import CheckpointError
from iuv.writers.atomic import atomic_write

__all__ = ["Checkpoints", "Snapshot", "config_differences", "random_state", "restore_random_state"]

_log = logging.getLogger(__name__)

_MAY_CHANGE = re.compile(r"solver\.(max_iter|steps)|run\.(?!seed).*|loader\.workers")
"""What a run may go on with otherwise than it began: its length, and what changes no number."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Everything that decides how a run goes on."""

    iteration: int
    """Steps done."""
    config: Mapping[str, Any]
    """`TrainingConfig.to_dict` of the run."""
    data: str
    """Digest of the training data: which images, in which order."""
    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]
    scaler: Mapping[str, Any]
    """Of fp16's loss scale; empty without it."""
    average: Mapping[str, Tensor]
    """The moving average of the weights; empty without it."""
    processes: list[dict[str, Any]]
    """By rank: "random", the state of its random numbers; "position" of its loader."""


class Checkpoints:
    """The files of a folder, `<steps done>.pt`.

    Args:
        folder: made when the first one is saved.
        keep: so many of the newest stay.
    """

    def __init__(self, folder: Path, *, keep: int) -> None:
        self.folder = folder
        self.keep = keep

    def paths(self) -> list[Path]:
        """Return the checkpoints, oldest first."""
        found = [p for p in self.folder.glob("*.pt") if p.stem.isdecimal()]
        return sorted(found, key=lambda path: int(path.stem))

    def save(self, snapshot: Snapshot) -> Path:
        """Write a checkpoint, then remove those that are too old.

        Raises:
            CheckpointError: the weights are not finite.
            OSError: it cannot be written, e.g. for want of space; the others are intact.
        """
        broken = [name for name, t in snapshot.model.items() if not torch.isfinite(t).all()]
        if broken:
            raise CheckpointError(
                f"after step {snapshot.iteration} the weights are not finite (NaN or infinity) in "
                f"{broken[0]} and {len(broken) - 1} more, so they are not saved; "
                f"{self._newest_whole()}. Lower solver.base_lr, or clip gradients (solver.clip)"
            )
        path = self.folder / f"{snapshot.iteration:07d}.pt"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for half in self.folder.glob(".*.part"):  # left by a process that was killed
                half.unlink()
            _write(path, vars(snapshot))
        except OSError as error:
            raise OSError(
                error.errno,
                f"cannot save {path} ({error.strerror or error}); {self._newest_whole()}. "
                "Make room or make it writable, then go on with --resume",
            ) from error
        # What is newer could not be read when this run was resumed.
        older = [p for p in self.paths() if int(p.stem) <= snapshot.iteration]
        for other in set(self.paths()) - set(older[-self.keep :]):
            other.unlink()
        return path

    def newest(self) -> Snapshot | None:
        """Return the newest checkpoint that can be read; None if there are none.

        Raises:
            CheckpointError: there are some, and none can be read.
        """
        for path in reversed(self.paths()):
            try:
                return _read(path)
            except CheckpointError as error:
                _log.warning("%s; trying the one before", error)
        if self.paths():
            raise CheckpointError(
                f"{self.folder}: none of the {len(self.paths())} checkpoints can be read; to "
                "start anew, remove the folder"
            )
        return None

    def _newest_whole(self) -> str:
        paths = self.paths()
        return f"the newest checkpoint is {paths[-1]}" if paths else "there is no checkpoint yet"


def config_differences(saved: Mapping[str, Any], present: Mapping[str, Any]) -> list[str]:
    """Return what keeps a run from going on with another configuration, e.g. "solver.base_lr: ...".

    Both are `TrainingConfig.to_dict`'s. The length of the run, its periods and the number of
    workers may change.
    """
    flat = [
        {f"{s}.{name}": value for s, values in config.items() for name, value in values.items()}
        for config in (saved, present)
    ]
    return [
        f"{path}: {flat[0].get(path, 'absent')} in the run, {flat[1].get(path, 'absent')} now"
        for path in dict.fromkeys([*flat[0], *flat[1]])
        if flat[0].get(path) != flat[1].get(path) and not _MAY_CHANGE.fullmatch(path)
    ]


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the state of all global random number generators of this process, as plain data."""
    name, keys, *rest = np.random.get_state(legacy=True)
    state = {
        "torch": torch.get_rng_state(),
        "numpy": [name, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest],
        "python": random.getstate(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: Mapping[str, Any], device: torch.device) -> None:
    """Set the generators to what `random_state` returned."""
    name, keys, *rest = state["numpy"]
    torch.set_rng_state(state["torch"])
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    random.setstate(state["python"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def _write(path: Path, content: dict[str, Any]) -> None:
    with atomic_write(path) as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # torch complains of its own state after the disk did
            raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None
        file.flush()
        os.fsync(file.fileno())  # before the name appears: also a power cut leaves it whole


def _read(path: Path) -> Snapshot:
    try:
        with zipfile.ZipFile(path) as archive:  # torch passes over the check sums
            if (damaged := archive.testzip()) is not None:
                raise ValueError(f"{damaged} in it is damaged")
        content = torch.load(path, map_location="cpu", weights_only=True)
        return Snapshot(**content)
    except Exception as error:  # whatever a damaged archive makes torch raise
        raise CheckpointError(f"{path}: cannot be read ({str(error)[:200]})") from error
