"""Three steps of training, end to end, against the reference's numbers (sgd.json)."""

from __future__ import annotations

import functools
import json
import math
import re

import numpy as np
import pytest
import torch
import yaml

from golden_scene import targets_of
from hashing import GOLDEN, affine, sample_positions, uniform
from iuv.checkpoint.keys import to_released
from iuv.detectron2_yaml import read_detectron2_training
from iuv.engine.optim import freeze, make_optimizer, take_step
from iuv.engine.schedule import learning_rate
from iuv.engine.step import TrainingStep
from iuv.modeling.rcnn import RCNN
from iuv.targets import Batch

SGD = json.loads((GOLDEN / "training" / "sgd.json").read_text())
PREFIX = SGD["name_prefix"]
CASES = SGD["cases"]
# The fixed cases are the ones to rely on; the others choose proposals by themselves, and after an
# update a change of rounding may change a choice (see the golden README).
UNSTABLE = ("legacy_fixed_proposals", "DL_WC1_fixed_proposals")


def tolerance_of(name, step):
    if step < 2:
        return 1e-5
    if name not in UNSTABLE:
        return 1e-4
    # After three steps of the legacy model, ours with one thread, two, without oneDNN and in
    # float64 differ by 1.5 % from each other in loss_cls; the reference is among them.
    return 2e-2 if step == 3 and name.startswith("legacy") else 3e-3


@pytest.fixture
def config_of(tmp_path):
    def read(case):
        options = dict(zip(case["opts"][::2], case["opts"][1::2], strict=True))
        tree = {"_BASE_": f"{case['config']}.yaml"}
        for key, value in options.items():
            *sections, name = key.split(".")
            node = tree
            for section in sections:
                node = node.setdefault(section, {})
            node[name] = value
        file = tmp_path / "case.yaml"
        file.write_text(yaml.safe_dump(tree))
        return read_detectron2_training(file)

    return read


@functools.cache
def images():
    """Noise and ramps; what the network is fed is B, G, R, and a batch holds R, G, B."""
    made = []
    for number, image in enumerate(SGD["scene"]["images"]):
        height, width = image["height"], image["width"]
        noise = affine(f"{PREFIX}image/{number}", (3, height, width), 0.5, 0.5)
        n = torch.floor(noise.double() * 256)
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        ramp = torch.stack([(x * p + y * q) % 256 for p, q in ((7, 3), (2, 5), (3, 11))])
        bgr = torch.floor((n + 3 * ramp) / 4).to(torch.uint8)
        made.append(bgr.permute(1, 2, 0).flip(2).contiguous())
    return made


def weight(key, shape):
    rule, *parameters = next(
        row
        for pattern, *row in SGD["weight_table"]
        if re.search(pattern.removesuffix("@1"), key)
        and (len(shape) == 1 or not pattern.endswith("@1"))
    )
    if rule == "affine":
        return affine(PREFIX + key, shape, *parameters)
    fan = math.prod(shape) / shape[0]
    if rule == "fan_t":
        fan = shape[0] * shape[2] * shape[3] / 4
    scale = np.float32(parameters[0] * math.sqrt(3 / fan))
    return torch.from_numpy(uniform(PREFIX + key, shape) * scale)


def build(case, config):
    model = RCNN(config.model)
    state = {}
    for name, tensor in model.state_dict().items():
        key = to_released(name)
        state[name] = weight(key, tuple(tensor.shape))
        shape, total, absolute = case["weights"][key]
        assert list(tensor.shape) == shape
        assert float(state[name].double().sum()) == pytest.approx(total, abs=1e-6 * absolute + 1e-9)
    assert len(state) == case["n_state_keys"]
    model.load_state_dict(state)
    freeze(model.trunk.resnet, config.solver.freeze_at)
    return model


class FixedProposals(TrainingStep):
    """The proposals are given, whatever the RPN says."""

    def propose(self, outputs, sizes):
        return [torch.tensor(boxes) for boxes in SGD["fixed_proposals"]]


