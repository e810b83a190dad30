"""What a step of the optimiser does: which parameters learn, clipping, momentum, averaging.

Parity with Detectron2's solver: SGD with momentum, decay on all but the norms' parameters. AdamW is
for models that begin with random weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from iuv.modeling.resnet import ResNet
from iuv.training_config import SolverConfig

__all__ = ["WeightAverage", "clip_gradients", "freeze", "make_optimizer", "take_step"]

_NORMS = (nn.GroupNorm, nn.LayerNorm, nn.BatchNorm2d)
_NORM_EPSILON = 1e-6
"""Added to a gradient's norm before dividing by it."""


def freeze(resnet: ResNet, freeze_at: int) -> None:
    """Keep the first stages of a ResNet as they are: 0 none, 1 the stem, 2 res2 too, ... 5 all.

    The statistics of their batch norms stay, too.
    """
    stages = (resnet.stem, resnet.res2, resnet.res3, resnet.res4, resnet.res5)
    for stage in stages[:freeze_at]:
        stage.requires_grad_(False).eval()


def make_optimizer(model: nn.Module, solver: SolverConfig) -> torch.optim.Optimizer:
    """Return the optimiser of all that learns: one group with decay, one of the norms' own."""
    norms = {id(p) for m in model.modules() if isinstance(m, _NORMS) for p in m.parameters()}
    learning = [p for p in model.parameters() if p.requires_grad]
    if not learning:
        raise ValueError("no parameter of the model learns; lower solver.freeze_at")
    decays = (solver.weight_decay, solver.weight_decay_norm)
    groups = [
        {"params": chosen, "weight_decay": decay}
        for of_norm, decay in enumerate(decays)
        if (chosen := [p for p in learning if (id(p) in norms) == bool(of_norm)])
    ]
    fused = all(p.device.type in ("cpu", "cuda") for p in learning)  # a third of the time
    # The rate is set before every step.
    if solver.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=0.0, betas=(solver.momentum, 0.999), fused=fused)
    return torch.optim.SGD(groups, lr=0.0, momentum=solver.momentum, fused=fused)


def take_step(
    optimizer: torch.optim.Optimizer,
    solver: SolverConfig,
    lr: float,
    scaler: torch.amp.GradScaler | None = None,
) -> None:
    """Clip the gradients, update the parameters and forget the gradients.

    A parameter without a gradient has a zero one: momentum and decay go on. With a scaler of fp16
    losses, gradients are scaled back first, and a step whose gradients overflowed is left out.
    """
    scaler = scaler or torch.amp.GradScaler(enabled=False)
    parameters = list(_parameters(optimizer))
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    scaler.unscale_(optimizer)
    clip_gradients([p.grad for p in parameters if p.grad is not None], solver)
    for group in optimizer.param_groups:
        group["lr"] = lr
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)


def clip_gradients(gradients: list[Tensor], solver: SolverConfig) -> None:
    """Limit each tensor by itself, in place: its elements to ±limit, or its 2-norm to the limit."""
    if solver.clip == "value":
        torch._foreach_clamp_min_(gradients, -solver.clip_limit)
        torch._foreach_clamp_max_(gradients, solver.clip_limit)
    elif solver.clip == "norm":
        norms = torch.stack(torch._foreach_norm(gradients))
        shares = (solver.clip_limit / (norms + _NORM_EPSILON)).clamp(max=1.0)
        torch._foreach_mul_(gradients, list(shares.unbind()))


class WeightAverage:
    """An exponential moving average of the parameters that learn, and of batch norms' statistics.

    Args:
        model: whose weights are averaged; they are the average's first value.
        decay: share of the old average that a step keeps.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._changing = parameters | dict(model.named_buffers())
        self.weights = {name: value.detach().clone() for name, value in self._changing.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the present weights."""
        present: list[Tensor] = list(self._changing.values())
        torch._foreach_lerp_(list(self.weights.values()), present, 1 - self.decay)

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take over `weights` of a former average of the same model."""
        for name, average in self.weights.items():
            average.copy_(weights[name])


def _parameters(optimizer: torch.optim.Optimizer) -> Iterator[Tensor]:
    return (p for group in optimizer.param_groups for p in group["params"])
