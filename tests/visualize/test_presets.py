"""Presets against a naive painter and the constants of the tools' own pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from hashing import GOLDEN
from iuv.cli.app import app
from iuv.results import People, Person
from iuv.visualize.presets import (
    PRESETS,
    NobodyFoundError,
    PresetError,
    apply_preset,
    get_preset,
    prepare,
)
from iuv.zoo import get_model
from sample_people import make_person, photo, sample_people

# Computed with OpenCV's tables by others: RGB of labels 0..24.
# fmt: off
PARULA = [
    (53,42,135),(37,60,163),(20,80,194),(4,97,223),(8,110,221),(14,122,216),(20,132,212),
    (15,144,208),(11,156,203),(6,166,198),(22,173,185),(38,179,172),(55,185,159),(86,187,144),
    (114,189,130),(145,191,116),(170,189,105),(192,188,96),(216,186,86),(228,192,74),(240,199,60),
    (252,206,46),(251,220,36),(250,235,25),(249,251,14),
]
VIRIDIS = [
    (68,1,84),(71,16,99),(72,31,112),(71,44,122),(68,57,131),(64,70,136),(59,81,139),(54,93,141),
    (49,104,142),(44,113,142),(40,124,142),(37,133,142),(33,144,141),(31,154,138),(32,163,134),
    (39,173,129),(53,183,121),(70,192,111),(92,200,99),(115,208,86),(142,214,69),(170,220,50),
    (197,224,33),(226,228,24),(253,231,37),
]
# fmt: on
NAMES = [
    "detectron2_segm",
    "viton_hd",
    "idm_vton",
    "catvton_labels",
    "leffa_viton_hd",
    "leffa_dress_code",
    "leffa_pose_transfer",
    "magic_animate",
    "vid2densepose",
    "controlnet_viridis",
    "controlnet_parula",
    "caffe2_iuv",
    "pose_with_style",
    "dreampose_npy",
]  # fmt: skip


def person(size: tuple[int, int], box: tuple[int, int, int, int], seed: int) -> Person:
    """All parts in a grid, U and V a little outside 0..1."""
    x, y, w, h = box
    rows, columns = np.mgrid[:h, :w]
    return make_person(
        box,
        part=(rows * 5 // h * 5 + columns * 5 // w + seed) % 25,
        score=0.9 - seed / 100,
        image_size=size,
        uv=(columns / w * 1.2 - 0.1, rows / h * 1.3 - 0.2),
        box_xyxy=np.array([x, y, x + w + 0.5, y + h + 0.5], dtype=np.float32),
    )


def scene(size: tuple[int, int]) -> tuple[np.ndarray, People]:
    """A photo and two people who overlap; the second is larger and leaves the picture."""
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    image = np.dstack([rows % 256, columns % 256, (rows + columns) % 256]).astype(np.uint8)
    small = person(size, (width // 8, height // 8, width // 3, height // 3), 0)
    large = person(size, (width // 3, height // 4, width * 3 // 4, height // 2), 3)
    return image, People(size, (small, large))


def prepared(name: str, size: tuple[int, int] = (80, 60)) -> tuple[np.ndarray, People]:
    image, _ = scene(size)
    return image, scene(prepare(PRESETS[name], image).shape[:2])[1]


def pixels(people: People):
    """Yield (image row, image column, label, u, v) person by person, pixel by pixel."""
    for p in people:
        x, y, w, h = p.box_xywh
        for i in range(h):
            for j in range(w):
                row, column = y + i, x + j
                inside = 0 <= row < p.image_size[0] and 0 <= column < p.image_size[1]
                if inside and p.labels[i, j]:
                    yield row, column, int(p.labels[i, j]), p.uv[0, i, j], p.uv[1, i, j]


def byte(value: float) -> int:
    return int(min(max(np.float32(value) * np.float32(255), 0), 255))


def naive(canvas: np.ndarray, people: People, value) -> np.ndarray:
    canvas = canvas.copy()
    for row, column, label, u, v in pixels(people):
        canvas[row, column] = value(canvas[row, column], label, u, v)
    return canvas


def arrays(name: str, image: np.ndarray, people: People, **kwargs) -> list[np.ndarray]:
    return [array for _, array in apply_preset(PRESETS[name], image, people, **kwargs)]


def black(people: People, channels: int = 3) -> np.ndarray:
    return np.zeros((*people.image_size, channels), dtype=np.uint8)


def best_on_top(people: People) -> People:
    return People(people.image_size, people.persons[::-1])


def test_the_table_has_every_preset() -> None:
    assert list(PRESETS) == NAMES
    for name, preset in PRESETS.items():
        assert preset.name == name
        if preset.model is not None:
            get_model(preset.model)


class ScenePredictor:
    """Finds the people of `scene`, whatever the picture."""

    def __init__(self, *_arguments, **_options) -> None: ...

    def stream(self, inputs, *, batch_size: int):
        for image in inputs:
            yield scene(image.shape[:2])[1]


@pytest.mark.parametrize("name", NAMES)
def test_the_files_are_the_golden_ones(name: str, tmp_path: Path, monkeypatch) -> None:
    """From a photo on disk to the tool's files: names, kind of picture, and every value."""
    monkeypatch.setattr("iuv.predictor.load", ScenePredictor)
    image, _ = scene((1100, 825) if name == "catvton_labels" else (60, 45))
    Image.fromarray(image).save(tmp_path / "photo.png")
    command = ["predict", tmp_path / "photo.png", "--out", tmp_path / "out", "--preset", name]
    run = CliRunner().invoke(app, [str(word) for word in command])
    assert run.exit_code == 0, run.output
    written = sorted((tmp_path / "out").iterdir())
    golden = [GOLDEN / "presets" / path.name.replace("photo", name) for path in written]
    assert golden == sorted((GOLDEN / "presets").glob(f"{name}[._]*"))
    for ours, theirs in zip(written, golden, strict=True):
        if ours.suffix == ".npy":
            expected = np.load(theirs)
            result = np.load(ours)
            assert result.dtype == expected.dtype
        else:
            with Image.open(ours) as result, Image.open(theirs) as expected:
                assert result.mode == expected.mode
                result, expected = np.asarray(result), np.asarray(expected)
        assert np.array_equal(result, expected)


