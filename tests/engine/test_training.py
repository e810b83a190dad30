"""The real step, loader and trainer together, on a tiny model."""

from __future__ import annotations

import json
import signal

import pytest
import torch

from iuv.data.loader import TrainingLoader
from iuv.engine.optim import freeze
from iuv.engine.step import TrainingStep
from iuv.engine.trainer import Trainer, TrainingData
from iuv.modeling.initialise import initialise
from iuv.modeling.rcnn import RCNN
from tiny_training import DATA, TINY_TRAINING

CPU = torch.device("cpu")


def make_trainer(folder, config, *, stop_after=None):
    """A trainer in this folder; takes a signal during the step after so many."""
    torch.manual_seed(0)
    model = RCNN(config.model)
    initialise(model)
    freeze(model.trunk.resnet, config.solver.freeze_at)
    step = TrainingStep(model, config)
    if stop_after is not None:
        step.register_forward_pre_hook(
            lambda *_: (
                signal.raise_signal(signal.SIGTERM)
                if trainer.state.iteration == stop_after
                else None
            )
        )

    def load(position):
        return TrainingLoader(DATA, config, None, position=position)

    folder.mkdir(exist_ok=True)
    data = TrainingData(load, TrainingData.digest_of(DATA))
    trainer = Trainer(step, data, folder, device=CPU)
    return trainer


def losses(folder):
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    return [{k: v for k, v in line.items() if "loss" in k} for line in lines]


@pytest.mark.parametrize(
    "changes",
    [
        {"loader.workers": 2},
        {"solver.accumulate": 2, "solver.precision": "bf16"},
        {"backbone.norm": "batch_norm", "solver.freeze_at": 4},
    ],
    ids=str,
)
def test_going_on_is_the_same_bit_for_bit(tmp_path, changes):
    config = TINY_TRAINING.replace(**changes)
    make_trainer(tmp_path / "whole", config).run()
    assert make_trainer(tmp_path / "parts", config, stop_after=1).run() == signal.SIGTERM
    assert len(losses(tmp_path / "parts")) == 2
    trainer = make_trainer(tmp_path / "parts", config)
    trainer.resume()
    trainer.run()
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    files = [tmp_path / name / "model_final.safetensors" for name in ("whole", "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_training_overfits(tmp_path):
    """In some tens of steps, every loss of the body's surface falls clearly."""
    config = TINY_TRAINING.replace(**{"solver.max_iter": 30, "run.log_period": 5})
    make_trainer(tmp_path, config).run()
    curve = losses(tmp_path)
    first, last = curve[1], curve[-1]  # means over the first five steps, and over the last
    assert last["total_loss"] < first["total_loss"] / 5
    for name in ("U", "V", "I", "S"):
        assert last[f"loss_densepose_{name}"] < first[f"loss_densepose_{name}"] / 3
    assert last["loss_rpn_cls"] < first["loss_rpn_cls"]
