from __future__ import annotations

import gc
import json
from collections import Counter

import numpy as np
import pytest

from golden_data import ANNOTATIONS, document, golden
from iuv.data.datasets import filter_for_training, join_datasets, load_dataset, read_dataset
from iuv.data.records import DataError


def as_golden(image, dataset):
    """An image as the reference's record has it."""
    category = {index: id for id, index in dataset.class_of_category.items()}
    record = {
        "file_name": image.path.name,
        "height": image.height,
        "width": image.width,
        "image_id": image.id,
        "dataset": "golden_ds",
        "annotations": [annotation_as_golden(a, category) for a in image.annotations],
    }
    video = {"frame_id": image.frame_id, "video_id": image.video_id}
    return record | (video if image.video_id is not None else {})


def annotation_as_golden(annotation, category):
    record = {
        "iscrowd": int(annotation.is_crowd),
        "category_id": category[annotation.category],
        "bbox": list(annotation.box_xywh),
    }
    segmentation = annotation.segmentation
    if segmentation is not None:
        plain = isinstance(segmentation, tuple)
        record["segmentation"] = list(map(list, segmentation)) if plain else segmentation
    if (points := annotation.points) is not None:
        fields = {"x": points.x, "y": points.y, "I": points.labels, "U": points.u, "V": points.v}
        record |= {f"dp_{name}": values.tolist() for name, values in fields.items()}
    if (masks := annotation.part_masks) is not None:
        record["dp_masks"] = [m or [] for m in masks] if isinstance(masks, tuple) else masks
    if annotation.keypoints is not None:
        # The reference moves key points to the centres of pixels; ours are as in the file.
        moved = np.reshape(annotation.keypoints, (-1, 3)) + np.array([0.5, 0.5, 0])
        record["keypoints"] = moved.ravel().tolist()
    return record


def as_ours(record):
    """A golden record without what we leave out: the lists of incomplete points."""
    fields = {"dp_x", "dp_y", "dp_I", "dp_U", "dp_V"}
    annotations = []
    for annotation in record["annotations"]:
        dropped = {"bbox_mode"} | (fields if not fields <= set(annotation) else set())
        annotations.append({k: v for k, v in annotation.items() if k not in dropped})
    return record | {"annotations": annotations}


def test_records_are_the_golden_ones():
    dataset = load_dataset(ANNOTATIONS)
    records = [as_golden(image, dataset) for image in dataset.images]
    assert records == [as_ours(record) for record in golden("records")]
    assert (dataset.name, dataset.source) == ("dataset", ANNOTATIONS)
    assert all(image.path.is_file() for image in dataset.images)


def test_frames_of_videos():
    dataset = load_dataset(ANNOTATIONS)
    mapping = {i.video_id: {i.frame_id: i.path.name} for i in dataset.images if i.video_id}
    assert mapping == {7: {3: golden("video_frame_mapping")["7"]["3"]}}


def chosen(whitelist, category_map):
    """The reference's whitelist and map of category ids as our classes."""
    if whitelist is None:
        return None
    names = {1: "person", 18: "dog"}
    return {id: names[(category_map or {}).get(str(id), id)] for id in whitelist}


@pytest.mark.parametrize("case", sorted(golden("filtering")))
def test_classes_and_filter_are_the_golden_ones(case):
    expected = golden("filtering")[case]
    classes = chosen(expected["whitelist"], expected["category_map"])
    dataset = load_dataset(ANNOTATIONS, classes=classes)
    assert list(dataset.classes) == expected["thing_classes"]
    contiguous = {int(id): index for id, index in expected["dataset_id_to_contiguous"].items()}
    assert dataset.class_of_category == contiguous

    training = filter_for_training(dataset, segm_from_masks="masks" in case)
    assert [image.id for image in training.images] == expected["train_image_ids"]
    assert {str(i.id): [a.category for a in i.annotations] for i in training.images} == expected[
        "train_annotation_classes"
    ]


def test_background_images_are_kept_when_wanted():
    kept = filter_for_training(load_dataset(ANNOTATIONS), keep_empty=True)
    assert [image.id for image in kept.images] == [5, 11, 30, 31]  # nobody is in 30


def test_nothing_to_train_on(save):
    changed = document()
    for annotation in changed["annotations"]:
        annotation.pop("dp_U", None)
    dataset = load_dataset(save(changed))
    with pytest.raises(DataError, match=r"none of its 5 images has a person with DensePose points"):
        filter_for_training(dataset)
    assert filter_for_training(dataset, segm_from_masks=True)