@pytest.mark.parametrize("name", ["viton_hd", "idm_vton", "leffa_viton_hd", "controlnet_parula"])
def test_parula_on_black(name: str) -> None:
    image, people = prepared(name)
    shown = people[:1] if name == "idm_vton" else people
    expected = np.zeros((*people.image_size, 3), dtype=np.uint8)
    for p in shown:
        at, maps = p.paste()
        colors = np.array(PARULA, dtype=np.uint8)[p.labels[maps]]
        expected[at][p.labels[maps] > 0] = colors[p.labels[maps] > 0]
    if name == "idm_vton":
        assert people.image_size == (512, 384)
        expected = np.asarray(Image.fromarray(expected).resize((768, 1024), Image.BICUBIC))
    (result,) = arrays(name, image, people)
    assert np.array_equal(result, expected)
    assert result.shape == ((683, 512, 3) if name == "controlnet_parula" else (1024, 768, 3))


@pytest.mark.parametrize(
    ("name", "alpha"), [("magic_animate", 1), ("vid2densepose", 0.7), ("controlnet_viridis", 1)]
)
def test_viridis_on_its_zero(name: str, alpha: float) -> None:
    image, people = prepared(name)
    expected = np.full((*people.image_size, 3), VIRIDIS[0], dtype=np.uint8)
    for p in people:
        at, maps = p.paste()
        where = p.labels[maps] > 0
        colors = np.array(VIRIDIS, dtype=np.float64)[p.labels[maps]]
        mixed = (expected[at] * (1.0 - alpha) + colors * alpha).astype(np.uint8)
        expected[at][where] = mixed[where]
    (result,) = arrays(name, image, people)
    assert np.array_equal(result, expected)


def test_vid2densepose_has_the_published_colours() -> None:
    image, people = scene((80, 60))
    (result,) = arrays("vid2densepose", image, people[:1])
    labels = people[:1].label_map()
    for label, color in {0: (68, 1, 84), 1: (70, 11, 94), 24: (197, 162, 51)}.items():
        assert (result[labels == label] == color).all()


