"""People told apart by colour: in a video, each keeps theirs."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np

from iuv.results import ByteArray, People
from iuv.visualize.colors import paint_person

__all__ = ["paint_tracks", "track_color"]

_GOLDEN = 0.618034  # steps of this on the circle of hues fall far from all before them
_ALPHA = 0.55
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)


def track_color(number: int) -> tuple[int, int, int]:
    """Return the colour of a track, RGB, 0..255: always the same one, unlike those of near numbers.

    Args:
        number: of the track, from 1.
    """
    hue = (0.55 + _GOLDEN * (number - 1)) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75 if number % 2 else 0.55, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def paint_tracks(canvas: ByteArray, people: People) -> None:
    """Paint everybody in the colour of their track, with box and number; the best score on top.

    People without a track are numbered from 1, best first.
    """
    for index in reversed(range(len(people))):
        person = people[index]
        number = index + 1 if person.track is None else person.track
        color = track_color(number)
        flat = np.broadcast_to(np.array(color, dtype=np.uint8), (*person.labels.shape, 3))
        paint_person(canvas, person, flat, _ALPHA)
        left, top, right, bottom = (int(v) for v in person.box_xyxy)
        thick = max(1, round(min(people.image_size) / 400))
        cv2.rectangle(canvas, (left, top), (right - 1, bottom - 1), color, thick)
        _write_number(canvas, str(number), (left, top), color)


def _write_number(
    canvas: ByteArray, text: str, corner: tuple[int, int], color: tuple[int, int, int]
) -> None:
    """A label at the upper left corner of a box, inside the picture."""
    scale = min(max(min(canvas.shape[:2]) / 700, 0.35), 2.0)
    font, thick = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(1.5 * scale))
    (width, height), below = cv2.getTextSize(text, font, scale, thick)
    left, top = max(corner[0], 0), max(corner[1], 0)
    right, bottom = left + width + 4, top + height + below + 2
    cv2.rectangle(canvas, (left, top), (right, bottom), color, cv2.FILLED)
    dark = sum(color) > 384
    cv2.putText(
        canvas,
        text,
        (left + 2, bottom - below),
        font,
        scale,
        _BLACK if dark else _WHITE,
        thick,
        cv2.LINE_AA,
    )
