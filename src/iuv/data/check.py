"""Whether a data set is fit for training and evaluation, and what is in it.

H, W: height and width of an image. Boxes are (left, top, width, height) in pixels of the image.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from iuv.bodyparts import PARTS
from iuv.data.catalog import DataSource
from iuv.data.datasets import read_dataset
from iuv.data.problems import Fields, Problem, Report
from iuv.data.records import Annotation, DataError, Dataset, ImageRecord
from iuv.images import ImageError, read_image

__all__ = ["DataCheck", "check_data"]

_FRAME = 256
"""Points lie in a frame of this side, whatever the size of their box."""
_ROUNDING = 1.0
"""Pixels by which a box may stick out of its image: published boxes are rounded so."""

# Where each class of a histogram begins; the last is open.
_PEOPLE = (0, 1, 2, 3, 4, 5, 10, 20)
_POINTS = (0, 1, 25, 50, 75, 100, 125, 150)
_SIDES = (0, 16, 32, 64, 96, 128, 256, 512)


@dataclass(frozen=True, slots=True)
class DataCheck:
    """What was found in a data set."""

    source: DataSource
    problems: list[Problem] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    """How many images, people, points, ... there are, without what has errors."""
    histograms: dict[str, dict[str, int]] = field(default_factory=dict)
    """Title → class → how many."""

    def by_kind(self, severity: str) -> dict[str, list[Problem]]:
        """Return the errors, or the warnings, by their kind, the most frequent first."""
        kinds: dict[str, list[Problem]] = {}
        for problem in self.problems:
            if problem.severity == severity:
                kinds.setdefault(problem.kind, []).append(problem)
        return dict(sorted(kinds.items(), key=lambda item: -len(item[1])))


def check_data(
    source: DataSource, progress: Callable[[int, int], None] = lambda done, total: None
) -> DataCheck:
    """Read annotations and images of a data set to the end, whatever is wrong.

    Errors are what loading refuses, images that cannot be read or have another size than the
    annotations say, and boxes outside of their image. Warnings are what training passes over.

    Args:
        source: where the data set is.
        progress: called with the number of images read, and of all.

    Raises:
        OSError: the annotation file cannot be read.
    """
    check = DataCheck(source)
    report = check.problems.append
    try:
        dataset = read_dataset(
            source.annotations,
            source.images,
            name=source.name,
            classes=source.classes,
            report=report,
        )
    except DataError as error:
        detail = str(error).removeprefix(f"{source.annotations}: ")
        report(Problem(severity="error", kind="unusable file", where="", detail=detail))
        return check
    for image in dataset.images:
        for person in image.annotations:
            _check_person(person, image, report)
    everybody = [person for image in dataset.images for person in image.annotations]
    check.counts.update(_count(dataset, everybody))
    check.histograms.update(_histograms(dataset, everybody))
    if not check.counts["with points"]:
        detail = "nobody has DensePose points; they are what training and scoring need"
        report(Problem(severity="warning", kind="no points", where="", detail=detail))
    for done, problem in enumerate(_check_images(dataset.images), start=1):
        if problem is not None:
            report(problem)
        progress(done, len(dataset))
    return check


def _check_person(person: Annotation, image: ImageRecord, report: Report) -> None:
    fields = Fields({}, f"annotation {person.id} of image {image.id}", report)
    left, top, width, height = person.box_xywh
    right, bottom = left + width, top + height
    box = f"bbox: [{left:g}, {top:g}, {width:g}, {height:g}]"
    size = f"the image of {image.width} x {image.height} (width x height)"
    out = max(-left, -top, right - image.width, bottom - image.height)
    if left >= image.width or top >= image.height or right < 0 or bottom < 0:
        fields.error("box outside the image", f"{box} is outside {size}; correct it")
    elif out > _ROUNDING:
        fields.warn("box sticks out of the image", f"{box} sticks out of {size} by {out:.1f}")
    if width == 0 or height == 0:
        fields.warn("empty box", f"{box} is empty; training leaves the person out")
    if person.points is None:
        return
    x, y = person.points.x, person.points.y
    outside = (x < 0) | (x > _FRAME) | (y < 0) | (y > _FRAME)
    if outside.any():
        first = int(outside.argmax())
        fields.warn(
            "points outside the box",
            f"dp_x, dp_y: expected 0..{_FRAME}, the box's frame; {int(outside.sum())} of "
            f"{len(x)} points are not in it, such as [{first}] ({x[first]:g}, {y[first]:g})",
        )
    background = int((person.points.labels == 0).sum())
    if background:
        fields.warn(
            "points on the background",
            f"dp_I: {background} of {len(x)} points have part 0, background; they teach nothing",
        )


def _check_images(images: Sequence[ImageRecord]) -> Iterator[Problem | None]:
    """Read all images, several at a time, and yield what is wrong with each."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            yield from pool.map(_check_image, images)
        finally:  # when stopped, do not read the rest
            pool.shutdown(cancel_futures=True)


def _check_image(image: ImageRecord) -> Problem | None:
    where = f"image {image.id}"
    try:
        height, width = read_image(image.path).shape[:2]
    except ImageError as error:
        kind = "unreadable image" if os.path.exists(image.path) else "missing image"
        return Problem(severity="error", kind=kind, where=where, detail=str(error))
    if (height, width) == (image.height, image.width):
        return None
    detail = (
        f"{image.path}: expected {image.width} x {image.height} pixels (width x height), "
        f"got {width} x {height}"
    )
    if (width, height) == (image.height, image.width):
        detail += "; if its EXIF orientation turns it, annotate the upright image"
    return Problem(severity="error", kind="image of another size", where=where, detail=detail)


def _count(dataset: Dataset, everybody: list[Annotation]) -> dict[str, int]:
    return {
        "images": len(dataset),
        "annotations": len(everybody),
        **{
            f"class {name}": sum(person.category == index for person in everybody)
            for index, name in enumerate(dataset.classes)
            if len(dataset.classes) > 1
        },
        "crowds": sum(person.is_crowd for person in everybody),
        "with points": sum(person.points is not None for person in everybody),
        "with part masks": sum(person.part_masks is not None for person in everybody),
        "with a mask": sum(person.segmentation is not None for person in everybody),
        "points": sum(len(person.points) for person in everybody if person.points is not None),
    }


def _histograms(dataset: Dataset, everybody: list[Annotation]) -> dict[str, dict[str, int]]:
    points = [person.points for person in everybody if person.points is not None]
    labels = np.concatenate([np.zeros(0, np.int64), *(some.labels for some in points)])
    per_part = np.bincount(labels, minlength=len(PARTS) + 1).tolist()
    sides = [(person.box_xywh[2] * person.box_xywh[3]) ** 0.5 for person in everybody]
    return {
        "annotations per image": _histogram(
            _PEOPLE, (len(image.annotations) for image in dataset.images)
        ),
        "box size in pixels (square root of the area)": _histogram(_SIDES, sides),
        "points per annotation that has them": _histogram(_POINTS, map(len, points)),
        "points per part": {f"{part.index} {part.name}": per_part[part.index] for part in PARTS},
    }


def _histogram(edges: Sequence[int], values: Iterable[float]) -> dict[str, int]:
    """Count values by class; an edge begins a class."""
    counts = Counter(np.searchsorted(edges, list(values), side="right").tolist())
    ends = [f"-{end - 1}" if end - 1 > start else "" for start, end in pairwise(edges)]
    names = [f"{start}{end}" for start, end in zip(edges, [*ends, "+"], strict=True)]
    return {name: counts[index] for index, name in enumerate(names, start=1)}
