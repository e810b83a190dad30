"""Contact sheets: many pictures of a data set at one glance, each beside its body parts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from iuv.data.records import DataError, ImageRecord
from iuv.data.show import draw_annotations
from iuv.images import read_image

__all__ = ["contact_sheet"]

_CELL = 240  # pixels of a picture's longer side
_GAP = 6
_PAPER = 24
_COLUMNS = 4  # of pairs
_KIND = "parts+boxes"

_Bytes = npt.NDArray[np.uint8]


def contact_sheet(records: Sequence[ImageRecord]) -> _Bytes:
    """Return pictures, each beside its annotations, row by row: RGB [H, W, 3].

    Raises:
        DataError: there are no pictures, or one has another size than its record.
        ImageError: a picture cannot be read.
    """
    if not records:
        raise DataError("the data set has no images; there is nothing to show")
    room = tuple(max(sides) for sides in zip(*map(_size, records), strict=True))
    cells = []
    for record in records:
        image = read_image(record.path)
        drawing = draw_annotations(image, record, _KIND)
        pair = [_fitted(one, _size(record), room) for one in (image, drawing)]
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


def _size(record: ImageRecord) -> tuple[int, int]:
    """Height and width on the sheet."""
    scale = _CELL / max(record.height, record.width)
    return max(1, round(record.height * scale)), max(1, round(record.width * scale))


def _fitted(image: _Bytes, size: tuple[int, int], cell: tuple[int, ...]) -> _Bytes:
    """A picture of a size in the middle of a cell."""
    way = cv2.INTER_AREA if size[0] < image.shape[0] else cv2.INTER_CUBIC
    paper = np.full((*cell, 3), _PAPER, np.uint8)
    top, left = ((whole - part) // 2 for whole, part in zip(cell, size, strict=True))
    smaller = cv2.resize(image, size[::-1], interpolation=way)
    paper[top : top + size[0], left : left + size[1]] = smaller
    return paper
