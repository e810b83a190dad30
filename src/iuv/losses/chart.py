"""The losses of the chart predictor: parts, U, V and the coarse segmentation.

R: boxes of the dense branch, of all images. A: those of them whose person has points. K: points.
M: boxes with an instance mask. C: channels. S: side of a map.
Sources: Güler et al., DensePose (2018), section 4; Neverova et al., Correlated Uncertainty for
Learning Dense Correspondences (2019), section 3; parity with Detectron2.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from iuv.losses.detection import Samples
from iuv.losses.points import Neighbours, PackedPoints, Points, at_points, neighbours, pack
from iuv.ops.roi_align import roi_align
from iuv.results import ChartOutputs
from iuv.targets import Targets
from iuv.training_config import LossConfig

__all__ = [
    "chart_losses",
    "mask_targets",
    "part_mask_targets",
    "uv_negative_log_likelihood",
]

_MASKS_AT_ONCE = 4  # the samples of a large box fill 100 MB


def chart_losses(
    outputs: ChartOutputs,
    samples: Sequence[Samples],
    targets: Sequence[Targets],
    config: LossConfig,
) -> dict[str, Tensor]:
    """Return the losses of the dense branch, weighted.

    They are ``loss_densepose_U`` and ``_V``, or with confidences ``_UV`` instead, ``_I`` and
    ``_S``. U and V are sums over the points, I and S means. Without any visible point on a body
    part all of them are zero. Zero losses have gradients, zeros, for the sake of distributed
    training.

    Args:
        outputs: maps of the R boxes.
        samples: of each image, from `dense_samples`; R in all.
        targets: of each image.
        config: weights; what the coarse segmentation learns from.
    """
    packed = pack(samples, targets)
    size = outputs.u.shape[-1]
    near = neighbours(packed, size)
    visible = near.valid.nonzero().squeeze(1)
    points, near = packed.points.at(visible), near.at(visible)
    on_body = (points.labels > 0).nonzero().squeeze(1)
    if len(on_body) == 0:
        return _zero_losses(outputs)
    losses = _uv_losses(outputs, points.at(on_body), near.at(on_body), config)
    (parts,) = at_points([outputs.fine_segm], points.box, near)  # [visible, 25]
    losses["loss_densepose_I"] = config.part_weight * F.cross_entropy(parts, points.labels)
    if config.segm_from_masks:
        boxes, masks = mask_targets(samples, targets, size)
    else:
        boxes, masks = part_mask_targets(packed, size)
    coarse = _coarse_loss(outputs.coarse_segm, boxes, masks)
    losses["loss_densepose_S"] = config.segm_weight * coarse
    return losses


def uv_negative_log_likelihood(
    u_error: Tensor, v_error: Tensor, sigma_2: Tensor, kappa: tuple[Tensor, Tensor], epsilon: float
) -> Tensor:
    """Return how unlikely errors of U and V are, summed; it may be negative.

    The errors are Gaussian with the covariance s + r r^T, where s = softplus(sigma_2) + epsilon
    and r = kappa; r = 0 is the isotropic case. Source: Neverova et al. (2019), section 3, but for
    a constant: ln 2 pi is there once instead of twice, as in the reference.

    Args:
        u_error: [K].
        v_error: [K].
        sigma_2: [K], before the softplus.
        kappa: of u and v, [K] each.
        epsilon: lower bound of the variance.
    """
    variance = F.softplus(sigma_2) + epsilon
    along = variance + kappa[0] ** 2 + kappa[1] ** 2  # the variance in the direction of kappa
    log_determinant = variance.log() + along.log()
    squares = (u_error**2 + v_error**2) / variance
    projected = (u_error * kappa[0] + v_error * kappa[1]) ** 2 / (variance * along)
    terms = math.log(2 * math.pi) + log_determinant + squares - projected
    return 0.5 * terms.sum()


def part_mask_targets(packed: PackedPoints, size: int) -> tuple[Tensor, Tensor]:
    """Sample everyone's part mask at the cells of their boxes, at the nearest point.

    Cell k stands for the position k / size of the box, its left edge; so it is in the reference.

    Returns:
        Which boxes, int64 [A], and the mask parts in them, uint8 [A, S, S]. None at all, A = 0, if
        the mask of a single one is unknown; so it is in the reference, too.
    """
    box, person, row = packed.box_xywh, packed.person_xywh, packed.part_mask_row
    if bool((row < 0).any()):
        return packed.boxes[:0], packed.part_masks.new_zeros((0, size, size))
    last = packed.part_masks.shape[-1] - 1
    cells = torch.arange(size, device=box.device) / size
    # from -1 to 1 over the person's box, step by step as the reference, so that ties round alike
    start = 2 * (box[:, :2] - person[:, :2]) / person[:, 2:] - 1
    end = 2 * (box[:, :2] + box[:, 2:] - person[:, :2]) / person[:, 2:] - 1
    grid = cells * (end - start)[..., None] + start[..., None]  # [A, 2, S]
    place = ((grid + 1) / 2 * last).round()
    inside = (place >= 0) & (place <= last)
    x, y = place.clamp(0, last).long().unbind(1)
    parts = packed.part_masks[row[:, None, None], y[:, :, None], x[:, None, :]]
    return packed.boxes, parts * (inside[:, 1, :, None] & inside[:, 0, None, :])


def mask_targets(
    samples: Sequence[Samples], targets: Sequence[Targets], size: int
) -> tuple[Tensor, Tensor]:
    """Crop everyone's instance mask to their boxes.

    Args:
        samples: of each image, people only; R in all.
        targets: of each image.
        size: S.

    Returns:
        Which boxes have masks, int64 [M], 0..R-1, and the masks, uint8 [M, S, S], 0 or 1.
    """
    crops = [_crop_masks(s, t, size) for s, t in zip(samples, targets, strict=True)]
    first = itertools.accumulate((len(s.boxes) for s in samples), initial=0)
    boxes = [rows + start for (rows, _), start in zip(crops, first, strict=False)]
    return torch.cat(boxes), torch.cat([masks for _, masks in crops])


def _crop_masks(samples: Samples, target: Targets, size: int) -> tuple[Tensor, Tensor]:
    """As `mask_targets`, for one image."""
    empty = samples.classes.new_zeros((0, size, size), dtype=torch.uint8)
    if target.masks is None or target.has_mask is None:
        return samples.person[:0], empty
    rows = target.has_mask[samples.person].nonzero().squeeze(1)
    masks = target.masks[:, None].float()
    crops = [
        roi_align(
            masks,
            samples.boxes[some],
            samples.person[some],
            scale=1.0,
            pool_size=size,
            sampling_ratio=0,
            aligned=True,
        ).squeeze(1)
        >= 0.5
        for some in rows.split(_MASKS_AT_ONCE)
        if len(some)
    ]
    return rows, torch.cat([empty, *(c.byte() for c in crops)])


def _uv_losses(
    outputs: ChartOutputs, points: Points, near: Neighbours, config: LossConfig
) -> dict[str, Tensor]:
    maps = [m for m in _uv_maps(outputs) if m is not None]
    u, v, *confidences = at_points(maps, points.box, near, points.labels)
    if not confidences:
        pairs = {"U": (u, points.u), "V": (v, points.v)}
        return {
            f"loss_densepose_{name}": config.points_weight
            * F.smooth_l1_loss(*pair, reduction="sum")
            for name, pair in pairs.items()
        }
    sigma_2, *kappa = confidences
    kappa_u, kappa_v = kappa or (torch.zeros_like(u), torch.zeros_like(u))
    loss = uv_negative_log_likelihood(
        u - points.u, v - points.v, sigma_2, (kappa_u, kappa_v), config.uv_epsilon
    )
    return {"loss_densepose_UV": config.points_weight * loss}


def _coarse_loss(logits: Tensor, boxes: Tensor, masks: Tensor) -> Tensor:
    """Mean cross-entropy of logits [R, C, S, S] in some boxes [M] with masks [M, S, S]."""
    if len(boxes) == 0:
        return _zero(logits)
    classes = masks.clamp(max=logits.shape[1] - 1)  # parts, or just a person
    return F.cross_entropy(logits[boxes].float(), classes.long())


def _zero_losses(outputs: ChartOutputs) -> dict[str, Tensor]:
    u, v, *confidences = [_zero(m) for m in _uv_maps(outputs) if m is not None]
    uv = {"UV": sum(confidences, u + v)} if confidences else {"U": u, "V": v}
    segm = {"I": _zero(outputs.fine_segm), "S": _zero(outputs.coarse_segm)}
    return {f"loss_densepose_{name}": loss for name, loss in (uv | segm).items()}


def _uv_maps(outputs: ChartOutputs) -> tuple[Tensor | None, ...]:
    return (outputs.u, outputs.v, outputs.sigma_2, outputs.kappa_u, outputs.kappa_v)


def _zero(value: Tensor) -> Tensor:
    """Return 0 with a gradient; NaN if a value is not finite, which must not go unnoticed."""
    return value.sum(dtype=torch.float32) * 0.0
