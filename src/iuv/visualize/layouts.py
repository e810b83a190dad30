"""How downstream tools lay people out in arrays; each function makes the arrays of one layout.

H x W is the photo the people were found in, h x w a person's box. Nobody gives an empty canvas.
Where people overlap, the better score is on top, except in `colored`, which draws like Detectron2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from iuv.results import ByteArray, FloatArray, People
from iuv.visualize.colors import Colormap, grey_photo, label_colors, paint_labels

__all__ = [
    "Layout",
    "colored",
    "iuv",
    "labels",
    "labels_rgb",
    "uv_float",
    "uvi_stretched",
    "vui_and_instances",
]

Layout = Callable[[ByteArray, People], tuple[npt.NDArray[Any], ...]]
"""(photo, RGB uint8 [H, W, 3]; people) → the arrays to write, RGB where they have 3 channels."""

_CANVAS_COLOR = {"black": (0, 0, 0), "viridis": (68, 1, 84)}  # the latter is VIRIDIS at 0


def colored(
    colormap: Colormap, *, canvas: Literal["photo", "black", "viridis"], alpha: float
) -> Layout:
    """RGB uint8 [H, W, 3]: parts in colour over the grey photo or a plain canvas."""

    def layout(photo: ByteArray, people: People) -> tuple[ByteArray]:
        if canvas == "photo":
            picture = grey_photo(photo)
        else:
            picture = np.full_like(photo, _CANVAS_COLOR[canvas])
        paint_labels(picture, people, label_colors(colormap), alpha)
        return (picture,)

    return layout


def labels(photo: ByteArray, people: People) -> tuple[ByteArray]:
    """uint8 [H, W]: I."""
    return (people.label_map(),)


def labels_rgb(photo: ByteArray, people: People) -> tuple[ByteArray]:
    """uint8 [H, W, 3]: I in each of three channels."""
    return (np.repeat(people.label_map()[..., None], 3, axis=2),)


def iuv(photo: ByteArray, people: People) -> tuple[ByteArray]:
    """RGB uint8 [H, W, 3]: I, U * 255, V * 255."""
    return (people.iuv(),)


def vui_and_instances(photo: ByteArray, people: People) -> tuple[ByteArray, npt.NDArray[Any]]:
    """RGB uint8 [H, W, 3]: V * 255, U * 255, I; and the persons' numbers from 1, [H, W].

    OpenCV, which reads BGR, finds I, U, V in the first. The numbers are uint8, or uint16 for more
    than 255 people.
    """
    instances = people.instance_map().astype(np.uint8 if len(people) < 256 else np.uint16)
    return np.ascontiguousarray(people.iuv()[..., ::-1]), instances


def uvi_stretched(photo: ByteArray, people: People) -> tuple[ByteArray]:
    """RGB uint8 [H, W, 3]: U, V, I, with U and V stretched to 0..255 over each person's box.

    Where U or V go below 0, the background of the box is therefore not quite 0, as in the tool.
    """
    canvas = np.zeros((*people.image_size, 3), dtype=np.uint8)
    for person in reversed(people.persons):
        image, maps = person.paste()
        picture = np.dstack([_stretch(person.uv[0]), _stretch(person.uv[1]), person.labels])
        taken = (canvas[image][..., 2:] > 0) & (person.labels[maps][..., None] == 0)
        np.copyto(canvas[image], picture[maps], where=~taken)
    return (canvas,)


def uv_float(photo: ByteArray, people: People) -> tuple[FloatArray]:
    """float32 [2, H, W]: U and V as the network gave them, not clamped; 0 where nobody is."""
    canvas = np.zeros((2, *people.image_size), dtype=np.float32)
    for person in reversed(people.persons):
        (rows, columns), (map_rows, map_columns) = person.paste()
        inside = person.labels[map_rows, map_columns] > 0
        np.copyto(canvas[:, rows, columns], person.uv[:, map_rows, map_columns], where=inside)
    return (canvas,)


def _stretch(values: FloatArray) -> ByteArray:
    low, high = values.min(), values.max()
    if low == high:
        return np.zeros(values.shape, dtype=np.uint8)
    return np.asarray((values - low) / (high - low) * 255, dtype=np.uint8)
