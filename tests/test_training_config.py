from __future__ import annotations

import dataclasses

import pytest

from iuv.config import ModelConfig
from iuv.recipes import recipe
from iuv.sectioned import ConfigError
from iuv.training_config import (
    AugmentConfig,
    LoaderConfig,
    LossConfig,
    RunConfig,
    SamplingConfig,
    SolverConfig,
    TrainingConfig,
)
from iuv.zoo import ZOO, get_model


def test_assignments_reach_the_training_and_the_model():
    config = TrainingConfig().override("solver.base_lr=0.005", "dense.pool_size=14", "run.seed=3")
    assert config.solver.base_lr == 0.005
    assert config.model.dense.pool_size == 14
    assert config.run.seed == 3
    assert config.solver.momentum == 0.9


def test_plain_data_and_back():
    config = recipe(get_model("R_50_FPN_WC2M_s1x").config).override("augment.short_sides=[320]")
    plain = config.to_dict()
    assert plain["augment"]["short_sides"] == [320]
    assert plain["dense"]["uv_confidence"] == "indep_aniso"
    assert TrainingConfig.from_dict(plain) == config


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("solver.bas_lr=1", "unknown config field 'solver.bas_lr'; did you mean solver.base_lr"),
        ("solver.base_lr=fast", "solver.base_lr must be float, got 'fast'"),
        ("solver.max_iter=1.5", "solver.max_iter must be int, got 1.5"),
        ("solver.max_iter=True", "solver.max_iter must be int, got True"),
        ("solver.clip=yes", "solver.clip must be one of ('none', 'value', 'norm'), got 'yes'"),
        ("solver.base_lr", "expected FIELD=VALUE"),
        ("solver.steps=[5, 3]", "solver.steps must be positive and ascending, got (5, 3)"),
        ("dense.pool_size=0", "dense.pool_size must be positive, got 0"),
    ],
)
def test_wrong_assignments_are_refused(assignment, message):
    with pytest.raises(ConfigError) as error:
        TrainingConfig().override(assignment)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("section", "fields", "message"),
    [
        (AugmentConfig, {"short_sides": ()}, "augment.short_sides must not be empty"),
        (AugmentConfig, {"short_sides": (0,)}, "augment.short_sides must be positive"),
        (AugmentConfig, {"long_side": 0}, "augment.long_side must be positive"),
        (AugmentConfig, {"flip_probability": 2.0}, "augment.flip_probability must be in [0, 1]"),
        (AugmentConfig, {"rotation_angles": ()}, "augment.rotation_angles must not be empty"),
        (LoaderConfig, {"batch_size": 0}, "loader.batch_size must be positive, got 0"),
        (LoaderConfig, {"workers": -1}, "loader.workers must not be negative, got -1"),
        (SamplingConfig, {"boxes_per_image": 0}, "sampling.boxes_per_image must be positive"),
        (SamplingConfig, {"dense_min_iou": 1.5}, "sampling.dense_min_iou must be in [0, 1]"),
        (
            SamplingConfig,
            {"anchor_max_background_iou": 0.8},
            "sampling.anchor_max_background_iou (0.8) must not exceed "
            "sampling.anchor_min_person_iou (0.7)",
        ),
        (LossConfig, {"part_weight": -1.0}, "losses.part_weight must not be negative, got -1.0"),
        (LossConfig, {"uv_epsilon": 0.0}, "losses.uv_epsilon must be positive, got 0.0"),
        (SolverConfig, {"base_lr": 0.0}, "solver.base_lr must be positive, got 0.0"),
        (SolverConfig, {"warmup_iters": -1}, "solver.warmup_iters must not be negative, got -1"),
        (SolverConfig, {"base_batch_size": 0}, "solver.base_batch_size must be positive, got 0"),
        (SolverConfig, {"momentum": 1.0}, "solver.momentum must be in [0, 1), got 1.0"),
        (SolverConfig, {"freeze_at": 6}, "solver.freeze_at must be 0..5, got 6"),
        (RunConfig, {"seed": -1}, "run.seed must be 0..2**63 - 1, got -1"),
        (RunConfig, {"seed": 2**63}, "run.seed must be 0..2**63 - 1, got 9223372036854775808"),
        (RunConfig, {"log_period": 0}, "run.log_period must be positive, got 0"),
        (RunConfig, {"keep_checkpoints": 1}, "run.keep_checkpoints must be at least 2, got 1"),
        (RunConfig, {"eval_period": -1}, "run.eval_period must not be negative: -1"),
    ],
)
def test_values_out_of_range_are_refused(section, fields, message):
    with pytest.raises(ConfigError) as error:
        section(**fields)
    assert message in str(error.value)


def test_masks_know_no_parts():
    legacy = recipe(get_model("R_50_FPN_s1x_legacy").config)
    with pytest.raises(ConfigError, match=r"losses\.segm_from_masks .* dense\.coarse_channels=2"):
        legacy.replace(**{"losses.segm_from_masks": True})


def test_learning_rate_follows_the_batch():
    config = TrainingConfig()
    assert config.lr == 0.01
    assert config.override("loader.batch_size=4").lr == 0.0025
    assert config.override("loader.batch_size=4", "solver.base_batch_size=None").lr == 0.01


def test_configs_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainingConfig().solver.base_lr = 1.0


def test_the_default_is_the_plain_model():
    assert recipe(ModelConfig()) == TrainingConfig()


@pytest.mark.parametrize("name", [model.name for model in ZOO])
def test_every_released_model_has_a_recipe(name):
    """What the families differ in; tests/test_detectron2_yaml.py compares with the original."""
    config = recipe(get_model(name).config)
    legacy = not config.model.dense.decoder
    assert config.solver.base_lr == (0.002 if legacy else 0.01)
    assert config.solver.clip == (
        "norm" if name == "R_50_FPN_WC1M_s1x" else "value" if "WC" in name else "none"
    )
    assert config.solver.warmup_factor == (0.025 if "_FPN_WC" in name else 0.1)
