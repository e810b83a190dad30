"""Layers shared by the networks.

N: images or boxes. C: channels. H, W: feature map.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["BatchNorm2d", "ConvNorm", "FrozenBatchNorm2d"]


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm that learns; its state has the entries of a frozen one, no count of batches."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.num_batches_tracked = None  # of use only without a momentum

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *rest: Any
    ) -> None:
        # By its version, torch would take the state for an old one and make up a count.
        super()._load_from_state_dict(state_dict, prefix, {**local_metadata, "version": 2}, *rest)


class FrozenBatchNorm2d(nn.Module):
    """Batch norm whose statistics and affine parameters are fixed: four buffers, no parameters."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        # No arithmetic: on the meta device it would have torch import a second's worth of modules.
        self.register_buffer("running_var", torch.full((channels,), 1 - eps))

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """Return [C], [C]: the layer is ``x * scale + shift``."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] → [N, C, H, W]."""
        scale, shift = self.scale_and_shift()
        return x * scale[:, None, None] + shift[:, None, None]


class ConvNorm(nn.Module):
    """A convolution, a norm, and a ReLU; the convolution has a bias only if there is no norm.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd; the padding keeps the size.
        norm: the layer after the convolution, or None.
        relu: whether a ReLU follows.
        stride: of the convolution.
        dilation: of the convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        norm: nn.Module | None,
        *,
        relu: bool = False,
        stride: int = 1,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=dilation * (kernel_size // 2),
            dilation=dilation,
            bias=norm is None,
        )
        self.norm = norm if norm is not None else nn.Identity()
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] → [N, C_out, H', W']."""
        out: Tensor = self.norm(self.conv(x))
        return F.relu_(out) if self.relu else out
