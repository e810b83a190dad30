"""One annotation of a COCO or DensePose-COCO file, from JSON to `Annotation`.

K: annotated points of a person.
"""

from __future__ import annotations

import reprlib
from typing import Any

import numpy as np
import numpy.typing as npt

from iuv.bodyparts import MASK_PARTS, NUM_PARTS
from iuv.data.masks import PART_MASK_SIZE
from iuv.data.problems import Fields, as_numbers
from iuv.data.records import RLE, Annotation, Points, Polygons

__all__ = ["FAR", "pack_numbers", "parse_annotation"]

FAR = 1e6
"""Pixels from the image's corner that nothing lies beyond: painting a polygon costs memory in
proportion to its sides, and the numbers of later steps are finite."""

_POINT_FIELDS = ("dp_x", "dp_y", "dp_I", "dp_U", "dp_V")
_LISTS = (*_POINT_FIELDS, "keypoints")
_PART_MASK = (PART_MASK_SIZE, PART_MASK_SIZE)


def pack_numbers(values: dict[str, Any]) -> dict[str, Any]:
    """Turn the long lists of a JSON object into arrays, a quarter of their size.

    For `json.load` as its ``object_hook``. What is no list of numbers stays, to be reported.
    """
    for name in _LISTS:
        if name in values:
            values[name] = _packed(values[name])
    if isinstance(outlines := values.get("segmentation"), list):
        values["segmentation"] = [_packed(outline) for outline in outlines]
    return values


def parse_annotation(
    fields: Fields, *, id: int, category: int, height: int, width: int
) -> Annotation | None:
    """Read one annotation of an image of `height` x `width` pixels.

    Problems go to the report of `fields`; with an error among them the result is None. As in
    Detectron2, points count only with all five lists, polygons only with three or more corners,
    and what else an annotation holds is passed over.
    """
    box = _box(fields)
    annotation = Annotation(
        id=id,
        category=category,
        box_xywh=box,
        area=_area(fields, box),
        is_crowd=_is_crowd(fields),
        segmentation=_segmentation(fields, (height, width)),
        keypoints=_keypoints(fields),
        points=_points(fields),
        part_masks=_part_masks(fields),
    )
    return annotation if fields.sound else None


def _packed(value: Any) -> Any:
    numbers = as_numbers(value)
    return value if numbers is None else numbers


def _box(fields: Fields) -> tuple[float, float, float, float]:
    value = fields.values.get("bbox")
    numbers = as_numbers(value)
    if numbers is not None and len(numbers) == 4 and (np.abs(numbers) < FAR).all():
        left, top, width, height = numbers.tolist()
        if width >= 0 and height >= 0:
            return left, top, width, height
    fields.error(
        "no valid bbox",
        "bbox: expected [left, top, width, height] in pixels, width and height from 0 on, each "
        f"below {FAR:g}, got {reprlib.repr(value)}",
    )
    return 0.0, 0.0, 0.0, 0.0


def _area(fields: Fields, box: tuple[float, float, float, float]) -> float:
    value = fields.values.get("area")
    if value is None:
        fields.warn("no area", "area: missing; the box's is taken, which evaluation sorts by size")
        return box[2] * box[3]
    numbers = as_numbers([value])
    if numbers is None or not 0 <= numbers[0] < np.inf:
        got = reprlib.repr(value)
        fields.error("no valid area", f"area: expected a number of pixels from 0 on, got {got}")
        return 0.0
    return float(numbers[0])


def _is_crowd(fields: Fields) -> bool:
    crowd, ignore = (fields.values.get(name) or 0 for name in ("iscrowd", "ignore"))
    if crowd not in (0, 1):
        got = reprlib.repr(crowd)
        fields.error("no valid iscrowd", f"iscrowd: expected 0 or 1, got {got}")
    if ignore != 0:
        fields.error(
            "annotation to be ignored",
            f"ignore: expected 0, got {reprlib.repr(ignore)}; remove the annotation, or make it a "
            "crowd (iscrowd 1), which training passes over",
        )
    return crowd == 1


def _keypoints(fields: Fields) -> npt.NDArray[np.float64] | None:
    value = fields.values.get("keypoints")
    numbers = as_numbers(value)
    if numbers is None or len(numbers) % 3 or not np.isfinite(numbers).all():
        if value is not None:
            fields.warn("no valid keypoints", "keypoints: no list of x, y, visibility; left out")
        return None
    return numbers


