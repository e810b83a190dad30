"""The default engine: eager torch, with the graph made as lean as exactness allows."""

from __future__ import annotations

import torch
from torch import nn

from iuv.modeling.layers import ConvNorm, FrozenBatchNorm2d
from iuv.modeling.rcnn import RCNN

__all__ = ["fold_batch_norm", "prepare_eager"]

_BATCH_NORMS = (nn.BatchNorm2d, FrozenBatchNorm2d)


def prepare_eager(model: RCNN, device: torch.device) -> RCNN:
    """Make a loaded model ready for inference on a device, in place.

    The ResNet's batch norms are folded into their convolutions, weights are laid out channels-last,
    and gradients are switched off. Results change by float rounding only.
    """
    model.eval().requires_grad_(False)
    fold_batch_norm(model)
    return model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]  # torch's stub lacks this overload


def fold_batch_norm(module: nn.Module) -> None:
    """Replace every convolution + batch norm by one convolution with a bias, in place.

    The product is formed in float64 and rounded once.
    """
    for unit in module.modules():
        if not (isinstance(unit, ConvNorm) and isinstance(unit.norm, _BATCH_NORMS)):
            continue
        norm = FrozenBatchNorm2d(unit.conv.out_channels, unit.norm.eps).double()
        norm.load_state_dict(unit.norm.state_dict())
        scale, shift = norm.scale_and_shift()
        weight = unit.conv.weight.double() * scale[:, None, None, None]
        dtype = unit.conv.weight.dtype
        unit.conv.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
        unit.conv.bias = nn.Parameter(shift.to(dtype), requires_grad=False)
        unit.norm = nn.Identity()
