"""Putting together what `iuv train` is told to train."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from iuv.checkpoint import (
    DownloadError,
    fetch,
    find_weights,
    load_backbone,
    load_weights,
    read_state,
)
from iuv.cli.loading import load_symmetry
from iuv.cli.scores import plain_scores
from iuv.cli.scoring import choose_tasks, load_mesh, load_one_dataset
from iuv.config import ConfigError
from iuv.data.catalog import find_datasets, require_images
from iuv.data.datasets import filter_for_training, join_datasets
from iuv.data.records import DataError, Dataset
from iuv.data.symmetry import UVSymmetry
from iuv.detectron2_yaml import read_detectron2_training
from iuv.engine.optim import freeze
from iuv.engine.trainer import Evaluate
from iuv.evaluation.evaluate import evaluate
from iuv.modeling.initialise import initialise
from iuv.modeling.rcnn import RCNN
from iuv.predictor import Predictor
from iuv.processes import Processes
from iuv.recipes import recipe
from iuv.runtime.eager import prepare_eager
from iuv.training_config import TrainingConfig
from iuv.zoo import BACKBONE_URLS, get_model

__all__ = [
    "claim_folder",
    "describe_run",
    "find_symmetry",
    "load_training_data",
    "make_evaluation",
    "make_network",
    "read_settings",
]

_log = logging.getLogger(__name__)

_RANDOM = "none"
_IMAGENET = "imagenet"


def read_settings(model: str, assignments: Sequence[str], init: str) -> TrainingConfig:
    """Return how to train: the recipe of a model, changed by ``--set``.

    Args:
        model: a name of the zoo, a Detectron2 YAML, or the config.json of a former run.
        assignments: such as ``solver.base_lr=0.005``.
        init: as for `make_network`. With "none", all of the ResNet learns, its batch norms too,
            unless assigned otherwise; a config.json is taken as it is.

    Raises:
        ConfigError, UnknownModelError, OSError: there is no such model, or a setting is wrong.
    """
    path = Path(model)
    if path.suffix.lower() == ".json":
        return _read_config(path).override(*assignments)
    if path.suffix.lower() in (".yaml", ".yml"):
        config = read_detectron2_training(path)
    else:
        config = recipe(get_model(model).config)
    if init == _RANDOM:
        # Without pretrained statistics, frozen norms would let the features grow without bound.
        config = config.replace(**{"solver.freeze_at": 0, "backbone.norm": "batch_norm"})
    return config.override(*assignments)


def _read_config(path: Path) -> TrainingConfig:
    try:
        return TrainingConfig.from_dict(json.loads(path.read_bytes()))
    except ValueError as error:  # no JSON, or another one
        raise ConfigError(f"{path}: is no config.json of a run: {error}") from error


def load_training_data(
    data: str, config: TrainingConfig, *, images: Path | None, root: Path | None
) -> Dataset:
    """Return the images to train on, all of which exist.

    Raises:
        DataError: they cannot be trained on; names file, annotation and field.
        OSError: a file cannot be read.
    """
    datasets = [
        filter_for_training(
            dataset,
            segm_from_masks=config.losses.segm_from_masks,
            keep_empty=config.loader.keep_empty,
        )
        for dataset in find_datasets(data, images=images, root=root)
    ]
    for dataset in datasets:
        require_images(dataset)
    dataset = join_datasets(datasets)
    classes = config.model.box.num_classes
    if len(dataset.classes) != classes:
        raise DataError(
            f"{dataset.source}: has {len(dataset.classes)} classes ({', '.join(dataset.classes)}), "
            f"but box.num_classes is {classes}; --set box.num_classes={len(dataset.classes)}, or "
            "choose classes by `classes` in a YAML (docs/data.md)"
        )
    return dataset


def find_symmetry(
    file: Path | None, config: TrainingConfig, *, root: Path | None
) -> UVSymmetry | None:
    """Return the tables that mirroring needs; None if images are not mirrored.

    Raises:
        DataError, DownloadError: as `load_symmetry`; says how to do without.
    """
    if config.augment.flip_probability == 0:
        return None
    try:
        return load_symmetry(file, root=root)
    except DownloadError as error:
        raise DownloadError(f"{error}; --set augment.flip_probability=0 does without") from error


def make_network(config: TrainingConfig, init: str, device: torch.device) -> RCNN:
    """Return the model to begin with, on a device, frozen where it does not learn.

    Args:
        config: what to make; with random numbers by its seed.
        init: "imagenet" (the ResNet's weights, the rest random), "none" (all random), a name of the
            zoo or a file: weights of a whole model, or of a ResNet alone.
        device: where to.

    Raises:
        CheckpointError, DownloadError, UnknownModelError: the weights are not to be had.
        ConfigError: there are none.
    """
    torch.manual_seed(config.run.seed)
    network = RCNN(config.model)
    initialise(network)
    freeze(network.trunk.resnet, config.solver.freeze_at)
    depth = config.model.backbone.depth
    if init == _IMAGENET:
        if depth not in BACKBONE_URLS:
            raise ConfigError(
                f"no ImageNet weights of a ResNet-{depth} are known; give some by --init FILE, or "
                "begin with random ones by --init none"
            )
        load_backbone(network.trunk.resnet, fetch(BACKBONE_URLS[depth]))
    elif init != _RANDOM:
        path = Path(init) if Path(init).exists() else find_weights(get_model(init))
        if all(name.startswith("trunk.resnet.") for name in read_state(path)):
            load_backbone(network.trunk.resnet, path)
        else:
            load_weights(network, path)
    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]  # torch's stub lacks this overload


def make_evaluation(  # noqa: PLR0913 - one per option of the command
    data: str,
    classes: Sequence[str],
    *,
    images: Path | None,
    root: Path | None,
    tasks: str | None,
    geodesics: Path | None,
    mesh: Path | None,
    device: torch.device,
    processes: Processes,
) -> Evaluate:
    """Return what scores a model of these classes in between, as `iuv eval` does.

    Raises:
        DataError, DownloadError, MeshError, OSError: not all that it needs is there.
    """
    dataset = load_one_dataset(data, images=images, root=root)
    require_images(dataset)
    if dataset.classes != tuple(classes) and max(len(dataset.classes), len(classes)) > 1:
        raise DataError(
            f"{dataset.source}: its classes are {', '.join(dataset.classes)}, but the model learns "
            f"{', '.join(classes)}; choose the same by `classes` in a YAML (docs/data.md)"
        )
    chosen, remarks = choose_tasks(tasks, None, dataset)
    for remark in remarks:
        _log.warning(remark)
    surface = load_mesh(geodesics, mesh, chosen)

    def score(model: RCNN) -> Mapping[str, float]:
        _log.info("evaluating on the %d images of %s", len(dataset), dataset.name)
        predictor = Predictor(prepare_eager(model, device), device=device)
        scores = evaluate(predictor.stream, dataset, surface, tasks=chosen, processes=processes)
        return {
            f"{task}/{name}": value
            for task, metrics in plain_scores(scores).items()
            for name, value in metrics.items()
            if value is not None
        }

    return score


def describe_run(
    model: str, config: TrainingConfig, network: RCNN, dataset: Dataset, init: str
) -> list[str]:
    """Return what is about to be trained, in a few lines.

    Args:
        model: its name.
        config: how to.
        network: with what is frozen.
        dataset: what on.
        init: what it begins with, as for `make_network`.
    """
    begins = {_IMAGENET: "the ResNet's weights of ImageNet", _RANDOM: "random weights"}
    sizes = [(p.numel(), p.requires_grad) for p in network.parameters()]
    annotated = [person for image in dataset.images for person in image.annotations]
    points = sum(len(person.points) for person in annotated if person.points is not None)
    return [
        f"{model}: {sum(n for n, _ in sizes) / 1e6:.1f} million parameters, of which "
        f"{sum(n for n, learns in sizes if learns) / 1e6:.1f} million learn; begins with "
        f"{begins.get(init, init)}, solver.freeze_at={config.solver.freeze_at}, "
        f"backbone.norm={config.model.backbone.norm}",
        f"{dataset.name}: {len(dataset)} images, {len(annotated)} annotations, {points} points",
    ]


def claim_folder(folder: Path, *, resume: bool, processes: Processes) -> None:
    """Make the folder of a run.

    Raises:
        ValueError: it has a run, and this is another one.
        OSError: it cannot be made.
    """
    taken = (folder / "config.json").exists() or (folder / "checkpoints").exists()
    if processes.broadcast(taken) and not resume:
        raise ValueError(
            f"{folder}: there is a run in this folder; go on with it by --resume, or choose "
            "another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