def _points(fields: Fields) -> Points | None:
    missing = [name for name in _POINT_FIELDS if fields.values.get(name) is None]
    if missing:
        if len(missing) < len(_POINT_FIELDS):
            fields.warn(
                "incomplete points",
                f"there are points, but no {', '.join(missing)}; its points are left out",
            )
        return None
    x, y, labels, u, v = (fields.numbers(name) for name in _POINT_FIELDS)
    if x is None or y is None or labels is None or u is None or v is None:
        return None
    lengths = [len(values) for values in (x, y, labels, u, v)]
    if min(lengths) != max(lengths):
        counted = ", ".join(f"{n} in {f}" for f, n in zip(_POINT_FIELDS, lengths, strict=True))
        fields.error("lists of different lengths", f"expected as many numbers, got {counted}")
        return None
    wrong = (labels % 1 != 0) | (labels < 0) | (labels > NUM_PARTS)
    if wrong.any():
        first = int(wrong.argmax())
        fields.error(
            "unknown part",
            f"dp_I[{first}]: expected a part 1..{NUM_PARTS} or 0 for background, "
            f"got {labels[first]:g}",
        )
        return None
    for name, values in (("dp_U", u), ("dp_V", v)):
        wrong = (values < 0) | (values > 1)
        if wrong.any():
            first = int(wrong.argmax())
            fields.error(
                f"{name} outside 0..1", f"{name}[{first}]: expected 0..1, got {values[first]:g}"
            )
    return Points(x=x, y=y, labels=labels.astype(np.int64), u=u, v=v)


def _segmentation(fields: Fields, image_size: tuple[int, int]) -> Polygons | RLE | None:
    value = fields.values.get("segmentation")
    if isinstance(value, dict):
        _check_masks(fields, {"segmentation": value}, image_size, "the image's")
        return value
    if not isinstance(value, list | None):
        got = reprlib.repr(value)
        fields.error(
            "no valid segmentation",
            f"segmentation: expected a list of polygons or a run-length mask, got {got}",
        )
        return None
    polygons = []
    for index, polygon in enumerate(value or ()):
        numbers = as_numbers(polygon)
        if numbers is None or not (np.abs(numbers) < FAR).all():
            fields.error(
                "no valid segmentation",
                f"segmentation[{index}]: expected x0, y0, x1, y1, ... in pixels of the image, "
                f"got {reprlib.repr(polygon)}",
            )
        elif len(numbers) % 2 or len(numbers) < 6:
            fields.warn(
                "polygon left out",
                f"segmentation[{index}]: expected x and y of three or more corners, "
                f"got {len(numbers)} numbers; left out",
            )
        else:
            polygons.append(numbers)
    return tuple(polygons) or None


def _part_masks(fields: Fields) -> tuple[RLE | None, ...] | RLE | None:
    value = fields.values.get("dp_masks")
    frame = "the frame of the box,"
    if value is None:
        return None
    if isinstance(value, dict):
        _check_masks(fields, {"dp_masks": value}, _PART_MASK, frame)
        return value
    if not isinstance(value, list) or len(value) > len(MASK_PARTS):
        got = f"{len(value)} masks" if isinstance(value, list) else reprlib.repr(value)
        fields.error(
            "no valid dp_masks",
            f"dp_masks: expected a mask or a list of at most {len(MASK_PARTS)}, got {got}",
        )
        return None
    masks = {f"dp_masks[{index}]": mask for index, mask in enumerate(value) if mask}
    _check_masks(fields, masks, _PART_MASK, frame)
    return tuple(mask or None for mask in value)


def _check_masks(fields: Fields, masks: dict[str, Any], size: tuple[int, int], whose: str) -> None:
    """Check run-length masks, by the names of their fields, against the size they must have.

    Whether they can be decoded is left to the caller, who has many more: `Fields.masks`.
    """
    for name, mask in masks.items():
        if not isinstance(mask, dict) or not isinstance(mask.get("counts"), str | list):
            fields.error(
                f"no valid {name.partition('[')[0]}",
                f"{name}: expected a run-length mask (size, counts), got {reprlib.repr(mask)}",
            )
        elif mask.get("size") != list(size):
            fields.error(
                "mask of another size",
                f"{name}: expected {whose} size [{size[0]}, {size[1]}] (height, width), "
                f"got {reprlib.repr(mask.get('size'))}",
            )
        else:
            fields.masks[name] = mask
