"""The learning rate of every step, against the reference."""

from __future__ import annotations

import json

import pytest

from hashing import GOLDEN
from iuv.engine.schedule import learning_rate
from iuv.recipes import recipe
from iuv.training_config import TrainingConfig
from iuv.zoo import get_model, list_models

SOLVER = json.loads((GOLDEN / "training" / "solver.json").read_text())
SHORT = SOLVER["short_schedules"]
NAMES = {
    "SOLVER.MAX_ITER": "solver.max_iter",
    "SOLVER.STEPS": "solver.steps",
    "SOLVER.WARMUP_ITERS": "solver.warmup_iters",
}


def config_of(case: dict) -> TrainingConfig:
    names = ("base_lr", "warmup_factor", "warmup_iters", "gamma", "max_iter")
    changes = {f"solver.{name}": case[name] for name in names}
    changes |= {"solver.steps": case["steps"], "loader.batch_size": case["ims_per_batch"]}
    return TrainingConfig().replace(**changes)


def short(case: dict) -> TrainingConfig:
    opts = dict(zip(case["opts"][::2], case["opts"][1::2], strict=True))
    config = TrainingConfig().replace(**{NAMES[k]: v for k, v in opts.items() if k in NAMES})
    cosine = opts.get("SOLVER.LR_SCHEDULER_NAME") == "WarmupCosineLR"
    return config.replace(**{"solver.schedule": "cosine" if cosine else "steps"})


@pytest.mark.parametrize("name", SOLVER["learning_rate"])
def test_published_schedules(name):
    case = SOLVER["learning_rate"][name]
    config = config_of(case)
    ours = {t: learning_rate(int(t), config) for t in case["lr"]}
    assert ours == pytest.approx(case["lr"], rel=1e-13, abs=0)


@pytest.mark.parametrize(
    "name", [n for n in list_models() if f"densepose_rcnn_{n}" in SOLVER["learning_rate"]]
)
def test_recipes_have_the_published_schedules(name):
    case = SOLVER["learning_rate"][f"densepose_rcnn_{name}"]
    config = recipe(get_model(name).config)
    ours = {t: learning_rate(int(t), config) for t in case["lr"]}
    assert ours == pytest.approx(case["lr"], rel=1e-13, abs=0)
    enabled, kind, limit, _ = case["clip"]
    assert config.solver.clip == (kind if enabled else "none")
    assert not enabled or config.solver.clip_limit == limit


@pytest.mark.parametrize(
    "name",
    [
        "short40",
        "warmup_longer_than_first_step",
        "warmup_0",
        "warmup_longer_than_max_iter",
        "step_beyond_max_iter",
        "cosine",
    ],
)
def test_short_schedules(name):
    config = short(SHORT[name])
    ours = [learning_rate(t, config) for t in range(config.solver.max_iter)]
    assert ours == pytest.approx(SHORT[name]["lr"], rel=1e-13, abs=1e-17)


def test_a_step_at_the_end_has_no_effect():
    """The reference refuses it."""
    case = SHORT["step_equals_max_iter"]
    config = short(case)
    without = config.replace(**{"solver.steps": [20]})
    for t in range(30):
        assert learning_rate(t, config) == learning_rate(t, without)
    long = {"solver.warmup_iters": 100}
    assert learning_rate(29, config.replace(**long)) == learning_rate(29, without.replace(**long))


def test_the_rate_is_in_proportion_to_the_batch():
    config = TrainingConfig().replace(**{"loader.batch_size": 4})
    assert learning_rate(5000, config) == pytest.approx(0.0025)
    assert learning_rate(5000, config.replace(**{"solver.base_batch_size": None})) == 0.01
