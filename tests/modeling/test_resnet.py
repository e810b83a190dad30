from __future__ import annotations

import pytest
import torch

from iuv.config import BackboneConfig
from iuv.modeling.resnet import ResNet


@pytest.mark.parametrize(
    ("depth", "width", "parameters"),
    [(18, 64, 11_166_912), (50, 256, 23_454_912), (101, 256, 42_394_816)],
)
def test_stages(depth, width, parameters):
    """As many numbers in convolutions as in the published networks, without their classifiers."""
    with torch.device("meta"):
        resnet = ResNet(BackboneConfig(depth=depth))
        stages = resnet(torch.zeros(1, 3, 64, 96))
    assert resnet.channels == (width, width * 2, width * 4, width * 8)
    for stage, channels, stride in zip(stages, resnet.channels, (4, 8, 16, 32), strict=True):
        assert stage.shape == (1, channels, 64 // stride, 96 // stride)
    assert sum(p.numel() for p in resnet.parameters()) == parameters


def test_either_norm_predicts_the_same():
    """What batch norm has learnt is what a frozen one holds, entry by entry."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        learning = ResNet(BackboneConfig(depth=18, norm="batch_norm"))
        images = torch.randn(2, 3, 64, 64)
        learning(images)  # moves the running statistics
    frozen = ResNet(BackboneConfig(depth=18))
    frozen.load_state_dict(learning.state_dict())
    for ours, theirs in zip(learning.eval()(images), frozen(images), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_random_batch_norms_keep_features_in_bounds():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        resnet = ResNet(BackboneConfig(norm="batch_norm"))
        stages = resnet(torch.randn(2, 3, 64, 64))
    assert all(stage.std() < 5 for stage in stages)


def test_weights_of_a_learning_norm_load_from_plain_data():
    """As they come from a file, without torch's notes on versions."""
    resnet = ResNet(BackboneConfig(depth=18, norm="batch_norm"))
    assert not [name for name in resnet.state_dict() if "num_batches" in name]
    resnet.load_state_dict(dict(resnet.state_dict()))