def test_crowds_alone_teach_nothing(save):
    changed = document()
    for annotation in changed["annotations"]:
        annotation["iscrowd"] = 1
    with pytest.raises(DataError, match=r"all \d+ annotations are crowds \(iscrowd 1\), which"):
        filter_for_training(load_dataset(save(changed)))


def test_posetrack_fields(save):
    changed = document()
    changed["images"][0] |= {
        "nframes": 41,
        "vid_id": "000342",
        "frame_id": 10003420000,
        "is_labeled": True,
        "has_no_densepose": False,
        "ignore_regions_x": [[0, 10, 10], [1, 2]],
        "ignore_regions_y": [[5, 5, 9], [1, 2]],
    }
    changed["annotations"][0]["track_id"] = 4
    image = load_dataset(save(changed)).images[1]
    assert image.ignore_regions == ((0, 5, 10, 5, 10, 9),)  # two corners enclose nothing
    assert (image.video_id, image.frame_id) == ("000342", 10003420000)


def test_lvis_names_and_defaults(save):
    changed = document()
    del changed["images"][0]["file_name"], changed["annotations"][0]["iscrowd"]
    changed["images"][0]["coco_url"] = "http://host/train2017/000000000011.jpg"
    image = load_dataset(save(changed), "root").images[1]
    assert image.path.as_posix() == "root/train2017/000000000011.jpg"
    assert image.annotations[0].is_crowd is False


def test_without_area_the_box_counts(save):
    changed = document()
    del changed["annotations"][0]["area"]
    image = load_dataset(save(changed)).images[1]
    assert image.annotations[0].area == 60.0 * image.annotations[0].box_xywh[3]


def test_points_may_be_none_at_all_or_many(save):
    changed = document()
    for name in ("dp_x", "dp_y", "dp_I", "dp_U", "dp_V"):
        changed["annotations"][0][name] = []
        changed["annotations"][1][name] = [1] * 500
    first, second, _ = load_dataset(save(changed)).images[1].annotations
    assert first.points is not None
    assert (len(first.points), len(second.points)) == (0, 500)
    assert first.points.x.dtype == second.points.x.dtype == np.float64
    assert second.points.labels.dtype == np.int64


@pytest.fixture
def save(tmp_path):
    """Write a document to a file."""

    def write(content, name="people.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [{"id": 1, "file', r"not complete, valid JSON \(.*27 bytes in all.*get it"),
        ("", "not complete, valid JSON"),
        ("[]", "expected a JSON object with the lists images, .* got a list; results are not"),
        ('{"images": [], "categories": []}', "there is no list annotations"),
        ("[" * 100_000, "nested too deeply"),
        (f'{{"images": [{"9" * 5000}]}}', "no COCO annotations .*digits"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', r"categories\[0\]"),
        (
            '{"images": [], "annotations": [], "categories": '
            '[{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}',
            r"categories\[1\]: expected an id of its own",
        ),
    ],
)
def test_no_annotation_file(save, content, message):
    path = save(content)
    with pytest.raises(DataError, match=message) as error:
        load_dataset(path)
    assert str(error.value).startswith(f"{path}: ")


def test_the_collector_runs_again_afterwards(save):
    with pytest.raises(DataError):
        load_dataset(save("["))
    assert gc.isenabled()
    gc.disable()
    try:
        load_dataset(ANNOTATIONS)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_picture_is_no_annotation_file():
    with pytest.raises(DataError, match="not a JSON file"):
        load_dataset(ANNOTATIONS.with_name("im5.png"))


