"""The published recipe of each model: learning rates, loss weights and clipping.

All released chart models share data, sampling and the length of the schedule; the families differ
in what is below. Source: the configuration files Detectron2's DensePose has published. The embedded
model has a recipe of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iuv.config import ModelConfig
from iuv.training_config import TrainingConfig
from iuv.zoo import EMBEDDED

__all__ = ["recipe"]

# Of the embedded model, on synthetic people; the same as docs/zoo/synth-S.json.
_EMBEDDED: Mapping[str, Any] = {
    "augment.short_sides": (256, 288, 320, 352),
    "augment.long_side": 704,
    "loader.batch_size": 8,
    "loader.workers": 1,
    "sampling.pre_nms_topk": 100,
    "sampling.post_nms_topk": 100,
    "sampling.boxes_per_image": 32,
    "sampling.box_person_fraction": 0.16,
    "losses.part_weight": 3.0,
    "solver.optimizer": "adamw",
    "solver.base_lr": 0.002,
    "solver.base_batch_size": 8,
    "solver.weight_decay": 0.02,
    "solver.max_iter": 20000,
    "solver.schedule": "cosine",
    "solver.warmup_iters": 100,
    "solver.warmup_factor": 0.01,
    "solver.clip": "norm",
    "solver.ema_decay": 0.999,
    "solver.freeze_at": 0,
    "run.log_period": 100,
    "run.checkpoint_period": 1000,
    "run.eval_period": 4000,
}


def recipe(model: ModelConfig) -> TrainingConfig:
    """Return how the released models of this kind have been trained, or the embedded one would be.

    The kind is told by the dense branch: legacy (no decoder), with or without confidences, plain or
    DeepLab head. Other models, such as a smaller one of yours, have the recipe of their kind.
    """
    if model == EMBEDDED.config:
        return TrainingConfig(model=model).replace(**_EMBEDDED)
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
