from __future__ import annotations

import math

import pytest
import torch

from iuv.config import ModelConfig
from iuv.modeling.initialise import initialise
from iuv.modeling.rcnn import RCNN

SMALL = ModelConfig().replace(
    **{
        "backbone.fpn_channels": 64,
        "box.fc_dim": 256,
        "dense.head": "deeplab",
        "dense.nonlocal_block": True,
        "dense.conv_dim": 64,
    }
)


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = RCNN(SMALL)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(9.0)  # so that what is left out shows
            for layer in model.modules():  # torch's defaults are kept for some
                if hasattr(layer, "reset_parameters"):
                    layer.reset_parameters()
        initialise(model)
    return model


# Spread expected of each kind, spec 02 section 9: fan-out is kernel area x output channels.
SPREADS = {
    "trunk.resnet.stem.conv": math.sqrt(2 / (49 * 64)),
    "trunk.resnet.res4.1.conv2.conv": math.sqrt(2 / (9 * 256)),
    "trunk.fpn.lateral5": math.sqrt(1 / 2048),
    "trunk.fpn.output2": math.sqrt(1 / (9 * 64)),
    "trunk.rpn.conv": 0.01,
    "trunk.rpn.deltas": 0.01,
    "box_head.fc1": math.sqrt(1 / (64 * 49)),
    "box_head.cls": 0.01,
    "box_head.deltas": 0.001,
    "decoder.p5.1": math.sqrt(2 / (9 * 64)),
    "decoder.project": math.sqrt(2 / 64),
    "dense.head.convs.0.conv": math.sqrt(2 / (9 * 64)),
    "dense.head.aspp.branches.1.conv": math.sqrt(1 / (3 * 9 * 64)),
    # of a transposed convolution the reference takes the input channels
    "dense.chart.u": math.sqrt(2 / (16 * 64)),
}


@pytest.mark.parametrize("name", SPREADS)
def test_spread_of_weights(model, name):
    layer = model.get_submodule(name)
    count = layer.weight.numel()
    assert layer.weight.std().item() == pytest.approx(SPREADS[name], rel=4 / math.sqrt(count))
    if layer.bias is not None:
        assert not layer.bias.any()


def test_uniform_where_the_reference_is_uniform(model):
    for name in ("trunk.fpn.lateral5", "box_head.fc1"):
        weight = model.get_submodule(name).weight
        assert weight.abs().max() <= SPREADS[name] * math.sqrt(3) * 1.0001
    assert model.trunk.rpn.conv.weight.abs().max() > 0.01 * 3  # a normal one has tails


def test_attention_begins_as_the_identity(model):
    attention = model.dense.head.attention
    x = torch.randn(1, 64, 8, 8)
    assert torch.equal(attention(x), x)


def test_an_untrained_model_believes_in_nothing(model):
    """Scores begin near one half, boxes near the anchors."""
    small = torch.zeros(1, 64, 7, 7)
    logits, deltas = model.box_head(small)
    assert logits.abs().max() < 0.1
    assert deltas.abs().max() < 0.01
