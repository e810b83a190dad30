"""ResNet-50 and ResNet-101 with frozen batch norm, the stride in the first 1x1 convolution.

N: images. H, W: input size. Source: He et al., Deep Residual Learning (2015); the placement of the
stride is that of the MSRA weights, parity with Detectron2.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from iuv.modeling.layers import ConvNorm, FrozenBatchNorm2d

__all__ = ["STAGE_CHANNELS", "ResNet"]

_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}

STAGE_CHANNELS = (256, 512, 1024, 2048)
"""Output channels of res2, res3, res4, res5, whose strides are 4, 8, 16, 32."""


def _conv(
    in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, relu: bool = True
) -> ConvNorm:
    norm = FrozenBatchNorm2d(out_channels)
    return ConvNorm(in_channels, out_channels, kernel_size, norm, stride=stride, relu=relu)


class _Bottleneck(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        width = out_channels // 4
        self.shortcut = (
            _conv(in_channels, out_channels, 1, stride=stride, relu=False)
            if in_channels != out_channels
            else None
        )
        self.conv1 = _conv(in_channels, width, 1, stride=stride)
        self.conv2 = _conv(width, width, 3)
        self.conv3 = _conv(width, out_channels, 1, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.shortcut is None else self.shortcut(x)
        out = self.conv3(self.conv2(self.conv1(x)))
        out += shortcut
        return F.relu_(out)


def _stage(blocks: int, in_channels: int, out_channels: int, *, stride: int) -> nn.Sequential:
    first = _Bottleneck(in_channels, out_channels, stride)
    rest = [_Bottleneck(out_channels, out_channels, 1) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


class ResNet(nn.Module):
    """[N, 3, H, W] → res2..res5 with `STAGE_CHANNELS` channels at strides 4, 8, 16, 32."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.stem = _conv(3, 64, 7, stride=2)
        blocks = _BLOCKS[depth]
        self.res2 = _stage(blocks[0], 64, STAGE_CHANNELS[0], stride=1)
        self.res3 = _stage(blocks[1], STAGE_CHANNELS[0], STAGE_CHANNELS[1], stride=2)
        self.res4 = _stage(blocks[2], STAGE_CHANNELS[1], STAGE_CHANNELS[2], stride=2)
        self.res5 = _stage(blocks[3], STAGE_CHANNELS[2], STAGE_CHANNELS[3], stride=2)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return res2, res3, res4, res5 of normalised images."""
        x = F.max_pool2d(self.stem(images), kernel_size=3, stride=2, padding=1)
        res2 = self.res2(x)
        res3 = self.res3(res2)
        res4 = self.res4(res3)
        return res2, res3, res4, self.res5(res4)
