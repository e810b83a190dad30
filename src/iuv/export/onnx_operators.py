"""Non-maximum suppression and RoIAlign as ONNX has them.

B: groups. n: boxes. P: bins per side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.onnx.ops import symbolic

from iuv.ops.roi_align import assign_levels

__all__ = ["OnnxOperators"]

_LOWEST = -3.0e38  # above -inf, and below all scores


class OnnxOperators:
    """`iuv.export.network.Operators` for ``torch.onnx.export``: to be traced, not to be run."""

    def suppress(self, boxes: Tensor, scores: Tensor, max_iou: float) -> Tensor:
        """See `Operators`; ONNX's groups are the images of a batch."""
        groups, count = scores.shape
        some = cast(int, (scores > -torch.inf).sum().item())  # no more than a name for an axis
        torch._check(some >= 0)
        selected = symbolic(
            "NonMaxSuppression",
            (
                boxes,
                scores[:, None],
                torch.tensor([count]),
                torch.tensor([max_iou]),
                torch.tensor([_LOWEST]),
            ),
            dtype=torch.int64,
            shape=(some, 3),  # group, class, box
        )
        index = selected[:, 0] * count + selected[:, 2]
        kept = torch.zeros(groups * count).scatter(0, index, torch.ones_like(index).float())
        return (kept > 0).view(groups, count)

    def pool(
        self,
        features: Sequence[Tensor],
        boxes: Tensor,
        *,
        pool_size: int,
        sampling_ratio: int,
        aligned: bool,
    ) -> Tensor:
        """See `Operators`; each level pools the boxes of its size, which are then put in order."""

        def align(level: int, rois: Tensor) -> Tensor:
            feature = features[level]
            attributes: dict[str, Any] = {
                "coordinate_transformation_mode": "half_pixel" if aligned else "output_half_pixel",
                "output_height": pool_size,
                "output_width": pool_size,
                "sampling_ratio": sampling_ratio,
                "spatial_scale": math.ldexp(1.0, -(level + 2)),
            }
            return symbolic(
                "RoiAlign",
                (feature, rois, torch.zeros_like(rois[:, 0], dtype=torch.int64)),
                attributes,
                dtype=feature.dtype,
                shape=(rois.shape[0], feature.shape[1], pool_size, pool_size),
            )

        if len(features) == 1:
            return align(0, boxes)
        levels = assign_levels(boxes, len(features))
        order = [(levels == level).nonzero()[:, 0] for level in range(len(features))]
        pooled = torch.cat([align(level, boxes[rows]) for level, rows in enumerate(order)])
        everyone = torch.cat(order)
        places = torch.zeros_like(levels).scatter(0, everyone, torch.arange(everyone.shape[0]))
        return pooled[places]
