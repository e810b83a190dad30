import copy
import random

import pytest
import torch

from iuv.modeling.fpn import PyramidDecoder
from iuv.modeling.rcnn import RCNN
from iuv.ops.roi_align import Window, pool_pyramid, window_of
from tiny import TINY

SIZES = [(1, 1), (1, 4), (3, 5), (6, 2)]
"""Of p5, in cells."""


def pyramid(size, channels, images=1):
    height, width = size
    generator = torch.Generator().manual_seed(height * 10 + width)
    return [
        torch.randn(images, channels, height * k, width * k, generator=generator)
        for k in (8, 4, 2, 1)
    ]


@pytest.fixture(scope="module")
def decoder():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return PyramidDecoder(4)


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return RCNN(TINY)


def windows(size):
    """Corners, edges, single cells, everything, and any others."""
    height, width = size[0] * 8, size[1] * 8
    choose = random.Random(0)

    def cells(length):
        start = choose.choice([0, length - 1, choose.randrange(length)])
        return range(start, choose.choice([start + 1, length, choose.randint(start + 1, length)]))

    everything = Window(range(height), range(width))
    return [everything, *(Window(cells(height), cells(width)) for _ in range(60))]


@pytest.mark.parametrize("size", SIZES)
@torch.inference_mode()
def test_window_is_part_of_the_map(decoder, size):
    features = pyramid(size, 4)
    whole = decoder(features)
    assert whole.shape[-2:] == features[0].shape[-2:]
    for window in windows(size):
        rows, columns = (slice(cells.start, cells.stop) for cells in window)
        expected = whole[..., rows, columns]
        torch.testing.assert_close(decoder(features, window), expected, atol=1e-5, rtol=0)


def test_nothing_beyond_the_window_is_computed(decoder):
    """A window reads no more than it depends on: what it reads has a gradient."""
    decoder = copy.deepcopy(decoder)
    features = [level.requires_grad_() for level in pyramid((12, 12), 4)]
    read = []
    for first in ("p2.0", "p3.0", "p4.0", "p5.0"):
        decoder.get_submodule(first).register_forward_pre_hook(
            lambda _module, inputs: read.append(inputs[0].shape[-2:])
        )
    decoder(features, Window(range(40, 51), range(45, 46))).square().sum().backward()
    assert read == [
        (cells.any(1).sum(), cells.any(0).sum())
        for cells in (level.grad[0].any(0) for level in features)
    ]


BOXES = {
    "inside": [[50.3, 40.7, 93.1, 77.9]],
    "smaller than a cell": [[81.0, 61.0, 82.5, 62.25]],
    "of no size": [[80.0, 64.0, 80.0, 64.0], [63.9, 50.2, 63.9, 50.2]],
    "inside out": [[90.0, 70.0, 60.0, 50.0]],
    "left and top": [[0.0, 0.0, 31.7, 20.2]],
    "right and bottom": [[120.4, 71.3, 160.0, 96.0]],
    "last pixels": [[159.0, 95.0, 160.0, 96.0]],
    "over the left": [[-30.0, 30.0, 20.0, 50.0]],
    "over the top": [[70.0, -5.0, 75.0, 20.0]],
    "over the right": [[150.0, 30.0, 200.0, 50.0]],
    "over the bottom": [[70.0, 90.0, 75.0, 99.0]],
    "beyond the left": [[-90.0, 30.0, -20.0, 50.0]],
    "beyond the right": [[170.0, 30.0, 200.0, 50.0]],
    "beyond the bottom": [[30.0, 120.0, 50.0, 1e6]],
    "all over": [[-50.0, -50.0, 300.0, 300.0]],
    "apart": [[10.2, 10.1, 30.9, 20.4], [100.3, 60.7, 140.2, 70.9]],
    "nobody": [],
}


@pytest.mark.parametrize("boxes", BOXES.values(), ids=BOXES)
@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("aligned", [False, True])
@torch.inference_mode()
def test_pooling_from_the_window_is_pooling_from_the_map(model, boxes, sampling_ratio, aligned):
    model = copy.copy(model)
    settings = {"pool_size": 7, "sampling_ratio": sampling_ratio, "aligned": aligned}
    model.config = TINY.replace(**{f"dense.{key}": value for key, value in settings.items()})
    features = pyramid((3, 5), 32, images=2)
    everyone = torch.tensor(boxes).reshape(-1, 4)
    for people in ([everyone, everyone[:0]], [everyone[:1], everyone.flip(0)]):
        expected = pool_pyramid([model.decoder(features)], people, **settings)
        torch.testing.assert_close(
            model.pool_people([*features, features[-1]], people), expected, atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("aligned", [False, True])
def test_window_is_small(aligned):
    boxes = torch.tensor([[40.0, 80.0, 80.0, 100.0], [60.0, 90.0, 120.0, 120.0]])
    rows, columns = window_of(boxes, (200, 300), scale=0.25, aligned=aligned)
    assert rows == range(18 if aligned else 19, 32 if aligned else 33)
    assert columns == range(8 if aligned else 9, 32 if aligned else 33)


def test_gradients_are_those_of_the_map(model):
    model = copy.deepcopy(model).double()
    decoder = model.decoder
    features = [level.double().requires_grad_() for level in pyramid((3, 5), 32, images=2)]
    people = [torch.tensor(box).double() for box in (BOXES["inside"], BOXES["apart"])]
    pooled = model.pool_people(features, people)
    expected = pool_pyramid(
        [decoder(features)], people, pool_size=28, sampling_ratio=2, aligned=False
    )
    leaves = [*features, *decoder.parameters()]
    gradients = torch.autograd.grad(pooled.square().sum(), leaves)
    torch.testing.assert_close(gradients, torch.autograd.grad(expected.square().sum(), leaves))
