"""Data sets in COCO's JSON format, DensePose annotations included."""

from __future__ import annotations

import gc
import json
import os
import reprlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from iuv.data.annotations import FAR, pack_numbers, parse_annotation
from iuv.data.masks import find_broken_masks
from iuv.data.problems import Fields, Report, refuse_errors
from iuv.data.records import Annotation, DataError, Dataset, ImageRecord, Polygons
from iuv.images import MAX_PIXELS

__all__ = [
    "filter_for_training",
    "join_datasets",
    "load_dataset",
    "read_dataset",
]

_LISTS = ("images", "annotations", "categories")
_TOGETHER = 100
"""Annotations whose masks are checked together: quick, and no memory to speak of."""


def load_dataset(
    annotations: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
    *,
    name: str | None = None,
    classes: Mapping[int, str] | None = None,
) -> Dataset:
    """Read a COCO JSON file with or without DensePose annotations.

    Whether the images exist is another question: `iuv.data.catalog.require_images`.

    Args:
        annotations: the JSON file.
        images: the folder that its file names are relative to; by default the one it lies in.
        name: what to call it; by default the file's name.
        classes: category id of the file → class name. Other categories are left out, several may
            be one class, and the classes are numbered as they first appear here. By default every
            category of the file is a class, in ascending order of their ids.

    Raises:
        DataError: the file is not such a JSON, or would spoil training or evaluation: values out
            of range, masks of a wrong size, ids that occur twice, ...; names annotation and field.
        OSError: the file cannot be read.
    """
    source = Path(annotations)
    return read_dataset(source, images, name=name, classes=classes, report=refuse_errors(source))


