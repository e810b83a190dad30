from __future__ import annotations

import json
import shutil
import sys

import pytest

from golden_data import ANNOTATIONS, document
from iuv.data.catalog import PUBLISHED, find_datasets, find_sources, require_images
from iuv.data.records import DataError


@pytest.fixture
def root(tmp_path):
    """A data root with a minival set of five images."""
    (tmp_path / "coco" / "annotations").mkdir(parents=True)
    target = tmp_path / "coco" / "annotations" / "densepose_minival2014.json"
    shutil.copyfile(ANNOTATIONS, target)
    (tmp_path / "coco" / "val2014").mkdir()
    for image in ANNOTATIONS.parent.glob("*.png"):
        shutil.copyfile(image, tmp_path / "coco" / "val2014" / image.name)
    return tmp_path


NAME = "densepose_coco_2014_minival"


def test_published_names_are_found_below_the_root(root, monkeypatch):
    (dataset,) = find_datasets(NAME, root=root)
    assert dataset.name == NAME
    assert dataset.images[0].path == root / "coco" / "val2014" / "im5.png"
    require_images(dataset)
    monkeypatch.setenv("IUV_DATA", str(root))
    assert find_datasets(NAME)[0].source == dataset.source
    monkeypatch.delenv("IUV_DATA")
    (root / "datasets").symlink_to(root)
    monkeypatch.chdir(root)
    assert find_sources(NAME)[0].annotations.parts[0] == "datasets"


@pytest.mark.parametrize("name", PUBLISHED)
def test_missing_published_file(tmp_path, name):
    with pytest.raises(DataError) as error:
        find_datasets(name, root=tmp_path)
    text = str(error.value)
    file, images = PUBLISHED[name]
    assert text.startswith(f"{tmp_path / 'coco' / 'annotations' / file}: no such file; download ")
    assert f"https://dl.fbaipublicfiles.com/densepose/annotations/coco/{file}" in text
    assert f"{images}.zip" in text
    assert "--data-root or IUV_DATA" in text


def test_missing_images_of_a_published_set(root):
    for name in ("im5.png", "im11.png"):
        (root / "coco" / "val2014" / name).unlink()
    (dataset,) = find_datasets(NAME, root=root)
    folder = root / "coco" / "val2014"
    with pytest.raises(DataError, match="2 of its 5 images are missing") as error:
        require_images(dataset)
    assert f"{folder / 'im5.png'}, {folder / 'im11.png'}; they are in http" in str(error.value)


def test_missing_images(tmp_path):
    (dataset,) = find_datasets(str(ANNOTATIONS), images=tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"5 of its 5 images .*im20.png, ...; say by --images"):
        require_images(dataset)
    require_images(find_datasets(str(ANNOTATIONS))[0])  # by default beside the annotations


def test_folders_and_links_into_nowhere_are_no_images(tmp_path):
    changed = document()
    for image in changed["images"][2:]:
        shutil.copy(ANNOTATIONS.with_name(image["file_name"]), tmp_path)
    folder, too_long = changed["images"][:2]
    (tmp_path / folder["file_name"]).mkdir()
    too_long["file_name"] = "x" * 1000
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(changed))
    with pytest.raises(DataError, match="2 of its 5 images are missing"):
        require_images(find_datasets(str(path))[0])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps links for administrators")
def test_linked_images(tmp_path):
    for name in ("im5.png", "im11.png", "im20.png", "im30.png", "im31.png"):
        (tmp_path / name).symlink_to(ANNOTATIONS.with_name(name))
    (dataset,) = find_datasets(str(ANNOTATIONS), images=tmp_path)
    require_images(dataset)
    for target in ("nowhere.png", "im5.png"):  # the latter is itself
        (tmp_path / "im5.png").unlink()
        (tmp_path / "im5.png").symlink_to(target)
        with pytest.raises(DataError, match=r"1 of its 5 images are missing: .*im5\.png"):
            require_images(dataset)


def test_yaml(tmp_path):
    folder = ANNOTATIONS.parent
    path = tmp_path / "sets.yaml"
    path.write_text(
        f"- annotations: {ANNOTATIONS}\n"
        "  name: mine\n"
        f"  images: {folder}\n"
        "  classes: {1: human}\n"
        f"- annotations: {ANNOTATIONS}\n"
        f"- {NAME}\n"
    )
    with pytest.raises(DataError, match=r"densepose_minival2014\.json: no such file"):
        find_datasets(str(path), root=tmp_path)
    path.write_text(path.read_text().replace(f"- {NAME}\n", ""))
    first, second = find_datasets(str(path))
    assert (first.name, first.classes) == ("mine", ("human",))
    assert (second.name, second.classes) == ("dataset", ("person", "dog"))
    require_images(first)
    assert len(find_datasets(f"{path}, {ANNOTATIONS}")) == 3


def test_yaml_paths_are_relative_to_it(tmp_path):
    shutil.copytree(ANNOTATIONS.parent, tmp_path / "data")
    path = tmp_path / "one.yaml"
    path.write_text("annotations: data/dataset.json\nimages: data\n")
    (dataset,) = find_datasets(str(path))
    require_images(dataset)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML"),
        ("", "expected data sets with the keys name, annotations, images, classes, .* got None"),
        ("name: mine", "at least annotations; got {'name': 'mine'}"),
        ("- densepose_coco_2017", "at least annotations; got 'densepose_coco_2017'"),
        ("{annotations: a.json, image: b}", "unknown key 'image'; the keys are name, annot"),
        ("{annotations: [1]}", r"annotations: expected text, got \[1\]"),
        ("{annotations: a.json, classes: [1]}", r"classes: expected category ids with names, such"),
        ("{annotations: a.json, classes: {a: b}}", "classes: expected .* got {'a': 'b'}"),
        ("{annotations: a.json, classes: {1: 2}}", "classes: expected .* got {1: 2}"),
        ("{annotations: a.json, classes: {}}", "classes: expected .* got {}"),
    ],
)
def test_bad_yaml(tmp_path, text, message):
    path = tmp_path / "sets.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as error:
        find_datasets(str(path))
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("densepose_coco_2014_minval", "unknown data set .* such as densepose_coco_2014_minival"),
        ("x", "unknown data set 'x'; expected a .json .* densepose_coco_2014_train, dense"),
        ("nothing.json", "nothing.json: no such file; check the path"),
        ("nothing.yaml", "nothing.yaml: no such file; check the path"),
    ],
)
def test_unknown_data(data, message):
    with pytest.raises(DataError, match=message):
        find_datasets(data)


def test_a_folder_of_images_is_for_one_data_set():
    with pytest.raises(DataError, match=r"belongs to one data set, but .* is 2; name each"):
        find_datasets(f"{ANNOTATIONS},{ANNOTATIONS}", images=".")
