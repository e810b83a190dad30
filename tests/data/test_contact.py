"""Contact sheets show each picture beside its parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iuv.data.contact import contact_sheet
from iuv.data.records import DataError, ImageRecord


def pictures(folder: Path, *sizes: tuple[int, int]) -> list[ImageRecord]:
    records = []
    for number, (width, height) in enumerate(sizes):
        path = folder / f"{number}.png"
        Image.new("RGB", (width, height), (200, 0, 40 * number)).save(path)
        records.append(ImageRecord(id=number, path=path, height=height, width=width))
    return records


def test_pictures_of_any_size(tmp_path):
    sheet = contact_sheet(pictures(tmp_path, *[(480, 240)] * 4, (24, 48)))
    assert sheet.shape == (2 * 246 + 6, 4 * 486 + 6, 3)
    assert sheet[6 + 120, 6 + 120].tolist() == [200, 0, 0]
    assert sheet[6 + 30, 6 + 120].tolist() == [24, 24, 24]  # above a wide one
    assert sheet[6 + 246 + 5, 6 + 120].tolist() == [200, 0, 160]  # a high one, enlarged
    assert sheet[6 + 246 + 120, 6 + 30].tolist() == [24, 24, 24]


def test_cells_are_no_larger_than_needed(tmp_path):
    assert contact_sheet(pictures(tmp_path, (480, 240), (96, 24))).shape == (126 + 6, 978, 3)


def test_a_row_of_few(tmp_path):
    sheet = contact_sheet(pictures(tmp_path, *[(48, 48)] * 2))
    assert sheet.shape == (246 + 6, 2 * 486 + 6, 3)
    assert not np.array_equal(sheet[6:246, 6:246], sheet[6:246, 246:486])  # the drawing is pale


def test_no_picture():
    with pytest.raises(DataError, match="has no images; there is nothing to show"):
        contact_sheet([])
