"""The tiny model on the golden data set: a whole training in seconds."""

from __future__ import annotations

from golden_data import ANNOTATIONS
from iuv.data.datasets import filter_for_training, load_dataset
from iuv.recipes import recipe
from iuv.training_config import TrainingConfig
from tiny import TINY

__all__ = ["DATA", "TINY_TRAINING"]

_MODEL = TINY.replace(
    **{
        "backbone.depth": 18,
        "box.num_classes": 2,  # people and dogs
        "dense.pool_size": 14,
        "dense.num_convs": 2,
    }
)

TINY_TRAINING: TrainingConfig = recipe(_MODEL).replace(
    **{
        "augment.short_sides": [64],
        "augment.flip_probability": 0.0,
        "loader.batch_size": 2,
        "loader.workers": 0,
        "sampling.pre_nms_topk": 200,
        "sampling.post_nms_topk": 100,
        "sampling.boxes_per_image": 32,
        "solver.base_lr": 0.005,
        "solver.base_batch_size": None,
        "solver.warmup_iters": 5,
        "solver.max_iter": 4,
        "solver.steps": [],
        "solver.clip": "norm",
        "solver.freeze_at": 5,  # random as it is: its gradients would take most of the time
        "run.log_period": 1,
    }
)

DATA = filter_for_training(load_dataset(ANNOTATIONS))
