"""Loading what the options of a command name: a model, the tables to mirror people by."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iuv.zoo import EMBEDDED

if TYPE_CHECKING:
    from iuv.data.symmetry import UVSymmetry
    from iuv.predictor import Predictor

__all__ = [
    "DEFAULT_MODEL",
    "Calibration",
    "Engine",
    "MaxProposals",
    "MinSize",
    "Precision",
    "ShortSide",
    "load_default",
    "load_predictor",
    "load_symmetry",
    "own_device",
]

DEFAULT_MODEL = "R_50_FPN_s1x"


class Engine(str, Enum):
    """What runs the network."""

    auto = "auto"
    eager = "eager"
    compile = "compile"
    openvino = "openvino"
    onnxruntime = "onnxruntime"


class Precision(str, Enum):
    """What the network computes with."""

    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"
    int8 = "int8"


Calibration = Annotated[
    Path | None,
    typer.Option(
        "--calibrate",
        metavar="DIR",
        help="Typical photos that int8 is fitted to, once; without, synthetic people.",
    ),
]
"""The option that goes with `Precision.int8`."""

MinSize = Annotated[
    float,
    typer.Option(
        metavar="S",
        min=0,
        max=1,
        help="Leave people out whose box has a longer side below this share of the image's.",
    ),
]
"""Fewer people to read: `box.min_size` of the configuration."""

ShortSide = Annotated[
    int | None,
    typer.Option(
        metavar="PX",
        min=32,
        help="Of the network's input. Less is faster and finds fewer small people. "
        "[default: the model's own]",
        show_default=False,
    ),
]
"""A smaller input, or a larger one: `input.short_side` of the configuration."""

MaxProposals = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Boxes that the second stage judges per image. [default: the model's own]",
        show_default=False,
    ),
]
"""Fewer boxes to judge: `rpn.post_nms_topk` of the configuration."""


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


def load_default(**options: Any) -> Predictor:
    """Return the predictor for those who named none; raises as `iuv.load`.

    That is `DEFAULT_MODEL`, or, with a notice on stderr, the embedded one if its weights are not to
    be had.

    Args:
        options: as for `iuv.load`.
    """
    import iuv.predictor
    from iuv.checkpoint import DownloadError

    try:
        return iuv.predictor.load(DEFAULT_MODEL, **options)
    except DownloadError as error:
        notice = (
            f"iuv: NOTE: the weights of {DEFAULT_MODEL} are not to be had: {error}\n"
            f"iuv: NOTE: {EMBEDDED.name} is used instead, a small model that has learnt from "
            "synthetic people only and is often wrong on photos: it shows which files come out, "
            "and is not for results. Once the weights can be had, "
            f"the same command uses {DEFAULT_MODEL}; --model {DEFAULT_MODEL} fails without them, "
            f"--model {EMBEDDED.name} does not try"
        )
        typer.secho(notice, fg="yellow", err=True)
    return iuv.predictor.load(EMBEDDED.name, **options)


def load_symmetry(file: Path | None, *, root: Path | None) -> UVSymmetry:
    """Return the tables that mirroring needs: of a file, from the data root, or downloaded.

    Raises:
        DataError: the file is missing, or holds something else.
        DownloadError: there are none; says where they may be.
    """
    from iuv.checkpoint import DownloadError, fetch
    from iuv.data.catalog import data_root
    from iuv.data.symmetry import SYMMETRY_URL, read_symmetry

    below_root = data_root(root) / SYMMETRY_URL.rpartition("/")[2]
    if file is None and below_root.is_file():
        file = below_root
    try:
        return read_symmetry(file or fetch(SYMMETRY_URL))
    except DownloadError as error:
        raise DownloadError(
            f"{error}. Mirroring needs this file; put it to {below_root}, or say by --symmetry "
            "FILE where it is"
        ) from error


def own_device(device: str) -> str:
    """Return the device of this process: of several that torchrun starts, each has its own GPU."""
    import torch

    rank = os.environ.get("LOCAL_RANK")
    if rank is None or device not in ("auto", "cuda") or not torch.cuda.is_available():
        return device
    return f"cuda:{int(rank) % torch.cuda.device_count()}"
