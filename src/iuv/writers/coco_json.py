"""Results as JSON: boxes, scores, masks and I, U, V, each person as in the DensePose challenge.

A person is one entry: ``image_id``, ``category_id`` (1 for the first class), ``bbox`` [x, y, w, h],
``score``, ``segmentation`` (COCO's compressed RLE of the mask in the full image), ``uv_shape``
[3, h, w] and ``uv_data``, the Base64 text of an RGB PNG of I, U * 255, V * 255 inside the box.

One file per image holds ``image_id``, ``image_size`` [H, W] and the entries as ``annotations``;
`join_json` makes one challenge file of many, which is the bare list of all entries.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from iuv.results import ByteArray, People, Person
from iuv.writers.atomic import atomic_write
from iuv.writers.errors import reading

__all__ = ["join_json", "people_to_coco", "read_json", "write_json"]

Json = dict[str, Any]

_EXPECTED = "a JSON of results as iuv writes it"


def people_to_coco(people: People, image_id: int | str) -> list[Json]:
    """Return one entry per person, ready for `json.dump`."""
    return [_entry(person, image_id) for person in people]


def write_json(
    path: str | os.PathLike[str], people: People, *, image_id: int | str | None = None
) -> None:
    """Write the people of one image.

    Without `image_id` the file's name decides: the number at its end where there are 12 digits,
    as in COCO's file names; else the name without its ending.

    Raises:
        OSError: the file cannot be written.
    """
    if image_id is None:
        stem = Path(path).stem
        number = re.search(r"\d{12}$", stem)
        image_id = int(number[0]) if number else stem
    document = {
        "image_id": image_id,
        "image_size": list(people.image_size),
        "annotations": people_to_coco(people, image_id),
    }
    with atomic_write(path) as file:
        file.write(json.dumps(document).encode())


def read_json(path: str | os.PathLike[str]) -> People:
    """Read back what `write_json` wrote; U and V come back as bytes / 255.

    Raises:
        ResultFileError: the file does not hold results.
        OSError: the file cannot be read.
    """
    with reading(path, _EXPECTED):
        document = json.loads(Path(path).read_bytes())
        height, width = document["image_size"]
        entries = document["annotations"]
        return People((height, width), tuple(_person(entry, (height, width)) for entry in entries))


def join_json(paths: Iterable[str | os.PathLike[str]], out: str | os.PathLike[str]) -> None:
    """Join files of `write_json` into one DensePose challenge file, holding one at a time.

    Raises:
        ResultFileError: a file does not hold results.
        OSError: a file cannot be read, or `out` cannot be written.
    """
    with atomic_write(out) as file:
        separator = b"["
        for path in paths:
            with reading(path, _EXPECTED):
                entries = list(json.loads(Path(path).read_bytes())["annotations"])
            for entry in entries:
                file.write(separator + json.dumps(entry).encode())
                separator = b",\n"
        file.write(b"[]" if separator == b"[" else b"]")


def _entry(person: Person, image_id: int | str) -> Json:
    left, top, right, bottom = person.box_xyxy.astype(np.float32)
    rle = coco_mask.encode(np.asfortranarray(person.mask(), dtype=np.uint8))
    crop = person.iuv_crop()
    return {
        "image_id": image_id,
        "category_id": person.class_index + 1,
        "bbox": [float(value) for value in (left, top, right - left, bottom - top)],
        "score": float(person.score),
        "segmentation": {"size": list(person.image_size), "counts": rle["counts"].decode()},
        "uv_shape": [3, *crop.shape[:2]],
        "uv_data": _to_text(crop),
    }


def _person(entry: Json, image_size: tuple[int, int]) -> Person:
    crop = _from_text(entry["uv_data"])
    x, y, w, h = np.array(entry["bbox"], dtype=np.float32)
    return Person(
        image_size=image_size,
        box_xyxy=np.array([x, y, x + w, y + h], dtype=np.float32),
        score=float(entry["score"]),
        box_xywh=(int(x), int(y), crop.shape[1], crop.shape[0]),
        class_index=int(entry["category_id"]) - 1,
        labels=np.ascontiguousarray(crop[..., 0]),
        uv=np.ascontiguousarray(crop[..., 1:].transpose(2, 0, 1), dtype=np.float32)
        / np.float32(255),
    )


def _to_text(crop: ByteArray) -> str:
    png = io.BytesIO()
    Image.fromarray(crop).save(png, format="PNG", optimize=True)
    return base64.encodebytes(png.getvalue()).decode()  # lines of 76 characters, as the reference


def _from_text(text: str) -> ByteArray:
    with Image.open(io.BytesIO(base64.b64decode(text)), formats=["PNG"]) as file:
        return np.asarray(file.convert("RGB"))
