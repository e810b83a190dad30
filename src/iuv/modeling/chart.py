"""Chart predictor: segmentation, U, V and confidences of each person.

R: boxes. P: pooled size. S: output size, 4 * P.
Sources: Güler et al., DensePose (2018); Neverova et al., Correlated Uncertainty for Learning Dense
Correspondences (2019), for the confidences.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iuv.bodyparts import NUM_PARTS
from iuv.config import DenseConfig
from iuv.results import ChartOutputs

__all__ = ["ChartPredictor", "output_channels"]


class ChartPredictor(nn.Module):
    """[R, conv_dim, P, P] → `ChartOutputs` of size S: a deconvolution and a bilinear upsampling."""

    def __init__(self, config: DenseConfig) -> None:
        super().__init__()
        self.segm_confidence_epsilon = config.segm_confidence_epsilon
        self.channels = output_channels(config)
        for name, channels in self.channels.items():
            deconv = nn.ConvTranspose2d(config.conv_dim, channels, 4, stride=2, padding=1)
            self.add_module(name, deconv)

    def forward(self, features: Tensor) -> ChartOutputs:
        """Return raw maps; segmentation logits are already multiplied by their confidence."""
        layers = [self.get_submodule(name) for name in self.channels]
        # One deconvolution for all fields: the features are read once; the numbers are the same.
        lowres = F.conv_transpose2d(
            features,
            torch.cat([layer.get_parameter("weight") for layer in layers], dim=1),
            torch.cat([layer.get_parameter("bias") for layer in layers]),
            stride=2,
            padding=1,
        )  # [R, sum of channels, S / 2, S / 2]
        full = F.interpolate(lowres, scale_factor=2.0, mode="bilinear", align_corners=False)
        maps = dict(zip(self.channels, full.split(list(self.channels.values()), 1), strict=True))
        for segm in ("fine_segm", "coarse_segm"):
            name = f"{segm}_confidence"
            if name in maps:
                maps[name] = F.softplus(maps[name]) + self.segm_confidence_epsilon
                maps[segm] = maps[segm] * maps[name]
        return ChartOutputs(**maps)


def output_channels(config: DenseConfig) -> dict[str, int]:
    """Return the number of maps of each field of `ChartOutputs` that a model has, in order."""
    per_part = NUM_PARTS + 1
    channels = {
        "coarse_segm": config.coarse_channels,
        "fine_segm": per_part,
        "u": per_part,
        "v": per_part,
    }
    if config.uv_confidence is not None:
        channels["sigma_2"] = per_part
    if config.uv_confidence == "indep_aniso":
        channels |= {"kappa_u": per_part, "kappa_v": per_part}
    if config.segm_confidence:
        channels |= {"fine_segm_confidence": 1, "coarse_segm_confidence": 1}
    return channels
