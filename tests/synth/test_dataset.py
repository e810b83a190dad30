"""Data sets of synthetic people: the same whatever happens, and true to the dense ground truth."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from capsules import capsule_person
from iuv.data.catalog import DataSource
from iuv.data.check import check_data
from iuv.data.datasets import load_dataset
from iuv.data.masks import decode_part_masks
from iuv.data.symmetry import read_symmetry
from iuv.evaluation.detections import Detections
from iuv.evaluation.evaluator import Evaluator
from iuv.evaluation.meshes import SurfaceMesh, read_mesh
from iuv.images import read_image
from iuv.results import People, Person
from iuv.synth import production
from iuv.synth.backgrounds import Backgrounds
from iuv.synth.dataset import DatasetError, Recipe, Sample, SampleWriter
from iuv.synth.person import sample_person
from iuv.synth.production import produce

CAPSULE = capsule_person(np.random.default_rng(0), arms=90).mesh
RECIPE = Recipe(seed=5, size=(96, 120), people=capsule_person, surface=CAPSULE)
COUNT = 5

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ impl:DeprecationWarning"  # pycocotools on numpy 2
)


def content(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("synth") / "capsules"
    assert produce(SampleWriter(RECIPE, folder, dense=True), COUNT) == COUNT
    return folder


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    """Our own people, small."""
    folder = tmp_path_factory.mktemp("synth") / "people"
    recipe = Recipe(seed=1, size=(112, 96))
    produce(SampleWriter(recipe, folder, dense=True), 6)
    return folder


def test_the_folder(made):
    names = [f"{index:06}" for index in range(COUNT)]
    assert set(content(made)) == {
        ".lock",
        "annotations.json",
        "mesh.npz",
        "symmetry.npz",
        "synth.json",
        *(f"images/{name}.jpg" for name in names),
        *(f"dense/{name}.npz" for name in names),
    }


@pytest.mark.parametrize("name", ["made", "people"])
def test_the_check_finds_nothing_wrong(name, request):
    folder = request.getfixturevalue(name)
    check = check_data(DataSource(name=name, annotations=folder / "annotations.json"))
    assert check.problems == []
    assert check.counts["with points"] >= 4


def test_ids_tell_the_picture(made):
    document = json.loads((made / "annotations.json").read_text())
    assert [image["id"] for image in document["images"]] == list(range(COUNT))
    for person in document["annotations"]:
        assert divmod(person["id"], 10)[0] == person["image_id"]
        assert person["id"] % 10 > 0  # 0 is nobody to COCO's evaluation
    assert document["info"]["seed"] == 5


def test_a_picture_depends_on_nothing_but_its_number(made, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "dense").mkdir()
    writer = SampleWriter(RECIPE, tmp_path, dense=True)
    records = [writer(index) for index in (3, 1)]
    before, after = content(made), content(tmp_path)
    for index in (3, 1):
        name = f"images/{index:06}.jpg"
        assert after[name] == before[name]
    lines = (made / "annotations.json").read_text().splitlines()
    for record in records:
        assert record.image in [line.rstrip(",") for line in lines]
        for annotation in record.annotations:
            assert annotation in [line.rstrip(",") for line in lines]


def test_other_seeds_give_other_pictures():
    samples = [Sample.make(replace(RECIPE, seed=seed), 0) for seed in (5, 6)]
    assert samples[0].jpeg != samples[1].jpeg


def test_several_processes_give_the_same(made, tmp_path):
    steps = []
    writer = SampleWriter(RECIPE, tmp_path / "set", dense=True)
    produce(writer, COUNT, workers=2, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(done, COUNT) for done in range(1, COUNT + 1)]
    assert content(tmp_path / "set") == content(made)


def test_a_stopped_run_goes_on(made, tmp_path):
    folder = tmp_path / "set"

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    writer = SampleWriter(RECIPE, folder, dense=True)
    with pytest.raises(KeyboardInterrupt):
        produce(writer, COUNT, progress=stop)
    assert not (folder / "annotations.json").exists()
    assert produce(writer, COUNT) == COUNT - 2
    assert content(folder) == content(made)


def test_more_pictures_later_and_lost_files(made, tmp_path):
    folder = tmp_path / "set"
    assert produce(SampleWriter(RECIPE, folder), 3) == 3
    assert not (folder / "dense").exists()
    writer = SampleWriter(RECIPE, folder, dense=True)
    assert produce(writer, COUNT) == COUNT  # the first three have no dense ground truth
    (folder / "images" / "000001.jpg").unlink()
    (folder / "dense" / "000003.npz").unlink()
    assert produce(writer, COUNT) == 2
    assert content(folder) == content(made)
    assert produce(writer, COUNT) == 0
    assert content(folder) == content(made)


def test_the_picture_is_compressed_once(tmp_path):
    """The file is what the scene says of compression, not that again."""
    for index in range(20):
        sample = Sample.make(RECIPE, index)
        quality = [q for q in (95, *range(35, 98)) if encoded(sample.frame.rgb, q) == sample.jpeg]
        assert quality, f"picture {index} is compressed otherwise"


def encoded(rgb: np.ndarray, quality: int) -> bytes:
    return cv2.imencode(".jpg", rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def test_the_file_is_the_picture(made):
    sample = Sample.make(RECIPE, 0)
    image = read_image(made / "images" / "000000.jpg").astype(float)
    assert image.shape == (96, 120, 3)
    assert np.abs(image - sample.frame.rgb).mean() < 12
    assert Image.open(io.BytesIO(sample.jpeg)).format == "JPEG"


def dense_of(folder: Path, index: int) -> dict[str, np.ndarray]:
    with np.load(folder / "dense" / f"{index:06}.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.mark.parametrize("name", ["made", "people"])
def test_annotations_agree_with_the_dense_ground_truth(name, request):
    folder = request.getfixturevalue(name)
    annotated = 0
    for record in load_dataset(folder / "annotations.json").images:
        dense = dense_of(folder, record.id)
        assert dense["part"].shape == dense["depth"].shape == (record.height, record.width)
        for person in record.annotations:
            points = person.points
            if points is None:
                continue
            left, top, width, height = person.box_xywh
            x = (left + points.x * width / 256).astype(int)
            y = (top + points.y * height / 256).astype(int)
            assert set(dense["instance"][y, x]) == {person.id % 10}
            np.testing.assert_array_equal(dense["part"][y, x], points.labels)
            np.testing.assert_allclose(dense["uv"][:, y, x], [points.u, points.v], atol=1e-5)
            shown = set(np.unique(decode_part_masks(person.part_masks))) - {0}
            assert shown <= {number + 1 for number, m in enumerate(person.part_masks) if m}
            annotated += 1
    assert annotated >= 4


def perfect(folder: Path, record) -> People:
    """What a perfect predictor would find: everybody, all pixels right."""
    dense = dense_of(folder, record.id)
    found = []
    for annotation in record.annotations:
        x, y, w, h = map(int, annotation.box_xywh)
        own = dense["instance"][y : y + h, x : x + w]
        labels = dense["part"][y : y + h, x : x + w]
        # whose box it is: who has most of it and is as large
        numbers = [n for n in np.unique(own) if n and (own == n).sum() == annotation.area]
        mine = np.isin(own, numbers)
        found.append(
            Person(
                image_size=(record.height, record.width),
                box_xyxy=np.array([x, y, x + w, y + h], np.float32),
                score=0.9,
                box_xywh=(x, y, w, h),
                labels=np.where(mine, labels, 0).astype(np.uint8),
                uv=np.where(mine, dense["uv"][:, y : y + h, x : x + w], 0).astype(np.float32),
            )
        )
    return People((record.height, record.width), tuple(found))


@pytest.fixture(scope="module")
def mesh(people) -> SurfaceMesh:
    return read_mesh(people / "mesh.npz")


def test_perfect_predictions_score_perfectly(people, mesh):
    dataset = load_dataset(people / "annotations.json")
    evaluator = Evaluator(dataset, mesh)
    for record in dataset.images:
        evaluator.update(record.id, Detections.of(perfect(people, record)))
    scores = evaluator.summarize()
    assert scores["bbox"]["AP"] == pytest.approx(100)
    assert scores["densepose_gps"]["AP"] == pytest.approx(100)
    assert scores["densepose_gpsm"]["AP"] > 95


def test_swapped_sides_do_not(people, mesh):
    """The score above could fail: left and right swapped, it does."""
    symmetry = read_symmetry(people / "symmetry.npz")
    dataset = load_dataset(people / "annotations.json")
    evaluator = Evaluator(dataset, mesh, tasks=["densepose_gps"])
    for record in dataset.images:
        wrong = []
        for person in perfect(people, record):
            labels, u, v = symmetry.mirror(person.labels.astype(np.int64), *person.uv)
            wrong.append(replace(person, labels=labels.astype(np.uint8), uv=np.stack([u, v])))
        found = People((record.height, record.width), tuple(wrong))
        evaluator.update(record.id, Detections.of(found))
    assert evaluator.summarize()["densepose_gps"]["AP"] < 80


def test_the_mesh_is_the_body(mesh):
    assert set(mesh.parts) == set(range(1, 25))
    # head to toe: part 23's crown to part 5's tip, along the surface
    crown = mesh.nearest(np.array([23]), np.array([0.5]), np.array([1.0]))
    toe = mesh.nearest(np.array([5]), np.array([1.0]), np.array([0.4]))
    assert 1.6 < mesh.geodesics.distances(crown, toe)[0] < 2.6


def test_pictures_of_the_user(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in "ab":
        Image.new("RGB", (64, 48), (255, 0, 0)).save(photos / f"{name}.png")
    recipe = replace(RECIPE, backgrounds=Backgrounds(photos))
    assert recipe.settings()["backgrounds"].startswith("2 pictures, ")
    folder = tmp_path / "set"
    produce(SampleWriter(recipe, folder), 1)
    (photos / "b.png").unlink()
    changed = replace(RECIPE, backgrounds=Backgrounds(photos))
    with pytest.raises(DatasetError, match="made with another backgrounds: 2 pictures"):
        produce(SampleWriter(changed, folder), 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 6}, "made with another seed: 5, and this call has 6; choose another folder"),
        ({"size": (96, 96)}, r"another size: \[96, 120\], and this call has \[96, 96\]"),
        (
            {"people": sample_person, "surface": None},
            "another body: mesh [0-9a-f]{16}, and this call has iuv",
        ),
    ],
)
def test_settings_are_not_mixed(made, changes, message):
    before = content(made)
    with pytest.raises(DatasetError, match=message):
        produce(SampleWriter(replace(RECIPE, **changes), made), COUNT)
    assert content(made) == before


def test_pictures_are_not_taken_away(made):
    before = content(made)
    with pytest.raises(DatasetError, match="has 5 pictures, more than 4; ask for as many or more"):
        produce(SampleWriter(RECIPE, made), 4)
    assert content(made) == before


def test_other_data_sets_are_not_touched(tmp_path):
    (tmp_path / "annotations.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"has annotations\.json, but no synth\.json"):
        produce(SampleWriter(RECIPE, tmp_path), 1)
    assert set(content(tmp_path)) == {"annotations.json"}
    (tmp_path / "annotations.json").unlink()
    for name in ("mesh.npz", "images/000000.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
        with pytest.raises(DatasetError, match=rf"has {name.split('/')[0]}, but no synth\.json"):
            produce(SampleWriter(RECIPE, tmp_path), 1)
        assert content(tmp_path) == {name: b"mine"}
        (tmp_path / name).unlink()
    (tmp_path / "synth.json").write_text("{")
    (tmp_path / "images" / "000000.jpg").touch()
    with pytest.raises(DatasetError, match=r"synth\.json: does not say how the pictures were made"):
        produce(SampleWriter(RECIPE, tmp_path), 1)


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="cannot be the folder of a data set"):
        produce(SampleWriter(RECIPE, tmp_path / "file" / "set"), 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "seed must be a whole number, 0 or more, got -1"),
        ({"seed": 1.5}, "seed must be a whole number, 0 or more, got 1.5"),
        ({"size": 320}, r"size must be \(height, width\), two whole numbers, got 320"),
        ({"size": (320, 240.0)}, r"two whole numbers, got \(320, 240.0\)"),
        (
            {"size": (31, 64)},
            r"at least 32 and at most 4096 pixels, got 64 x 31 \(width x height\)",
        ),
        ({"size": (64, 4097)}, r"got 4097 x 64 \(width x height\)"),
    ],
)
def test_recipes_that_cannot_be(changes, message):
    with pytest.raises(DatasetError, match=message):
        replace(RECIPE, **changes)


def test_another_run_may_begin_first(tmp_path, monkeypatch):
    """Between the look at the folder and the lock: its settings count."""
    make_folder = production.make_folder

    def overtaken(writer: SampleWriter) -> None:
        make_folder(writer)
        (tmp_path / "synth.json").write_text(json.dumps(replace(RECIPE, seed=6).settings()))
        (tmp_path / "images" / "000000.jpg").touch()

    monkeypatch.setattr(production, "make_folder", overtaken)
    with pytest.raises(DatasetError, match="made with another seed: 6, and this call has 5"):
        produce(SampleWriter(RECIPE, tmp_path), 1)
    assert json.loads((tmp_path / "synth.json").read_text())["seed"] == 6
    assert (tmp_path / "images" / "000000.jpg").read_bytes() == b""


def test_settings_of_a_run_that_made_nothing_do_not_bind(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "synth.json").write_text(json.dumps(replace(RECIPE, seed=6).settings()))
    assert produce(SampleWriter(RECIPE, tmp_path), 1) == 1
    assert json.loads((tmp_path / "synth.json").read_text())["seed"] == 5


def test_pictures_of_another_version(made, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(made, folder)
    (folder / "synth.json").write_text(json.dumps(RECIPE.settings() | {"generation": 0}))
    with pytest.raises(
        DatasetError, match=r"made by another version of iuv.* install that version"
    ):
        produce(SampleWriter(RECIPE, folder), COUNT)


@pytest.mark.parametrize("below", [".", "set"])
def test_a_data_set_among_its_backgrounds(tmp_path, below):
    """Its people would be backgrounds of the next ones."""
    Image.new("RGB", (64, 48), (255, 0, 0)).save(tmp_path / "a.png")
    recipe = replace(RECIPE, backgrounds=Backgrounds(tmp_path))
    with pytest.raises(DatasetError, match="the folder of the backgrounds, where its pictures"):
        produce(SampleWriter(recipe, tmp_path / below), 1)
    assert set(content(tmp_path)) == {"a.png"}


def test_a_background_that_goes_later_is_not_missed(tmp_path):
    photo = tmp_path / "photos" / "a.png"
    photo.parent.mkdir()
    Image.new("RGB", (64, 48), (255, 0, 0)).save(photo)
    recipe = replace(RECIPE, backgrounds=Backgrounds(photo.parent))
    writer = SampleWriter(recipe, tmp_path / "set")

    def remove(done: int, total: int) -> None:
        if done == total:
            photo.unlink()

    assert produce(writer, 2, progress=remove) == 2
    info = json.loads((tmp_path / "set" / "annotations.json").read_text())["info"]
    assert info["backgrounds"].startswith("1 pictures, ")


@pytest.mark.parametrize("changes", [{"people": sample_person}, {"surface": None}])
def test_people_come_with_their_surface(changes):
    """Else mesh.npz would be of another body than the pictures."""
    with pytest.raises(DatasetError, match="people and their surface belong together: give both"):
        replace(RECIPE, **changes)


def test_one_run_per_folder(made, tmp_path):
    writer = SampleWriter(RECIPE, tmp_path, dense=True)

    def second_run(done: int, total: int) -> None:
        with pytest.raises(DatasetError, match="another process is making pictures in this folder"):
            produce(writer, COUNT)

    assert produce(writer, COUNT, progress=second_run) == COUNT
    assert content(tmp_path) == content(made)
