"""PNG files, by channel order."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from iuv.writers import ResultFileError, read_iuv_png, write_iuv_png, write_png
from sample_people import photo, sample_people


def test_red_is_i_green_is_u_blue_is_v(tmp_path: Path) -> None:
    people = sample_people()
    write_iuv_png(tmp_path / "x.png", people)
    bgr = cv2.imread(str(tmp_path / "x.png"), cv2.IMREAD_UNCHANGED)
    person = people[0]
    row, column = (int(k[len(k) // 2]) for k in np.nonzero(person.labels))
    x, y, _, _ = person.box_xywh
    u, v = person.uv[:, row, column]
    assert bgr[y + row, x + column, ::-1].tolist() == [
        person.labels[row, column],
        int(np.float32(u) * np.float32(255)),
        int(np.float32(v) * np.float32(255)),
    ]
    assert np.array_equal(read_iuv_png(tmp_path / "x.png"), people.iuv())


def test_a_picture_is_written_as_it_is(tmp_path: Path) -> None:
    for image in (photo(), photo()[..., 0], np.arange(600, dtype=np.uint16).reshape(20, 30)):
        write_png(tmp_path / "x.png", image)
        assert np.array_equal(np.asarray(Image.open(tmp_path / "x.png")), image)


def test_what_is_no_iuv_is_named(tmp_path: Path) -> None:
    write_png(tmp_path / "photo.png", photo())
    with pytest.raises(ResultFileError, match=r"photo\.png: .*labels 0\.\.24.*red up to"):
        read_iuv_png(tmp_path / "photo.png")
    write_png(tmp_path / "grey.png", photo()[..., 0])
    with pytest.raises(ResultFileError, match=r"grey\.png: .*got mode L"):
        read_iuv_png(tmp_path / "grey.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ResultFileError, match=r"text\.png: not a picture"):
        read_iuv_png(tmp_path / "text.png")
