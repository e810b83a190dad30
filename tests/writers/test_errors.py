"""Damaged and manipulated files: always one kind of error, never a crash later on."""

from __future__ import annotations

import json
import zlib
from contextlib import suppress

import numpy as np
import pytest

from iuv.writers import (
    ResultFileError,
    read_dump,
    read_iuv_png,
    read_json,
    read_npz,
    write_dump,
    write_iuv_png,
    write_json,
    write_npz,
)
from iuv.writers.errors import reading
from sample_people import sample_people


def _write_one_dump(path, people):
    write_dump(path, [("x.jpg", people)])


FORMATS = {
    "npz": (write_npz, read_npz),
    "json": (write_json, read_json),
    "pkl": (_write_one_dump, read_dump),
    "png": (write_iuv_png, read_iuv_png),
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_damage_is_told_or_harmless(tmp_path, kind, damage):
    write, read = FORMATS[kind]
    path = tmp_path / f"x.{kind}"
    write(path, sample_people())
    content = path.read_bytes()
    for at in range(0, len(content), max(1, len(content) // 60)):
        flipped = content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]
        path.write_bytes(content[:at] if damage == "cut" else flipped)
        with suppress(ResultFileError):
            read(path)


@pytest.mark.parametrize(
    "change",
    [
        {"boxes_xyxy": np.zeros((1, 4), np.float32)},  # fewer than scores
        {"boxes_xyxy": np.float32(0)},
        {"boxes_xyxy": np.full((2, 4), np.nan, np.float32)},
        {"image_size": np.array([-5, 5])},
        {"image_size": np.array([1.5, 2.5])},
        {"image_size": np.array(["a", "b"])},
        {"box_xywh_0": np.array([0.5, 0.5, 1.0, 1.0])},
        {"box_xywh_0": np.zeros(4, np.int32), "labels_0": np.zeros((0, 0), np.uint8)},
        {"labels_0": np.full((1, 1), 25, np.uint8)},
    ],
)
def test_an_npz_that_makes_no_sense_is_refused(tmp_path, change):
    person = {"box_xywh": np.array([0, 0, 1, 1]), "labels": np.ones((1, 1), np.uint8)}
    person["uv"] = np.zeros((2, 1, 1), np.float32)
    arrays = {"image_size": np.array([9, 9]), "scores": np.ones(2, np.float32)}
    arrays["boxes_xyxy"] = np.ones((2, 4), np.float32)
    arrays |= {f"{name}_{k}": value for name, value in person.items() for k in range(2)}
    np.savez(tmp_path / "good.npz", **arrays)
    assert len(read_npz(tmp_path / "good.npz")) == 2
    np.savez(tmp_path / "bad.npz", **{**arrays, **change})
    with pytest.raises(ResultFileError, match=r"bad\.npz: not an \.npz of results"):
        read_npz(tmp_path / "bad.npz")


@pytest.mark.parametrize("value", [float("inf"), float("nan"), None, "x"])
@pytest.mark.parametrize("where", ["image_size", "bbox"])
def test_a_json_that_makes_no_sense_is_refused(tmp_path, where, value):
    path = tmp_path / "x.json"
    write_json(path, sample_people())
    document = json.loads(path.read_bytes())
    (document if where == "image_size" else document["annotations"][0])[where][0] = value
    path.write_text(json.dumps(document))
    with pytest.raises(ResultFileError, match=r"x\.json: not a JSON of results"):
        read_json(path)


def test_what_the_system_refuses_stays_an_oserror(tmp_path):
    for _, read in FORMATS.values():
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none")


def test_errors_of_decoders_become_one():
    for error in (zlib.error("bad"), OSError("no number"), NotImplementedError("new zip")):
        with (
            pytest.raises(ResultFileError, match=r"a\.b: not a picture: "),
            reading("a.b", "a picture"),
        ):
            raise error
