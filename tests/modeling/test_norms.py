"""Norms in pyramid, decoder and head, of models that begin with random weights."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from iuv.config import ConfigError, DenseConfig
from iuv.modeling.rcnn import RCNN
from iuv.runtime.eager import prepare_eager
from tiny import TINY

NORMED = TINY.replace(
    **{
        "backbone.depth": 18,
        "backbone.width": 8,
        "backbone.norm": "batch_norm",
        "backbone.fpn_norm": True,
        "dense.batch_norm": True,
    }
)


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = RCNN(NORMED).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return model


def test_where_they_are(model):
    norms = {
        n.rpartition(".")[0] for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)
    }
    assert {
        "trunk.fpn.lateral2",
        "trunk.fpn.output5",
        "decoder.p5.2",
        "dense.head.convs.0",
    } <= norms
    assert not any(isinstance(m, nn.BatchNorm2d) for m in RCNN(TINY).modules())


@torch.no_grad()
def test_folding_keeps_the_numbers(model):
    folded = prepare_eager(copy.deepcopy(model), torch.device("cpu"))
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    images = torch.randn(1, 3, 64, 96) * 50
    boxes = [torch.tensor([[4.0, 6.0, 60.0, 50.0]])]
    plain, lean = model.trunk(images).features, folded.trunk(images).features
    for a, b in zip(plain, lean, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * a.abs().max().item())
    a, b = model.read_charts(plain, boxes)[0].u, folded.read_charts(plain, boxes)[0].u
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * a.abs().max().item())


def test_width():
    model = RCNN(NORMED)
    assert model.trunk.resnet.channels == (8, 16, 32, 64)
    assert RCNN(TINY.replace(**{"backbone.width": 16})).trunk.resnet.channels == (64, 128, 256, 512)


def test_deeplab_has_group_norm():
    with pytest.raises(ConfigError, match="group_norm"):
        DenseConfig(head="deeplab", batch_norm=True)
