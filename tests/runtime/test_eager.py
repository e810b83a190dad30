import copy
import pickle

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from iuv.modeling.layers import BatchNorm2d, ConvNorm, FrozenBatchNorm2d
from iuv.modeling.rcnn import RCNN
from iuv.runtime.eager import (
    fold_batch_norm,
    prepare_eager,
    use_winograd,
    without_winograd,
)
from tiny import TINY


def randomise(model):
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            for name in ("weight", "bias", "running_mean"):
                module.get_buffer(name).normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)


def test_folding_changes_rounding_only():
    unit = ConvNorm(8, 16, 3, FrozenBatchNorm2d(16), stride=2)
    randomise(unit)
    x = torch.randn(2, 8, 9, 9, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = unit(x)
        fold_batch_norm(unit)
        torch.testing.assert_close(unit(x), before, rtol=1e-5, atol=1e-5)
    assert isinstance(unit.norm, torch.nn.Identity)


def test_batch_norms_that_have_learnt_are_folded_too():
    unit = ConvNorm(8, 16, 3, BatchNorm2d(16))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(3):
            unit(torch.randn(4, 8, 9, 9) * 2 + 1)
    x = torch.randn(2, 8, 9, 9, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = unit.eval()(x)
        fold_batch_norm(unit)
        torch.testing.assert_close(unit(x), before, rtol=1e-5, atol=1e-5)
    assert isinstance(unit.norm, torch.nn.Identity)


def test_prepared_model_is_lean_and_equal():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = RCNN(TINY).eval()
    randomise(model.trunk.resnet.stem)
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        before = model.trunk(x)
        prepared = prepare_eager(model, torch.device("cpu"))
        after = prepared.trunk(x)
    for a, b in zip(before.features, after.features, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    assert not any(isinstance(m, FrozenBatchNorm2d) for m in prepared.modules())
    assert not any(p.requires_grad for p in prepared.parameters())
    kernel = prepared.trunk.fpn.output2.weight
    assert kernel.is_contiguous(memory_format=torch.channels_last)


def flops(model, x):
    with FlopCounterMode(display=False) as counter:
        model(x)
    return counter.get_total_flops()


@torch.inference_mode()
def test_winograd_saves_multiplications():
    model = nn.Sequential(nn.Conv2d(256, 256, 3, padding=1), nn.Conv2d(256, 8, 3, padding=1))
    x = torch.randn(1, 256, 32, 32, generator=torch.Generator().manual_seed(0))
    expected, plain = model(x), flops(model, x)
    assert use_winograd(model) is model
    assert flops(model, x) < 0.5 * plain
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-4)
    with without_winograd(model):
        assert flops(model, x) == plain
    assert flops(model, x) < 0.5 * plain
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.testing.assert_close(other(x), expected, rtol=1e-4, atol=1e-4)
    model.to(torch.float64)
    torch.testing.assert_close(model(x.double()), expected.double(), rtol=1e-4, atol=1e-4)


def test_winograd_steps_aside_for_gradients():
    model = use_winograd(nn.Sequential(nn.Conv2d(256, 256, 3, padding=1)))
    x = torch.randn(1, 256, 32, 32, requires_grad=True)
    model(x).sum().backward()
    assert x.grad.abs().sum() > 0
