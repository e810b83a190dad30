"""Colours of labels, U and V, and the blending of one picture into another."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from iuv.results import ByteArray, FloatArray, People, Person

__all__ = [
    "PART_COLORS",
    "Colormap",
    "blend",
    "colorize",
    "grey_photo",
    "label_colors",
    "paint_labels",
    "paint_person",
]

Colormap = Literal["parula", "viridis"]

_OPENCV_COLORMAP = {"parula": cv2.COLORMAP_PARULA, "viridis": cv2.COLORMAP_VIRIDIS}

# The person's right side is warm and the left side cool, so that a left-right swap jumps to the
# eye; of the two charts of a limb the front (or palm) side is the lighter one.
PART_COLORS: ByteArray = np.array(
    [
        (0, 0, 0),  # background
        (104, 84, 190),  # torso, back
        (140, 122, 230),  # torso, front
        (255, 202, 87),  # right hand
        (72, 219, 226),  # left hand
        (0, 148, 134),  # left foot
        (214, 92, 20),  # right foot
        (196, 50, 74),  # right thigh, back
        (22, 110, 184),  # left thigh, back
        (238, 82, 103),  # right thigh, front
        (46, 140, 222),  # left thigh, front
        (226, 112, 40),  # right calf
        (16, 160, 150),  # left calf
        (252, 146, 70),  # right shin
        (38, 196, 180),  # left shin
        (84, 160, 255),  # left upper arm, front
        (255, 107, 150),  # right upper arm, front
        (52, 112, 214),  # left upper arm, back
        (208, 60, 112),  # right upper arm, back
        (110, 196, 250),  # left forearm, inner
        (255, 160, 122),  # right forearm, inner
        (56, 150, 222),  # left forearm, outer
        (236, 118, 84),  # right forearm, outer
        (255, 138, 178),  # head, right
        (98, 206, 160),  # head, left
    ],
    dtype=np.uint8,
)
"""uint8 [25, 3] RGB: the colour of each part in our own picture, `overlay`."""
PART_COLORS.setflags(write=False)


def colorize(values: ByteArray, colormap: Colormap) -> ByteArray:
    """Map bytes [h, w] to RGB uint8 [h, w, 3] by OpenCV's colour table of that name."""
    bgr = cv2.applyColorMap(np.ascontiguousarray(values), _OPENCV_COLORMAP[colormap])
    return np.ascontiguousarray(bgr[..., ::-1], dtype=np.uint8)


def label_colors(colormap: Colormap) -> ByteArray:
    """Return uint8 [25, 3] RGB: the colour of each label, at grey value trunc(I * 255 / 24)."""
    grey = (np.arange(25)[:, None] * (255 / 24)).astype(np.uint8)
    return colorize(grey, colormap)[:, 0]


def grey_photo(image: ByteArray) -> ByteArray:
    """Return the photo in grey, still RGB uint8 [H, W, 3]: the reference's canvas."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.ascontiguousarray(np.repeat(grey[..., None], 3, axis=2), dtype=np.uint8)


def blend(below: ByteArray, above: ByteArray | FloatArray, alpha: float) -> ByteArray:
    """Return below * (1 - alpha) + above * alpha, truncated: parity with Detectron2."""
    return np.asarray(below * (1.0 - alpha) + above * alpha, dtype=np.uint8)


def paint_person(canvas: ByteArray, person: Person, colors: ByteArray, alpha: float) -> None:
    """Blend `colors` (RGB uint8 [h, w, 3], laid out as the person's maps) into `canvas`."""
    image, maps = person.paste()
    mixed = blend(canvas[image], colors[maps], alpha)
    np.copyto(canvas[image], mixed, where=person.labels[maps][..., None] > 0)


def paint_labels(canvas: ByteArray, people: People, colors: ByteArray, alpha: float) -> None:
    """Blend the parts of all people, in `colors` (RGB uint8 [25, 3]), into `canvas`.

    A later person covers an earlier one, as in Detectron2.
    """
    for person in people:
        paint_person(canvas, person, colors[person.labels], alpha)
