"""``iuv train``: from annotated images to a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["train"]


def train(  # noqa: PLR0913, PLR0917 - one per option
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Name of the zoo (see `iuv models`), a Detectron2 YAML, or the config.json of a "
            "former run.",
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            metavar="DATA,...",
            help="What to train on: published data sets by name (such as "
            "densepose_coco_2014_train), .yaml files, or JSON files of annotations.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the run; made if missing.")],
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
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
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Change a setting, such as solver.base_lr=0.005; may be repeated.",
            show_default=False,
        ),
    ] = None,
    init: Annotated[
        str,
        typer.Option(
            metavar="imagenet|none|NAME|FILE",
            help="Weights to begin with: the ResNet's of ImageNet, random ones, a model of the "
            "zoo, or a file with a whole model or a ResNet.",
        ),
    ] = "imagenet",
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on from the newest checkpoint, if there is one."),
    ] = False,
    eval_data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Score the model on this data set at the end, and every run.eval_period steps.",
            show_default=False,
        ),
    ] = None,
    eval_images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of its images. [default: as the data set says]",
            show_default=False,
        ),
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            metavar="TASK,...",
            help="What to score: bbox, segm, gps, gpsm. [default: all that annotations allow]",
            show_default=False,
        ),
    ] = None,
    geodesics: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
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
    symmetry: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="UV_symmetry_transforms.mat, or another body's symmetry.npz, to mirror images. "
            "[default: that of the data root, or the cache; downloaded once]",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="auto (CUDA, else MPS, else CPU), cpu, cuda, cuda:1, mps, ..."
        ),
    ] = "auto",
) -> None:
    """Train a model, by the recipe of the published ones unless --set says otherwise.

    Ctrl-C and SIGTERM save the run before they end it. Started by torchrun, processes share the
    images of every step.
    """
    # Imported here, as torch takes a second that `iuv --help` need not wait for.
    from iuv.cli import training
    from iuv.cli.loading import own_device
    from iuv.data.loader import TrainingLoader
    from iuv.engine.step import TrainingStep
    from iuv.engine.trainer import Trainer, TrainingData
    from iuv.processes import joined_processes
    from iuv.runtime.devices import pick_device

    if eval_data is None and (eval_images or tasks or geodesics):
        raise ValueError(
            "--eval-images, --tasks and --geodesics are for evaluation; add --eval-data, or leave "
            "them out"
        )
    config = training.read_settings(model, settings or [], init)
    own = pick_device(own_device(device))
    with joined_processes(own) as processes:
        dataset = training.load_training_data(data, config, images=images, root=data_root)
        mirror = training.find_symmetry(symmetry, config, root=data_root)
        score = None
        if eval_data is not None:
            score = training.make_evaluation(
                eval_data,
                dataset.classes,
                images=eval_images,
                root=data_root,
                tasks=tasks,
                geodesics=geodesics,
                mesh=mesh,
                device=own,
                processes=processes,
            )
        training.claim_folder(out, resume=resume, processes=processes)
        goes_on = resume and any((out / "checkpoints").glob("*.pt"))
        network = training.make_network(config, "none" if goes_on else init, own)

        def load(position: int) -> TrainingLoader:
            ranks = {"rank": processes.rank, "world_size": processes.size}
            return TrainingLoader(dataset, config, mirror, position=position, **ranks)

        trainer = Trainer(
            TrainingStep(network, config),
            TrainingData(load, TrainingData.digest_of(dataset)),
            out,
            device=own,
            processes=processes,
            evaluate=score,
            notes=training.describe_run(model, config, network, dataset, init),
        )
        if resume:
            trainer.resume()
        stopped = trainer.run()
    if stopped is not None:
        raise typer.Exit(128 + stopped)
