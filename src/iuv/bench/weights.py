"""Made-up weights: measuring the speed of a network need not wait for a download."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from iuv.checkpoint import save_weights
from iuv.config import ModelConfig
from iuv.modeling.initialise import initialise
from iuv.modeling.layers import FrozenBatchNorm2d
from iuv.modeling.rcnn import RCNN

__all__ = ["write_made_up_weights"]

_SCALE = 0.5  # of norms: with 1, sums over a hundred layers leave the range of 16-bit numbers
_INPUT_SCALE = 1 / 30  # of the first norm: pixels go up to 150
_BACKGROUND = 5.0
_ROUGHNESS = {"coarse_segm": 0.0, "fine_segm": 1.5, "u": 1.5, "v": 1.5}
"""Of the maps. Noise has borders of parts everywhere, and reading it out is not a person's work."""


def write_made_up_weights(config: ModelConfig, path: Path) -> None:
    """Write random weights of a network, always the same on a machine, as ``.safetensors``.

    The network finds nobody, and its maps mean nothing. But all values stay within the range of
    16-bit numbers, as those of trained weights do, and maps are pieces of parts, not noise.

    Raises:
        OSError: the file cannot be written.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = RCNN(config)
        initialise(model)
        norms = [m for m in model.trunk.resnet.modules() if isinstance(m, _NORMS)]
        for norm in norms:
            norm.weight.fill_(_SCALE)
        norms[0].weight.fill_(_INPUT_SCALE)
        model.box_head.cls.bias[-1] = _BACKGROUND
        for name, roughness in _ROUGHNESS.items():
            weight = model.dense.chart.get_submodule(name).get_parameter("weight")
            smooth = weight.mean((2, 3), keepdim=True) * weight.shape[2]
            weight.copy_(smooth + roughness * weight)
    save_weights(model.state_dict(), config, path)


_NORMS = (nn.BatchNorm2d, FrozenBatchNorm2d)
