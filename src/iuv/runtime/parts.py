"""The network in four heavy parts, each a graph of tensors that another engine can run.

What lies between them (proposals, NMS, RoIAlign, read-out) depends on the numbers, costs little,
and stays with `iuv.modeling.rcnn`. Maps cross the border as [N, H, W, C]: that is how RoIAlign
reads features, and what torch's channels-last tensors are in memory, so that nothing is copied.

N: images. R: boxes. C: channels. H, W: size of a map. P: pooled size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from iuv.config import ModelConfig
from iuv.modeling.chart import output_channels
from iuv.modeling.fpn import PyramidDecoder
from iuv.modeling.rcnn import RCNN, STRIDE, TrunkOutputs
from iuv.ops.roi_align import Window
from iuv.results import ChartOutputs

__all__ = ["Part", "Run", "join", "split"]

Run = Callable[[Sequence[Tensor]], Sequence[Tensor]]
"""Runs a part: its inputs → its outputs, in the order of `Part`."""

_LEVELS = ("p2", "p3", "p4", "p5")
_COARSEST = 8  # cells of p2 along a cell of p5
_HALO = 3  # cells of p5 that the decoder's convolutions and upsampling reach beyond one


class Part(NamedTuple):
    """One graph. Its tensors are float32; their first axis is free."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    """Examples, by name."""
    outputs: tuple[str, ...]
    multiples: dict[str, int]
    """Of the inputs whose height and width are free, too: of what these are multiples."""


def split(model: RCNN) -> list[Part]:
    """Return the parts of a model; they share its weights."""
    config, channels = model.config, model.config.backbone.fpn_channels
    numbers = range(2, 2 + len(config.rpn.anchor_sizes))
    maps = tuple(f"{kind}{level}" for kind in ("logits", "deltas") for level in numbers)
    parts = [
        Part(
            "trunk",
            _Trunk(model.trunk),
            {"images": torch.zeros(2, 2 * STRIDE, 3 * STRIDE, 3)},
            (*_LEVELS, *maps),
            {"images": STRIDE},
        ),
        Part(
            "box_head",
            _PooledHead(model.box_head),
            {"pooled": torch.zeros(2, *[config.box.pool_size] * 2, channels)},
            ("logits", "deltas"),
            {},
        ),
        Part(
            "dense",
            _PooledHead(model.dense),
            {"pooled": torch.zeros(2, *[config.dense.pool_size] * 2, channels)},
            tuple(output_channels(config.dense)),
            {},
        ),
    ]
    if model.decoder is not None:
        strides = dict(zip(_LEVELS, (8, 4, 2, 1), strict=True))
        examples = {n: torch.zeros(2, 2 * k, 3 * k, channels) for n, k in strides.items()}
        parts.append(Part("decoder", _Decoder(model.decoder), examples, ("map",), strides))
    return parts


def join(config: ModelConfig, runs: Mapping[str, Run]) -> RCNN:
    """Return a model whose parts run elsewhere.

    Args:
        config: of the model.
        runs: what runs each part that `split` gives.
    """
    with torch.device("meta"):  # only to be replaced
        model = RCNN(config)
    model.add_module("trunk", _RemoteTrunk(runs["trunk"]))
    model.add_module("box_head", _RemoteBoxHead(runs["box_head"]))
    model.add_module("dense", _RemoteDense(runs["dense"], list(output_channels(config.dense))))
    if model.decoder is not None:
        model.add_module("decoder", _RemoteDecoder(runs["decoder"]))
    return model.eval()


class _Trunk(nn.Module):
    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        features, logits, deltas = self.trunk(_nchw(images))
        return tuple(map(_nhwc, (*features[: len(_LEVELS)], *logits, *deltas)))


class _PooledHead(nn.Module):
    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, pooled: Tensor) -> tuple[Tensor, ...]:
        outputs = self.head(_nchw(pooled))
        if isinstance(outputs, ChartOutputs):
            return tuple(_nhwc(maps) for maps in outputs if maps is not None)
        return tuple(outputs)


class _Decoder(nn.Module):
    def __init__(self, decoder: PyramidDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, p2: Tensor, p3: Tensor, p4: Tensor, p5: Tensor) -> tuple[Tensor]:
        return (_nhwc(self.decoder([_nchw(level) for level in (p2, p3, p4, p5)])),)


class _RemoteTrunk(nn.Module):
    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def forward(self, images: Tensor) -> TrunkOutputs:
        outputs = [_nchw(output) for output in self.run([_nhwc(images)])]
        features, maps = outputs[: len(_LEVELS)], outputs[len(_LEVELS) :]
        half = len(maps) // 2
        p6 = features[-1][:, :, ::2, ::2]
        return TrunkOutputs((*features, p6), maps[:half], maps[half:])


class _RemoteBoxHead(nn.Module):
    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        logits, deltas = _on_boxes(self.run, pooled)
        return logits, deltas


class _RemoteDense(nn.Module):
    def __init__(self, run: Run, fields: Sequence[str]) -> None:
        super().__init__()
        self.run = run
        self.fields = fields

    def forward(self, pooled: Tensor) -> ChartOutputs:
        maps = map(_nchw, _on_boxes(self.run, pooled))
        return ChartOutputs(**dict(zip(self.fields, maps, strict=True)))


class _RemoteDecoder(nn.Module):
    """Runs the decoder on a crop of the maps, large enough that its borders do not matter."""

    margin = (2 * _HALO + 1) * _COARSEST  # see `PyramidDecoder`; crops begin and end at cells of p5

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def forward(self, features: Sequence[Tensor], window: Window | None = None) -> Tensor:
        height, width = features[0].shape[-2:]
        rows, columns = window or (range(height), range(width))
        coarse = [_cells(rows, height), _cells(columns, width)]
        crops = []
        for level, feature in enumerate(features):
            factor = _COARSEST >> level
            down, across = (slice(k.start * factor, k.stop * factor) for k in coarse)
            crops.append(_nhwc(feature[:, :, down, across]).contiguous())
        (fused,) = self.run(crops)
        top, left = (cells.start * _COARSEST for cells in coarse)
        return _nchw(fused)[
            :, :, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
        ]


def _cells(cells: range, length: int) -> range:
    """The cells of p5 that decide about these of p2, along an axis with `length` of p2."""
    start = cells.start // _COARSEST - _HALO
    stop = -(-cells.stop // _COARSEST) + _HALO
    return range(max(start, 0), min(stop, length // _COARSEST))


def _on_boxes(run: Run, pooled: Tensor) -> Sequence[Tensor]:
    """Run a head; engines need not know what to do with no boxes."""
    rows = _nhwc(pooled)
    if len(rows):
        return run([rows])
    return [output[:0] for output in run([rows.new_zeros((1, *rows.shape[1:]))])]


def _nchw(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def _nhwc(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)
