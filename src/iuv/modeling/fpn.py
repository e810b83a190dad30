"""Feature pyramid, and the decoder that fuses it into one map for the dense branch.

N: images. C: pyramid channels. H, W: input size, multiples of 32.
Sources: Lin et al., Feature Pyramid Networks (2017); Kirillov et al., Panoptic Feature Pyramid
Networks (2019), figure 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from iuv.modeling.layers import BatchNorm2d, ConvNorm
from iuv.ops.roi_align import Window

__all__ = ["FPN", "PyramidDecoder"]


class FPN(nn.Module):
    """res2..res5 → p2..p6, C channels each, at strides 4, 8, 16, 32, 64; with norms if wanted."""

    def __init__(self, in_channels: Sequence[int], channels: int, *, norm: bool = False) -> None:
        super().__init__()
        for level, width in enumerate(in_channels, start=2):
            self.add_module(f"lateral{level}", _conv(width, channels, 1, norm=norm))
            self.add_module(f"output{level}", _conv(channels, channels, 3, norm=norm))

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

    margin = 8
    """About so many more cells, of stride 4, than a window has are computed along each axis."""

    def __init__(self, channels: int, *, norm: bool = False) -> None:
        super().__init__()
        for level, steps in ((2, 1), (3, 1), (4, 2), (5, 3)):
            convs = [_conv(channels, channels, 3, norm=norm) for _ in range(steps)]
            self.add_module(f"p{level}", nn.Sequential(*convs))
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Sequence[Tensor], window: Window | None = None) -> Tensor:
        """Return the fused map of p2, p3, p4, p5, or only a window of it at its cost."""
        rows, columns = window or (None, None)
        height, width = features[0].shape[-2:]
        total: Tensor | None = None
        for level, x in zip(("p2", "p3", "p4", "p5"), features, strict=True):
            convs = list(self.get_submodule(level).children())
            factor = 1 if level == "p2" else 2
            cuts = zip(
                _cuts(rows, height, len(convs), factor),
                _cuts(columns, width, len(convs), factor),
                strict=True,
            )
            x = x[(..., *next(cuts))]
            for conv, cut in zip(convs, cuts, strict=True):
                x = F.relu_(conv(x))
                if factor == 2:
                    x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
                x = x[(..., *cut)]
            total = x if total is None else total + x
        out: Tensor = self.project(total)
        return out


def _conv(in_channels: int, out_channels: int, kernel_size: int, *, norm: bool) -> nn.Module:
    if norm:
        return ConvNorm(in_channels, out_channels, kernel_size, BatchNorm2d(out_channels))
    # Not a ConvNorm without a norm, so that the parameters keep the names of the released ones.
    return nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)


def _cuts(cells: range | None, length: int, steps: int, factor: int) -> list[slice]:
    """Slices along one axis that leave what is needed: of a level, then of each step's result.

    A step is a 3 x 3 convolution and upsampling by a factor. At the borders of the map it pads as
    ever; at other borders the slices drop all cells that padding has reached.

    Args:
        cells: what is wanted of the last step's result; None for all.
        length: of the last step's whole result.
        steps: how many steps there are.
        factor: 1 or 2.
    """
    if cells is None:
        return [slice(None)] * (steps + 1)
    cuts: list[slice] = []
    for _ in range(steps):
        length //= factor
        # interpolation reads what lies under one result more on each side (half-pixel centres),
        # the convolution one cell more
        start = max((cells.start - (factor - 1)) // factor - 1, 0)
        stop = min((cells.stop + 2 * (factor - 1)) // factor + 1, length)
        cuts.insert(0, slice(cells.start - start * factor, cells.stop - start * factor))
        cells = range(start, stop)
    return [slice(cells.start, cells.stop), *cuts]
