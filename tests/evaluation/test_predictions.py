"""Result files of every kind are read for scoring; what is wrong with one is said."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hashing import GOLDEN
from iuv.data.records import Dataset, ImageRecord
from iuv.evaluation.detections import Detections
from iuv.evaluation.predictions import read_predictions
from iuv.results import People
from iuv.writers import ResultFileError, join_json, people_to_coco, write_json, write_npz
from sample_people import make_person

PREDICTIONS = GOLDEN / "formats" / "coco_densepose_predictions.pth"


def dataset(*files, size=(6, 8), classes=("person",), categories=(1,)):
    """A data set with images of ids 10, 20, ..."""
    return Dataset(
        name="sample",
        images=tuple(
            ImageRecord(id=10 * n, path=Path(file), height=size[0], width=size[1])
            for n, file in enumerate(files, start=1)
        ),
        classes=classes,
        class_of_category={category: n for n, category in enumerate(categories)},
        source=Path("annotations.json"),
    )


TWO = dataset("images/a.jpg", "images/b.jpg")
PEOPLE = People((6, 8), (make_person(score=0.75), make_person((4, 1, 2, 5), part=24, score=0.25)))


def entries(image_id=10, people=PEOPLE, **changes):
    return [{**entry, **changes} for entry in people_to_coco(people, image_id)]


def without(entry, *names):
    return {key: value for key, value in entry.items() if key not in names}


@pytest.fixture
def results(tmp_path):
    """Writes a list of entries to a file and reads it."""

    def read(document, data=TWO):
        path = tmp_path / "results.json"
        text = document if isinstance(document, str) else json.dumps(document)
        path.write_text(text, encoding="utf-8")
        return read_predictions(path, data)

    return read


def assert_same(found: Detections, people: People = PEOPLE) -> None:
    expected = Detections.of(people)
    for name in ("classes", "scores", "boxes_xywh"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for one, other in zip(found.maps, expected.maps, strict=True):
        np.testing.assert_array_equal(one, other)


# -------------------------------------------------------------------------------- folders


def test_folder_of_npz(tmp_path):
    write_npz(tmp_path / "a.npz", PEOPLE)
    write_npz(tmp_path / "b.npz", People((6, 8)))
    write_npz(tmp_path / "c.npz", PEOPLE)
    found = read_predictions(tmp_path, TWO)
    assert list(found) == [10, 20]
    assert found.content == "surface"
    assert found.unknown == ("c",)
    assert_same(found[10])
    assert_same(found[20], People((6, 8)))
    with pytest.raises(KeyError):
        found[30]


def test_folder_of_json_goes_by_the_names_of_files(tmp_path):
    """The ids in them are made from the names, and may be those of other images."""
    data = dataset("photo_000000000020.jpg", "photo_000000000010.jpg")
    write_json(tmp_path / "photo_000000000020.json", PEOPLE)
    write_json(tmp_path / "photo_000000000010.json", People((6, 8)))
    found = read_predictions(tmp_path, data)
    assert found.content == "surface"
    assert_same(found[10])
    assert len(found[20]) == 0


def test_names_that_clash_as_iuv_predict_solves_them(tmp_path):
    data = dataset("in/one/x.jpg", "in/two/x.jpg", "in/one/y.jpg", "in/one/y.png")
    for number, key in enumerate(("one/x", "two/x", "y.jpg", "y.png")):
        (tmp_path / key).parent.mkdir(exist_ok=True)
        write_npz(tmp_path / f"{key}.npz", PEOPLE[:number])
    found = read_predictions(tmp_path, data)
    assert {id: len(found[id]) for id in found} == {10: 0, 20: 1, 30: 2, 40: 2}


def test_a_name_that_means_several_images(tmp_path):
    write_npz(tmp_path / "x.npz", PEOPLE)
    data = dataset("in/one/x.jpg", "in/two/x.jpg")
    with pytest.raises(ResultFileError, match=r"x\.npz: .*'x' can mean in.one.x\.jpg or in.two"):
        read_predictions(tmp_path, data)


def test_two_results_for_one_image(tmp_path):
    write_npz(tmp_path / "a.npz", PEOPLE)
    (tmp_path / "images").mkdir()
    write_npz(tmp_path / "images" / "a.npz", PEOPLE)
    with pytest.raises(ResultFileError, match=r"a\.npz is another result for images.a\.jpg"):
        read_predictions(tmp_path, TWO)


def test_folder_without_results(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(
        ResultFileError, match=r"no \.npz and no \.json in this folder; iuv predict"
    ):
        read_predictions(tmp_path, TWO)


def test_npz_of_an_image_of_another_size(tmp_path):
    write_npz(tmp_path / "a.npz", People((8, 6)))
    found = read_predictions(tmp_path, TWO)
    with pytest.raises(
        ResultFileError, match=r"a\.npz: .* image of 8 x 6 pixels.*got one of 6 x 8"
    ):
        found[10]


def test_damaged_npz(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK\3\4 and no more")
    found = read_predictions(tmp_path, TWO)
    with pytest.raises(ResultFileError, match=r"a\.npz: not an \.npz of results as iuv writes it"):
        found[10]


def test_npz_with_a_score_that_is_none(tmp_path):
    write_npz(tmp_path / "a.npz", People((6, 8), (make_person(score=float("nan")),)))
    with pytest.raises(ResultFileError, match=r"a\.npz: .*scores must be finite"):
        read_predictions(tmp_path, TWO)[10]


# -------------------------------------------------------------------------------- JSON


def test_challenge_file(results):
    found = results(entries(20, PEOPLE[:1]) + entries(10) + entries(99))
    assert found.content == "surface"
    assert found.unknown == ("99",)
    assert set(found) == {10, 20}
    assert_same(found[10])
    assert_same(found[20], PEOPLE[:1])


def test_joined_json_of_iuv_predict(tmp_path):
    """Its image ids are names where the files' names hold no number."""
    write_json(tmp_path / "a.json", PEOPLE)
    write_json(tmp_path / "b.json", PEOPLE[1:])
    join_json(sorted(tmp_path.glob("*.json")), tmp_path / "all.json")
    found = read_predictions(tmp_path / "all.json", TWO)
    assert_same(found[10])
    assert_same(found[20], PEOPLE[1:])


