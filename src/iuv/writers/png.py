"""Pictures as PNG. Arrays are RGB or have a single channel."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from iuv.results import ByteArray, People
from iuv.writers.atomic import atomic_write
from iuv.writers.errors import ResultFileError, reading

__all__ = ["read_iuv_png", "write_iuv_png", "write_png"]


def write_png(path: str | os.PathLike[str], image: npt.NDArray[Any]) -> None:
    """Write RGB uint8 [H, W, 3], or one channel uint8 or uint16 [H, W].

    Raises:
        OSError: the file cannot be written.
    """
    with atomic_write(path) as file:
        Image.fromarray(np.ascontiguousarray(image)).save(file, format="PNG")


def write_iuv_png(path: str | os.PathLike[str], people: People) -> None:
    """Write all people in the full image frame: red I, green U * 255, blue V * 255.

    Raises:
        OSError: the file cannot be written.
    """
    write_png(path, people.iuv())


def read_iuv_png(path: str | os.PathLike[str]) -> ByteArray:
    """Return uint8 [H, W, 3]: I, U * 255, V * 255.

    Raises:
        ResultFileError: the file is no RGB picture with labels 0..24 in red.
        OSError: the file cannot be read.
    """
    with reading(path, "a picture"), Image.open(path) as file:
        mode, image = file.mode, np.asarray(file)
    if mode != "RGB" or image[..., 0].max(initial=0) > 24:
        raise ResultFileError(
            f"{os.fspath(path)}: expected an RGB picture whose red channel holds labels 0..24, "
            f"got mode {mode}" + (f" with red up to {image[..., 0].max()}" if mode == "RGB" else "")
        )
    return image
