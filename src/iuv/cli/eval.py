"""``iuv eval``: how good a model is, or anybody's results."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from iuv.cli.loading import (
    DEFAULT_MODEL,
    Calibration,
    Engine,
    MaxProposals,
    MinSize,
    Precision,
    ShortSide,
    load_predictor,
    load_symmetry,
    own_device,
)
from iuv.cli.scores import find_published, plain_scores, print_scores

if TYPE_CHECKING:
    from iuv.predictor import Predictor
    from iuv.tta import AugmentedPredictor

__all__ = ["evaluate"]

_MIN_SCORE = 0.05  # the published figures'


def evaluate(  # noqa: PLR0913, PLR0917 - one per option
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A published data set by name (such as densepose_coco_2014_minival), a .yaml, or "
            "a JSON file of annotations.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="Name of the zoo (see `iuv models`), a Detectron2 YAML, or a .safetensors of iuv. "
            f"[default: {DEFAULT_MODEL}]",
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
    results: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            exists=True,
            help="Score these results, of any system, in place of a model: a folder of npz or json "
            "as iuv predict writes them, a DensePose or COCO result file (.json), or Detectron2's "
            "coco_densepose_predictions.pth.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="Folder of the images. [default: as the data set says]",
            show_default=False,
        ),
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the published data sets. [default: $IUV_DATA, or datasets]",
            show_default=False,
        ),
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            metavar="TASK,...",
            help="What to score: bbox, segm, gps, gpsm. [default: all that results and annotations "
            "allow]",
            show_default=False,
        ),
    ] = None,
    geodesics: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="Folder of the surface's three files, for gps and gpsm. [default: the cache; "
            "downloaded once, 1.5 GB]",
            show_default=False,
        ),
    ] = None,
    mesh: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Another body than DensePose-COCO's, for gps and gpsm: an .npz, such as the "
            "mesh.npz of iuv synth.",
            show_default=False,
        ),
    ] = None,
    min_similarity: Annotated[
        float,
        typer.Option(
            metavar="S",
            min=0.05,
            max=0.95,
            help="Lowest of the thresholds that segm, gps and gpsm average over; the highest is "
            "0.95.",
        ),
    ] = 0.5,
    tta: Annotated[
        bool, typer.Option("--tta", help="Test-time augmentation: nine sizes, each mirrored too.")
    ] = False,
    symmetry: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="UV_symmetry_transforms.mat, or another body's symmetry.npz, for --tta. [default: "
            "that of the data root, or the cache; downloaded once]",
            show_default=False,
        ),
    ] = None,
    min_score: Annotated[
        float, typer.Option(metavar="S", min=0, max=1, help="People must score above this.")
    ] = _MIN_SCORE,
    max_people: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="At most so many people per image, best scores first."
        ),
    ] = 100,
    min_size: MinSize = 0.0,
    short_side: ShortSide = None,
    max_proposals: MaxProposals = None,
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
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Only the first N images, for a quick look.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write results.json there.", show_default=False),
    ] = None,
    save_predictions: Annotated[
        bool,
        typer.Option(
            "--save-predictions", help="Also write what was found, as DIR/predictions/<name>.npz."
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print results.json in place of tables.")
    ] = False,
) -> None:
    """Score a model, or results from files, on a data set with DensePose annotations.

    Average precision by boxes, masks, and geodesic point similarity (GPS, GPSm). Started by
    torchrun, processes share the images and get the numbers of one.
    """
    # Imported here, as torch takes a second that `iuv --help` need not wait for.
    from iuv.cli.scoring import Scoring, choose_tasks, describe, load_mesh, load_one_dataset
    from iuv.data.catalog import require_images
    from iuv.evaluation.predictions import read_predictions
    from iuv.processes import joined_processes
    from iuv.runtime.devices import pick_device

    _check_options(results, out, model or weights or tta or save_predictions, save_predictions)
    with joined_processes(own := pick_device(own_device(device))) as processes:
        console = Console(stderr=True, highlight=False, quiet=not processes.is_main)
        everything = load_one_dataset(data, images=images, root=data_root)
        dataset = replace(everything, images=everything.images[:limit])
        found = None if results is None else read_predictions(results, everything)
        if found is None:
            require_images(dataset)
        content = None if found is None else found.content
        chosen, remarks = choose_tasks(tasks, content, dataset)
        for line in [*describe(found, dataset), *remarks]:
            console.print(line, markup=False, soft_wrap=True)
        scoring = Scoring(
            dataset=dataset,
            tasks=chosen,
            mesh=load_mesh(geodesics, mesh, chosen),
            min_similarity=min_similarity,
            processes=processes,
            console=console,
        )
        limits: dict[str, Any] = {"min_score": min_score, "max_people": max_people}
        limits |= {"min_size": min_size, "short_side": short_side, "max_proposals": max_proposals}
        if found is not None:
            scores = scoring.of_results(found)
        else:
            if tta and short_side is not None:
                raise ValueError("--tta looks at sizes of its own; leave out --short-side")
            runs: dict[str, Any] = {
                "device": own,
                "engine": engine.value,
                "precision": precision.value,
            }
            predictor = load_predictor(model, weights, calibration=calibrate, **runs, **limits)
            stream = (_augment(predictor, symmetry, data_root) if tta else predictor).stream
            keep = out / "predictions" if out and save_predictions else None
            scores = scoring.of_model(partial(stream, batch_size=batch_size), keep)
        if processes.is_main:
            other = results or weights  # than a released model
            document = {
                "data": dataset.name,
                "images": len(dataset),
                "scored": str(other or model or DEFAULT_MODEL),
                "predicted": None if results else {**limits, "tta": tta},
                "min_similarity": min_similarity,
                "scores": plain_scores(scores),
                "published": None if other else find_published(model or DEFAULT_MODEL),
            }
            _tell(document, out, as_json=as_json)


def _check_options(results: Path | None, out: Path | None, of_model: Any, keep: bool) -> None:
    if results is not None and of_model:
        raise ValueError(
            "--results are scored without a model; leave out --model, --weights, --tta and "
            "--save-predictions, or leave out --results"
        )
    if keep and out is None:
        raise ValueError("--save-predictions: say by --out DIR where to")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)  # now, rather than after hours


def _augment(predictor: Predictor, symmetry: Path | None, root: Path | None) -> AugmentedPredictor:
    from iuv.tta import AugmentedPredictor

    return AugmentedPredictor(predictor, load_symmetry(symmetry, root=root))


def _tell(document: dict[str, Any], out: Path | None, *, as_json: bool) -> None:
    """Write the scores to `out` and print them."""
    from iuv.writers import atomic_write

    text = json.dumps(document, indent=2)
    if out is not None:
        with atomic_write(out / "results.json") as file:
            file.write(text.encode())
    if as_json:
        typer.echo(text)
    else:
        print_scores(document)
