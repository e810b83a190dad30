"""``iuv predict``: photos in, files out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iuv.cli.loading import (
    DEFAULT_MODEL,
    Calibration,
    Engine,
    MaxProposals,
    MinSize,
    Precision,
    ShortSide,
    load_default,
    load_predictor,
)
from iuv.cli.progress import ProgressReport
from iuv.cli.sources import find_sources
from iuv.zoo import EMBEDDED

__all__ = ["predict"]

_DEFAULT_MIN_SCORE = 0.5
_DEFAULT_SAVE = "overlay,iuv"
"""What a first look wants: a picture to judge by, and the data."""


def predict(  # noqa: PLR0913, PLR0917 - one per option
    context: typer.Context,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Images, folders of images, quoted globs, or .txt lists of paths.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the results; made if missing.")
    ],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="Name of the zoo (see `iuv models`), a Detectron2 YAML, or a .safetensors of iuv. "
            f"[default: the preset's, or {DEFAULT_MODEL}; where its weights are not to be had, "
            f"{EMBEDDED.name}]",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Weights to use in place of the model's own.",
        ),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            min=0,
            max=1,
            help=f"People must score above this. [default: the preset's, or {_DEFAULT_MIN_SCORE}]",
            show_default=False,
        ),
    ] = None,
    max_people: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="At most so many people per image, best scores first."
        ),
    ] = 100,
    min_size: MinSize = 0.0,
    short_side: ShortSide = None,
    max_proposals: MaxProposals = None,
    person: Annotated[
        str | None,
        typer.Option(
            metavar="best|largest|all|INDEX",
            help="Which people to keep; 0 is the best. [default: all, or as the preset says]",
            show_default=False,
        ),
    ] = None,
    save: Annotated[
        str | None,
        typer.Option(
            metavar="KIND,...",
            help="What to write: npz, iuv, overlay, segm, u, v, contour, bbox, json, dump. "
            f"[default: {_DEFAULT_SAVE}, or nothing beside a preset]",
            show_default=False,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Write exactly what a downstream tool expects, e.g. viton_hd."
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="auto (CUDA, else MPS, else CPU), cpu, cuda, cuda:1, mps, ..."
        ),
    ] = "auto",
    engine: Annotated[
        Engine, typer.Option(help="What runs the network; auto is the fastest that is installed.")
    ] = Engine.auto,
    precision: Annotated[
        Precision, typer.Option(help="All but fp32 are faster and change results a little.")
    ] = Precision.fp32,
    calibrate: Calibration = None,
    batch_size: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, max=1024, help="Images that go through the network together."
        ),
    ] = 1,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Search folders to any depth.")
    ] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Skip an image when all its results exist.")
    ] = False,
) -> None:
    """Find the people in photos and write their body parts and surface coordinates.

    One set of results per image, named after it. An image that cannot be read or written is
    reported and skipped; the rest is done and the exit code is 1.
    """
    # Imported here, as torch takes a second that `iuv --help` need not wait for.
    from iuv.cli.batch import Batch
    from iuv.cli.outputs import Outputs

    if save is None and preset is None:
        save = _DEFAULT_SAVE
    outputs = Outputs.parse(out, save=save, preset=preset, person=person)
    sources = find_sources(inputs, recursive=recursive, results=out)
    outputs.check(sources)
    todo = [s for s in sources if not (skip_existing and outputs.exist(s))]

    report = ProgressReport(len(todo), debug=context.find_root().params["debug"])
    if todo:
        wanted = outputs.preset
        if min_score is None:
            min_score = wanted.min_score if wanted else _DEFAULT_MIN_SCORE
        options = {
            "device": device,
            "engine": engine.value,
            "precision": precision.value,
            "calibration": calibrate,
            "min_score": min_score,
            "max_people": max_people,
            "min_size": min_size,
            "short_side": short_side,
            "max_proposals": max_proposals,
        }
        made_with = wanted.model if wanted else None
        if model or weights or made_with:
            fallback = made_with or DEFAULT_MODEL
            predictor = load_predictor(model, weights, fallback=fallback, **options)
        else:
            predictor = load_default(**options)
        with report:
            Batch(predictor, outputs.views, outputs.write, report, batch_size).run(todo)
    report.summarise(skipped=len(sources) - len(todo), folder=out)
    if report.failed:
        raise typer.Exit(1)
