"""Parameter groups, clipping and momentum against the reference; averaging."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from hashing import GOLDEN, uniform
from iuv.checkpoint.keys import to_released
from iuv.engine.optim import WeightAverage, clip_gradients, freeze, make_optimizer, take_step
from iuv.modeling.rcnn import RCNN
from iuv.training_config import SolverConfig
from iuv.zoo import get_model
from tiny import TINY

SOLVER = json.loads((GOLDEN / "training" / "solver.json").read_text())
CLIPPING = SOLVER["clipping"]


@pytest.mark.parametrize("name", ["R_50_FPN_s1x", "R_50_FPN_DL_s1x"])
def test_parameter_groups_are_the_published_ones(name):
    golden = SOLVER["param_groups"][f"densepose_rcnn_{name}"]
    with torch.device("meta"):
        model = RCNN(get_model(name).config)
    freeze(model.trunk.resnet, SolverConfig().freeze_at)
    groups = make_optimizer(model, SolverConfig()).param_groups
    names = {id(p): to_released(n) for n, p in model.named_parameters()}
    ours = {names[id(p)]: i for i, group in enumerate(groups) for p in group["params"]}
    assert ours == {name: group for name, group, _ in golden["params"]}
    assert set(names.values()) - set(ours) == set(golden["not_optimised"])
    for group, expected in zip(groups, golden["groups"], strict=True):
        assert group["weight_decay"] == expected["weight_decay"]
        assert group["momentum"] == expected["momentum"]
        assert sum(p.numel() for p in group["params"]) == expected["n_numbers"]


@pytest.mark.parametrize("freeze_at", range(6))
def test_freeze(freeze_at):
    model = RCNN(TINY.replace(**{"backbone.depth": 18}))
    freeze(model.trunk.resnet, freeze_at)
    frozen = {n.split(".")[2] for n, p in model.named_parameters() if not p.requires_grad}
    assert frozen == set(["stem", "res2", "res3", "res4", "res5"][:freeze_at])


def test_nothing_left_to_learn():
    with pytest.raises(ValueError, match=r"no parameter of the model learns.*freeze_at"):
        make_optimizer(nn.Linear(1, 1).requires_grad_(False), SolverConfig())


def test_adamw():
    """Decay apart from the gradient; the norm's parameters by their own; the rate set per step."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 2, 1, bias=False), nn.BatchNorm2d(2))
    solver = SolverConfig(optimizer="adamw", weight_decay=0.5, weight_decay_norm=0.0)
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = make_optimizer(model, solver)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    take_step(optimizer, solver, lr=0.01)
    weight, scale, shift = model.parameters()
    # Adam's first step is the rate times the gradient's sign.
    torch.testing.assert_close(weight.detach(), before[0] * (1 - 0.01 * 0.5) - 0.01)
    torch.testing.assert_close(scale.detach(), before[1] - 0.01)
    torch.testing.assert_close(shift.detach(), before[2] - 0.01)


def golden_tensor(kind: str, index: int, scale: float) -> torch.Tensor:
    shape = tuple(CLIPPING["shapes"][index])
    return torch.from_numpy(uniform(f"solver/{kind}/{index}", shape) * np.float32(scale))


@pytest.mark.parametrize("name", CLIPPING["configs"])
def test_clipping_and_steps(name):
    """Tensors 0 and 1 have the usual weight decay, 2 and 3 that of norms."""
    enabled, kind, limit, _ = CLIPPING["configs"][name]["clip"]
    solver = SolverConfig(clip=kind if enabled else "none", clip_limit=limit)
    module = nn.Module()
    module.norm = nn.GroupNorm(1, 16)
    for index in range(4):
        parameter = nn.Parameter(golden_tensor("param", index, CLIPPING["param_scale"]))
        owner = module if index < 2 else module.norm
        owner.register_parameter(f"tensor{index}", parameter)
    del module.norm.weight, module.norm.bias
    parameters = dict(sorted((n[-1], p) for n, p in module.named_parameters()))
    optimizer = make_optimizer(module, solver)
    with np.load(GOLDEN / "training" / "solver_clipping.npz") as data:
        for step, lr in enumerate(CLIPPING["lrs"]):
            for index, parameter in parameters.items():
                scale = CLIPPING["grad_scales_per_step"][step][int(index)]
                parameter.grad = golden_tensor(f"grad/{step}", int(index), scale)
            clipped = [p.grad.clone() for p in parameters.values()]
            clip_gradients(clipped, solver)
            take_step(optimizer, solver, lr)
            for index, gradient in zip(parameters, clipped, strict=True):
                prefix = f"{name}/step{step}"
                expected = torch.from_numpy(data[f"{prefix}/grad_after_clip/{index}"])
                torch.testing.assert_close(gradient, expected, rtol=2e-7, atol=0)
                expected = torch.from_numpy(data[f"{prefix}/param/{index}"])
                torch.testing.assert_close(parameters[index].data, expected, rtol=2e-7, atol=1e-8)


def test_no_gradient_is_a_zero_gradient():
    """Momentum and decay go on for what a batch does not reach, as with zero losses."""
    results = []
    for second in (None, torch.zeros(2)):
        module = nn.Linear(2, 1, bias=False)
        module.weight.data.fill_(1.0)
        optimizer = make_optimizer(module, SolverConfig())
        for gradient in (torch.ones(1, 2), second):
            module.weight.grad = None if gradient is None else gradient.reshape(1, 2).clone()
            take_step(optimizer, SolverConfig(), 0.1)
        assert module.weight.grad is None
        results.append(module.weight.data)
    assert torch.equal(*results)
    assert (results[0] < 1 - 0.1 - 0.1 * 0.9).all()


def test_average():
    module = nn.Linear(1, 2)
    module.bias.requires_grad_(False)
    module.weight.data.fill_(0.0)
    average = WeightAverage(module, 0.75)
    module.weight.data.fill_(1.0)
    average.update()
    average.update()
    assert list(average.weights) == ["weight"]
    torch.testing.assert_close(average.weights["weight"], torch.full((2, 1), 1 - 0.75**2))
    other = WeightAverage(module, 0.75)
    other.load(average.weights)
    torch.testing.assert_close(other.weights, average.weights)
