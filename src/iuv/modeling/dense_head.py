"""Heads of the dense branch: from a person's pooled features to features for the chart predictor.

R: boxes. C: channels. P: pooled size.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iuv.config import DenseConfig
from iuv.modeling.layers import BatchNorm2d, ConvNorm

__all__ = ["ConvHead", "DeepLabHead"]

_GROUPS = 32
_ASPP_RATES = (6, 12, 56)


class ConvHead(nn.Module):
    """3x3 convolutions with ReLU, and batch norm if wanted: [R, C_in, P, P] → [R, conv_dim, P, P].

    Source: Güler et al., DensePose (2018), section 4.
    """

    def __init__(self, in_channels: int, config: DenseConfig) -> None:
        super().__init__()
        self.convs = _conv_stack(in_channels, config, BatchNorm2d if config.batch_norm else None)

    def forward(self, x: Tensor) -> Tensor:
        """Return the head's features."""
        for conv in self.convs:
            x = conv(x)
        return x


class DeepLabHead(nn.Module):
    """ASPP, optional self-attention, then 3x3 convolutions with group norm and ReLU.

    [R, C_in, P, P] → [R, conv_dim, P, P]. Sources: Chen et al., Rethinking Atrous Convolution
    (2017); Wang et al., Non-local Neural Networks (2018).
    """

    def __init__(self, in_channels: int, config: DenseConfig) -> None:
        super().__init__()
        self.aspp = _ASPP(in_channels)
        self.attention = _NonLocal(in_channels) if config.nonlocal_block else None
        self.convs = _conv_stack(in_channels, config, _group_norm if config.group_norm else None)

    def forward(self, x: Tensor) -> Tensor:
        """Return the head's features."""
        x = self.aspp(x)
        if self.attention is not None:
            x = self.attention(x)
        for conv in self.convs:
            x = conv(x)
        return x


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(_GROUPS, channels)


def _conv_stack(
    in_channels: int, config: DenseConfig, norm: Callable[[int], nn.Module] | None
) -> nn.ModuleList:
    channels = [in_channels] + [config.conv_dim] * config.num_convs
    return nn.ModuleList(
        ConvNorm(before, after, 3, norm(after) if norm else None, relu=True)
        for before, after in pairwise(channels)
    )


class _ASPP(nn.Module):
    """Atrous spatial pyramid pooling: the same map seen at several dilations and as a whole."""

    def __init__(self, channels: int) -> None:
        super().__init__()

        def norm() -> nn.GroupNorm:
            return nn.GroupNorm(_GROUPS, channels)

        self.branches = nn.ModuleList([ConvNorm(channels, channels, 1, norm(), relu=True)])
        for rate in _ASPP_RATES:
            branch = ConvNorm(channels, channels, 3, norm(), relu=True, dilation=rate)
            self.branches.append(branch)
        self.pooled = ConvNorm(channels, channels, 1, norm(), relu=True)
        self.project = nn.Conv2d(5 * channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        branches = [branch(x) for branch in self.branches]
        whole = self.pooled(x.mean(dim=(2, 3), keepdim=True))
        branches.append(whole.expand_as(x))
        return F.relu_(self.project(torch.cat(branches, dim=1)))


class _NonLocal(nn.Module):
    """Every position attends to a subsampled map; unscaled dot products, as in the reference."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = channels // 2
        self.query = nn.Conv2d(channels, width, 1)
        self.key = nn.Conv2d(channels, width, 1)
        self.value = nn.Conv2d(channels, width, 1)
        self.project = nn.Conv2d(width, channels, 1)
        self.norm = nn.GroupNorm(_GROUPS, channels)

    def forward(self, x: Tensor) -> Tensor:
        query = self.query(x).flatten(2)  # [R, width, P * P]
        key = F.max_pool2d(self.key(x), 2).flatten(2)
        value = F.max_pool2d(self.value(x), 2).flatten(2)
        attention = torch.softmax(query.transpose(1, 2) @ key, dim=-1)
        attended = (value @ attention.transpose(1, 2)).unflatten(2, x.shape[2:])
        out: Tensor = x + self.norm(self.project(attended))
        return out
