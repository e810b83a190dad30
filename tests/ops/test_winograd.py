"""Winograd's way is the plain sum, to within rounding."""

import copy
import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from iuv.ops import winograd
from iuv.ops.winograd import Workspace, winograd_convolution, winograd_fits, winograd_pays


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (3, 9), (8, 5), (13, 22), (4, 60)])
@pytest.mark.parametrize("count", [1, 5])
def test_it_is_a_convolution(size, count, monkeypatch):
    """In one piece, row by row, and image by image."""
    x, weight, bias = numbers(count, 6, *size), numbers(10, 6, 3, 3, seed=1), numbers(10, seed=2)
    expected = F.conv2d(x.double(), weight.double(), bias.double(), padding=1).float()
    for chunk in (1, 30, 200, 1 << 16):
        monkeypatch.setattr(winograd, "_CHUNK", chunk)
        for memory_format in (torch.channels_last, torch.contiguous_format):
            x, weight = (t.contiguous(memory_format=memory_format) for t in (x, weight))
            result = winograd_convolution(x, weight, bias)
            torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-4)
    plain = F.conv2d(x, weight, padding=1)
    torch.testing.assert_close(winograd_convolution(x, weight), plain, rtol=1e-5, atol=1e-4)


def test_a_workspace_may_hold_anything():
    workspace = Workspace()
    weight = numbers(8, 8, 3, 3, seed=1)
    for mode in (torch.inference_mode, torch.no_grad, torch.inference_mode):
        for size in ((20, 30), (9, 50), (20, 30)):
            x = numbers(2, 8, *size)
            with mode():
                result = winograd_convolution(x, weight, workspace=workspace)
            torch.testing.assert_close(result, F.conv2d(x, weight, padding=1), rtol=1e-5, atol=1e-4)
    held = [workspace.take("values", 2, 3)]
    thread = threading.Thread(target=lambda: held.append(workspace.take("values", 2, 3)))
    thread.start()
    thread.join()
    assert held[0].data_ptr() != held[1].data_ptr()
    assert workspace.take("values", 3).data_ptr() == held[0].data_ptr()
    copied = copy.deepcopy(workspace)
    assert copied.take("values", 3).data_ptr() != held[0].data_ptr()


def test_it_reads_maps_that_are_parts_of_others():
    whole = numbers(2, 8, 20, 30).contiguous(memory_format=torch.channels_last)
    part, weight = whole[:, :, 3:17, 5:28], numbers(4, 8, 3, 3, seed=1)
    expected = F.conv2d(part, weight, padding=1)
    torch.testing.assert_close(winograd_convolution(part, weight), expected, rtol=1e-5, atol=1e-4)


def test_the_points_keep_rounding_small(monkeypatch):
    x = numbers(1, 256, 32, 32).relu().contiguous(memory_format=torch.channels_last)
    weight = numbers(256, 256, 3, 3, seed=1) / 48
    exact = F.conv2d(x.double(), weight.double(), padding=1)
    errors = [
        float((result - exact).square().mean().sqrt())
        for result in (winograd_convolution(x, weight), F.conv2d(x, weight, padding=1))
    ]
    assert errors[0] < 4 * errors[1]
    assert errors[0] < 2e-6
    winograd._transforms.cache_clear()
    monkeypatch.setattr(winograd, "_POINTS", (0.0, 1.0, -1.0, 2.0, -2.0))
    usual = winograd_convolution(x, weight)
    winograd._transforms.cache_clear()
    assert float((usual - exact).square().mean().sqrt()) > 1.5 * errors[0]


def test_transforms_are_exact_for_polynomials():
    """Along an axis: 4 outputs of 6 inputs and 3 weights, in float64 but for the last rounding."""
    at_points, of_weights, to_outputs = (m.double().numpy() for m in winograd._transforms())
    assert (at_points.shape, of_weights.shape) == ((36, 36), (36, 9))
    inputs, weights = np.arange(36.0), np.arange(9.0)
    found = to_outputs @ ((at_points @ inputs) * (of_weights @ weights))
    tile, taps = inputs.reshape(6, 6), weights.reshape(3, 3)
    expected = [[(tile[i : i + 3, j : j + 3] * taps).sum() for j in range(4)] for i in range(4)]
    np.testing.assert_allclose(found, np.ravel(expected), rtol=1e-5)


def test_where_it_is_used():
    assert winograd_fits(nn.Conv2d(256, 512, 3, padding=1))
    for other in (
        nn.Conv2d(128, 256, 3, padding=1),
        nn.Conv2d(256, 128, 3, padding=1),
        nn.Conv2d(256, 256, 1),
        nn.Conv2d(256, 256, 3),
        nn.Conv2d(256, 256, 3, padding=2, dilation=2),
        nn.Conv2d(256, 256, 3, padding=1, stride=2),
        nn.Conv2d(512, 512, 3, padding=1, groups=2),
        nn.Conv2d(256, 256, 3, padding=1, padding_mode="reflect"),
    ):
        assert not winograd_fits(other)
    assert winograd_pays(torch.zeros(1, 1, 32, 32))
    assert winograd_pays(torch.zeros(2, 1, 28, 28))
    assert not winograd_pays(torch.zeros(1, 1, 28, 28))
    assert not winograd_pays(torch.zeros(0, 1, 28, 28))
    assert not winograd_pays(torch.zeros(1, 1, 32, 32, dtype=torch.bfloat16))
    assert not winograd_pays(torch.zeros(1, 1, 32, 32, device="meta"))
    assert not winograd_pays(torch.zeros(1, 1, 32, 32, requires_grad=True))
