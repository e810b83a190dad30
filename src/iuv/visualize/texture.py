"""Texture transfer: people painted with a texture atlas through their I, U, V.

An atlas has 6 rows and 4 columns of square tiles; part p (1..24) is tile ((p - 1) mod 6) from the
top in column (p - 1) div 6. U runs to the right within a tile and V upwards. This is the layout of
``texture_atlas_200.png`` of DensePose-1 (1200 x 800).
"""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt
from PIL import Image

from iuv.results import ByteArray, People
from iuv.visualize.draw import check_fits

__all__ = ["draw_texture", "read_atlas"]

_ROWS, _COLUMNS = 6, 4


def draw_texture(image: ByteArray, people: People, atlas: ByteArray) -> ByteArray:
    """Paint people with an atlas over `image` and return the picture, RGB uint8 [H, W, 3].

    Args:
        image: RGB uint8 [H, W, 3]; pixels without a texture stay as they are.
        people: a later person covers an earlier one.
        atlas: uint8 [6 n, 4 n, 3 or 4], RGB or RGBA. In RGB, black is see-through.

    Raises:
        ValueError: the atlas has another layout, or the image another size than the people's.
    """
    check_fits(image, people)
    tiles, opacity = _tiles(atlas)
    side = tiles.shape[1]
    canvas = image.copy()
    for person in people:
        frame, maps = person.paste()
        labels = person.labels[maps]
        y, x = np.nonzero(labels)
        part = labels[y, x] - 1
        u, v = np.clip(person.uv[:, maps[0], maps[1]][:, y, x], 0, 1)
        texel = part, ((1 - v) * (side - 1)).astype(np.int64), (u * (side - 1)).astype(np.int64)
        below, alpha = canvas[frame][y, x], opacity[texel]
        canvas[frame][y, x] = (below * (1 - alpha) + tiles[texel] * alpha).astype(np.uint8)
    return canvas


def read_atlas(path: str | os.PathLike[str]) -> ByteArray:
    """Read a texture atlas: RGB, or RGBA if the file has transparency.

    Raises:
        ValueError: the picture is not laid out as an atlas.
        OSError: the file cannot be read as a picture.
    """
    with Image.open(path) as file:
        atlas = np.asarray(file.convert("RGBA" if file.has_transparency_data else "RGB"))
    _check_layout(atlas, os.fspath(path))
    return atlas


def _tiles(atlas: ByteArray) -> tuple[ByteArray, npt.NDArray[np.float64]]:
    """Return the atlas as colours [24, n, n, 3] and opacity [24, n, n, 1] (0..1)."""
    _check_layout(atlas, "the array")
    side = atlas.shape[0] // _ROWS
    grid = atlas.reshape(_ROWS, side, _COLUMNS, side, -1)
    tiles = grid.transpose(2, 0, 1, 3, 4).reshape(_ROWS * _COLUMNS, side, side, -1)
    color = tiles[..., :3]
    if tiles.shape[-1] == 4:
        return color, tiles[..., 3:].astype(np.float64) / 255
    return color, np.any(color, axis=-1, keepdims=True).astype(np.float64)


def _check_layout(atlas: ByteArray, name: str) -> None:
    height, width = atlas.shape[:2]
    colored = atlas.ndim == 3 and atlas.shape[2] in (3, 4) and atlas.dtype == np.uint8
    if not colored or height % _ROWS or width % _COLUMNS or height * _COLUMNS != width * _ROWS:
        raise ValueError(
            f"{name} is not a texture atlas: expected RGB or RGBA bytes with {_ROWS} rows and "
            f"{_COLUMNS} columns of square tiles, such as 1200 pixels high and 800 wide; got "
            f"{atlas.dtype} of shape {atlas.shape}"
        )
