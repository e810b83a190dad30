"""The literal form of the read-out: what `iuv.decode` must equal and is measured against."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from iuv.results import CONFIDENCE_FIELDS, ChartOutputs

__all__ = ["plain_read_out"]


def plain_read_out(maps: ChartOutputs, *, height: int, width: int) -> dict[str, Tensor]:
    """As `iuv.decode.read_out`, by resampling every channel of every map."""

    def resample(m: Tensor) -> Tensor:
        size = (height, width)
        return F.interpolate(m[None], size=size, mode="bilinear", align_corners=False)[0]

    foreground = resample(maps.coarse_segm).argmax(0) > 0
    labels = resample(maps.fine_segm).argmax(0) * foreground

    def of_winner(m: Tensor) -> Tensor:
        return resample(m).gather(0, labels[None])[0] * (labels > 0)

    fields = {
        "labels": labels.to(torch.uint8),
        "uv": torch.stack([of_winner(maps.u), of_winner(maps.v)]),
    }
    for name in CONFIDENCE_FIELDS:
        m = getattr(maps, name)
        if m is not None:
            fields[name] = of_winner(m) if len(m) > 1 else resample(m)[0]
    return fields
