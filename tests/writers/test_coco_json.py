"""JSON results against what the reference encodes."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hashing import GOLDEN
from iuv.results import People
from iuv.writers import ResultFileError, join_json, people_to_coco, read_json, write_json
from sample_people import make_person, sample_people


def golden_people() -> People:
    with np.load(GOLDEN / "formats" / "results.npz") as z:
        persons = [
            make_person(
                (int(box[0]), int(box[1]), *z[f"det{k}_labels"].shape[::-1]),
                part=z[f"det{k}_labels"],
                score=float(score),
                image_size=(176, 208),
                uv=z[f"det{k}_uv"],
                box_xyxy=box,
            )
            for k, (box, score) in enumerate(zip(z["pred_boxes_XYXY"], z["scores"], strict=True))
        ]
    return People((176, 208), tuple(persons))


def decoded(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def test_entries_equal_the_reference() -> None:
    golden = json.loads((GOLDEN / "formats" / "coco_entries.json").read_text())
    entries = people_to_coco(golden_people(), 785)
    for ours, theirs in zip(entries, golden["densepose_evaluator_records"], strict=True):
        assert ours["image_id"] == theirs["image_id"]
        assert ours["category_id"] == 1
        assert ours["bbox"] == theirs["bbox"]
        assert ours["score"] == theirs["score"]
        assert ours["segmentation"] == theirs["segmentation"]
        assert ours["uv_shape"] == theirs["densepose_compressed"]["shape_chw"]
        expected = decoded(theirs["densepose_compressed"]["labels_uv_str"])
        assert np.array_equal(decoded(ours["uv_data"]), expected)


def test_text_is_broken_like_the_reference() -> None:
    lines = people_to_coco(golden_people(), 1)[0]["uv_data"].split("\n")
    assert lines[-1] == ""
    assert {len(line) for line in lines[:-2]} == {76}


def test_round_trip_gives_the_same_bytes(tmp_path: Path) -> None:
    people = sample_people()
    write_json(tmp_path / "x.json", people)
    again = read_json(tmp_path / "x.json")
    assert np.array_equal(again.iuv(), people.iuv())
    assert np.allclose(again.boxes_xyxy, people.boxes_xyxy, rtol=0, atol=1e-4)
    assert np.array_equal(again.scores, people.scores)
    assert [p.box_xywh for p in again] == [p.box_xywh for p in people]


def test_categories_are_numbered_from_one(tmp_path: Path) -> None:
    people = People((6, 8), (make_person(), make_person(class_index=2)))
    assert [entry["category_id"] for entry in people_to_coco(people, 1)] == [1, 3]
    write_json(tmp_path / "x.json", people)
    assert [person.class_index for person in read_json(tmp_path / "x.json")] == [0, 2]


def test_every_byte_survives_reading_and_quantising_again(tmp_path: Path) -> None:
    uv = np.arange(256, dtype=np.float32) / np.float32(255)
    person = make_person((0, 0, 256, 1), image_size=(1, 256), uv=(uv, uv))
    assert person.iuv_crop()[0, :, 1].tolist() == list(range(256))
    write_json(tmp_path / "x.json", People((1, 256), (person,)))
    assert np.array_equal(read_json(tmp_path / "x.json")[0].uv, person.uv)


@pytest.mark.parametrize(
    ("name", "image_id"),
    [("COCO_val2014_000000000785.json", 785), ("000000000885.json", 885), ("me12.json", "me12")],
)
def test_the_file_name_gives_the_image_id(tmp_path: Path, name: str, image_id: int | str) -> None:
    write_json(tmp_path / name, sample_people())
    document = json.loads((tmp_path / name).read_text())
    assert document["image_id"] == image_id
    assert document["image_size"] == [176, 208]
    assert {entry["image_id"] for entry in document["annotations"]} == {image_id}
    write_json(tmp_path / name, sample_people(), image_id=7)
    assert json.loads((tmp_path / name).read_text())["image_id"] == 7


def test_files_join_into_a_challenge_file(tmp_path: Path) -> None:
    paths = [tmp_path / f"{k}.json" for k in range(3)]
    for k, path in enumerate(paths):
        write_json(path, sample_people()[:k], image_id=k)
    join_json(paths, tmp_path / "all.json")
    entries = json.loads((tmp_path / "all.json").read_text())
    assert [entry["image_id"] for entry in entries] == [1, 2, 2]
    assert entries[0] == people_to_coco(sample_people()[:1], 1)[0]


@pytest.mark.parametrize("count", [0, 1])
def test_joining_nobody_is_an_empty_list(tmp_path: Path, count: int) -> None:
    write_json(tmp_path / "a.json", People((5, 5)))
    join_json([tmp_path / "a.json"] * count, tmp_path / "all.json")
    assert json.loads((tmp_path / "all.json").read_text()) == []
    assert len(read_json(tmp_path / "a.json")) == 0


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        "{}",
        '{"image_size": [5, 5], "annotations": [{"uv_data": "AAAA"}]}',
        "[" * 99999,
    ],
    ids=["text", "list", "empty", "no picture", "deep"],
)
def test_what_is_no_result_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ResultFileError, match=r"bad\.json: not a JSON of results"):
        read_json(path)


def test_joining_what_is_no_result_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(ResultFileError, match=r"bad\.json"):
        join_json([tmp_path / "bad.json"], tmp_path / "all.json")
    assert not (tmp_path / "all.json").exists()
