"""The default engine: eager torch, with the graph made as lean as exactness allows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from iuv.modeling.layers import ConvNorm, FrozenBatchNorm2d
from iuv.modeling.rcnn import RCNN, TrunkOutputs
from iuv.ops.winograd import Workspace, winograd_convolution, winograd_fits, winograd_pays
from iuv.results import ChartOutputs

__all__ = ["fold_batch_norm", "prepare_eager", "use_winograd", "without_winograd"]

_BATCH_NORMS = (nn.BatchNorm2d, FrozenBatchNorm2d)


_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def prepare_eager(model: RCNN, device: torch.device, precision: str = "fp32") -> RCNN:
    """Make a loaded model ready for inference on a device, in place.

    Batch norms are folded into their convolutions, weights are laid out channels-last, and
    gradients are switched off. In fp32, results change by float rounding only.

    Args:
        model: with its weights.
        device: where to run.
        precision: "fp32", "bf16" or "fp16", of the heavy parts. What lies between them, and the
            boxes, scores and maps that come out, stay float32.
    """
    model.eval().requires_grad_(False)
    fold_batch_norm(model)
    model.box_head.lay_out_channels_last()
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks this overload
    if precision != "fp32":
        _lower(model, _DTYPES[precision])
    return model


def _lower(model: RCNN, dtype: torch.dtype) -> None:
    """Have the heavy parts compute with another type, in place."""

    def narrow(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(_cast(value, dtype) for value in inputs)

    def widen(_: nn.Module, __: tuple[Any, ...], outputs: Any) -> Any:
        if isinstance(outputs, TrunkOutputs):  # features stay: other parts take them so
            return outputs._replace(
                logits=_cast(outputs.logits, torch.float32),
                deltas=_cast(outputs.deltas, torch.float32),
            )
        return _cast(outputs, torch.float32)

    for part in (model.trunk, model.box_head, model.dense, model.decoder):
        if part is not None:
            part.to(dtype)
            part.register_forward_pre_hook(narrow)
            if part is not model.decoder:
                part.register_forward_hook(widen)


def _cast(value: Any, dtype: torch.dtype) -> Any:
    """Tensors in lists and tuples, as another type."""
    if isinstance(value, Tensor):
        return value.to(dtype)
    if isinstance(value, ChartOutputs):
        return ChartOutputs(*(_cast(maps, dtype) for maps in value))
    if isinstance(value, list | tuple) and all(isinstance(item, Tensor) for item in value):
        return type(value)([item.to(dtype) for item in value])
    return value


class _WinogradConv2d(nn.Conv2d):
    """A 3 x 3 convolution that multiplies less where the map is large enough for that to pay."""

    workspace: Workspace

    def forward(self, x: Tensor) -> Tensor:
        """Return the same map as `torch.nn.Conv2d`."""
        if winograd_pays(x):
            return winograd_convolution(x, self.weight, self.bias, self.workspace)
        return super().forward(x)


def use_winograd(model: RCNN) -> RCNN:
    """Have all convolutions that may gain by `iuv.ops.winograd` run by it, in place.

    Args:
        model: in float32 on a processor, without gradients.
    """
    workspace = Workspace()
    for conv in [m for m in model.modules() if type(m) is nn.Conv2d and winograd_fits(m)]:
        _become(conv, _WinogradConv2d)  # its parameters, settings and names stay
        vars(conv)["workspace"] = workspace
    return model


@contextlib.contextmanager
def without_winograd(model: RCNN) -> Iterator[None]:
    """Have all convolutions run as they are written, for a while; to count their arithmetic."""
    changed = [conv for conv in model.modules() if isinstance(conv, _WinogradConv2d)]
    for conv in changed:
        _become(conv, nn.Conv2d)
    try:
        yield
    finally:
        for conv in changed:
            _become(conv, _WinogradConv2d)


def _become(conv: nn.Conv2d, kind: type[nn.Conv2d]) -> None:
    conv.__class__ = kind


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