def test_a_byte_order_mark_is_no_harm(tmp_path):
    path = tmp_path / "windows.json"
    path.write_text(ANNOTATIONS.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert len(load_dataset(path)) == 5


IMAGE = [
    (lambda i: i.update(id="11"), r"images\[0\]: id: expected a whole number from 0 on, got '11'"),
    (lambda i: i.pop("id"), r"images\[0\]: id: .* got None"),
    (lambda i: i.update(id=True), r"images\[0\]: id: .* got True"),
    (lambda i: i.update(id=5), "image 5: id: expected one of its own; it occurs twice"),
    (lambda i: i.pop("width"), "image 11: width: expected a whole number from 1 on, got None"),
    (lambda i: i.update(height=0), "image 11: height: expected a whole number from 1 on, got 0"),
    (lambda i: i.update(width=10**9), "image 11: width, height: expected at most 134217728 pixels"),
    (lambda i: i.pop("file_name"), "image 11: file_name: expected a name, got None"),
    (lambda i: i.update(ignore_regions_x=[[1, 2, 3]]), "image 11: ignore_regions_x, ignore_reg"),
    *(
        (
            lambda i, far=far: i.update(ignore_regions_x=[[far] * 3], ignore_regions_y=[[1] * 3]),
            "image 11: ignore_regions_x, ignore_regions_y: .* in pixels of the image",
        )
        for far in (float("nan"), -1e300, 10**400)
    ),
]
ANNOTATION = [
    (lambda a: a.pop("id"), r"annotations\[1\]: id: expected a whole number"),
    (lambda a: a.update(id=100), "annotation 100: id: expected one of its own; it occurs twice"),
    (lambda a: a.update(image_id=12), "annotation 101: image_id: expected an image of the file, g"),
    (lambda a: a.update(image_id=[]), r"annotation 101: image_id: .* got \[\]"),
    (
        lambda a: a.update(category_id=2),
        "annotation 101 of image 11: category_id: expected a category of the file, "
        r"'1 \(person\), 18 \(dog\)', got 2",
    ),
]


@pytest.mark.parametrize(("change", "message"), IMAGE)
def test_bad_image(save, change, message):
    changed = document()
    change(changed["images"][0])
    with pytest.raises(DataError, match=message) as error:
        load_dataset(path := save(changed))
    assert str(error.value).startswith(f"{path}: ")
    assert str(error.value).endswith("(`iuv data check` lists all problems)")


@pytest.mark.parametrize(("change", "message"), ANNOTATION)
def test_bad_annotation(save, change, message):
    changed = document()
    change(changed["annotations"][1])
    with pytest.raises(DataError, match=message):
        load_dataset(save(changed))


def test_entries_that_are_no_objects(save):
    for key in ("images", "annotations"):
        changed = document()
        changed[key][1] = 7
        with pytest.raises(DataError, match=rf"{key}\[1\]: expected an object, got 7"):
            load_dataset(save(changed))


def test_the_published_minival_file_has_repeated_ids(save):
    changed = document()
    changed["annotations"][1]["id"] = 100
    assert len(load_dataset(save(changed, "densepose_minival2014.json"))) == 5


def test_ignored_and_repeated_annotations_are_refused_as_by_the_reference():
    """See ANNOTATION above and test_annotations.py; here, that the reference does so, too."""
    assert golden("load_exceptions") == {
        "annotation 101 with ignore=1": "AssertionError",
        "annotation id 101 set to 100": "AssertionError",
        "same, file name contains minival": "ok",
    }


def test_all_problems_can_be_collected(save):
    changed = document()
    for change, _ in IMAGE:
        changed["images"].append({"id": 11, "file_name": "a.png", "width": 9, "height": 9})
        change(changed["images"][-1])
    del changed["images"][3]["width"]
    changed["annotations"][0]["dp_U"][3] = 1.7
    changed["annotations"][0]["bbox"] = [0, 0, -1, 1]
    problems = []
    dataset = read_dataset(save(changed), report=problems.append)
    assert {problem.severity for problem in problems} == {"error", "warning"}
    kinds = Counter(problem.kind for problem in problems if problem.severity == "error")
    assert kinds == {
        "no valid id": 3,
        "image id twice": len(IMAGE) - 3,
        "no valid width": 1,
        "no valid bbox": 1,
        "dp_U outside 0..1": 1,
    }
    # What is sound is there; nobody is blamed for an image that is broken.
    assert [image.id for image in dataset.images] == [5, 11, 20, 31]
    assert [annotation.id for annotation in dataset.images[1].annotations] == [101, 102]


def test_classes_of_other_files(save):
    with pytest.raises(DataError, match=r"classes: expected a category of the file, .* got 3"):
        load_dataset(ANNOTATIONS, classes={1: "person", 3: "cat"})


def test_join(save):
    changed = document()
    changed["categories"] = [{"id": 3, "name": "cat"}, {"id": 4, "name": "dog"}]
    for annotation in changed["annotations"]:
        annotation["category_id"] = 3 if annotation["category_id"] == 1 else 4
    first, second = load_dataset(ANNOTATIONS), load_dataset(save(changed))
    joined = join_datasets([first, second])
    assert joined.classes == ("person", "dog", "cat")
    assert joined.name == "dataset+people"
    assert [image.id for image in joined.images] == [5, 11, 20, 30, 31] * 2
    names = [[joined.classes[a.category] for a in joined.images[i].annotations] for i in (0, 5)]
    assert names == [["person", "person", "dog", "person"], ["cat", "cat", "dog", "cat"]]
    assert join_datasets([first]) is first
    with pytest.raises(DataError, match="at least one data set"):
        join_datasets([])
