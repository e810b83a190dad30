"""``iuv export``: a model as a file that runs without iuv."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from iuv.cli.loading import DEFAULT_MODEL

__all__ = ["Target", "export"]


class Target(str, Enum):
    """What the file is for."""

    onnx = "onnx"
    openvino = "openvino"
    torch = "torch"


def export(
    to: Annotated[
        Target,
        typer.Option("--to", help="What the file is for: ONNX, OpenVINO, or torch.export (.pt2)."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="DIR", file_okay=False, help="Folder for the files, made if missing."
        ),
    ],
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A name from `iuv models`, a Detectron2 YAML (with --weights), or a .safetensors "
            "file of `iuv convert`.",
        ),
    ] = DEFAULT_MODEL,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Weights to use instead of its own."),
    ] = None,
    parts: Annotated[
        bool,
        typer.Option(
            "--parts",
            help="Write the heavy parts each on its own, without what lies between them.",
        ),
    ] = False,
    min_score: Annotated[
        float,
        typer.Option(metavar="S", min=0, max=1, help="People must score above this, 0..1."),
    ] = 0.5,
    max_people: Annotated[
        int, typer.Option(metavar="N", min=1, help="At most so many people per image.")
    ] = 100,
) -> None:
    """Write a model as a file that runs without iuv, with an example that runs it."""
    # Imported here, as torch takes a second that `iuv --help` need not wait for.
    import torch

    from iuv.checkpoint import load_weights
    from iuv.export.card import describe_parts, describe_weights, describe_whole
    from iuv.export.formats import check_format, export_parts, export_whole
    from iuv.modeling.rcnn import RCNN
    from iuv.predictor import resolve_model
    from iuv.runtime.eager import fold_batch_norm
    from iuv.runtime.parts import split
    from iuv.zoo import get_model

    check_format(to.value)  # before a download
    config, path = resolve_model(model, weights)
    config = config.replace(**{"box.min_score": min_score, "box.max_people": max_people})
    check_format(to.value, config)
    with torch.device("meta"):  # no memory and no initialisation: the weights are about to come
        network = RCNN(config)
    load_weights(network, path)
    network.eval().requires_grad_(False)
    fold_batch_norm(network)

    row = None if weights or Path(model).is_file() else get_model(model)
    name = row.name if row else path.stem
    licence = row.licence if row else None
    card = describe_weights(name, path, licence)
    typer.echo(f"iuv: writing {name} for {to.value}; this takes a minute or two", err=True)
    if parts:
        card |= describe_parts(split(network))
        written = export_parts(network, card, to.value, out)
    else:
        card |= describe_whole(config)
        written = export_whole(network, card, to.value, out)
    for file in written:
        typer.echo(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
    if not parts:
        typer.echo(f"try it: python {out / 'example.py'} {written[0]} PHOTO OUT.png")
