"""That compiled parts compute the same, and how often they are compiled: without a compiler."""

from __future__ import annotations

import itertools

import pytest
import torch

from iuv.runtime.compiled import compile_parts
from iuv.runtime.eager import prepare_eager
from tiny import TINY, tiny_model

pytestmark = pytest.mark.slow

SMALL = TINY.replace(**{"backbone.depth": 18, "backbone.width": 16, "dense.num_convs": 2})
USUAL = [(416, 416), (384, 448), (448, 384), (416, 640), (640, 416), (480, 512), (512, 480)]
LITTLE = [(64, 96), (96, 64), (128, 160), (160, 128), (64, 64), (192, 96), (256, 320), (320, 384)]


@pytest.fixture
def graphs():
    """What has been compiled."""
    torch._dynamo.reset()  # what torch remembers of other tests counts towards its limit
    yield []
    torch._dynamo.reset()


@pytest.fixture
def models(graphs):
    """One that runs as it is, and the same with parts that are traced, but not compiled."""

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    plain, compiled = (prepare_eager(tiny_model(SMALL), torch.device("cpu")) for _ in range(2))
    assert compile_parts(compiled, backend) is compiled
    with torch.inference_mode():
        yield plain, compiled


def photos(count, size):
    """Network inputs, laid out as the predictor's are."""
    values = torch.Generator().manual_seed(0)
    return torch.randn(count, *size, 3, generator=values).permute(0, 3, 1, 2)


def assert_same(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        if isinstance(one, torch.Tensor):
            assert torch.equal(one, other)  # the same operators
        elif one is not None:
            assert_same(one, other)


def test_the_resnet_is_compiled_for_one_image_and_for_several(models, graphs):
    """Of any sizes: the first is a square, and the first batch as large as there are colours."""
    plain, compiled = (model.trunk.resnet for model in models)
    for count, sizes, limit in (
        (1, USUAL, 1),
        (3, LITTLE, 2),
        (2, LITTLE, 2),
        (15, LITTLE[:2], 2),
        (16, LITTLE[:2], 3),
        (17, LITTLE[2:4], 3),
        (1, USUAL[:2], 3),
    ):
        for size in sizes:
            images = photos(count, size)
            assert_same(compiled(images), plain(images))
            assert len(graphs) <= limit, f"at {count} images of {size}"


@pytest.mark.parametrize(
    ("part", "cases"),
    [
        ("box_head", [((7, 2, 30, 1000), 1), ((1,), 2), ((0,), 3), ((0, 1, 5, 16), 3)]),
        ("dense", [((14, 2, 15), 1), ((1,), 2), ((16, 17), 3), ((1, 3, 18), 3)]),
    ],
)
def test_heads_are_compiled_for_one_box_and_for_several(models, graphs, part, cases):
    plain, compiled = (model.get_submodule(part) for model in models)
    size = getattr(SMALL, part.removesuffix("_head")).pool_size
    for counts, limit in cases:
        for count in counts:
            pooled = torch.randn(count, size, size, SMALL.backbone.fpn_channels)
            pooled = pooled.permute(0, 3, 1, 2)
            assert_same(compiled(pooled), plain(pooled))
        assert len(graphs) <= limit


def test_people_anywhere_are_read_without_compiling_again(models, graphs):
    """Each group of people is another window of the decoder."""
    plain, compiled = models
    features = plain.trunk(photos(1, (256, 320))).features
    for left, top, side, count in itertools.product((0, 141), (3, 90), (40, 111), (1, 3)):
        corner = torch.tensor([left, top, left, top])
        box = torch.tensor([0.0, 0.0, side, side + 9]) + corner
        boxes = [box + 7 * torch.arange(count)[:, None]]
        assert_same(compiled.read_charts(features, boxes), plain.read_charts(features, boxes))
    assert len(graphs) == 2


def test_small_images_are_few_cases(models, graphs):
    """The whole network, from the least image to those of the usual size."""
    plain, compiled = models
    found = set()
    for size in [*LITTLE, *USUAL[1:3]]:
        images, sizes = photos(1, size), [(size[0] - 5, size[1] - 9)]
        expected = plain(images, sizes)
        assert_same(compiled(images, sizes), expected)
        found.add(len(expected[0].boxes))
    assert max(found) > 0
    trunk, box_head, dense = 5, 1, 2
    assert len(graphs) <= trunk + box_head + dense
