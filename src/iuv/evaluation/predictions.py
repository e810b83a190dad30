"""Results that somebody's system wrote to files, read image by image for scoring.

Read are a folder of `iuv predict --save npz` (or json), a file of that JSON, the DensePose
challenge's JSON (also without the surface: COCO's own result files), and the
``coco_densepose_predictions.pth`` of Detectron2's evaluator. docs/evaluation.md describes all.
"""

from __future__ import annotations

import json
import os
import reprlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from iuv.data.records import Dataset, ImageRecord
from iuv.evaluation.detections import Detections
from iuv.evaluation.entries import Content, Entry, decode_entries, find_content
from iuv.writers.errors import ResultFileError, reading
from iuv.writers.npz import read_npz
from iuv.writers.torch_pickle import read_torch_pickle

__all__ = ["Predictions", "read_predictions"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions(Mapping[int, Detections]):
    """What files say was found, by image id.

    An image's detections are decoded when they are asked for, each time anew; nothing accumulates.

    Raises:
        ResultFileError: on look-up, if the file, or an entry of it, is not what it should be.
    """

    source: Path
    content: Content
    """What all detections have."""
    readers: Mapping[int, Callable[[], Detections]]
    """Image id → what reads its detections."""
    unknown: tuple[str, ...] = ()
    """Images that the data set does not have: ids, or names of files."""
    other_categories: Mapping[int, int] = field(default_factory=dict)
    """Category id → how many entries were left out, as the data set has no such class."""

    def __getitem__(self, image_id: int) -> Detections:
        return self.readers[image_id]()

    def __iter__(self) -> Iterator[int]:
        return iter(self.readers)

    def __len__(self) -> int:
        return len(self.readers)


def read_predictions(path: str | os.PathLike[str], dataset: Dataset) -> Predictions:
    """Find out what a file or folder of results has for each image of a data set.

    Args:
        path: a folder with an ``.npz`` or ``.json`` per image, named after it as by `iuv predict`;
            a ``.json`` with a list of entries, or of one image; or a ``.pth`` of Detectron2.
        dataset: whose images and classes are meant.

    Raises:
        ResultFileError: the file holds no results, or none for an image of the data set.
        OSError: the file cannot be read.
    """
    source = Path(path)
    if source.is_dir():
        predictions = _read_folder(source, dataset)
    elif source.suffix.lower() == ".json":
        predictions = _read_json(source, dataset)
    elif source.suffix.lower() in (".pth", ".pt"):
        predictions = _read_pth(source, dataset)
    elif not source.exists():
        raise FileNotFoundError(f"{source}: no such file; check the path")
    else:
        raise ResultFileError(
            f"{source}: cannot tell what this is; expected a folder of .npz or .json results, "
            "a .json, or the .pth of Detectron2's evaluator"
        )
    if not predictions and predictions.unknown:
        few = ", ".join(predictions.unknown[:3])
        raise ResultFileError(
            f"{source}: none of its {len(predictions.unknown)} images ({few}, ...) is in "
            f"{dataset.name} ({dataset.source}); are these the results of another data set?"
        )
    return predictions


class _Names:
    """Finds the image that a result file is named after.

    That is its stem; where that is not enough, also folders before it or its suffix behind.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._images: defaultdict[str, list[tuple[PurePath, ImageRecord]]] = defaultdict(list)
        for image in dataset.images:
            for path in (image.path.with_suffix(""), image.path):
                self._images[path.name].append((path, image))

    def find(self, key: str) -> ImageRecord | None:
        """Return the image, None if there is none.

        Raises:
            ValueError: there are several.
        """
        wanted = PurePath(key)
        parts = wanted.parts
        found = {
            image.id: image
            for path, image in self._images.get(wanted.name, ())
            if path.parts[-len(parts) :] == parts
        }
        if len(found) > 1:
            first, second = list(found.values())[:2]
            raise ValueError(
                f"{key!r} can mean {first.path} or {second.path}; predict both in one run, whose "
                "results are then named so that they differ"
            )
        return next(iter(found.values()), None)


def _read_folder(folder: Path, dataset: Dataset) -> Predictions:
    files = sorted(folder.rglob("*.npz"))
    read = _detections_of_npz
    if not files:
        files = sorted(folder.rglob("*.json"))
        read = partial(_detections_of_json, dataset=dataset)
    if not files:
        raise ResultFileError(
            f"{folder}: there is no .npz and no .json in this folder; "
            "iuv predict --save npz writes such results"
        )
    names = _Names(dataset)
    owners: dict[int, Path] = {}
    readers: dict[int, Callable[[], Detections]] = {}
    unknown = []
    for file in files:
        with reading(file, f"a result for an image of {dataset.name}"):
            key = file.relative_to(folder).with_suffix("").as_posix()
            image = names.find(key)
            if image is None:
                unknown.append(key)
                continue
            if image.id in owners:
                raise ValueError(f"{owners[image.id]} is another result for {image.path}")
            owners[image.id] = file
            readers[image.id] = partial(read, file, image)
    return Predictions(source=folder, content="surface", readers=readers, unknown=tuple(unknown))


def _detections_of_npz(file: Path, image: ImageRecord) -> Detections:
    people = read_npz(file)
    with reading(file, f"a result for {image.path}"):
        if people.image_size != (image.height, image.width):
            height, width = people.image_size
            raise ValueError(
                f"expected an image of {image.width} x {image.height} pixels, as the annotations "
                f"say, got one of {width} x {height}"
            )
        return Detections.of(people)


def _detections_of_json(file: Path, image: ImageRecord, *, dataset: Dataset) -> Detections:
    with reading(file, "a JSON of results as iuv writes it"):
        entries = json.loads(file.read_bytes())["annotations"]
        index = _Index(dataset.class_of_category, lambda _: image)
        for position, entry in enumerate(entries):
            index.add(position, entry)
        return decode_entries(index.found[image.id], image, index.content or "surface")


def _read_json(source: Path, dataset: Dataset) -> Predictions:
    try:
        document = json.loads(source.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ResultFileError(
            f"{source}: not complete, valid JSON ({error}); was it written to its end?"
        ) from error
    if isinstance(document, dict) and "images" in document:
        raise ResultFileError(
            f"{source}: these are annotations (there are `images`), not results; "
            "results are a list with one entry per detection"
        )
    entries = document.get("annotations") if isinstance(document, dict) else document
    if not isinstance(entries, list):
        raise ResultFileError(
            f"{source}: expected a list with one entry per detection, got {reprlib.repr(document)}"
        )
    with reading(source, f"results for {dataset.name}"):
        return _index(source, entries, dataset, dataset.class_of_category)


def _read_pth(source: Path, dataset: Dataset) -> Predictions:
    with reading(source, "a coco_densepose_predictions.pth of Detectron2"):
        entries = read_torch_pickle(source)
        if not isinstance(entries, list):
            raise ValueError(f"expected a list with one dict per detection, got {type(entries)}")
        for entry in entries:
            if isinstance(entry, dict) and "densepose" not in entry:
                _explain_missing_maps(entry)
        # The evaluator's own numbers are class indices.
        classes = {index: index for index in range(len(dataset.classes))}
        return _index(source, entries, dataset, classes)


def _explain_missing_maps(entry: Mapping[str, Any]) -> None:
    if "record_id" in entry:
        raise ValueError(
            "its maps are in DensePoseEvaluatorStorage files, which are not read; "
            "evaluate with DENSEPOSE_EVALUATION.STORAGE none to have all in one file"
        )
    if "embedding" in entry:
        raise ValueError("it holds continuous surface embeddings (CSE), which are not scored yet")


def _index(
    source: Path, entries: Sequence[Any], dataset: Dataset, classes: Mapping[int, int]
) -> Predictions:
    images = {image.id: image for image in dataset.images}
    names = _Names(dataset)

    def find(image_id: int | str) -> ImageRecord | None:
        if isinstance(image_id, int):
            return images.get(image_id)
        named = names.find(image_id)
        return images.get(int(image_id)) if named is None and image_id.isdecimal() else named

    index = _Index(classes, find)
    for position, entry in enumerate(entries):
        index.add(position, entry)
    if not index.content:
        raise ValueError("there is no entry in it; nothing to score")
    if index.other_categories and not index.found and not index.unknown:
        raise ValueError(
            f"all entries are of category {', '.join(map(str, sorted(index.other_categories)))}, "
            f"which the data set does not have; its own are {', '.join(map(str, classes))}"
        )
    return Predictions(
        source=source,
        content=index.content,
        readers={
            image_id: partial(_decode, source, found, images[image_id], index.content)
            for image_id, found in index.found.items()
        },
        unknown=tuple(index.unknown),
        other_categories=index.other_categories,
    )


def _decode(
    source: Path, entries: Sequence[Entry], image: ImageRecord, content: Content
) -> Detections:
    with reading(source, f"results for {image.path.name} (image {image.id})"):
        return decode_entries(entries, image, content)


class _Index:
    """Sorts entries by image, looking at little more than their image and category."""

    def __init__(
        self, classes: Mapping[int, int], find: Callable[[int | str], ImageRecord | None]
    ) -> None:
        self.found: defaultdict[int, list[Entry]] = defaultdict(list)
        self.unknown: dict[str, None] = {}
        self.other_categories: Counter[int] = Counter()
        self.content: Content | None = None
        self._classes = classes
        self._find = find

    def add(self, position: int, entry: Any) -> None:
        """Take the next entry.

        Raises:
            ValueError: it is no entry, or has other content than the first one.
        """
        if not isinstance(entry, dict):
            raise ValueError(f"entry {position}: expected an object, got {reprlib.repr(entry)}")
        content = find_content(entry)
        self.content = self.content or content
        if content != self.content:
            raise ValueError(
                f"entry {position}: expected {self.content}, as before, got {content}; "
                "either all entries have uv_data (or segmentation), or none"
            )
        image_id, category = entry.get("image_id"), entry.get("category_id")
        if not isinstance(image_id, int | str) or isinstance(image_id, bool):
            raise ValueError(
                f"entry {position}: image_id: expected a number, or the name of an image's file "
                f"without its ending, got {reprlib.repr(image_id)}"
            )
        if type(category) is not int:
            raise ValueError(
                f"entry {position}: category_id: expected a whole number, "
                f"got {reprlib.repr(category)}"
            )
        image = self._find(image_id)
        if image is None:
            self.unknown[str(image_id)] = None
        elif category not in self._classes:
            self.other_categories[category] += 1
        else:
            self.found[image.id].append(Entry(position, self._classes[category], entry))