def test_json_of_one_image(tmp_path):
    write_json(tmp_path / "a.json", PEOPLE)
    assert_same(read_predictions(tmp_path / "a.json", TWO)[10])


def test_ids_written_as_text(results):
    assert set(results(entries("10") + entries("b"))) == {10, 20}


def test_boxes_alone(results):
    found = results([without(e, "uv_data", "uv_shape", "segmentation") for e in entries()])
    assert found.content == "boxes"
    assert found[10].maps is None
    assert found[10].masks is None
    np.testing.assert_array_equal(found[10].boxes_xywh, [[1, 2, 3, 2], [4, 1, 2, 5]])


def test_masks_alone(results):
    found = results([without(e, "uv_data", "uv_shape") for e in entries()])
    assert found.content == "masks"
    assert found[10].maps is None
    assert [mask["size"] for mask in found[10].masks] == [[6, 8], [6, 8]]


def test_categories_become_classes_and_others_are_left_out(results):
    data = dataset("a.jpg", classes=("person", "dog"), categories=(1, 18))
    found = results([*entries(category_id=18), *entries(category_id=44)], data)
    np.testing.assert_array_equal(found[10].classes, [1, 1])
    assert found.other_categories == {44: 2}
    with pytest.raises(ResultFileError, match=r"all entries are of category 44, .* are 1, 18"):
        results(entries(category_id=44), data)


def test_scores_are_exact_and_ties_keep_the_order_of_the_file(results):
    found = results([*entries(score=0.1), *entries(score=1), *entries(score=0.1)])[10]
    np.testing.assert_array_equal(found.scores, [0.1, 0.1, 1, 1, 0.1, 0.1])


