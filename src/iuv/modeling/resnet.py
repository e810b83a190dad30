"""ResNet-18, -50 and -101 with frozen batch norm, the stride in a block's first convolution.

N: images. H, W: input size. Source: He et al., Deep Residual Learning (2015); the placement of the
stride is that of the MSRA weights, parity with Detectron2.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from iuv.modeling.layers import ConvNorm, FrozenBatchNorm2d

__all__ = ["ResNet"]

_BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def _conv(
    in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, relu: bool = True
) -> ConvNorm:
    norm = FrozenBatchNorm2d(out_channels)
    return ConvNorm(in_channels, out_channels, kernel_size, norm, stride=stride, relu=relu)


class _Basic(nn.Module):
    """Two 3x3 convolutions."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.shortcut = (
            _conv(in_channels, out_channels, 1, stride=stride, relu=False)
            if in_channels != out_channels
            else None
        )
        self.conv1 = _conv(in_channels, out_channels, 3, stride=stride)
        self.conv2 = _conv(out_channels, out_channels, 3, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.shortcut is None else self.shortcut(x)
        out = self.conv2(self.conv1(x))
        out += shortcut
        return F.relu_(out)


class _Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions; the middle one has a quarter of the channels."""

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


def _stage(depth: int, stage: int, in_channels: int, out_channels: int) -> nn.Sequential:
    """Return res2 (stage 0), res3, ...; all but res2 halve the size."""
    block = _Basic if depth == 18 else _Bottleneck
    first = block(in_channels, out_channels, stride=1 if stage == 0 else 2)
    rest = [block(out_channels, out_channels, 1) for _ in range(_BLOCKS[depth][stage] - 1)]
    return nn.Sequential(first, *rest)


class ResNet(nn.Module):
    """[N, 3, H, W] → res2..res5 with `channels` channels at strides 4, 8, 16, 32."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        width = 64 if depth == 18 else 256
        self.channels = (width, width * 2, width * 4, width * 8)
        self.stem = _conv(3, 64, 7, stride=2)
        self.res2 = _stage(depth, 0, 64, self.channels[0])
        self.res3 = _stage(depth, 1, self.channels[0], self.channels[1])
        self.res4 = _stage(depth, 2, self.channels[1], self.channels[2])
        self.res5 = _stage(depth, 3, self.channels[2], self.channels[3])

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return res2, res3, res4, res5 of normalised images."""
        x = F.max_pool2d(self.stem(images), kernel_size=3, stride=2, padding=1)
        res2 = self.res2(x)
        res3 = self.res3(res2)
        res4 = self.res4(res3)
        return res2, res3, res4, self.res5(res4)
