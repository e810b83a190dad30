"""What training changes, step by step, and checkpoints keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from iuv.engine.checkpoints import Snapshot, random_state
from iuv.engine.optim import WeightAverage, make_optimizer, take_step
from iuv.engine.schedule import learning_rate
from iuv.modeling.rcnn import RCNN
from iuv.processes import Processes
from iuv.training_config import TrainingConfig

__all__ = ["TrainingState"]


class TrainingState:
    """A model on its way, with everything that decides how it goes on.

    Args:
        model: on `device`; what must not learn has `requires_grad` off.
        config: how to train it.
        device: of the model.
    """

    def __init__(self, model: RCNN, config: TrainingConfig, device: torch.device) -> None:
        solver = config.solver
        self.model = model
        self.config = config
        self.device = device
        self.optimizer = make_optimizer(model, solver)
        self.scaler = torch.amp.GradScaler(device.type, enabled=solver.precision == "fp16")
        self.average = WeightAverage(model, solver.ema_decay) if solver.ema_decay else None
        self.iteration = 0
        """Steps done."""
        self.position = 0
        """How many batches this process has taken from its loader for them."""

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return learning_rate(self.iteration, self.config)

    def update(self) -> None:
        """Take a step along the gradients that have been computed."""
        take_step(self.optimizer, self.config.solver, self.lr, self.scaler)
        if self.average is not None:
            self.average.update()
        self.iteration += 1

    def averaged(self) -> dict[str, Tensor]:
        """Return the model's weights, the moving average in place of those that learn."""
        return self.model.state_dict() | (self.average.weights if self.average else {})

    def snapshot(self, data: str, processes: Processes) -> Snapshot:
        """Return a checkpoint's content; all processes must call this."""
        own = {"random": random_state(self.device), "position": self.position}
        return Snapshot(
            iteration=self.iteration,
            config=self.config.to_dict(),
            data=data,
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            scaler=self.scaler.state_dict(),
            average=self.average.weights if self.average else {},
            processes=processes.gather(own),
        )

    def restore(self, snapshot: Snapshot, processes: Processes) -> Mapping[str, Any]:
        """Go to a snapshot of the same configuration; returns the random state to go on with.

        With another number of processes, each takes over the random numbers of one of the former,
        and together they go on at about the same image.
        """
        self.iteration = snapshot.iteration
        self.model.load_state_dict(dict(snapshot.model))
        self.optimizer.load_state_dict(dict(snapshot.optimizer))
        self.scaler.load_state_dict(dict(snapshot.scaler))
        if self.average is not None:
            self.average.load(snapshot.average)
        before = len(snapshot.processes)
        own = snapshot.processes[processes.rank % before]
        self.position = own["position"] * before // processes.size
        random: Mapping[str, Any] = own["random"]
        return random
