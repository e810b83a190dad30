"""``iuv convert``: from one checkpoint format to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["convert"]

_FORMATS = (".safetensors", ".pkl", ".pth")


def convert(
    weights: Annotated[
        str,
        typer.Argument(
            metavar="WEIGHTS", help="A checkpoint of any readable format, or a name of the zoo."
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            dir_okay=False,
            help="Where to write: .safetensors (with the configuration in it), or .pkl or .pth "
            "in Detectron2's layout.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|YAML",
            help="What the checkpoint holds: a name of the zoo or a Detectron2 YAML. "
            "A .safetensors file of iuv says it itself.",
        ),
    ] = None,
    half: Annotated[
        bool,
        typer.Option(
            "--half",
            help="Write kernels and matrices as 16-bit numbers: half the size, rounded to 11 bits. "
            "Only for .safetensors.",
        ),
    ] = False,
) -> None:
    """Convert a checkpoint to another format, checking that it fits its model."""
    if out.suffix not in _FORMATS:
        raise ValueError(f"{out}: the name must end in one of {', '.join(_FORMATS)}")
    if half and out.suffix != ".safetensors":
        raise ValueError(f"{out}: --half is for .safetensors; leave it out, or name such a file")
    if not out.parent.is_dir():
        raise ValueError(f"{out.parent}: no such folder; create it first")
    # Imported here, as torch takes a second that `iuv --help` need not wait for.
    import torch

    from iuv.checkpoint import load_weights, save_weights
    from iuv.modeling.rcnn import RCNN
    from iuv.predictor import resolve_model

    config, path = resolve_model(weights, config=model)
    if out.exists() and out.samefile(path):
        raise ValueError(f"{out}: is the checkpoint itself; write to another file")
    with torch.device("meta"):
        network = RCNN(config)
    load_weights(network, path)
    save_weights(network.state_dict(), config, out, half=half)
    millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    typer.echo(f"{out}: {millions:.1f} million parameters, {out.stat().st_size / 1e6:.1f} MB")
