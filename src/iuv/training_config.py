"""Training configurations: how a model is trained, beside what it is.

The sections of the model (`iuv.config`) are sections here, too, so that one list of assignments
changes both: ``config.override("solver.base_lr=0.005", "dense.pool_size=14")``. The defaults are
those of the published R_50_FPN_s1x; `iuv.recipes` has the other models'.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from iuv.config import ModelConfig
from iuv.sectioned import ConfigError, Sectioned, require

__all__ = [
    "AugmentConfig",
    "ConfigError",
    "LoaderConfig",
    "LossConfig",
    "RunConfig",
    "SamplingConfig",
    "SolverConfig",
    "TrainingConfig",
]


def _fraction(value: float, name: str) -> None:
    require(0 <= value <= 1, f"{name} must be in [0, 1], got {value}")


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Random changes of the training images. Lengths are pixels."""

    short_sides: tuple[int, ...] = (640, 672, 704, 736, 768, 800)
    """The shorter side is resized to one of these."""
    long_side: int = 1333
    """The longer side is at most this."""
    flip_probability: float = 0.5
    rotation_angles: tuple[float, ...] = (0.0,)
    """Degrees, counter-clockwise; one is drawn."""

    def __post_init__(self) -> None:
        require(len(self.short_sides) > 0, "augment.short_sides must not be empty")
        require(min(self.short_sides) > 0, "augment.short_sides must be positive")
        require(self.long_side > 0, "augment.long_side must be positive")
        _fraction(self.flip_probability, "augment.flip_probability")
        require(len(self.rotation_angles) > 0, "augment.rotation_angles must not be empty; 0: none")


