"""Scoring a predictor, or results from files, on a data set, in one process or in several."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from iuv.data.records import DataError, Dataset, ImageRecord
from iuv.data.samplers import inference_share
from iuv.evaluation.detections import Detections
from iuv.evaluation.evaluator import Evaluator, Scores
from iuv.evaluation.meshes import SurfaceMesh
from iuv.processes import ALONE, Processes
from iuv.results import People

__all__ = ["evaluate", "evaluate_results", "share"]


def share(images: Sequence[ImageRecord], processes: Processes) -> Sequence[ImageRecord]:
    """Return the images that are this process's to do: a contiguous part, as large as the others'.

    Contiguous, as neighbours in a data set are often of one size, and so go into one batch.
    """
    part = inference_share(len(images), processes.rank, processes.size)
    return images[part.start : part.stop]


def evaluate(
    predict: Callable[[Iterable[Path]], Iterable[People]],
    dataset: Dataset,
    mesh: SurfaceMesh | None,
    *,
    tasks: Collection[str] | None = None,
    min_similarity: float = 0.5,
    processes: Processes = ALONE,
    on_image: Callable[[ImageRecord, People], None] | None = None,
) -> Scores:
    """Predict on the images of a data set, and score what was found.

    Args:
        predict: from images to the people in each, in order, such as `Predictor.stream`. The
            published figures take all people above a score of 0.05, at most 100.
        dataset: its images must exist, see `iuv.data.catalog.require_images`.
        mesh: as for `Evaluator`, like the next two.
        tasks: what to score.
        min_similarity: lowest threshold.
        processes: others that do the same with other images; all get the scores of all.
        on_image: called after each image of this process.

    Raises:
        DataError: an image has another size than the annotations say.
        ImageError: an image cannot be read.
        ValueError: as `Evaluator`.
    """
    evaluator = Evaluator(dataset, mesh, tasks=tasks, min_similarity=min_similarity)
    mine = share(dataset.images, processes)
    found = predict(record.path for record in mine)
    for record, people in zip(mine, found, strict=True):
        if people.image_size != (record.height, record.width):
            height, width = people.image_size
            raise DataError(
                f"{record.path}: expected an image of {record.width} x {record.height} pixels, as "
                f"{dataset.source} says, got {width} x {height}; are these the images it describes?"
            )
        evaluator.update(record.id, Detections.of(people))
        if on_image:
            on_image(record, people)
    return _summarize(evaluator, processes)


def evaluate_results(
    results: Mapping[int, Detections],
    dataset: Dataset,
    mesh: SurfaceMesh | None,
    *,
    tasks: Collection[str] | None = None,
    min_similarity: float = 0.5,
    processes: Processes = ALONE,
    on_image: Callable[[ImageRecord], None] | None = None,
) -> Scores:
    """Score what was found by image id, e.g. by `iuv.evaluation.predictions.read_predictions`.

    Args and errors as for `evaluate`, and those of looking up an image. Images without results are
    images where nobody was found.
    """
    evaluator = Evaluator(dataset, mesh, tasks=tasks, min_similarity=min_similarity)
    for record in share(dataset.images, processes):
        if record.id in results:
            evaluator.update(record.id, results[record.id])
        if on_image:
            on_image(record)
    return _summarize(evaluator, processes)


def _summarize(evaluator: Evaluator, processes: Processes) -> Scores:
    states = processes.gather(evaluator.state())
    evaluator.merge(state for rank, state in enumerate(states) if rank != processes.rank)
    return evaluator.summarize()
