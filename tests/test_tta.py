"""Test-time augmentation: mirrored and averaged maps as the reference makes them; whole images."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from hashing import GOLDEN, uniform
from iuv.bodyparts import PART_MIRROR
from iuv.data.symmetry import UVSymmetry
from iuv.results import ChartOutputs
from iuv.tta import LONG_SIDE, SHORT_SIDES, AugmentedPredictor, mean_charts, mirror_charts
from tiny import TINY, tiny_predictor

CASES = json.loads((GOLDEN / "evaluation" / "tta.json").read_text())
S = CASES.pop("S")


def affine(name, shape, scale, offset=0.0):
    values = uniform(name, shape) * np.float32(scale)
    return values + np.float32(offset) if offset else values


@pytest.fixture(scope="module")
def symmetry():
    return UVSymmetry(*(affine(f"sym/{name}", (24, 256, 256), 0.5, 0.5) for name in "UV"))


def charts(case, look):
    channels = CASES[case]["channels"]
    name = f"tta/{case}/{look}"
    maps = {
        "coarse_segm": affine(f"{name}/coarse_segm/{channels}", (3, channels, S, S), 3),
        "fine_segm": affine(f"{name}/fine_segm", (3, 25, S, S), 3),
        "u": affine(f"{name}/u", (3, 25, S, S), 0.7, 0.5),
        "v": affine(f"{name}/v", (3, 25, S, S), 0.7, 0.5),
    }
    return ChartOutputs(**{key: torch.from_numpy(value) for key, value in maps.items()})


@pytest.mark.parametrize("case", CASES)
def test_mirror_and_mean_are_the_reference(case, symmetry):
    looks = []
    with np.load(GOLDEN / "evaluation" / "tta.npz") as golden:
        for look in CASES[case]["variants"]:
            maps = charts(case, look["name"])
            if look["flip"]:
                maps = mirror_charts(maps, symmetry)
                name = f"{case}/{look['name']}"
                np.testing.assert_array_equal(maps.u[:, ::5], golden[f"{name}/u_after_flip"])
                np.testing.assert_array_equal(maps.coarse_segm, golden[f"{name}/coarse_after_flip"])
            looks.append(maps)
        mean = mean_charts(iter(looks))
        for name in ("coarse_segm", "fine_segm", "u", "v"):
            values = getattr(mean, name)
            step = 1 if name == "coarse_segm" else 4
            np.testing.assert_array_equal(values[:, ::step], golden[f"{case}/merged/{name}"])
            total = values.double().sum().item()
            assert total == pytest.approx(CASES[case][f"sum_{name}"], rel=1e-12)


def test_confidences_are_mirrored_in_place_and_those_of_the_first_look(symmetry):
    first = charts("flip", "none")._replace(
        sigma_2=torch.rand(3, 25, S, S), fine_segm_confidence=torch.rand(3, 1, S, S)
    )
    mirrored = mirror_charts(first, symmetry)
    assert torch.equal(mirrored.sigma_2, first.sigma_2.flip(3))
    assert mirrored.kappa_u is None
    mean = mean_charts([first, mirrored])
    assert torch.equal(mean.sigma_2, first.sigma_2)
    assert torch.equal(mean.fine_segm_confidence, first.fine_segm_confidence)


def pixels(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def assert_same(a, b):
    assert a.image_size == b.image_size
    assert len(a) == len(b) > 0
    np.testing.assert_allclose(a.boxes_xyxy, b.boxes_xyxy, atol=1e-3)
    np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)
    for one, other in zip(a, b, strict=True):
        same = one.labels == other.labels
        assert same.mean() > 0.98
        np.testing.assert_allclose(one.uv[:, same], other.uv[:, same], atol=1e-3)


@pytest.fixture(scope="module")
def unchanged():
    """As if opposite parts had mirrored charts of one layout: U and V stay (rounded down)."""
    steps = np.arange(256, dtype=np.float32) / 255
    u, v = np.broadcast_arrays(steps, steps[:, None])
    return UVSymmetry(*(np.repeat(table[None], 24, 0) for table in (u, v)))


@pytest.mark.parametrize("size", [(50, 70), (64, 64), (90, 40), (60, 300)])
def test_one_look_at_the_usual_size_is_the_plain_prediction(tiny, size):
    image = pixels(*size)
    once = AugmentedPredictor(tiny, None, short_sides=[64], long_side=128)
    assert_same(once(image), tiny(image))


def test_classes():
    predict = tiny_predictor(TINY.replace(**{"box.num_classes": 2, "box.max_people": 30}))
    predict.model.box_head.cls.bias[1] += 5
    image = pixels(50, 70)
    once = AugmentedPredictor(predict, None, short_sides=[64], long_side=128)
    classes = [person.class_index for person in once(image)]
    assert set(classes) == {0, 1}
    assert classes == [person.class_index for person in predict(image)]


def test_a_mirrored_image_gives_mirrored_people(tiny, unchanged):
    image = pixels(64, 96)
    predict = AugmentedPredictor(tiny, unchanged, short_sides=[64])
    people, mirrored = predict(image), predict(np.ascontiguousarray(image[:, ::-1]))
    assert len(people) > 0
    x0, y0, x1, y1 = mirrored.boxes_xyxy.T
    np.testing.assert_allclose(
        np.stack([96 - x1, y0, 96 - x0, y1], 1), people.boxes_xyxy, atol=1e-3
    )
    np.testing.assert_allclose(mirrored.scores, people.scores, atol=1e-5)
    # Maps lie at truncated corners, which are others in the mirror; the raw maps must agree.
    for one, other in zip(people, mirrored, strict=True):
        if one.labels.shape == other.labels.shape:
            back = np.array(PART_MIRROR)[other.labels[:, ::-1]]
            assert (back == one.labels).mean() > 0.9


def test_several_sizes(tiny, unchanged):
    image = pixels(50, 70)
    people = AugmentedPredictor(tiny, unchanged, short_sides=[40, 64, 80])(image)
    assert people.image_size == (50, 70)
    assert 0 < len(people) <= tiny.config.box.max_people
    assert (np.diff(people.scores) <= 0).all()
    assert people.scores[0] >= tiny(image).scores[0] - 1e-5  # the usual look is one of them


def test_people_are_read_out_in_small_groups(tiny, unchanged, monkeypatch):
    image = pixels(50, 70)
    predict = AugmentedPredictor(tiny, unchanged, short_sides=[40, 64])
    together = predict(image)
    monkeypatch.setattr("iuv.tta._PEOPLE_AT_ONCE", 1)
    assert len(together) > 1
    assert_same(predict(image), together)


def test_nobody_is_no_error(unchanged):
    strict = tiny_predictor(TINY.replace(**{"box.min_score": 1.0}))
    people = AugmentedPredictor(strict, unchanged, short_sides=[40, 64])(pixels(50, 70))
    assert people.image_size == (50, 70)
    assert len(people) == 0


def test_called_as_a_predictor(tiny, photo):
    predict = AugmentedPredictor(tiny, None, short_sides=[40])
    (expected,) = predict([photo])
    assert_same(predict(photo), expected)
    assert_same(next(predict.stream([str(photo)])), expected)
    image = pixels(50, 70)
    bgr = predict(np.ascontiguousarray(image[..., ::-1]), channel_order="bgr")
    assert_same(bgr, predict(image))


def test_the_published_sizes():
    assert SHORT_SIDES == (400, 500, 600, 700, 800, 900, 1000, 1100, 1200)
    assert LONG_SIDE == 4000


@pytest.mark.parametrize(("short_sides", "long_side"), [([], 100), ([400, 0], 100), ([400], 0)])
def test_sizes_must_be_sizes(tiny, short_sides, long_side):
    with pytest.raises(ValueError, match="needs sizes of at least 1, got short_sides="):
        AugmentedPredictor(tiny, None, short_sides=short_sides, long_side=long_side)
