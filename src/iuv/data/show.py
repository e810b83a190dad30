"""Pictures of annotations: what the file says, drawn over its images.

H, W: height and width of an image. h, w: of a box in it, in whole pixels. K: points of a person.
Pictures are RGB uint8 [H, W, 3].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from iuv.bodyparts import PART_TO_MASK
from iuv.data.masks import PART_MASK_SIZE, decode_part_masks
from iuv.data.records import Annotation, DataError, ImageRecord, Points
from iuv.visualize.colors import PART_COLORS, blend, colorize, grey_photo

__all__ = ["KINDS", "check_kind", "draw_annotations"]

_Bytes = npt.NDArray[np.uint8]
_Color = tuple[int, int, int]

_SHIFT = 4  # OpenCV draws to a 16th of a pixel
_PALE = 0.4  # how much of the photo's own colours is left below the drawing
_FAR = 1e5
_PART_ALPHA = 0.7
_EDGE_BLUR = 1.0  # 256ths of the box; takes the stairs off the masks' edges
_DARK = (16, 16, 20)
_PERSON, _BARE, _CROWD = (64, 220, 120), (250, 200, 70), (255, 92, 92)

_MASK_COLORS: _Bytes = np.zeros((15, 3), np.uint8)
_MASK_COLORS[list(PART_TO_MASK)] = PART_COLORS  # of a part's charts, the last and lighter one


def draw_annotations(image: _Bytes, record: ImageRecord, kind: str = "boxes+points_i") -> _Bytes:
    """Draw an image's annotations over it.

    Kinds, to be joined by ``+`` and then drawn on one canvas from left to right:

    - ``boxes``: green with DensePose points, yellow without, red around a crowd.
    - ``points_i``, ``points_u``, ``points_v``: the points coloured by part, U or V.
    - ``parts``: the part masks.

    Raises:
        DataError: a kind is unknown, or the image has another size than its record.
    """
    painters = [_painter(name) for name in kind.split("+")]
    height, width = image.shape[:2]
    if (height, width) != (record.height, record.width):
        raise DataError(
            f"{record.path}: the annotations expect {record.width} x {record.height} pixels "
            f"(width x height), got {width} x {height}; annotate the image as it is"
        )
    canvas = blend(grey_photo(image), image, _PALE)
    for paint in painters:
        for person in record.annotations:
            paint(canvas, person)
    return canvas


def check_kind(kind: str) -> None:
    """Check that `draw_annotations` knows a kind.

    Raises:
        DataError: it does not.
    """
    for name in kind.split("+"):
        _painter(name)


def _painter(kind: str) -> Callable[[_Bytes, Annotation], None]:
    if kind not in _PAINTERS:
        raise DataError(f"unknown drawing {kind!r}; the kinds are {', '.join(KINDS)}")
    return _PAINTERS[kind]


def _paint_box(canvas: _Bytes, person: Annotation) -> None:
    color = _CROWD if person.is_crowd else _BARE if person.points is None else _PERSON
    left, top, width, height = person.box_xywh
    x0, x1 = _fixed([left, left + width])
    y0, y1 = _fixed([top, top + height])
    stroke = max(1, round(_unit(canvas) * 1.3))
    for paint, thickness in ((_DARK, stroke + 1), (color, stroke)):
        cv2.rectangle(canvas, (x0, y0), (x1, y1), paint, thickness, cv2.LINE_AA, _SHIFT)


def _paint_points(colors: Callable[[Points], _Bytes], canvas: _Bytes, person: Annotation) -> None:
    if person.points is None:
        return
    left, top, width, height = person.box_xywh
    x = _fixed(left + person.points.x * (width / PART_MASK_SIZE))
    y = _fixed(top + person.points.y * (height / PART_MASK_SIZE))
    # Small people have as many points as large ones.
    radius = min(3 * _unit(canvas), max(1.2, 0.02 * math.sqrt(width * height)))
    for center, color in zip(zip(x, y, strict=True), colors(person.points).tolist(), strict=True):
        for paint, size in ((_DARK, radius * 1.35), (color, radius)):
            cv2.circle(
                canvas, center, round(size * (1 << _SHIFT)), paint, cv2.FILLED, cv2.LINE_AA, _SHIFT
            )


def _paint_parts(canvas: _Bytes, person: Annotation) -> None:
    left, top, width, height = person.box_xywh
    if person.part_masks is None or min(width, height) < 1:
        return
    labels = decode_part_masks(person.part_masks)
    opaque = (labels > 0).astype(np.float32)[..., None]
    layer: npt.NDArray[Any] = np.dstack([_MASK_COLORS[labels] * opaque, opaque])  # premultiplied
    layer = cv2.GaussianBlur(layer, (0, 0), _EDGE_BLUR)
    # Averaged where it shrinks, interpolated where it grows: smooth edges both ways.
    size = np.array([width, height])
    shrunk = np.ceil(size.clip(1, PART_MASK_SIZE)).astype(int)
    layer = cv2.resize(layer, shrunk.tolist(), interpolation=cv2.INTER_AREA)
    zoom_x, zoom_y = size / shrunk
    # OpenCV counts from the centres of pixels.
    across = [zoom_x, 0, left + zoom_x / 2 - 0.5]
    down = [0, zoom_y, top + zoom_y / 2 - 0.5]
    layer = cv2.warpAffine(layer, np.array([across, down]), canvas.shape[1::-1])
    alpha = layer[..., 3:] * _PART_ALPHA
    canvas[:] = np.rint(canvas * (1 - alpha) + layer[..., :3] * _PART_ALPHA).astype(np.uint8)


def _part_colors(points: Points) -> _Bytes:
    return PART_COLORS[points.labels]


def _u_colors(points: Points) -> _Bytes:
    return _value_colors(points.u)


def _v_colors(points: Points) -> _Bytes:
    return _value_colors(points.v)


def _value_colors(values: npt.NDArray[np.float64]) -> _Bytes:
    """Return uint8 [K, 3] for values 0..1, from dark blue to yellow."""
    return colorize(np.rint(values * 255).astype(np.uint8)[:, None], "parula")[:, 0]


def _unit(canvas: _Bytes) -> float:
    """Return the thickness of a line that looks fine, whatever the size of the picture."""
    return max(0.8, math.sqrt(canvas.shape[0] * canvas.shape[1]) / 400)


def _fixed(values: npt.ArrayLike) -> list[int]:
    """Return places as whole 16ths of pixels, as OpenCV wants them: from a pixel's centre."""
    near = np.clip(np.asarray(values) - 0.5, -_FAR, _FAR)  # beyond, OpenCV's integers overflow
    whole: list[int] = np.rint(near * (1 << _SHIFT)).astype(int).tolist()
    return whole


_PAINTERS: dict[str, Callable[[_Bytes, Annotation], None]] = {
    "boxes": _paint_box,
    "points_i": partial(_paint_points, _part_colors),
    "points_u": partial(_paint_points, _u_colors),
    "points_v": partial(_paint_points, _v_colors),
    "parts": _paint_parts,
}

KINDS: tuple[str, ...] = tuple(_PAINTERS)
"""The kinds of drawing."""
