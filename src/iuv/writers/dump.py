"""The legacy dump of Detectron2's DensePose: a list with one dict per image.

An image is ``file_name``, ``scores`` float32 [N], ``pred_boxes_XYXY`` float32 [N, 4] and, unless N
is 0, ``pred_densepose``: N results with ``labels`` int64 [h, w], ``uv`` float32 [2, h, w],
``sigma_1`` (None), ``sigma_2``, ``kappa_u``, ``kappa_v``, ``fine_segm_confidence`` and
``coarse_segm_confidence`` float32 [h, w], None where the model has none.

The file is what `torch.save` writes: a zip archive with a pickle, `data.pkl`, and the tensors'
numbers in members of their own. Here it is written and read without Detectron2 and without
executing anything. A member of our own, `iuv.json`, keeps the sizes of the images, for which the
format has no place; torch does not look at it.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from iuv.bodyparts import NUM_PARTS
from iuv.results import CONFIDENCE_FIELDS, People, Person
from iuv.writers.atomic import atomic_write
from iuv.writers.errors import reading
from iuv.writers.torch_pickle import RESULT_CLASS, PickleWriter, Result, read_torch_pickle

__all__ = ["read_dump", "write_dump"]

_FIELDS = ("labels", "uv", "sigma_1", *CONFIDENCE_FIELDS)
_FOLDER = "archive/"
_SIZES = "iuv.json"

ImageSize = tuple[int, int]


def write_dump(path: str | os.PathLike[str], results: Iterable[tuple[str, People]]) -> None:
    """Write (file name, people) of any number of images, holding one at a time.

    The dumps of single images become one by ``write_dump(path, chain.from_iterable(map(read_dump,
    paths)))``, which holds one of them at a time.

    Raises:
        OSError: the file cannot be written.
    """
    sizes: list[ImageSize] = []
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        pickle = PickleWriter(archive, f"{_FOLDER}data/")
        with pickle.document(), pickle.sequence():
            for file_name, people in results:
                sizes.append(people.image_size)
                _write_image(pickle, file_name, people)
        archive.writestr(f"{_FOLDER}data.pkl", pickle.getvalue())
        archive.writestr(f"{_FOLDER}byteorder", "little")
        archive.writestr(f"{_FOLDER}version", "3\n")
        archive.writestr(f"{_FOLDER}{_SIZES}", json.dumps({"image_sizes": sizes}))


def read_dump(
    path: str | os.PathLike[str], *, image_size: Callable[[str], ImageSize] | None = None
) -> list[tuple[str, People]]:
    """Return (file name, people) of every image of a dump, ours or Detectron2's.

    Args:
        path: the dump.
        image_size: the (height, width) of an image by its file name; needed for a dump that
            Detectron2 wrote, as that does not store it.

    Raises:
        ResultFileError: the file is no dump of chart results, or wants anything but data (the
            message names it), or image sizes are needed.
        OSError: the file cannot be read.
    """
    with reading(path, "a dump of results in torch's zip format"):
        images = read_torch_pickle(path)
        if not isinstance(images, list) or not all(isinstance(image, dict) for image in images):
            raise ValueError("it holds something else than a list of dicts")
        names = [str(image["file_name"]) for image in images]
        sizes = _stored_sizes(path) if image_size is None else map(image_size, names)
        copy = _Copier(4 * os.path.getsize(path))
        return [
            (name, _people(image, (height, width), copy))
            for name, image, (height, width) in zip(names, images, sizes, strict=True)
        ]


def _write_image(pickle: PickleWriter, file_name: str, people: People) -> None:
    with pickle.mapping():
        pickle.text("file_name")
        pickle.text(file_name)
        pickle.text("scores")
        pickle.tensor(people.scores)
        pickle.text("pred_boxes_XYXY")
        pickle.tensor(people.boxes_xyxy)
        if people:
            pickle.text("pred_densepose")
            with pickle.sequence():
                for person in people:
                    _write_person(pickle, person)


def _write_person(pickle: PickleWriter, person: Person) -> None:
    maps: dict[str, npt.NDArray[Any]] = {
        "labels": person.labels.astype(np.int64),
        "uv": person.uv,
        **person.confidences(),
    }
    with pickle.instance(RESULT_CLASS):
        for name in _FIELDS:
            pickle.text(name)
            if name in maps:
                pickle.tensor(maps[name])
            else:
                pickle.none()


def _stored_sizes(path: str | os.PathLike[str]) -> Iterable[ImageSize]:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(f"/{_SIZES}"):
                sizes: list[ImageSize] = json.loads(archive.read(name))["image_sizes"]
                return sizes
    raise ValueError(
        "it was written by Detectron2, which does not store the sizes of images; pass "
        "image_size=, a function from a file name to (height, width)"
    )


@dataclass
class _Copier:
    """Copies tensors, `budget` bytes all in all.

    The budget keeps a small file from unfolding into a large result by naming a tensor many times
    or giving it a stride of 0.
    """

    budget: int

    def __call__(self, tensor: torch.Tensor) -> npt.NDArray[Any]:
        self.budget -= math.prod(tensor.shape) * tensor.element_size()
        if self.budget < 0:
            raise ValueError("it uses its tensors too often, or has them repeat their numbers")
        values: npt.NDArray[Any] = tensor.clone().numpy(force=True)
        return values


def _people(image: dict[str, Any], size: ImageSize, copy: _Copier) -> People:
    results = image.get("pred_densepose", [])
    if not results:
        return People(size)
    boxes, scores = copy(image["pred_boxes_XYXY"]), copy(image["scores"])
    return People(
        size,
        tuple(
            _person(result, box, score, size, copy)
            for result, box, score in zip(results, boxes, scores, strict=True)
        ),
    )


def _person(result: Result, box: Any, score: Any, size: ImageSize, copy: _Copier) -> Person:
    maps: dict[str, Any] = {
        name: copy(value) for name, value in vars(result).items() if value is not None
    }
    labels = maps["labels"]
    height, width = labels.shape
    if labels.dtype != np.int64 or labels.min() < 0 or labels.max() > NUM_PARTS:
        raise ValueError(f"labels must be int64 and lie in 0..{NUM_PARTS} (damaged)")
    return Person(
        image_size=size,
        box_xyxy=box,
        score=float(score),
        box_xywh=(int(box[0]), int(box[1]), width, height),
        labels=labels.astype(np.uint8),
        uv=maps["uv"],
        **{name: maps[name] for name in CONFIDENCE_FIELDS if name in maps},
    )
