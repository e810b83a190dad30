"""The .npz contract, to the letter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from iuv.results import CONFIDENCE_FIELDS, People
from iuv.writers import ResultFileError, read_npz, write_npz
from sample_people import sample_people


def confident_people() -> People:
    """The second of the sample people, with all confidences."""
    person = sample_people()[1]
    maps = {
        name: np.full(person.labels.shape, k + 0.5, dtype=np.float32)
        for k, name in enumerate(CONFIDENCE_FIELDS)
    }
    return People(person.image_size, (replace(person, **maps),))


def assert_same(a: People, b: People) -> None:
    assert a.image_size == b.image_size
    assert np.array_equal(a.boxes_xyxy, b.boxes_xyxy)
    assert np.array_equal(a.scores, b.scores)
    for p, q in zip(a, b, strict=True):
        assert (p.box_xywh, p.class_index, p.track) == (q.box_xywh, q.class_index, q.track)
        assert np.array_equal(p.labels, q.labels)
        assert np.array_equal(p.uv, q.uv)
        assert p.confidences().keys() == q.confidences().keys()
        for name, values in p.confidences().items():
            assert np.array_equal(values, q.confidences()[name])


def test_names_dtypes_and_shapes(tmp_path: Path) -> None:
    write_npz(tmp_path / "x.npz", sample_people())
    with np.load(tmp_path / "x.npz", allow_pickle=False) as z:
        assert {name: (str(z[name].dtype), z[name].shape) for name in z} == {
            "image_size": ("int32", (2,)),
            "boxes_xyxy": ("float32", (2, 4)),
            "scores": ("float32", (2,)),
            "box_xywh_0": ("int32", (4,)),
            "labels_0": ("uint8", (129, 98)),
            "uv_0": ("float32", (2, 129, 98)),
            "box_xywh_1": ("int32", (4,)),
            "labels_1": ("uint8", (154, 115)),
            "uv_1": ("float32", (2, 154, 115)),
        }
        assert z["image_size"].tolist() == [176, 208]
        assert z["box_xywh_1"].tolist() == [80, 10, 115, 154]


def test_confidences_are_written_where_there_are_any(tmp_path: Path) -> None:
    write_npz(tmp_path / "x.npz", confident_people())
    with np.load(tmp_path / "x.npz", allow_pickle=False) as z:
        for k, name in enumerate(CONFIDENCE_FIELDS):
            assert z[f"{name}_0"].dtype == np.float32
            assert (z[f"{name}_0"] == k + 0.5).all()


def test_classes_of_a_model_that_knows_several(tmp_path: Path) -> None:
    person = sample_people()[0]
    people = People(person.image_size, (person, replace(person, class_index=2)))
    write_npz(tmp_path / "x.npz", people)
    with np.load(tmp_path / "x.npz") as z:
        assert (z["classes"].dtype, z["classes"].tolist()) == (np.int32, [0, 2])
    assert_same(read_npz(tmp_path / "x.npz"), people)


def test_nobody_has_no_entries(tmp_path: Path) -> None:
    write_npz(tmp_path / "x.npz", People((30, 40)))
    with np.load(tmp_path / "x.npz") as z:
        assert {name: z[name].shape for name in z} == {
            "image_size": (2,),
            "boxes_xyxy": (0, 4),
            "scores": (0,),
        }


@pytest.mark.parametrize("people", [sample_people(), confident_people(), People((30, 40))])
def test_round_trip(tmp_path: Path, people: People) -> None:
    write_npz(tmp_path / "x.npz", people)
    assert_same(read_npz(tmp_path / "x.npz"), people)


def test_what_is_no_result_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, a=np.zeros(3))
    with pytest.raises(ResultFileError, match=r"other\.npz: not an \.npz of results.*image_size"):
        read_npz(path)
    np.savez(path, image_size=np.array([{}, {}]), scores=np.zeros(0))
    with pytest.raises(ResultFileError, match="allow_pickle=False"):
        read_npz(path)
    path.write_bytes(b"no archive")
    with pytest.raises(ResultFileError, match=r"other\.npz"):
        read_npz(path)
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(ResultFileError, match=r"x\.npy"):
        read_npz(tmp_path / "x.npy")


def test_a_cut_off_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.npz"
    write_npz(path, sample_people())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ResultFileError, match=r"cut\.npz"):
        read_npz(path)


def test_tracks_of_a_video(tmp_path: Path) -> None:
    first, second = sample_people()
    people = People(first.image_size, (replace(first, track=7), second))
    write_npz(tmp_path / "x.npz", people)
    with np.load(tmp_path / "x.npz") as arrays:
        assert arrays["tracks"].dtype == np.int32
        assert arrays["tracks"].tolist() == [7, 0]
    assert_same(read_npz(tmp_path / "x.npz"), people)
    write_npz(tmp_path / "y.npz", sample_people())
    with np.load(tmp_path / "y.npz") as arrays:
        assert "tracks" not in arrays