def samples(tensor, count):
    return tensor.detach().flatten()[sample_positions(tensor.numel(), count)].tolist()


def check_gradients(model, golden, tolerance):
    norms = {
        to_released(name): 0.0 if p.grad is None else p.grad.double().norm().item()
        for name, p in model.named_parameters()
        if p.requires_grad
    }
    assert norms.keys() == golden["grad_norms"].keys()
    largest = max(golden["grad_norms"].values())
    for key, norm in golden["grad_norms"].items():
        assert norms[key] == pytest.approx(norm, rel=tolerance, abs=1e-6 * largest), key
    total = math.sqrt(sum(norm**2 for norm in norms.values()))
    assert total == pytest.approx(golden["grad_norm_total"], rel=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_three_steps_as_the_reference(name, config_of, monkeypatch):
    if name.startswith("DL"):
        # The DeepLab head's gradients differ by 0.5 % from one algorithm of convolutions to
        # another, and from either as much in float64 (ReLU kinks). This one is the same everywhere.
        monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    case = CASES[name]
    config = config_of(case)
    model = build(case, config)
    fixed = name.endswith("_fixed_proposals")
    step = (FixedProposals if fixed else TrainingStep)(model, config, torch.arange)
    optimizer = make_optimizer(model, config.solver)
    batch = Batch(images(), [targets_of(i["instances"]) for i in SGD["scene"]["images"]], [0, 1])
    # steps[3] is the forward pass after three updates
    compared = case["steps"] if fixed else case["steps"][:2]
    for number, golden in enumerate(compared):
        tolerance = tolerance_of(name, number)
        losses = step(batch)
        found = {loss: value.item() for loss, value in losses.items()}
        assert found == pytest.approx(golden["losses"], rel=tolerance), number
        total = sum(losses.values())
        assert total.item() == pytest.approx(golden["total"], rel=tolerance)
        if number == 3:
            continue
        total.backward()
        if number == 0:
            check_gradients(model, golden, 1e-3 if name.startswith("DL") else 1e-4)
        lr = learning_rate(number, config)
        assert lr == golden["lr"]
        take_step(optimizer, config.solver, lr)
    if fixed:
        start = {n: weight(to_released(n), tuple(p.shape)) for n, p in model.named_parameters()}
        moved = {to_released(n): p - start[n] for n, p in model.named_parameters()}
        for key, golden in case["params_after_3_steps"].items():
            change = float(moved[key].detach().double().norm())
            relative = 3e-3 if name in UNSTABLE else 1e-3
            assert change == pytest.approx(golden["change_norm"], rel=relative, abs=1e-7), key


@pytest.mark.parametrize("what", SGD["untrainable"])
def test_trains_on_what_the_reference_cannot(what, config_of):
    case = CASES["s1x_fixed_proposals"]
    config = config_of(case)
    model = build(case, config)
    scene = [list(image["instances"]) for image in SGD["scene"]["images"]]
    without = [[{k: v for k, v in i.items() if k[:3] != "dp_"} for i in image] for image in scene]
    people = {
        "image1_without_people": [scene[0], []],
        "image1_without_densepose_field": [scene[0], without[1]],
        "no_image_with_densepose": without,
        "image0_only_none_annotation": [without[0][:1], scene[1]],
    }[what]
    targets = [targets_of(instances) for instances in people]
    step = FixedProposals(model, config, torch.arange)
    losses = step(Batch(images(), targets, [0, 1]))
    assert list(losses) == list(step(Batch(images(), [targets_of(i) for i in scene], [0, 1])))
    sum(losses.values()).backward()
    values = {name: loss.item() for name, loss in losses.items()}
    assert all(math.isfinite(value) for value in values.values())
    zero = {name for name, value in values.items() if value == 0}
    dense = {f"loss_densepose_{kind}" for kind in "UVIS"}
    assert zero == (dense if what == "no_image_with_densepose" else set())
    missing = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing  # every process has every gradient, as averaging over them needs