def test_detectron2_segm_draws_on_the_grey_photo() -> None:
    image, people = scene((80, 60))
    grey = np.asarray(Image.fromarray(image).convert("L")).astype(int)
    (result,) = arrays("detectron2_segm", image, people)
    outside = ~people.masks().any(0)
    assert (np.abs(result[outside] - grey[outside][:, None]) <= 1).all()  # roundings of grey differ
    canvas = np.repeat(result[..., :1], 3, axis=2)
    only_second = people[1].mask() & ~people[0].mask()
    canvas[~outside] = np.asarray(arrays("detectron2_segm", image, people[:0])[0])[~outside]
    expected = naive(
        canvas,
        people,
        lambda below, label, u, v: [
            int(b * (1.0 - 0.7) + c * 0.7) for b, c in zip(below, PARULA[label], strict=True)
        ],
    )
    assert only_second.any()
    assert np.array_equal(result, expected)


def test_catvton_labels_come_back_at_the_input_size() -> None:
    image, _ = scene((2048, 1600))
    assert prepare(PRESETS["catvton_labels"], image).shape == (1024, 800, 3)
    people = scene((1024, 800))[1]
    (result,) = arrays("catvton_labels", image, people)
    assert result.dtype == np.uint8
    assert np.array_equal(result, people[:1].label_map().repeat(2, axis=0).repeat(2, axis=1))
    small, people = scene((80, 60))
    assert prepare(PRESETS["catvton_labels"], small) is small
    assert np.array_equal(arrays("catvton_labels", small, people)[0], people[:1].label_map())


def test_leffa_dress_code_has_labels_in_three_channels() -> None:
    image, people = scene((80, 60))
    (result,) = arrays("leffa_dress_code", image, people)
    expected = naive(black(people), people[:1], lambda below, label, u, v: (label,) * 3)
    assert np.array_equal(result, expected)


def test_leffa_pose_transfer_stretches_u_and_v() -> None:
    image, people = scene((128, 96))
    (result,) = arrays("leffa_pose_transfer", image, people)
    low, high = people[0].uv.min((1, 2)), people[0].uv.max((1, 2))
    expected = black(people)
    x, y, w, h = people[0].box_xywh
    for i in range(h):
        for j in range(w):
            u, v = (people[0].uv[:, i, j] - low) / (high - low) * 255
            expected[y + i, x + j] = int(u), int(v), people[0].labels[i, j]
    assert expected[..., :2][expected[..., 2] == 0].any()  # the background of the box
    assert np.array_equal(result, expected.repeat(8, axis=0).repeat(8, axis=1))
    assert result.shape == (1024, 768, 3)


def test_leffa_pose_transfer_of_all_hides_nobody_behind_a_background() -> None:
    image, people = scene((128, 96))
    (result,) = arrays("leffa_pose_transfer", image, people, person="all")
    assert np.array_equal(result[::8, ::8, 2], people.label_map())


def test_leffa_pose_transfer_of_a_constant_is_black_in_u_and_v() -> None:
    image, people = scene((128, 96))
    flat = People(people.image_size, (person((128, 96), (3, 3, 1, 1), 1),))
    (result,) = arrays("leffa_pose_transfer", image, flat)
    assert result.max((0, 1)).tolist() == [0, 0, 1]


def test_pose_with_style_is_i_u_v() -> None:
    image, people = scene((80, 60))
    (result,) = arrays("pose_with_style", image, people)
    expected = naive(
        black(people),
        best_on_top(people),
        lambda below, label, u, v: (label, byte(u), byte(v)),
    )
    assert np.array_equal(result, expected)


def test_caffe2_iuv_reads_as_i_u_v_in_opencv(tmp_path: Path) -> None:
    import cv2

    from iuv.writers import write_png

    image, people = scene((80, 60))
    results = apply_preset(PRESETS["caffe2_iuv"], image, people)
    assert [suffix for suffix, _ in results] == ["_IUV.png", "_INDS.png"]
    for suffix, array in results:
        write_png(tmp_path / f"x{suffix}", array)
    bgr = cv2.imread(str(tmp_path / "x_IUV.png"), cv2.IMREAD_UNCHANGED)
    persons = cv2.imread(str(tmp_path / "x_INDS.png"), cv2.IMREAD_UNCHANGED)
    expected = naive(
        black(people), best_on_top(people), lambda below, label, u, v: (label, byte(u), byte(v))
    )
    assert np.array_equal(bgr, expected)
    assert persons.dtype == np.uint8
    numbers = np.where(people[0].mask(), 1, np.where(people[1].mask(), 2, 0))
    assert np.array_equal(persons, numbers)


