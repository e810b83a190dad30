"""The parts give what the whole gives, whoever runs them."""

from __future__ import annotations

import pytest
import torch

from iuv.modeling.rcnn import RCNN
from iuv.ops.roi_align import Window
from iuv.runtime.eager import prepare_eager
from iuv.runtime.parts import join, split
from tiny import TINY, tiny_model


def eagerly(part):
    def run(inputs):
        assert all(x.is_contiguous() for x in inputs)
        with torch.no_grad():
            return list(part.module(*inputs))

    return run


@pytest.fixture(scope="module")
def model() -> RCNN:
    return prepare_eager(tiny_model(), torch.device("cpu"))


@pytest.fixture(scope="module")
def joined(model) -> RCNN:
    return join(model.config, {part.name: eagerly(part) for part in split(model)})


def noise(*shape):
    x = torch.rand(shape, generator=torch.Generator().manual_seed(3)) * 255 - 115
    return x.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def test_joined_parts_are_the_model(model, joined):
    images, sizes = noise(2, 3, 96, 128), [(96, 128), (80, 120)]
    for whole, parts in zip(model(images, sizes), joined(images, sizes), strict=True):
        assert len(whole.boxes) > 0
        torch.testing.assert_close(parts.boxes, whole.boxes)
        torch.testing.assert_close(parts.scores, whole.scores)
        for one, other in zip(parts.charts, whole.charts, strict=True):
            assert one is other is None or torch.allclose(one, other, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(
    "window",
    [
        None,
        Window(range(0, 80), range(0, 96)),
        Window(range(33, 47), range(70, 96)),
        Window(range(0, 3), range(40, 41)),
        Window(range(79, 80), range(0, 1)),
    ],
)
def test_a_crop_decodes_to_the_same_window(model, joined, window):
    features = [noise(1, 32, 80 >> level, 96 >> level) for level in range(4)]
    expected = model.decoder(features, window)
    actual = joined.decoder(features, window)
    assert actual.shape == expected.shape
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-3)


@torch.no_grad()
def test_nobody_is_an_answer(model, joined):
    pooled = torch.zeros(0, 32, 7, 7)
    assert [tuple(x.shape) for x in joined.box_head(pooled)] == [(0, 2), (0, 4)]


def test_models_without_a_decoder_have_three_parts():
    model = tiny_model(TINY.replace(**{"dense.decoder": False}))
    assert [part.name for part in split(model)] == ["trunk", "box_head", "dense"]
