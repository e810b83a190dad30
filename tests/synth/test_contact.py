"""Contact sheets show each picture beside its parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iuv.data.records import DataError, Dataset, ImageRecord
from iuv.synth.contact import contact_sheet


def dataset(folder: Path, *sizes: tuple[int, int]) -> Dataset:
    records = []
    for number, (width, height) in enumerate(sizes):
        path = folder / f"{number}.png"
        Image.new("RGB", (width, height), (200, 0, 40 * number)).save(path)
        records.append(ImageRecord(id=number, path=path, height=height, width=width))
    return Dataset(name="d", images=tuple(records), classes=("person",), class_of_category={1: 0},
                   source=folder / "d.json")  # fmt: skip


def test_pictures_of_any_size(tmp_path):
    sheet = contact_sheet(dataset(tmp_path, *[(480, 240)] * 4, (24, 48)))
    assert sheet.shape == (2 * 246 + 6, 4 * 486 + 6, 3)
    assert sheet[6 + 120, 6 + 120].tolist() == [200, 0, 0]
    assert sheet[6 + 30, 6 + 120].tolist() == [24, 24, 24]  # above a wide one
    assert sheet[6 + 246 + 5, 6 + 120].tolist() == [200, 0, 160]  # a high one, enlarged
    assert sheet[6 + 246 + 120, 6 + 30].tolist() == [24, 24, 24]


def test_cells_are_no_larger_than_needed(tmp_path):
    assert contact_sheet(dataset(tmp_path, (480, 240), (96, 24))).shape == (126 + 6, 978, 3)


def test_no_more_than_asked_for(tmp_path):
    sheet = contact_sheet(dataset(tmp_path, *[(48, 48)] * 5), 2)
    assert sheet.shape == (246 + 6, 2 * 486 + 6, 3)
    assert not np.array_equal(sheet[6:246, 6:246], sheet[6:246, 246:486])  # the drawing is pale


def test_no_picture(tmp_path):
    with pytest.raises(DataError, match=r"d\.json: has no pictures to show"):
        contact_sheet(dataset(tmp_path))
