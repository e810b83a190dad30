"""Data sets by name: the published ones under a data root, your own in a small YAML, or a file."""

from __future__ import annotations

import os
import reprlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from iuv.data.datasets import load_dataset
from iuv.data.records import DataError, Dataset

__all__ = ["PUBLISHED", "DataSource", "find_datasets", "find_sources", "require_images"]

_ANNOTATIONS_URL = "https://dl.fbaipublicfiles.com/densepose/annotations/coco"
_IMAGES_URL = "http://images.cocodataset.org/zips"

PUBLISHED: Mapping[str, tuple[str, str]] = {
    "densepose_coco_2014_train": ("densepose_train2014.json", "train2014"),
    "densepose_coco_2014_valminusminival": ("densepose_valminusminival2014.json", "val2014"),
    "densepose_coco_2014_minival": ("densepose_minival2014.json", "val2014"),
    "densepose_coco_2014_minival_100": ("densepose_minival2014_100.json", "val2014"),
}
"""Name → annotation file in ``coco/annotations`` and image folder in ``coco``, below the data root.
The layout is Detectron2's."""

_KEYS = ("name", "annotations", "images", "classes")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """Where a data set is."""

    name: str
    annotations: Path
    images: Path | None = None
    """The folder of the images; None: where the annotations are."""
    classes: Mapping[int, str] | None = None
    """As for `iuv.data.datasets.load_dataset`."""

    def load(self) -> Dataset:
        """Read the annotations; raises as `iuv.data.datasets.load_dataset`."""
        return load_dataset(self.annotations, self.images, name=self.name, classes=self.classes)


def find_datasets(
    data: str,
    *,
    images: str | os.PathLike[str] | None = None,
    root: str | os.PathLike[str] | None = None,
) -> list[Dataset]:
    """Load what `find_sources` finds.

    Raises:
        DataError: as `find_sources` and `iuv.data.datasets.load_dataset`.
        OSError: a file cannot be read.
    """
    return [source.load() for source in find_sources(data, images=images, root=root)]


def find_sources(
    data: str,
    *,
    images: str | os.PathLike[str] | None = None,
    root: str | os.PathLike[str] | None = None,
) -> list[DataSource]:
    """Find out which data sets are meant, and that their annotation files exist.

    Args:
        data: one or more, separated by commas: a name in `PUBLISHED`, a ``.yaml`` (docs/data.md),
            or a JSON file of annotations.
        images: the folder of the images, when a single data set is meant.
        root: what the published data sets are below; by default the environment variable
            IUV_DATA, else the folder ``datasets``.

    Raises:
        DataError: one is unknown or not there; says what to put where.
        OSError: a YAML file cannot be read.
    """
    below = Path(root or os.environ.get("IUV_DATA") or "datasets")
    parts = [part.strip() for part in data.split(",")]
    sources = [source for part in parts for source in _sources(part, below)]
    if images is not None:
        if len(sources) != 1:
            raise DataError(
                f"a folder of images belongs to one data set, but {data!r} is {len(sources)}; "
                "name each one's folder in a YAML"
            )
        sources = [replace(sources[0], images=Path(images))]
    for source in sources:
        _require_annotations(source)
    return sources


def require_images(dataset: Dataset) -> None:
    """Check that all image files exist; lists each folder once, however many images it has.

    Raises:
        DataError: some are missing; says how many, names a few, and what to do.
    """
    missing = _missing_images(dataset)
    if not missing:
        return
    few = ", ".join(map(str, missing[:3])) + (", ..." if len(missing) > 3 else "")
    advice = "say by --images, or `images` in the YAML, which folder they are in"
    if dataset.name in PUBLISHED:
        folder = PUBLISHED[dataset.name][1]
        advice = f"they are in {_IMAGES_URL}/{folder}.zip, to be unpacked to {missing[0].parent}"
    raise DataError(
        f"{dataset.source}: {len(missing)} of its {len(dataset)} images are missing: {few}; "
        f"{advice}"
    )


def _sources(part: str, root: Path) -> list[DataSource]:
    path = Path(part)
    if part in PUBLISHED:
        annotations, images = PUBLISHED[part]
        coco = root / "coco"
        return [
            DataSource(
                name=part, annotations=coco / "annotations" / annotations, images=coco / images
            )
        ]
    if path.suffix in (".yaml", ".yml"):
        return _read_yaml(path, root)
    if path.suffix == ".json" or path.is_file():
        return [DataSource(name=path.stem, annotations=path)]
    near = get_close_matches(part, PUBLISHED, n=2) or PUBLISHED
    raise DataError(
        f"unknown data set {part!r}; expected a .json of COCO annotations, a .yaml, or a name "
        f"such as {', '.join(near)}"
    )


def _read_yaml(path: Path, root: Path) -> list[DataSource]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: not valid YAML ({reason})") from None
    entries = content if isinstance(content, list) else [content]
    return [source for entry in entries for source in _read_entry(entry, path, root)]


def _read_entry(entry: Any, path: Path, root: Path) -> list[DataSource]:
    if isinstance(entry, str) and entry in PUBLISHED:
        return _sources(entry, root)
    if not isinstance(entry, dict) or "annotations" not in entry:
        raise DataError(
            f"{path}: expected data sets with the keys {', '.join(_KEYS)}, at least annotations; "
            f"got {reprlib.repr(entry)}"
        )
    unknown = [key for key in entry if key not in _KEYS]
    if unknown:
        raise DataError(f"{path}: unknown key {unknown[0]!r}; the keys are {', '.join(_KEYS)}")
    for key in ("name", "annotations", "images"):
        if not isinstance(entry.get(key, ""), str):
            raise DataError(f"{path}: {key}: expected text, got {reprlib.repr(entry[key])}")
    annotations = path.parent / entry["annotations"]
    return [
        DataSource(
            name=entry.get("name", annotations.stem),
            annotations=annotations,
            images=path.parent / entry["images"] if "images" in entry else None,
            classes=_read_classes(entry.get("classes"), path),
        )
    ]


def _read_classes(value: Any, path: Path) -> dict[int, str] | None:
    if value is None:
        return None
    if isinstance(value, dict) and value:
        numbered = all(type(id) is int for id in value)
        if numbered and all(isinstance(name, str) for name in value.values()):
            return value
    raise DataError(
        f"{path}: classes: expected category ids with names, such as {{1: person}}, "
        f"got {reprlib.repr(value)}"
    )


def _require_annotations(source: DataSource) -> None:
    if source.annotations.is_file():
        return
    advice = "check the path"
    if source.name in PUBLISHED:
        file, folder = PUBLISHED[source.name]
        advice = (
            f"download {_ANNOTATIONS_URL}/{file} to there, and the images, "
            f"{_IMAGES_URL}/{folder}.zip, to {source.images}; or say by --data-root or IUV_DATA "
            "which folder has coco/annotations in it"
        )
    raise DataError(f"{source.annotations}: no such file; {advice}")


def _missing_images(dataset: Dataset) -> list[Path]:
    wanted: dict[Path, list[Path]] = defaultdict(list)
    for image in dataset.images:
        wanted[image.path.parent].append(image.path)
    missing: list[Path] = []
    for folder, paths in wanted.items():
        try:
            with os.scandir(folder) as entries:
                present = {entry.name for entry in entries if entry.is_file()}
        except OSError:
            present = set()
        # Asked again, as not every file system tells capital letters apart.
        missing += [path for path in paths if path.name not in present and not os.path.isfile(path)]
    return missing
