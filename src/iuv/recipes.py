"""The published recipe of each model: learning rates, loss weights and clipping.

All chart models share data, sampling and the length of the schedule; the families differ in what is
below. Source: the configuration files Detectron2's DensePose has published.
"""

from __future__ import annotations

from typing import Any

from iuv.config import ModelConfig
from iuv.training_config import TrainingConfig

__all__ = ["recipe"]


def recipe(model: ModelConfig) -> TrainingConfig:
    """Return how the released models of this kind have been trained.

    The kind is told by the dense branch: legacy (no decoder), with or without confidences, plain or
    DeepLab head. Other models, such as a smaller one of yours, have the recipe of their kind.
    """
    dense = model.dense
    changes: dict[str, Any] = {}
    if not dense.decoder:
        changes |= {
            "solver.base_lr": 0.002,
            "losses.segm_weight": 2.0,
            "losses.part_weight": 0.3,
            "losses.points_weight": 0.1,
        }
    if dense.uv_confidence is not None:
        # The likelihood's gradient grows without bound as the variance shrinks.
        changes |= {
            "losses.points_weight": 0.0005,
            "solver.clip": "value",
            "solver.clip_limit": 1.0,
        }
        if dense.head == "conv":
            changes["solver.warmup_factor"] = 0.025
        if _is_wc1m(model):
            changes |= {"solver.clip": "norm", "solver.clip_limit": 100.0}
    return TrainingConfig(model=model).replace(**changes)


def _is_wc1m(model: ModelConfig) -> bool:
    """Tell R_50_FPN_WC1M_s1x, the one model whose published clipping is by norm."""
    dense = model.dense
    return (
        model.backbone.depth == 50
        and dense.head == "conv"
        and dense.uv_confidence == "iid_iso"
        and dense.segm_confidence
    )
