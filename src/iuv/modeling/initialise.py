"""Random weights to begin training with; parity with Detectron2's distributions.

What is not named here keeps torch's defaults: the ASPP's and the self-attention's convolutions, and
group norms (weight 1, bias 0).
"""

from __future__ import annotations

from torch import nn

from iuv.modeling.dense_head import DeepLabHead
from iuv.modeling.rcnn import RCNN

__all__ = ["initialise"]


def initialise(model: RCNN) -> None:
    """Draw new weights from torch's global generator, in place."""
    for layer in _layers(model.trunk.resnet):
        _kaiming_normal(layer)
    for layer in _layers(model.trunk.fpn):
        _kaiming_uniform(layer)
    for layer in _layers(model.trunk.rpn):
        _normal(layer, 0.01)
    _kaiming_uniform(model.box_head.fc1)
    _kaiming_uniform(model.box_head.fc2)
    _normal(model.box_head.cls, 0.01)
    _normal(model.box_head.deltas, 0.001)
    if model.decoder is not None:
        for layer in _layers(model.decoder):
            _kaiming_normal(layer)
    head = model.dense.head
    for layer in _layers(head.convs):
        _kaiming_normal(layer)
    if isinstance(head, DeepLabHead) and head.attention is not None:
        # The block begins as the identity: what it adds is scaled by 0.
        nn.init.zeros_(head.attention.norm.weight)
    for layer in _layers(model.dense.chart):
        _kaiming_normal(layer)


_Layer = nn.Conv2d | nn.ConvTranspose2d | nn.Linear


def _layers(module: nn.Module) -> list[_Layer]:
    return [layer for layer in module.modules() if isinstance(layer, _Layer)]


def _kaiming_normal(layer: _Layer) -> None:
    # Of a transposed convolution, whose weight is [in, out, k, k], this takes the input channels
    # for the outgoing ones, as the reference does.
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    _no_bias(layer)


def _kaiming_uniform(layer: _Layer) -> None:
    nn.init.kaiming_uniform_(layer.weight, a=1)
    _no_bias(layer)


def _normal(layer: _Layer, std: float) -> None:
    nn.init.normal_(layer.weight, std=std)
    _no_bias(layer)


def _no_bias(layer: _Layer) -> None:
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