@contextmanager
def _without_collector() -> Iterator[None]:
    """Pause Python's collector of cycles: among millions of new objects it takes a quarter more."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_without_collector()
def read_dataset(
    annotations: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
    *,
    name: str | None = None,
    classes: Mapping[int, str] | None = None,
    report: Report,
) -> Dataset:
    """Do as `load_dataset`, but give the problems to `report` and leave out what has errors.

    Raises:
        DataError: the file as a whole is not such a JSON.
        OSError: the file cannot be read.
    """
    source = Path(annotations)
    document = _read_document(source)
    categories = _categories(source, document["categories"])
    names, class_of_category = _classes(source, categories, classes)
    folder = source.parent if images is None else Path(images)
    records = _images(document["images"], folder, report)
    people = _Annotations(
        known=categories,
        class_of_category=class_of_category,
        images=records,
        # COCO's own minival annotations have some ids twice, and nothing here looks them up by id.
        repeated_ids="minival" in source.name,
        report=report,
    ).read(document["annotations"])
    return Dataset(
        name=name or source.stem,
        images=tuple(
            replace(image, annotations=tuple(people[id]))
            for id, image in sorted(records.items())
            if image is not None
        ),
        classes=names,
        class_of_category=class_of_category,
        source=source,
    )


def join_datasets(datasets: Sequence[Dataset]) -> Dataset:
    """Return one data set for training with the images of several, in their order.

    Classes of the same name are one class. The category ids are dropped (`class_of_category` is
    empty), as every file has its own.

    Raises:
        DataError: there is none.
    """
    if not datasets:
        raise DataError("expected at least one data set, got none")
    if len(datasets) == 1:
        return datasets[0]
    classes = tuple(dict.fromkeys(name for dataset in datasets for name in dataset.classes))
    return Dataset(
        name="+".join(dataset.name for dataset in datasets),
        images=tuple(
            _reclassified(image, [classes.index(name) for name in dataset.classes])
            for dataset in datasets
            for image in dataset.images
        ),
        classes=classes,
        class_of_category={},
        source=datasets[0].source,
    )


def filter_for_training(
    dataset: Dataset, *, segm_from_masks: bool = False, keep_empty: bool = False
) -> Dataset:
    """Leave out the images that training learns nothing about the body's surface from.

    Args:
        dataset: what to choose from.
        segm_from_masks: keep images, too, where somebody has an instance mask, but no points.
        keep_empty: keep images, too, that have no annotation at all: pure background.

    Raises:
        DataError: no image is left.
    """

    def teaches(image: ImageRecord) -> bool:
        if not image.annotations:
            return keep_empty
        return any(
            person.points is not None or (segm_from_masks and person.segmentation is not None)
            for person in image.annotations
        )

    images = tuple(filter(teaches, dataset.images))
    people = [person for image in images for person in image.annotations]
    if people and all(person.is_crowd for person in people):
        raise DataError(
            f"{dataset.source}: all {len(people)} annotations are crowds (iscrowd 1), which "
            "training passes over; train on a file that has single people"
        )
    if not images:
        wanted = "DensePose points or masks" if segm_from_masks else "DensePose points"
        raise DataError(
            f"{dataset.source}: none of its {len(dataset)} images has a person with {wanted}; "
            "train on a file with dp_x, dp_y, dp_I, dp_U and dp_V"
        )
    return replace(dataset, images=images)


def _read_document(source: Path) -> dict[str, Any]:
    try:
        with source.open(encoding="utf-8-sig") as file:
            document = json.load(file, object_hook=pack_numbers)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        size = source.stat().st_size
        raise DataError(
            f"{source}: not complete, valid JSON ({error.msg} at {place}; {size} bytes in all); "
            "if it was downloaded, get it again"
        ) from None
    except UnicodeDecodeError:
        raise DataError(f"{source}: not a JSON file; give COCO annotations") from None
    except ValueError as error:  # a number of thousands of digits
        raise DataError(f"{source}: no COCO annotations ({error})") from None
    except RecursionError:
        raise DataError(f"{source}: nested too deeply for COCO annotations") from None
    expected = f"expected a JSON object with the lists {', '.join(_LISTS)}"
    if not isinstance(document, dict):
        raise DataError(
            f"{source}: {expected}, got a {type(document).__name__}; results are not annotations"
        )
    missing = [key for key in _LISTS if not isinstance(document.get(key), list)]
    if missing:
        raise DataError(f"{source}: {expected}; there is no list {', '.join(missing)}")
    return document


def _categories(source: Path, entries: list[Any]) -> dict[int, str]:
    categories: dict[int, str] = {}
    for index, entry in enumerate(entries):
        id = entry.get("id") if isinstance(entry, dict) else None
        if type(id) is not int or not isinstance(entry.get("name"), str) or id in categories:
            raise DataError(
                f"{source}: categories[{index}]: expected an id of its own and a name, "
                f"got {reprlib.repr(entry)}"
            )
        categories[id] = entry["name"]
    return dict(sorted(categories.items()))


def _classes(
    source: Path, categories: Mapping[int, str], chosen: Mapping[int, str] | None
) -> tuple[tuple[str, ...], dict[int, int]]:
    """Return the class names and category id → class index."""
    if chosen is None:
        return tuple(categories.values()), {id: index for index, id in enumerate(categories)}
    for id in chosen:
        if id not in categories:
            raise DataError(f"{source}: classes: {_unknown_category(id, categories)}")
    names = tuple(dict.fromkeys(chosen.values()))
    return names, {id: names.index(name) for id, name in chosen.items()}


def _unknown_category(id: object, categories: Mapping[int, str]) -> str:
    known = ", ".join(f"{known} ({name})" for known, name in categories.items())
    return f"expected a category of the file, {reprlib.repr(known)}, got {reprlib.repr(id)}"


def _images(entries: list[Any], folder: Path, report: Report) -> dict[int, ImageRecord | None]:
    """Return the images by id, None where there is an error."""
    images: dict[int, ImageRecord | None] = {}
    for index, entry in enumerate(entries):
        fields = _fields(entry, f"images[{index}]", report)
        id = fields.whole("id")
        if fields.sound:
            fields.where = f"image {id}"
            if id in images:
                fields.error("image id twice", "id: expected one of its own; it occurs twice")
                continue
            image = _image(fields, id, folder)
            images[id] = image if fields.sound else None
    return images


def _image(fields: Fields, id: int, folder: Path) -> ImageRecord:
    values = fields.values
    name = values.get("file_name")
    if name is None and isinstance(values.get("coco_url"), str):  # LVIS
        name = "/".join(values["coco_url"].split("/")[-2:])
    if not isinstance(name, str) or not name:
        got = reprlib.repr(name)
        fields.error("no valid file_name", f"file_name: expected a name, got {got}")
    height, width = fields.whole("height", least=1), fields.whole("width", least=1)
    if height * width > MAX_PIXELS:
        fields.error(
            "no valid size",
            f"width, height: expected at most {MAX_PIXELS} pixels, got {width} x {height}",
        )
    return ImageRecord(
        id=id,
        path=folder / str(name),
        height=height,
        width=width,
        ignore_regions=_ignore_regions(fields),
        video_id=_name_of_video(values.get("vid_id")),
        frame_id=_name_of_video(values.get("frame_id")),
    )


def _name_of_video(value: Any) -> int | str | None:
    return value if isinstance(value, int | str) else None


def _ignore_regions(fields: Fields) -> Polygons:
    xs, ys = (fields.values.get(f"ignore_regions_{axis}") or [] for axis in "xy")
    try:
        pairs = [list(zip(x, y, strict=True)) for x, y in zip(xs, ys, strict=True)]
        regions = [tuple(float(value) for pair in region for value in pair) for region in pairs]
        sound = all(abs(value) < FAR for region in regions for value in region)
    except (TypeError, ValueError, OverflowError):
        sound = False
    if not sound:
        fields.error(
            "no valid ignore regions",
            "ignore_regions_x, ignore_regions_y: expected as many lists of as many numbers, in "
            "pixels of the image",
        )
        return ()
    return tuple(region for region in regions if len(region) >= 6)


def _fields(entry: Any, where: str, report: Report) -> Fields:
    if isinstance(entry, dict):
        return Fields(entry, where, report)
    fields = Fields({}, where, report)
    fields.error("not an object", f"expected an object, got {reprlib.repr(entry)}")
    return fields


@dataclass
class _Annotations:
    """Reads all annotations of a file."""

    known: Mapping[int, str]
    class_of_category: Mapping[int, int]
    images: Mapping[int, ImageRecord | None]
    repeated_ids: bool
    report: Report
    _seen: set[int] = field(default_factory=set, init=False)

    def read(self, entries: Sequence[Any]) -> Mapping[int, list[Annotation]]:
        """Return the annotations by image id, in the order of the file."""
        found: dict[int, list[Annotation]] = defaultdict(list)
        for start in range(0, len(entries), _TOGETHER):
            numbered = enumerate(entries[start : start + _TOGETHER], start)
            some = [
                self._read_one(_fields(e, f"annotations[{i}]", self.report)) for i, e in numbered
            ]
            _check_masks([fields for fields, _ in some])
            for fields, annotation in some:
                if annotation is not None and fields.sound:
                    found[fields.values["image_id"]].append(annotation)
        return found

    def _read_one(self, fields: Fields) -> tuple[Fields, Annotation | None]:
        id = fields.whole("id")
        if fields.sound:
            fields.where = f"annotation {id}"
            self._check_id(fields, id)
        return fields, self._in_image(fields, id) if fields.sound else None

    def _check_id(self, fields: Fields, id: int) -> None:
        if id in self._seen:
            complain = fields.warn if self.repeated_ids else fields.error
            complain("annotation id twice", "id: expected one of its own; it occurs twice")
        self._seen.add(id)

    def _in_image(self, fields: Fields, id: int) -> Annotation | None:
        image_id, category = (fields.values.get(key) for key in ("image_id", "category_id"))
        if type(image_id) is not int or image_id not in self.images:
            got = reprlib.repr(image_id)
            fields.error("unknown image", f"image_id: expected an image of the file, got {got}")
            return None
        fields.where = f"annotation {id} of image {image_id}"
        if type(category) is not int or category not in self.known:
            fields.error(
                "unknown category", f"category_id: {_unknown_category(category, self.known)}"
            )
            return None
        image = self.images[image_id]
        if image is None or category not in self.class_of_category:
            return None
        return parse_annotation(
            fields,
            id=id,
            category=self.class_of_category[category],
            height=image.height,
            width=image.width,
        )


def _check_masks(annotations: Sequence[Fields]) -> None:
    named = [(fields, name) for fields in annotations for name in fields.masks]
    broken = find_broken_masks([fields.masks[name] for fields, name in named])
    for position, reason in sorted(broken.items()):
        fields, name = named[position]
        fields.error("mask that cannot be decoded", f"{name}: {reason}; make it again")


def _reclassified(image: ImageRecord, new: Sequence[int]) -> ImageRecord:
    annotations = (replace(a, category=new[a.category]) for a in image.annotations)
    return replace(image, annotations=tuple(annotations))
