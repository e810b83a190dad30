from __future__ import annotations

import pytest
import torch

from iuv.modeling.resnet import ResNet


@pytest.mark.parametrize(
    ("depth", "width", "parameters"),
    [(18, 64, 11_166_912), (50, 256, 23_454_912), (101, 256, 42_394_816)],
)
def test_stages(depth, width, parameters):
    """As many numbers in convolutions as in the published networks, without their classifiers."""
    with torch.device("meta"):
        resnet = ResNet(depth)
        stages = resnet(torch.zeros(1, 3, 64, 96))
    assert resnet.channels == (width, width * 2, width * 4, width * 8)
    for stage, channels, stride in zip(stages, resnet.channels, (4, 8, 16, 32), strict=True):
        assert stage.shape == (1, channels, 64 // stride, 96 // stride)
    assert sum(p.numel() for p in resnet.parameters()) == parameters
