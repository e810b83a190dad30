"""Images that 8 bits are fitted to."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from PIL import Image

from iuv.runtime import calibration
from iuv.runtime.calibration import CalibrationImages
from iuv.runtime.engines import EngineError


def photo(path, value=0):
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.new("RGB", (40, 30), (value, 0, 0)).save(path)


def test_photos_are_spread_over_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "_MOST_PHOTOS", 3)
    for index in range(7):
        photo(tmp_path / f"below/{index}.png", index)
    (tmp_path / "notes.txt").touch()
    images = CalibrationImages(tmp_path)
    assert [path.stem for path in images.photos] == ["0", "2", "4"]
    assert [int(image[0, 0, 0]) for image in images] == [0, 2, 4]


def test_a_digest_tells_images_apart(tmp_path):
    photo(tmp_path / "a.png")
    first = CalibrationImages(tmp_path).digest()
    assert CalibrationImages(tmp_path).digest() == first != CalibrationImages(None).digest()
    os.utime(tmp_path / "a.png", (1, 1))
    assert CalibrationImages(tmp_path).digest() != first


def test_without_a_folder_people_are_synthetic(monkeypatch):
    monkeypatch.setattr(calibration, "_PICTURES", 2)
    monkeypatch.setattr(calibration, "_SIZES", ((64, 48), (48, 64)))
    one, other = CalibrationImages(None)
    assert one.shape == (64, 48, 3)
    assert other.shape == (48, 64, 3)
    again = list(CalibrationImages(None))
    np.testing.assert_array_equal(again[0], one)


def test_damaged_photos_are_left_out_and_named(tmp_path, caplog):
    photo(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    assert len(list(CalibrationImages(tmp_path))) == 1
    assert "not used for calibration" in caplog.text
    assert "b.png" in caplog.text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "folder of typical photos, but .* does not exist"),
        (lambda folder: folder.touch(), "folder of typical photos, but .* is a file"),
        (lambda folder: folder.mkdir(), "there is no image in .* give another folder, or none"),
    ],
)
def test_folders_of_no_use_are_refused(tmp_path, make, message):
    make(tmp_path / "photos")
    with pytest.raises(EngineError, match=message):
        CalibrationImages(tmp_path / "photos")


def test_photos_of_no_use_are_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(EngineError, match=r"none of 1 in .* can be read, .*a.png"):
        list(CalibrationImages(tmp_path))


def test_ranges_are_of_images_not_of_runs():
    """There is a run for each group of people; nine of ten images count."""
    values: list[tuple[float, float]] = []
    observed = calibration._Observed(lambda inputs: [torch.tensor(x) for x in values[-1]], 1)
    for image in range(10):
        for extent in (1, 100) if image == 3 else (1, 2, 3):
            values.append((-extent, extent))
            assert observed([]) == []
        observed.end_image()
    observed.end_image()  # of an image with nobody
    assert len(observed.seen) == 10
    ((least, greatest),) = observed.ranges(["a"]).values()
    assert 3 <= greatest < 20
    assert least == pytest.approx(-greatest)


def test_nobody_in_any_image():
    observed = calibration._Observed(lambda inputs: [], 1)
    observed.end_image()
    with pytest.raises(EngineError, match=r"found no box in any image .* give other photos"):
        observed.ranges(["a"])
