"""Contact sheets: many pictures of a data set at one glance, each beside its body parts."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from iuv.data.records import DataError, Dataset
from iuv.data.show import draw_annotations
from iuv.images import read_image

__all__ = ["contact_sheet"]

_CELL = 240  # pixels of a picture's longer side
_GAP = 6
_PAPER = 24
_COLUMNS = 4  # of pairs
_KIND = "parts+boxes"

_Bytes = npt.NDArray[np.uint8]


def contact_sheet(dataset: Dataset, count: int = 24) -> _Bytes:
    """Return the first `count` pictures of a data set, each with its annotations: [H, W, 3].

    Raises:
        DataError: the data set has no pictures, or one has another size than its record.
        ImageError: a picture cannot be read.
    """
    records = dataset.images[:count]
    if not records:
        raise DataError(f"{dataset.source}: has no pictures to show")
    cells = []
    for record in records:
        image = read_image(record.path)
        pair = [_fitted(one) for one in (image, draw_annotations(image, record, _KIND))]
        cells.append(np.concatenate(pair, axis=1))
    columns = min(_COLUMNS, len(cells))
    rows = math.ceil(len(cells) / columns)
    height, width = cells[0].shape[0] + _GAP, cells[0].shape[1] + _GAP
    sheet = np.full((rows * height + _GAP, columns * width + _GAP, 3), _PAPER, np.uint8)
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        top, left = row * height + _GAP, column * width + _GAP
        sheet[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    return sheet


def _fitted(image: _Bytes) -> _Bytes:
    """A picture in the middle of a square."""
    height, width = image.shape[:2]
    scale = _CELL / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    square = np.full((_CELL, _CELL, 3), _PAPER, np.uint8)
    left, top = (_CELL - size[0]) // 2, (_CELL - size[1]) // 2
    square[top : top + size[1], left : left + size[0]] = cv2.resize(image, size, interpolation=way)
    return square
