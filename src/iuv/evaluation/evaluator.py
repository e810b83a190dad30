"""Scoring detections against annotations: boxes, GPS, GPSm and mask IoU."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

from iuv.data.records import Dataset, ImageRecord
from iuv.evaluation.box_ap import score_boxes
from iuv.evaluation.comparison import Comparison, Group
from iuv.evaluation.detections import Detections
from iuv.evaluation.gps import Mode
from iuv.evaluation.meshes import SurfaceMesh
from iuv.evaluation.metrics import Curves, get_thresholds, summarize
from iuv.evaluation.scoring import SIMILARITIES, Compared, Similarity, draw_curves

__all__ = ["TASKS", "Evaluator", "ImageState", "Scores", "State", "Task"]

_log = logging.getLogger(__name__)

Task = Literal["bbox"] | Similarity
TASKS: tuple[Task, ...] = ("bbox", *SIMILARITIES)
"""What can be scored: average precision by box IoU, GPS, GPSm and mask IoU."""

Scores = dict[Task, dict[str, float]]
"""Metrics in per cent, by task and name."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageState:
    """What remains of an image: a few numbers."""

    detections: Detections
    """Without maps and masks."""
    groups: tuple[Group, ...]


State = dict[int, ImageState]
"""What remains of images, by their id. Can be pickled and sent to another process."""


