"""Drawings of people over their photo. Pictures are RGB uint8 [H, W, 3]."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from iuv.results import ByteArray, FloatArray, People, Person, quantize_uv
from iuv.visualize.colors import (
    PART_COLORS,
    blend,
    colorize,
    grey_photo,
    label_colors,
    paint_labels,
    paint_person,
)
from iuv.visualize.contour import paint_contours
from iuv.visualize.tracks import paint_tracks

__all__ = ["KINDS", "check_fits", "draw"]

_ALPHA = 0.7  # of segm, u and v; the reference's
_OVERLAY_ALPHA = 0.65
_EDGE_BLUR = 0.6  # pixels; takes the stairs off the overlay's edges
_BOX_COLOR = (15, 127, 18)
_TEXT_COLOR = (218, 227, 218)


def draw(image: ByteArray, people: People, kind: str = "segm") -> ByteArray:
    """Draw people over their photo and return the picture, RGB uint8 [H, W, 3].

    Kinds, to be joined by ``+`` and then drawn on one canvas from left to right
    (``"segm+bbox"``):

    - ``overlay``: parts in colour over the colour photo, the person's right side in warm and the
      left side in cool colours; the best score on top.
    - ``segm``: parts coloured by PARULA over the grey photo.
    - ``u``, ``v``: U or V coloured by PARULA over the grey photo.
    - ``contour``: lines of equal U and V over the grey photo.
    - ``bbox``: boxes with their scores over the grey photo.
    - ``tracks``: everybody in a colour of their own, with box and number, over the colour photo; in
      a video, the number and colour of their track.

    All but ``overlay`` and ``tracks`` equal Detectron2's pictures (docs/differences.md lists its
    mended defects); as there, a later person covers an earlier one. The first kind decides whether
    the photo is in colour or grey.

    Raises:
        ValueError: `kind` is unknown, or the image is not the one the people were found in.
    """
    check_fits(image, people)
    painters = [_painter(name) for name in kind.split("+")]
    canvas = image.copy() if painters[0] in _IN_COLOR else grey_photo(image)
    for paint in painters:
        paint(canvas, people)
    return canvas


def check_fits(image: ByteArray, people: People) -> None:
    """Check that `image` is RGB uint8 [H, W, 3] of the size the people were found in.

    Raises:
        ValueError: it is not.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f"the image must be RGB, uint8 of shape (H, W, 3); got {image.dtype} of shape "
            f"{image.shape}. iuv.images.read_image makes one of any picture"
        )
    if image.shape[:2] != people.image_size:
        raise ValueError(
            f"these people were found in an image of height and width {people.image_size}, and "
            f"this one has {image.shape[:2]}; draw on the image that was predicted on"
        )


def _painter(kind: str) -> Callable[[ByteArray, People], None]:
    if kind not in _PAINTERS:
        raise ValueError(f"unknown drawing {kind!r}; the kinds are {', '.join(KINDS)}")
    return _PAINTERS[kind]


def _paint_overlay(canvas: ByteArray, people: People) -> None:
    photo = canvas.copy()
    for person in reversed(people.persons):
        image, maps = person.paste()
        if person.labels[maps].size:
            color, alpha = _tint(person)
            # From the photo, not from the canvas, so that the better person hides the other; from
            # the photo in grey, so that clothes do not change the colours of the parts.
            over = blend(grey_photo(photo[image]), color[maps], _OVERLAY_ALPHA)
            shown = canvas[image] * (1 - alpha[maps]) + over * alpha[maps]
            canvas[image] = np.rint(shown).astype(np.uint8)


def _tint(person: Person) -> tuple[FloatArray, FloatArray]:
    """Return colour [h, w, 3] (0..255) and opacity [h, w, 1] (0..1) with smoothed edges."""
    opaque = (person.labels > 0).astype(np.float32)[..., None]
    layer = np.dstack([PART_COLORS[person.labels] * opaque, opaque]).astype(np.float32)
    layer = np.asarray(cv2.GaussianBlur(layer, (0, 0), _EDGE_BLUR), dtype=np.float32)
    alpha = layer[..., 3:]
    color = layer[..., :3] / np.maximum(alpha, 1e-6)
    return color.astype(np.float32), alpha


def _paint_segm(canvas: ByteArray, people: People) -> None:
    paint_labels(canvas, people, label_colors("parula"), _ALPHA)


def _paint_coordinate(channel: int, canvas: ByteArray, people: People) -> None:
    for person in people:
        colors = colorize(quantize_uv(person.uv[channel]), "parula")
        paint_person(canvas, person, colors, _ALPHA)


def _paint_boxes(canvas: ByteArray, people: People) -> None:
    for person in people:
        left, top, right, bottom = (int(v) for v in person.box_xyxy)
        cv2.rectangle(canvas, (left, top), (right, bottom), _BOX_COLOR, 1)
        cv2.putText(
            canvas,
            f"{person.score:6.4f}",
            (left, top),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.35,
            _TEXT_COLOR,
            1,
            cv2.LINE_AA,
        )


_PAINTERS: dict[str, Callable[[ByteArray, People], None]] = {
    "overlay": _paint_overlay,
    "segm": _paint_segm,
    "u": partial(_paint_coordinate, 0),
    "v": partial(_paint_coordinate, 1),
    "contour": paint_contours,
    "bbox": _paint_boxes,
    "tracks": paint_tracks,
}
_IN_COLOR = (_paint_overlay, paint_tracks)

KINDS: tuple[str, ...] = tuple(_PAINTERS)