def test_dreampose_has_u_and_v_as_they_are() -> None:
    image, people = scene((80, 60))
    ((suffix, result),) = apply_preset(PRESETS["dreampose_npy"], image, people)
    expected = np.zeros((2, 80, 60), dtype=np.float32)
    for row, column, _, u, v in pixels(people[:1]):
        expected[:, row, column] = u, v
    assert suffix == "_densepose.npy"
    assert result.dtype == np.float32
    assert result.min() < 0 < 1 < result.max()
    assert np.array_equal(result, expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("which", ["best", "largest", "all", 1])
def test_people_can_be_chosen(name: str, which) -> None:
    image, people = prepared(name)
    chosen = people.select(which)
    assert all(
        np.array_equal(a, b)
        for a, b in zip(
            arrays(name, image, people, person=which),
            arrays(name, image, chosen, person="all"),
            strict=True,
        )
    )
    best, second = (arrays(name, image, people, person=k)[0] for k in (0, 1))
    assert not np.array_equal(best, second)


@pytest.mark.parametrize("name", [n for n in NAMES if not PRESETS[n].needs_person])
def test_nobody_gives_the_empty_canvas(name: str) -> None:
    image, people = prepared(name)
    for result in arrays(name, image, people[:0]):
        if name == "detectron2_segm":
            assert (result == result[..., :1]).all()
            continue
        empty = (
            VIRIDIS[0] if name in ("magic_animate", "vid2densepose", "controlnet_viridis") else 0
        )
        assert (result == empty).all()


@pytest.mark.parametrize("name", ["leffa_pose_transfer", "dreampose_npy"])
def test_a_preset_that_needs_a_person_says_so(name: str) -> None:
    image, people = prepared(name)
    with pytest.raises(NobodyFoundError, match=rf"{name} needs a person: 0 found.*lower the min"):
        apply_preset(PRESETS[name], image, people[:0])
    with pytest.raises(NobodyFoundError, match=r"2 found, 2 asked for.*ask for another person"):
        apply_preset(PRESETS[name], image, people, 2)


def test_people_of_the_unprepared_photo_are_refused() -> None:
    image, people = scene((80, 60))
    with pytest.raises(ValueError, match=r"\(80, 60\).*\(512, 384\); draw on the image that was"):
        apply_preset(PRESETS["idm_vton"], image, people)


@pytest.mark.parametrize(
    ("name", "size"),
    [("idm_vton", (512, 384)), ("viton_hd", (1024, 768)), ("controlnet_viridis", (512, 605))],
)
def test_photos_are_prepared_by_bicubic_resizing(name: str, size: tuple[int, int]) -> None:
    result = prepare(PRESETS[name], photo())
    assert result.shape[:2] == size
    expected = Image.fromarray(photo()).resize(size[::-1], Image.BICUBIC)
    assert np.array_equal(result, np.asarray(expected))


def test_people_of_a_preset_may_be_the_golden_ones() -> None:
    (result,) = arrays("detectron2_segm", photo(), sample_people())
    from sample_people import picture

    assert np.array_equal(result, picture("dp_segm__inside"))


def test_an_unknown_preset_suggests_the_near_ones() -> None:
    with pytest.raises(PresetError, match=r"unknown preset 'viton'; did you mean viton_hd"):
        get_preset("viton")
    with pytest.raises(PresetError, match=r"choose from detectron2_segm, .*dreampose_npy"):
        get_preset("@@")


def test_the_documentation_has_every_preset_as_it_is() -> None:
    text = (Path(__file__).parents[2] / "docs" / "presets.md").read_text(encoding="utf-8")
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    table = {row[0]: row for row in rows if row and row[0] in PRESETS}
    assert list(table) == NAMES
    for name, preset in PRESETS.items():
        _, _, files, model, min_score, people, resized, _ = table[name]
        assert files == "`, `".join(f"<stem>{suffix}" for suffix in preset.suffixes)
        assert model == (preset.model or "any")
        assert float(min_score) == preset.min_score
        assert people == preset.person
        assert (resized == "as it is") == (preset.input_size is None)


def test_a_strip_is_not_blown_up():
    strip = np.zeros((2, 2000, 3), np.uint8)  # 512 x 512000 for ControlNet
    with pytest.raises(
        PresetError, match="controlnet_viridis would resize this image of 2000x2 to"
    ):
        prepare(get_preset("controlnet_viridis"), strip)