@pytest.mark.parametrize(("width", "height"), [(3.2, 2.9), (4.0, 2.0), (2.99, 1.5), (3.0, 3.4)])
def test_a_map_may_lack_a_row_or_column_or_have_one_too_many(results, width, height):
    """The boxes of challenge files are often rounded."""
    (found,) = results(entries(people=PEOPLE[:1], bbox=[1, 2, width, height]))[10].maps
    assert found.shape == (3, int(height), int(width))
    expected = np.zeros((2, 3), int)[: int(height), : int(width)] + 1
    np.testing.assert_array_equal(found[0, :2, :3], expected)
    assert (found[0, 2:] == 0).all()
    assert (found[0, :, 3:] == 0).all()


def test_half_a_file(results):
    whole = json.dumps(entries())
    with pytest.raises(
        ResultFileError, match=r"results\.json: not complete, valid JSON.*its end\?"
    ):
        results(whole[: len(whole) // 2])


def test_annotations_are_no_results(results):
    with pytest.raises(ResultFileError, match=r"these are annotations .* not results"):
        results({"images": [], "annotations": [], "categories": []})


@pytest.mark.parametrize("document", [{"a": 1}, 3, "null"])
def test_other_json(results, document):
    with pytest.raises(ResultFileError, match="expected a list with one entry per detection, got"):
        results(document)


def test_nothing_in_it(results):
    with pytest.raises(ResultFileError, match="there is no entry in it; nothing to score"):
        results([])


def test_results_of_another_data_set(results):
    with pytest.raises(
        ResultFileError,
        match=r"none of its 2 images \(7, 8, \.\.\.\) is in sample \(annotations\.json\)",
    ):
        results(entries(7) + entries(8))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_id": None}, "entry 1: image_id: expected a number, or the name .* got None"),
        ({"image_id": True}, "entry 1: image_id: expected a number, or the name .* got True"),
        ({"category_id": "person"}, "entry 1: category_id: expected a whole number, got 'person'"),
        ({"score": float("nan")}, "entry 1: score: expected a finite number below 1e9, got nan"),
        ({"score": "0.9"}, "entry 1: score: expected a finite number .*, got '0.9'"),
        ({"score": 10**400}, "entry 1: score: expected a finite number below 1e9, got 1000"),
        (
            {"bbox": [0, 0, float("nan"), 1]},
            r"entry 1: bbox: expected \[left, top.* got \[0, 0, nan",
        ),
        ({"bbox": [0, 0, -1, 1]}, "entry 1: bbox: expected .* width and height from 0 on"),
        ({"bbox": [0, 0, 1]}, "entry 1: bbox: expected"),
        ({"bbox": [0, 1e300, 1, 1]}, "entry 1: bbox: expected"),
        ({"bbox": [0, 0, 8e4, 8e4]}, "entry 1: bbox: expected at most 4 times the image of 8 x 6"),
        (
            {"bbox": [4, 1, 4, 5]},
            r"uv_shape: expected \[3, 5, 4\], as its bbox says.*got \[3, 5, 2\]",
        ),
        (
            {"uv_shape": [3, 5, 3]},
            r"uv_shape: expected \[3, 5, 2\], which .* uv_data, got \[3, 5, 3\]",
        ),
        ({"uv_shape": [3, 5]}, r"entry 1: uv_shape: expected \[3, 5, 2\]"),
        ({"uv_shape": "3, 5, 2"}, r"entry 1: uv_shape: expected \[3, 5, 2\], got 3, 5, 2"),
        ({"uv_data": 5}, "entry 1: uv_data: expected the Base64 text of a PNG, got 5"),
        ({"uv_data": "AAAA"}, "entry 1: uv_data: expected the Base64 text of a PNG, got cannot"),
        ({"uv_data": "%"}, "entry 1: uv_data: expected the Base64 text of a PNG, got"),
    ],
)
def test_what_is_wrong_with_an_entry(results, changes, message):
    first, second = entries()
    with pytest.raises(ResultFileError, match=rf"results\.json: not results for .*{message}"):
        results([first, {**second, **changes}])[10]


def test_entries_must_be_objects(results):
    with pytest.raises(ResultFileError, match=r"entry 2: expected an object, got \[1\]"):
        results([*entries(), [1]])


def test_some_entries_without_a_surface(results):
    first, second = entries()
    with pytest.raises(ResultFileError, match="entry 1: expected surface, as before, got masks"):
        results([first, without(second, "uv_data")])