class Evaluator:
    """Takes detections image by image, in any order, and scores them all at the end.

    An image is reduced to a few numbers at once: maps and masks are not kept. Several processes may
    share the images of a data set: the scores then are the same to the last digit, as they are for
    any order of the images. Parity with Detectron2, except that boxes follow the COCO library.

    Args:
        dataset: whose images are scored, all of them: nobody was found in those never given.
        mesh: the surface; None if neither GPS nor GPSm is asked for.
        tasks: what to score; by default all that is possible with or without a mesh.
        min_similarity: the lowest of the thresholds up to 0.95 that are averaged over, boxes apart.
        mode: what is replaced for diagnosis, see `iuv.evaluation.gps.Mode`.

    Raises:
        ValueError: no such task or mode, a task needs a mesh, `min_similarity` is not in 0..0.95.
    """

    def __init__(
        self,
        dataset: Dataset,
        mesh: SurfaceMesh | None,
        *,
        tasks: Collection[str] | None = None,
        min_similarity: float = 0.5,
        mode: Mode = "iuvdt",
    ) -> None:
        if mode not in get_args(Mode):
            raise ValueError(
                f"there is no mode {mode!r}; the modes are {', '.join(get_args(Mode))}"
            )
        self.tasks = _choose_tasks(tasks, mesh)
        """What is scored, in the order of `TASKS`."""
        self._dataset = dataset
        self._thresholds = get_thresholds(min_similarity)
        self._places = {record.id: place for place, record in enumerate(dataset.images)}
        self._surface = "densepose_gps" in self.tasks or "densepose_gpsm" in self.tasks
        self._masks = "densepose_segm" in self.tasks or "densepose_gpsm" in self.tasks
        self._comparison = Comparison(
            dataset, mesh if self._surface else None, with_masks=self._masks, mode=mode
        )
        self._state: State = {}

    def update(self, image_id: int, detections: Detections) -> None:
        """Take what was found in an image. Nobody is an answer, too.

        Raises:
            ValueError: the data set has no such image or class, the image was given before, or
                the detections lack the maps or masks that a task needs, or a mask has another size
                than the image.
        """
        if image_id not in self._places:
            raise ValueError(
                f"the data set {self._dataset.name!r} has no image with the id {image_id}"
            )
        if image_id in self._state:
            raise ValueError(f"image {image_id} was given before; give all its detections at once")
        place = self._places[image_id]
        self._check(self._dataset.images[place], detections)
        self._state[image_id] = self._reduce(place, detections)

    def state(self) -> State:
        """Return what remains of the images so far, for `merge` in another process."""
        self._comparison.settle()
        return dict(self._state)

    def merge(self, states: Iterable[State]) -> None:
        """Take over the images that other evaluators, of the same data set and options, were given.

        Raises:
            ValueError: an image was given to two of them, or is not in the data set.
        """
        for state in states:
            unknown, twice = state.keys() - self._places.keys(), state.keys() & self._state.keys()
            if unknown:
                raise ValueError(
                    f"the data set {self._dataset.name!r} has no image with the id {min(unknown)}"
                )
            if twice:
                raise ValueError(f"image {min(twice)} was given to two evaluators")
            self._state.update(state)

    def summarize(self) -> Scores:
        """Return the metrics of all tasks in per cent.

        bbox: AP, AP50, AP75, APs, APm, APl; NaN where undefined. The others: AP, AP50, AP75, APm,
        APl, AR, AR50, AR75, ARm, ARl, and AP20, AP30, AP40 with lower thresholds; -100 where
        undefined, and -1 throughout if nobody was found in any image. With several classes
        ``AP-<class>``, NaN where undefined.
        """
        scores: Scores = {}
        if "bbox" in self.tasks:
            found = {image: one.detections for image, one in self._state.items()}
            scores["bbox"] = score_boxes(self._dataset, found)
        if self.tasks == ("bbox",):
            return scores
        classes = self._dataset.classes
        nobody = not any(len(one.detections) for one in self._state.values())
        if nobody:
            _log.warning("nobody was found in any image: all metrics are -1")
        for task, curves in self.curves().items():
            metrics = summarize(curves, self._thresholds, classes)
            scores[task] = dict.fromkeys(metrics, -1.0) if nobody else metrics
        return scores

    def curves(self) -> dict[Similarity, Curves]:
        """Return precision and recall of each task but the boxes."""
        curves = draw_curves(self.compared(), len(self._dataset.classes), self._thresholds)
        return {name: of_task for name, of_task in curves.items() if name in self.tasks}

    def compared(self) -> list[Compared]:
        """Return all comparisons, in the order of the data set's images."""
        nothing = Detections.none()
        compared = []
        for place, record in enumerate(self._dataset.images):
            one = self._state.get(record.id) or self._reduce(place, nothing)
            compared += [Compared(record, one.detections, group) for group in one.groups]
        self._comparison.settle()
        return compared

    def _check(self, record: ImageRecord, detections: Detections) -> None:
        count = len(self._dataset.classes)
        if ((detections.classes < 0) | (detections.classes >= count)).any():
            raise ValueError(
                f"image {record.id}: the classes of detections must be 0..{count - 1}, indices of "
                f"the data set's classes, got {detections.classes.tolist()}"
            )
        lacking = ""
        if self._surface and detections.maps is None:
            lacking = "GPS and GPSm need maps of I, U, V"
        elif self._masks and detections.maps is None and detections.masks is None:
            lacking = "mask IoU needs maps or masks"
        if lacking and len(detections):
            raise ValueError(
                f"image {record.id}: {lacking}, and these detections have none; choose other tasks"
            )
        for index, mask in enumerate(detections.masks or ()):
            if tuple(mask["size"]) != (record.height, record.width):
                raise ValueError(
                    f"image {record.id}: the mask of detection {index} must have the image's size, "
                    f"{record.height} x {record.width}, got {mask['size']}"
                )

    def _reduce(self, place: int, detections: Detections) -> ImageState:
        groups = () if self.tasks == ("bbox",) else self._comparison.compare(place, detections)
        return ImageState(replace(detections, maps=None, masks=None), groups)


def _choose_tasks(tasks: Collection[str] | None, mesh: SurfaceMesh | None) -> tuple[Task, ...]:
    """Return the tasks in the order of `TASKS`."""
    possible = TASKS if mesh is not None else ("bbox", "densepose_segm")
    if tasks is None:
        return possible
    for task in tasks:
        if task not in TASKS:
            raise ValueError(f"there is no task {task!r}; the tasks are {', '.join(TASKS)}")
        if task not in possible:
            raise ValueError(
                f"{task} needs a mesh with geodesic distances, e.g. iuv.evaluation.smpl.load_smpl"
            )
    return tuple(task for task in TASKS if task in tasks)
