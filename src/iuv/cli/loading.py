"""Loading the model that the options of a command name."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iuv.predictor import Predictor

__all__ = ["DEFAULT_MODEL", "Engine", "load_predictor", "own_device"]

DEFAULT_MODEL = "R_50_FPN_s1x"


class Engine(str, Enum):
    """What runs the network."""

    auto = "auto"
    eager = "eager"


def load_predictor(
    model: str | None, weights: Path | None, *, fallback: str = DEFAULT_MODEL, **options: Any
) -> Predictor:
    """Return the predictor that ``--model`` and ``--weights`` mean; raises as `iuv.load`.

    Args:
        model: a name of the zoo, a Detectron2 YAML or weights; None: what the weights say they are,
            else `fallback`.
        weights: to use in place of the model's own.
        fallback: a name of the zoo.
        options: as for `iuv.load`.
    """
    # Imported here, as torch takes a second that `iuv --help` need not wait for.
    import iuv.predictor
    from iuv.checkpoint import read_config

    if model is None and weights is not None and read_config(weights) is not None:
        return iuv.predictor.load(weights, **options)  # the file says what it is
    return iuv.predictor.load(model or fallback, weights=weights, **options)


def own_device(device: str) -> str:
    """Return the device of this process: of several that torchrun starts, each has its own GPU."""
    import torch

    rank = os.environ.get("LOCAL_RANK")
    if rank is None or device not in ("auto", "cuda") or not torch.cuda.is_available():
        return device
    return f"cuda:{int(rank) % torch.cuda.device_count()}"
