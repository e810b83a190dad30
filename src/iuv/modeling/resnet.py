"""ResNet-18, -50 and -101 with batch norm, the stride in a block's first convolution.

N: images. H, W: input size. Source: He et al., Deep Residual Learning (2015); the placement of the
stride is that of the MSRA weights, parity with Detectron2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from iuv.config import BackboneConfig
from iuv.modeling.layers import BatchNorm2d, ConvNorm, FrozenBatchNorm2d

__all__ = ["ResNet"]

_BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


_MakeNorm = Callable[[int], nn.Module]
_NORMS: Mapping[str, _MakeNorm] = {
    "frozen_batch_norm": FrozenBatchNorm2d,
    "batch_norm": BatchNorm2d,
}


def _conv(
    norm: _MakeNorm,
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    stride: int = 1,
    relu: bool = True,
) -> ConvNorm:
    return ConvNorm(
        in_channels, out_channels, kernel_size, norm(out_channels), stride=stride, relu=relu
    )


class _Basic(nn.Module):
    """Two 3x3 convolutions."""

    def __init__(self, norm: _MakeNorm, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        conv = partial(_conv, norm)
        self.shortcut = (
            conv(in_channels, out_channels, 1, stride=stride, relu=False)
            if in_channels != out_channels
            else None
        )
        self.conv1 = conv(in_channels, out_channels, 3, stride=stride)
        self.conv2 = conv(out_channels, out_channels, 3, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.shortcut is None else self.shortcut(x)
        out = self.conv2(self.conv1(x))
        out += shortcut
        return F.relu_(out)


class _Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions; the middle one has a quarter of the channels."""

    def __init__(self, norm: _MakeNorm, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        conv = partial(_conv, norm)
        width = out_channels // 4
        self.shortcut = (
            conv(in_channels, out_channels, 1, stride=stride, relu=False)
            if in_channels != out_channels
            else None
        )
        self.conv1 = conv(in_channels, width, 1, stride=stride)
        self.conv2 = conv(width, width, 3)
        self.conv3 = conv(width, out_channels, 1, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.shortcut is None else self.shortcut(x)
        out = self.conv3(self.conv2(self.conv1(x)))
        out += shortcut
        return F.relu_(out)


class ResNet(nn.Module):
    """[N, 3, H, W] → res2..res5 with `channels` channels at strides 4, 8, 16, 32."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        res2 = config.width * (1 if config.depth == 18 else 4)
        self.channels = (res2, res2 * 2, res2 * 4, res2 * 8)
        self.stem = _conv(_NORMS[config.norm], 3, config.width, 7, stride=2)
        self.res2 = self._stage(config, 0, config.width)
        self.res3 = self._stage(config, 1, self.channels[0])
        self.res4 = self._stage(config, 2, self.channels[1])
        self.res5 = self._stage(config, 3, self.channels[2])

    def _stage(self, config: BackboneConfig, index: int, in_channels: int) -> nn.Sequential:
        """Return res2 (index 0), res3, ...; all but res2 halve the size."""
        block = partial(_Basic if config.depth == 18 else _Bottleneck, _NORMS[config.norm])
        channels = self.channels[index]
        first = block(in_channels, channels, stride=1 if index == 0 else 2)
        rest = [block(channels, channels, 1) for _ in range(_BLOCKS[config.depth][index] - 1)]
        return nn.Sequential(first, *rest)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return res2, res3, res4, res5 of normalised images."""
        x = F.max_pool2d(self.stem(images), kernel_size=3, stride=2, padding=1)
        res2 = self.res2(x)
        res3 = self.res3(res2)
        res4 = self.res4(res3)
        return res2, res3, res4, self.res5(res4)
