"""Scoring from the command line: what can be scored, the bar, what is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from iuv.checkpoint import DownloadError
from iuv.cli.progress import progress_bar
from iuv.cli.scores import TASK_NAMES
from iuv.cli.sources import result_keys
from iuv.data.catalog import find_datasets
from iuv.data.records import DataError, Dataset, ImageRecord
from iuv.evaluation.entries import Content
from iuv.evaluation.evaluate import evaluate, evaluate_results, share
from iuv.evaluation.evaluator import Scores
from iuv.evaluation.meshes import SurfaceMesh, read_mesh
from iuv.evaluation.predictions import Predictions
from iuv.evaluation.smpl import fetch_smpl, load_smpl
from iuv.processes import Processes
from iuv.results import People
from iuv.writers import write_npz

__all__ = ["Scoring", "choose_tasks", "describe", "load_mesh", "load_one_dataset"]

_NEEDS_MESH = {"densepose_gps", "densepose_gpsm"}
_POSSIBLE: dict[Content, tuple[str, ...]] = {
    "surface": tuple(TASK_NAMES.values()),
    "masks": ("bbox", "densepose_segm"),
    "boxes": ("bbox",),
}


def load_one_dataset(data: str, *, images: Path | None, root: Path | None) -> Dataset:
    """Return the data set that the command line names.

    Raises:
        DataError: it cannot be read, or there are several.
        OSError: so, too.
    """
    datasets = find_datasets(data, images=images, root=root)
    if len(datasets) > 1:
        names = ", ".join(dataset.name for dataset in datasets)
        raise DataError(f"{data}: names several data sets ({names}); score them one by one")
    return datasets[0]


def choose_tasks(
    wanted: str | None, content: Content | None, dataset: Dataset
) -> tuple[tuple[str, ...], list[str]]:
    """Return what to score, by the evaluator's names, and why not all if it is not all.

    What is missing is left out: it must not look like a score of zero.

    Args:
        wanted: short names separated by commas; None: all that is possible.
        content: what the results have; None: they come from a model, and have everything.
        dataset: the annotations.

    Raises:
        ValueError: a task is unknown, or impossible, or nobody is annotated.
    """
    possible, reason = _POSSIBLE[content or "surface"], f"the results have {content} alone"
    people = [person for image in dataset.images for person in image.annotations]
    if not people:
        raise ValueError(
            f"{dataset.source}: there is nothing to score, as nobody is annotated in its "
            f"{len(dataset)} images; give annotations of people"
        )
    if all(person.points is None for person in people):
        possible, reason = ("bbox",), "nobody in the annotations has DensePose points (dp_x, ...)"
    if wanted is None:
        left_out = [name for name, task in TASK_NAMES.items() if task not in possible]
        return possible, [f"{', '.join(left_out)} not scored: {reason}"] if left_out else []
    names = [name.strip() for name in wanted.split(",")]
    for name in names:
        if name not in TASK_NAMES:
            raise ValueError(f"--tasks: unknown {name!r}; choose from {', '.join(TASK_NAMES)}")
        if TASK_NAMES[name] not in possible:
            raise ValueError(f"--tasks: {name} cannot be scored: {reason}")
    return tuple(task for name, task in TASK_NAMES.items() if name in names), []


def load_mesh(folder: Path | None, file: Path | None, tasks: Iterable[str]) -> SurfaceMesh | None:
    """Return the surface to score on, if a task needs one.

    Args:
        folder: has the three files of the official surface; None: they are in the cache.
        file: has another body's surface; None: the official one is meant.
        tasks: what is scored.

    Raises:
        ValueError: folder and file are both given.
        DownloadError, FileNotFoundError, MeshError: it cannot be had; says how to do without.
    """
    if folder is not None and file is not None:
        raise ValueError(
            "--geodesics is DensePose-COCO's body, --mesh another one; give the one that the data "
            "were annotated on"
        )
    if not _NEEDS_MESH & set(tasks):
        return None
    if file is not None:
        return read_mesh(file)
    try:
        return fetch_smpl() if folder is None else load_smpl(folder)
    except (DownloadError, FileNotFoundError) as error:
        raise type(error)(
            f"{error}. gps and gpsm need this file; --geodesics DIR says where it is, "
            "--mesh FILE has another body, --tasks bbox,segm does without"
        ) from error


def describe(found: Predictions | None, dataset: Dataset) -> list[str]:
    """Return what a reader of the scores should know about results from files."""
    if found is None:
        return []
    known = sum(image.id in found for image in dataset.images)
    lines = [f"results for {known} of {len(dataset)} images"]
    if found.unknown:
        few = ", ".join(found.unknown[:3]) + (", ..." if len(found.unknown) > 3 else "")
        lines.append(f"results for {len(found.unknown)} other images not scored: {few}")
    if found.other_categories:
        count = sum(found.other_categories.values())
        ids = ", ".join(map(str, sorted(found.other_categories)))
        lines.append(f"{count} detections of other categories not scored: {ids}")
    return lines


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """A data set that is scored by this process, along with others."""

    dataset: Dataset
    tasks: tuple[str, ...]
    mesh: SurfaceMesh | None
    min_similarity: float
    processes: Processes
    console: Console
    """For the bar."""

    def of_results(self, found: Predictions) -> Scores:
        """Score what files say; raises as `evaluate_results`."""
        with self._bar() as advance:
            return evaluate_results(
                found,
                self.dataset,
                self.mesh,
                tasks=self.tasks,
                min_similarity=self.min_similarity,
                processes=self.processes,
                on_image=lambda record: advance(),
            )

    def of_model(
        self, predict: Callable[[Iterable[Path]], Iterable[People]], keep: Path | None
    ) -> Scores:
        """Score a predictor; raises as `evaluate`.

        Args:
            predict: from images to people.
            keep: a folder for an ``.npz`` per image; None to keep nothing.
        """
        paths = [image.path for image in self.dataset.images]
        files = dict(zip(paths, result_keys(paths), strict=True)) if keep else {}

        def on_image(record: ImageRecord, people: People) -> None:
            if keep:
                file = keep / f"{files[record.path]}.npz"
                file.parent.mkdir(parents=True, exist_ok=True)
                write_npz(file, people)
            advance()

        with self._bar() as advance:
            return evaluate(
                predict,
                self.dataset,
                self.mesh,
                tasks=self.tasks,
                min_similarity=self.min_similarity,
                processes=self.processes,
                on_image=on_image,
            )

    @contextmanager
    def _bar(self) -> Iterator[Callable[[], None]]:
        """Show how far this process is; yields what to call after each image."""
        total = len(share(self.dataset.images, self.processes))
        start = time.perf_counter()
        done = 0
        with progress_bar(self.console) as bar:
            task = bar.add_task("", total=total, rate="")

            def advance() -> None:
                nonlocal done
                done += 1
                rate = done / max(time.perf_counter() - start, 1e-9)
                bar.update(task, advance=1, rate=f"{rate:.2f} images/s")

            yield advance