def png_text(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_a_label_that_is_no_part(results):
    text = png_text(np.full((2, 3, 3), 25, np.uint8))
    with pytest.raises(ResultFileError, match=r"entry 0: uv_data: expected labels 0\.\.24 .* 25"):
        results(entries(people=PEOPLE[:1], uv_data=text))[10]


def test_a_png_that_would_fill_the_memory_is_not_unpacked(results):
    """Its header says 30,000 x 30,000, and there are few bytes behind it."""

    def chunk(kind, data):
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99)))
    text = base64.b64encode(bomb).decode()
    with pytest.raises(ResultFileError, match="entry 0: uv_"):
        results(entries(people=PEOPLE[:1], uv_data=text))[10]
    with pytest.raises(ResultFileError, match="entry 0: uv_shape: expected"):
        results(entries(people=PEOPLE[:1], uv_data=text, uv_shape=[3, 30_000, 30_000]))[10]


@pytest.mark.parametrize(
    "mask", [{"size": [8, 6], "counts": "1"}, {"size": [6, 8], "counts": "zz"}, [[1, 2]], None]
)
def test_masks_that_are_none(results, mask):
    boxes = [without(entry, "uv_data", "uv_shape") for entry in entries(people=PEOPLE[:1])]
    with pytest.raises(
        ResultFileError, match=r"entry 0: segmentation: expected a run-length mask of size \[6, 8\]"
    ):
        results([{**boxes[0], "segmentation": mask}])[10]


# -------------------------------------------------------------------------------- Detectron2's


def test_predictions_of_detectron2():
    data = dataset("x.jpg", size=(176, 208))
    data = replace(data, images=(replace(data.images[0], id=785),))
    found = read_predictions(PREDICTIONS, data)
    assert list(found) == [785]
    golden = json.loads((PREDICTIONS.parent / "coco_entries.json").read_text())
    records = golden["densepose_evaluator_records"]
    np.testing.assert_array_equal(found[785].boxes_xywh, [record["bbox"] for record in records])
    np.testing.assert_array_equal(found[785].scores, [record["score"] for record in records])
    for one, record in zip(found[785].maps, records, strict=True):
        text = base64.b64decode(record["densepose_compressed"]["labels_uv_str"])
        np.testing.assert_array_equal(
            one, np.asarray(Image.open(io.BytesIO(text))).transpose(2, 0, 1)
        )


def saved(path, entries):
    torch.save(entries, path)
    return path


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (
            {"record_id": 0, "rank": 0},
            "maps are in DensePoseEvaluatorStorage files, .*STORAGE none to have",
        ),
        ({"embedding": torch.zeros(16, 2, 2)}, "continuous surface embeddings .* not scored yet"),
        ({"densepose": torch.zeros(3, 2, 2)}, "densepose: expected a quantised chart result"),
    ],
)
def test_other_predictions_of_detectron2(tmp_path, extra, message):
    entry = {"image_id": 10, "category_id": 0, "bbox": [0.0, 0.0, 2.0, 2.0], "score": 0.5, **extra}
    with pytest.raises(ResultFileError, match=message):
        read_predictions(saved(tmp_path / "p.pth", [entry]), TWO)[10]


def test_pth_of_something_else(tmp_path):
    path = saved(tmp_path / "p.pth", {"model": torch.zeros(2)})
    with pytest.raises(ResultFileError, match="expected a list with one dict per detection"):
        read_predictions(path, TWO)


def test_nothing_in_a_pth_is_executed(tmp_path):
    path = saved(tmp_path / "p.pth", [Path("x")])
    with pytest.raises(ResultFileError, match="Nothing was executed"):
        read_predictions(path, TWO)


def test_unknown_kinds_of_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file; check the path"):
        read_predictions(tmp_path / "nothing", TWO)
    with pytest.raises(OSError, match=r"nothing\.json"):
        read_predictions(tmp_path / "nothing.json", TWO)
    (tmp_path / "results.csv").touch()
    with pytest.raises(ResultFileError, match=r"results\.csv: cannot tell what this is; expected"):
        read_predictions(tmp_path / "results.csv", TWO)
