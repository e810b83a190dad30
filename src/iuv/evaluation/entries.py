"""Entries of a results file, one per detection: checked, and decoded into `Detections`.

An entry has ``bbox``, ``score``, ``category_id`` and, for the surface, ``uv_shape`` and ``uv_data``
(JSON) or ``densepose`` (.pth), or for the mask alone ``segmentation``.

D: detections of an image. h x w: a box in whole pixels. H x W: an image.
"""

from __future__ import annotations

import base64
import io
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image

from iuv.bodyparts import NUM_PARTS
from iuv.data.masks import find_broken_masks
from iuv.data.records import RLE, ImageRecord
from iuv.evaluation.detections import Detections, map_size
from iuv.results import ByteArray

__all__ = ["Content", "Entry", "decode_entries", "find_content"]

Content = Literal["surface", "masks", "boxes"]
"""How much of a detection a file tells; each includes the next."""

_MAX = 1e9  # of any number; what is beyond is a mistake, and overflows somewhere
_MAX_GROWTH = 4  # a map's side, in sides of the image: what is beyond is a file that fills memory


class Entry(NamedTuple):
    """One detection of a file."""

    position: int
    """In the file, from 0; for messages."""
    category: int
    """Class index of the data set."""
    values: Mapping[str, Any]


def find_content(values: Mapping[str, Any]) -> Content:
    """Tell what an entry has."""
    if "uv_data" in values or "densepose" in values:
        return "surface"
    return "masks" if "segmentation" in values else "boxes"


def decode_entries(entries: Sequence[Entry], image: ImageRecord, content: Content) -> Detections:
    """Decode the entries of one image.

    Args:
        entries: in the order of the file.
        image: its size limits that of masks and maps.
        content: what all entries of the file have.

    Raises:
        ValueError: an entry is not as described above; names entry and field.
    """
    boxes = np.array([_box(entry) for entry in entries], dtype=np.float64).reshape(-1, 4)
    maps = masks = None
    if content == "surface":
        sizes = map(map_size, boxes)
        maps = tuple(_map(*pair, image) for pair in zip(entries, sizes, strict=True))
    elif content == "masks":
        masks = _masks(entries, image)
    return Detections(
        classes=np.array([entry.category for entry in entries], dtype=np.int64),
        scores=np.array([_score(entry) for entry in entries], dtype=np.float64),
        boxes_xywh=boxes,
        maps=maps,
        masks=masks,
    )


def _error(entry: Entry, field: str, expected: str, got: object) -> ValueError:
    seen = got if isinstance(got, str) else reprlib.repr(got)
    return ValueError(f"entry {entry.position}: {field}: expected {expected}, got {seen}")


def _score(entry: Entry) -> float:
    score: Any = entry.values.get("score")
    if not _is_number(score):
        raise _error(entry, "score", "a finite number below 1e9", repr(score))
    return float(score)


def _box(entry: Entry) -> list[float]:
    box: Any = entry.values.get("bbox")
    expected = "[left, top, width, height] in pixels, width and height from 0 on"
    numbers = isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))
    if not numbers or min(box[2:]) < 0:
        raise _error(entry, "bbox", expected, box)
    return [float(value) for value in box]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -_MAX < value < _MAX


def _map(entry: Entry, size: tuple[int, int], image: ImageRecord) -> ByteArray:
    """Return uint8 [3, h, w]: label, U * 255, V * 255."""
    height, width = size
    if height > _MAX_GROWTH * image.height or width > _MAX_GROWTH * image.width:
        raise _error(
            entry,
            "bbox",
            f"at most {_MAX_GROWTH} times the image of {image.width} x {image.height} pixels",
            f"{width} x {height}",
        )
    packed = entry.values.get("densepose")
    found = _from_text(entry, size) if packed is None else _from_tensor(entry, packed, size)
    highest = int(found[0].max())
    if highest > NUM_PARTS:
        raise _error(entry, "uv_data", f"labels 0..{NUM_PARTS} in the first plane", highest)
    if found.shape[1:] == size:
        return found
    fitted = np.zeros((3, height, width), dtype=np.uint8)
    common = (slice(None), slice(min(found.shape[1], height)), slice(min(found.shape[2], width)))
    fitted[common] = found[common]
    return fitted


def _check_shape(entry: Entry, shape: Sequence[int], size: tuple[int, int]) -> None:
    """Refuse a map of another size than its box.

    One row or column may lack or be too many: boxes are often rounded when they are written.
    """
    if len(shape) != 3 or shape[0] != 3 or np.abs(np.subtract(shape[1:], size)).max() > 1:
        expected = f"{[3, *size]}, as its bbox says (width and height each truncated)"
        raise _error(entry, "uv_shape", expected, list(shape))


def _from_text(entry: Entry, size: tuple[int, int]) -> ByteArray:
    shape, text = entry.values.get("uv_shape"), entry.values.get("uv_data")
    if not isinstance(shape, list) or not all(type(side) is int for side in shape):
        raise _error(entry, "uv_shape", f"{[3, *size]}", shape)
    _check_shape(entry, shape, size)
    if not isinstance(text, str):
        raise _error(entry, "uv_data", "the Base64 text of a PNG", text)
    try:
        with Image.open(io.BytesIO(base64.b64decode(text)), formats=["PNG"]) as png:
            # Unpacked only if it is as small as it should be: few bytes can be many pixels.
            actual = [3, png.height, png.width]
            pixels = np.asarray(png.convert("RGB")) if actual == shape else None
    except Exception as error:  # On damaged files the decoders raise almost anything.
        raise _error(entry, "uv_data", "the Base64 text of a PNG", str(error)) from error
    if pixels is None:
        raise _error(entry, "uv_shape", f"{actual}, which is the size of uv_data", shape)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _from_tensor(entry: Entry, packed: object, size: tuple[int, int]) -> ByteArray:
    tensor = getattr(packed, "labels_uv_uint8", None)
    if not isinstance(tensor, torch.Tensor) or tensor.dtype != torch.uint8:
        raise _error(entry, "densepose", "a quantised chart result of uint8", tensor)
    _check_shape(entry, tensor.shape, size)
    values: ByteArray = tensor.clone().numpy(force=True)
    return values


def _masks(entries: Sequence[Entry], image: ImageRecord) -> tuple[RLE, ...]:
    expected = f"a run-length mask of size [{image.height}, {image.width}], the image's"
    masks = []
    for entry in entries:
        mask = entry.values["segmentation"]
        if not isinstance(mask, dict) or mask.get("size") != [image.height, image.width]:
            raise _error(entry, "segmentation", expected, mask)
        masks.append({"size": mask["size"], "counts": mask.get("counts")})
    for position, reason in find_broken_masks(masks).items():
        raise _error(entries[position], "segmentation", expected, reason)
    return tuple(masks)
