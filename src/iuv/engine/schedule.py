"""The learning rate of every step, as a function of its number alone.

Parity with Detectron2's warm-up multi-step and cosine schedules.
"""

from __future__ import annotations

import math

from iuv.training_config import SolverConfig, TrainingConfig

__all__ = ["learning_rate"]


def learning_rate(iteration: int, config: TrainingConfig) -> float:
    """Return the learning rate of a step, counted from 0.

    The warm-up is linear, from `warmup_factor` times the full rate to what the schedule has come
    down to when the warm-up ends; it ends with the training at the latest.
    """
    solver = config.solver
    warmup = min(solver.warmup_iters, solver.max_iter)
    if iteration >= warmup:
        return config.lr * _decay(iteration, solver)
    done = iteration / warmup
    share = solver.warmup_factor * (1 - done) + _decay(warmup, solver) * done
    return config.lr * share


def _decay(iteration: int, solver: SolverConfig) -> float:
    """Return the share of the full rate that is left after so many steps, without warm-up."""
    if solver.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * iteration / solver.max_iter))
    passed = sum(step <= iteration for step in solver.steps if step < solver.max_iter)
    return float(solver.gamma**passed)