@dataclass(frozen=True, kw_only=True)
class LoaderConfig:
    """How images come in."""

    batch_size: int = 16
    """Images per step of the optimiser, over all processes and accumulated parts."""
    workers: int = 4
    """Loader processes per training process; 0 loads in the training process itself."""
    aspect_ratio_grouping: bool = True
    """Batches hold either wide or tall images, so that padding is small."""
    keep_empty: bool = False
    """Also use images without any annotation."""

    def __post_init__(self) -> None:
        require(self.batch_size > 0, f"loader.batch_size must be positive, got {self.batch_size}")
        require(self.workers >= 0, f"loader.workers must not be negative, got {self.workers}")


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """What the losses look at: proposals, and which of them count as people."""

    pre_nms_topk: int = 2000
    """Anchors kept per pyramid level and image before non-maximum suppression."""
    post_nms_topk: int = 1000
    """Proposals kept per image."""
    anchor_max_background_iou: float = 0.3
    """Anchors below this are background, ..."""
    anchor_min_person_iou: float = 0.7
    """... from this on they are people; those between are not looked at."""
    anchors_per_image: int = 256
    anchor_person_fraction: float = 0.5
    """At most this share of the anchors are people."""
    box_min_person_iou: float = 0.5
    boxes_per_image: int = 512
    box_person_fraction: float = 0.25
    dense_min_iou: float = 0.7
    """The dense branch learns from boxes that overlap their person by more than this."""

    def __post_init__(self) -> None:
        for name in ("pre_nms_topk", "post_nms_topk", "anchors_per_image", "boxes_per_image"):
            value = getattr(self, name)
            require(value > 0, f"sampling.{name} must be positive, got {value}")
        for name in (
            "anchor_max_background_iou",
            "anchor_min_person_iou",
            "anchor_person_fraction",
            "box_min_person_iou",
            "box_person_fraction",
            "dense_min_iou",
        ):
            _fraction(getattr(self, name), f"sampling.{name}")
        require(
            self.anchor_max_background_iou <= self.anchor_min_person_iou,
            f"sampling.anchor_max_background_iou ({self.anchor_max_background_iou}) must not "
            f"exceed sampling.anchor_min_person_iou ({self.anchor_min_person_iou})",
        )


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the dense losses."""

    segm_weight: float = 5.0
    """Coarse segmentation."""
    part_weight: float = 1.0
    """Part I at the annotated points."""
    points_weight: float = 0.01
    """U and V at the annotated points; a sum over points, not a mean."""
    uv_epsilon: float = 0.01
    """Lower bound of the predicted variance of U and V."""
    segm_from_masks: bool = False
    """Coarse segmentation learns from instance masks instead of part masks."""

    def __post_init__(self) -> None:
        for name in ("segm_weight", "part_weight", "points_weight"):
            value = getattr(self, name)
            require(value >= 0, f"losses.{name} must not be negative, got {value}")
        require(self.uv_epsilon > 0, f"losses.uv_epsilon must be positive, got {self.uv_epsilon}")


@dataclass(frozen=True, kw_only=True)
class SolverConfig:
    """The optimiser and its schedule, in steps of the optimiser."""

    optimizer: Literal["sgd", "adamw"] = "sgd"
    """Stochastic gradient descent with momentum, or Adam with decoupled weight decay."""
    base_lr: float = 0.01
    """Learning rate for `base_batch_size` images per step; scaled in proportion to
    `loader.batch_size`."""
    base_batch_size: int | None = 16
    """None: `base_lr` is used as it is."""
    momentum: float = 0.9
    """Share of the old average of gradients that a step keeps; with "adamw", its first beta."""
    weight_decay: float = 1e-4
    weight_decay_norm: float = 0.0
    """Of the parameters of normalisation layers."""
    max_iter: int = 130_000
    schedule: Literal["steps", "cosine"] = "steps"
    steps: tuple[int, ...] = (100_000, 120_000)
    """With the schedule "steps", the learning rate is multiplied by `gamma` at each of these."""
    gamma: float = 0.1
    warmup_iters: int = 1000
    warmup_factor: float = 0.1
    """The warm-up begins at this share of the learning rate and grows linearly."""
    clip: Literal["none", "value", "norm"] = "none"
    """Gradients are clipped per parameter: each element, or its 2-norm."""
    clip_limit: float = 1.0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of the forward pass; weights and losses stay in fp32."""
    accumulate: int = 1
    """The batch of each process goes through the network in so many parts."""
    ema_decay: float = 0.0
    """Of an exponential moving average of the weights, kept beside them; 0: none."""
    freeze_at: int = 2
    """0: all of the ResNet learns; 1: its stem is frozen; 2..5: res2, ... too."""

    def __post_init__(self) -> None:
        for name in ("base_lr", "max_iter", "gamma", "clip_limit", "accumulate"):
            value = getattr(self, name)
            require(value > 0, f"solver.{name} must be positive, got {value}")
        for name in ("weight_decay", "weight_decay_norm", "warmup_iters", "warmup_factor"):
            value = getattr(self, name)
            require(value >= 0, f"solver.{name} must not be negative, got {value}")
        base = self.base_batch_size
        require(base is None or base > 0, f"solver.base_batch_size must be positive, got {base}")
        for name in ("momentum", "ema_decay"):
            value = getattr(self, name)
            require(0 <= value < 1, f"solver.{name} must be in [0, 1), got {value}")
        require(
            list(self.steps) == sorted(set(self.steps)) and min(self.steps, default=1) > 0,
            f"solver.steps must be positive and ascending, got {self.steps}",
        )
        require(0 <= self.freeze_at <= 5, f"solver.freeze_at must be 0..5, got {self.freeze_at}")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What happens along the way, in steps of the optimiser."""

    seed: int = 0
    log_period: int = 20
    checkpoint_period: int = 5000
    keep_checkpoints: int = 3
    """The newest so many stay; at least 2, so that a damaged one can be done without."""
    eval_period: int = 0
    """0: only after the last step."""

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**63, f"run.seed must be 0..2**63 - 1, got {self.seed}")
        for name in ("log_period", "checkpoint_period"):
            value = getattr(self, name)
            require(value > 0, f"run.{name} must be positive, got {value}")
        require(
            self.keep_checkpoints >= 2,
            f"run.keep_checkpoints must be at least 2, got {self.keep_checkpoints}",
        )
        require(self.eval_period >= 0, f"run.eval_period must not be negative: {self.eval_period}")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Sectioned):
    """A model and everything that decides how it is trained, but for the data."""

    model: ModelConfig = field(default_factory=ModelConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loader: LoaderConfig = field(default_factory=LoaderConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    solver: SolverConfig = field(default_factory=SolverConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        require(
            not (self.losses.segm_from_masks and self.model.dense.coarse_channels != 2),
            "losses.segm_from_masks tells people from background only, so it needs "
            f"dense.coarse_channels=2, got {self.model.dense.coarse_channels}",
        )

    @property
    def lr(self) -> float:
        """The learning rate after warm-up: `solver.base_lr` scaled to the batch size."""
        base = self.solver.base_batch_size
        return self.solver.base_lr * (self.loader.batch_size / base if base else 1.0)
