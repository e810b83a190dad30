"""The legacy dump of Detectron2's DensePose: a list with one dict per image.

An image is ``file_name``, ``scores`` float32 [N], ``pred_boxes_XYXY`` float32 [N, 4] and, unless N
is 0, ``pred_densepose``: N results with ``labels`` int64 [h, w], ``uv`` float32 [2, h, w],
``sigma_1`` (None), ``sigma_2``, ``kappa_u``, ``kappa_v``, ``fine_segm_confidence`` and
``coarse_segm_confidence`` float32 [h, w], None where the model has none.

The file is what `torch.save` writes: a zip archive with a pickle, `data.pkl`, and the tensors'
numbers in members of their own. Here the archive is written and read piece by piece, without
Detectron2 and without executing anything. A member of our own, `iuv.json`, keeps the sizes of the
images, for which the format has no place; torch does not look at it.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from iuv.bodyparts import NUM_PARTS
from iuv.results import CONFIDENCE_FIELDS, People, Person
from iuv.writers.atomic import atomic_write
from iuv.writers.errors import reading
from iuv.writers.torch_pickle import (
    RESULT_CLASS,
    Members,
    PickleWriter,
    Tensor,
    read_torch_pickle,
)

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
    with reading(path, "a dump of results"), zipfile.ZipFile(path) as archive:
        members = Members(archive, budget=4 * os.path.getsize(path))
        return list(_read_images(members, image_size))


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


def _read_images(
    members: Members, image_size: Callable[[str], ImageSize] | None
) -> Iterator[tuple[str, People]]:
    pickled = next((name for name in members.names if name.endswith("/data.pkl")), None)
    if pickled is None:
        raise ValueError("the archive has no data.pkl")
    folder = pickled.removesuffix("data.pkl")
    images = read_torch_pickle(members, pickled, f"{folder}data/")
    if not isinstance(images, list) or not all(isinstance(image, dict) for image in images):
        raise ValueError("it holds something else than a list of dicts")
    names = [str(image["file_name"]) for image in images]
    if image_size is not None:
        sizes = [image_size(name) for name in names]
    elif f"{folder}{_SIZES}" in members.names:
        sizes = json.loads(members.read(f"{folder}{_SIZES}"))["image_sizes"]
    else:
        raise ValueError(
            "it was written by Detectron2, which does not store the sizes of images; pass "
            "image_size=, a function from a file name to (height, width)"
        )
    for name, image, (height, width) in zip(names, images, sizes, strict=True):
        yield name, _people(image, (height, width))


def _people(image: dict[str, Any], size: ImageSize) -> People:
    persons = image.get("pred_densepose", [])
    if not persons:
        return People(size)
    boxes, scores = image["pred_boxes_XYXY"].array(), image["scores"].array()
    return People(
        size,
        tuple(_person(*row, size) for row in zip(persons, boxes, scores, strict=True)),
    )


def _person(fields: dict[str, Tensor | None], box: Any, score: Any, size: ImageSize) -> Person:
    maps = {name: tensor.array() for name, tensor in fields.items() if tensor is not None}
    labels = maps["labels"]
    height, width = labels.shape
    if labels.min(initial=0) < 0 or labels.max(initial=0) > NUM_PARTS:
        raise ValueError(f"labels must lie in 0..{NUM_PARTS} (damaged)")
    return Person(
        image_size=size,
        box_xyxy=box,
        score=float(score),
        box_xywh=(int(box[0]), int(box[1]), width, height),
        labels=labels.astype(np.uint8),
        uv=maps["uv"],
        **{name: maps[name] for name in CONFIDENCE_FIELDS if name in maps},
    )
