"""Feature pyramid, and the decoder that fuses it into one map for the dense branch.

N: images. C: pyramid channels. H, W: input size, multiples of 32.
Sources: Lin et al., Feature Pyramid Networks (2017); Kirillov et al., Panoptic Feature Pyramid
Networks (2019), figure 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["FPN", "PyramidDecoder"]


class FPN(nn.Module):
    """res2..res5 → p2..p6, C channels each, at strides 4, 8, 16, 32, 64."""

    def __init__(self, in_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        for level, width in enumerate(in_channels, start=2):
            self.add_module(f"lateral{level}", nn.Conv2d(width, channels, 1))
            self.add_module(f"output{level}", nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, stages: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return p2, p3, p4, p5, p6."""
        levels: list[Tensor] = []
        merged: Tensor | None = None
        for level in range(len(stages) + 1, 1, -1):
            lateral = self.get_submodule(f"lateral{level}")(stages[level - 2])
            if merged is not None:
                lateral += F.interpolate(merged, scale_factor=2.0, mode="nearest")
            merged = lateral
            levels.insert(0, self.get_submodule(f"output{level}")(merged))
        levels.append(levels[-1][:, :, ::2, ::2])
        return tuple(levels)


class PyramidDecoder(nn.Module):
    """p2..p5 → one [N, C, H / 4, W / 4] map.

    Each level is convolved and upsampled to stride 4 in steps of two; the levels are summed and
    projected.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        for level, steps in ((2, 1), (3, 1), (4, 2), (5, 3)):
            convs = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range(steps)]
            self.add_module(f"p{level}", nn.Sequential(*convs))
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return the fused map of p2, p3, p4, p5."""
        total: Tensor | None = None
        for level, x in zip(("p2", "p3", "p4", "p5"), features, strict=True):
            for conv in self.get_submodule(level).children():
                x = F.relu_(conv(x))
                if level != "p2":
                    x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            total = x if total is None else total + x
        out: Tensor = self.project(total)
        return out
