"""The network of fixed shapes finds what the plain one finds, before it is traced."""

from __future__ import annotations

import pytest
import torch

from iuv.export.network import WholeNetwork
from iuv.export.torch_operators import TorchOperators
from iuv.modeling.rcnn import RCNN, network_input
from iuv.ops.boxes import nms
from iuv.ops.roi_align import pool_pyramid
from iuv.predictor import padded_size
from tiny import TINY, tiny_model

SMALL = TINY.replace(
    **{"backbone.depth": 18, "backbone.width": 16, "box.max_people": 6, "dense.pool_size": 8}
)
VARIANTS = {
    "plain": SMALL,
    "aligned": SMALL.replace(**{"box.aligned": True, "dense.aligned": True}),
    "legacy": SMALL.replace(
        **{"dense.decoder": False, "dense.pool_size": 6, "dense.coarse_channels": 15}
    ),
    "adaptive": SMALL.replace(
        **{
            "dense.decoder": False,
            "dense.pool_size": 6,
            "dense.sampling_ratio": 0,
            "box.sampling_ratio": 0,
        }
    ),
    "deeplab": SMALL.replace(
        **{
            "backbone.fpn_channels": 64,
            "dense.head": "deeplab",
            "dense.uv_confidence": "indep_aniso",
            "dense.segm_confidence": True,
        }
    ),
    "classes": SMALL.replace(**{"box.num_classes": 3}),
    "large people": SMALL.replace(**{"box.min_size": 0.2}),
}


@pytest.fixture
def plain_loop(monkeypatch):
    """A loop that torch does not compile first, which takes longer than all the rest."""

    def loop(condition, body, values):
        while condition(*values):
            values = body(*values)
        return values

    monkeypatch.setattr("iuv.export.torch_operators.while_loop", loop)


def noise_image(height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=generator)


@torch.no_grad()
def plainly(model: RCNN, image) -> dict:
    """What `RCNN.forward` finds, with the names of an exported model's outputs."""
    size = (image.shape[0], image.shape[1])
    batch = network_input([image], padded_size(size), model.config.input)
    (found,) = model(batch, [size])
    maps = {name: m for name, m in found.charts._asdict().items() if m is not None}
    return {"boxes": found.boxes, "scores": found.scores, "classes": found.classes, **maps}


def assert_same(actual: dict, expected: dict, atol: float = 1e-3):
    assert list(actual) == list(expected)
    for name, value in expected.items():
        got = torch.as_tensor(actual[name])
        assert got.dtype == value.dtype
        torch.testing.assert_close(
            got, value, rtol=1e-3, atol=atol, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.usefixtures("plain_loop")
@pytest.mark.parametrize("variant", sorted({*VARIANTS} - {"adaptive"}))
@torch.no_grad()
def test_it_finds_what_the_plain_network_finds(variant):
    model = tiny_model(VARIANTS[variant]).eval().requires_grad_(False)
    network = WholeNetwork(model, TorchOperators())
    for size in ((64, 85), (33, 20)):
        image = noise_image(*size)
        expected = plainly(model, image)
        assert len(expected["boxes"]) > 2
        assert_same(network(image), expected)


@pytest.mark.usefixtures("plain_loop")
@torch.no_grad()
def test_nobody():
    model = tiny_model(SMALL.replace(**{"box.min_score": 1.0})).eval()
    outputs = WholeNetwork(model, TorchOperators())(noise_image(40, 60))
    assert_same(outputs, plainly(model, noise_image(40, 60)))
    assert len(outputs["boxes"]) == 0
    assert outputs["fine_segm"].shape == (0, 25, 32, 32)


@pytest.mark.usefixtures("plain_loop")
@torch.no_grad()
def test_boxes_that_are_not_finite_are_nobody():
    model = tiny_model(SMALL).eval()
    model.box_head.deltas.bias[0] = torch.nan
    assert len(WholeNetwork(model, TorchOperators())(noise_image(40, 60))["boxes"]) == 0


def test_suppression_within_groups():
    generator = torch.Generator().manual_seed(2)
    corners = torch.rand(3, 40, 2, generator=generator) * 20
    boxes = torch.cat([corners, corners + 4 + torch.rand(3, 40, 2, generator=generator) * 9], dim=2)
    scores = torch.rand(3, 40, generator=generator).sort(dim=1, descending=True).values
    scores[1, 25:] = -torch.inf
    kept = TorchOperators().suppress(boxes, scores, 0.3)
    assert not kept[1, 25:].any()
    for group, count in enumerate((40, 25, 40)):
        expected = nms(boxes[group, :count], scores[group, :count], 0.3)
        assert kept[group].nonzero()[:, 0].tolist() == expected.tolist()
        assert 1 < len(expected) < count


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("levels", [1, 4])
def test_pooling(levels, aligned):
    generator = torch.Generator().manual_seed(4)
    sides = [(40 >> level, 56 >> level) for level in range(levels)]
    features = [torch.randn(1, 5, *side, generator=generator) for side in sides]
    corners = torch.rand(30, 2, generator=generator) * 150 - 20
    sizes = torch.rand(30, 2, generator=generator) ** 3 * 700
    boxes = torch.cat([corners, corners + sizes], dim=1)
    options = {"pool_size": 3, "sampling_ratio": 2, "aligned": aligned}
    expected = pool_pyramid(features, [boxes], **options)
    torch.testing.assert_close(TorchOperators().pool(features, boxes, **options), expected)
