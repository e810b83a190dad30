"""3 x 3 convolutions with a quarter of the multiplications.

A tile of 4 x 4 outputs depends on 6 x 6 inputs. Taken as polynomials, rows of both are products
that 6 points determine: inputs and weights are evaluated at these points, multiplied there, and the
outputs interpolated, which takes 36 products in place of 144. The points decide about rounding:
with 0, ±√½, ±√2 and infinity the error is about twice that of torch's convolution; with whole
numbers, the usual ones, it is twice as large again, and some errors are five times as large.

N: images. C, O: channels. H, W: size. T: tiles.
Sources: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2016), F(4 x 4, 3 x 3);
Barabasz et al., Error Analysis and Improving the Accuracy of Winograd Convolution (2020), for the
choice of points.
"""

from __future__ import annotations

import functools
import itertools
import math
import threading

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Workspace", "winograd_convolution", "winograd_fits", "winograd_pays"]

_TILE, _TAPS = 4, 3
_READ = _TILE + _TAPS - 1  # inputs along a side that a tile depends on; as many points
_POINTS = (0.0, 0.5**0.5, -(0.5**0.5), 2.0**0.5, -(2.0**0.5))  # and infinity
_CHANNELS, _TILES = 256, 64  # with fewer of either, the plain sum was measured to be as fast
_CHUNK = 1 << 16  # values per point that are worked on at once: what is between stays in caches


def winograd_fits(conv: nn.Conv2d) -> bool:
    """Tell whether a convolution is one that `winograd_convolution` may be faster at."""
    shape = (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups)
    usual = shape == ((_TAPS, _TAPS), (1, 1), (1, 1), (1, 1), 1) and conv.padding_mode == "zeros"
    return usual and min(conv.in_channels, conv.out_channels) >= _CHANNELS


def winograd_pays(x: Tensor) -> bool:
    """Tell whether a map [N, C, H, W] is one to take, and large enough for it to be faster."""
    tiles = x.shape[0] * -(-x.shape[2] // _TILE) * -(-x.shape[3] // _TILE)
    plain = x.dtype == torch.float32 and x.device.type == "cpu"
    return tiles >= _TILES and plain and not (x.requires_grad and torch.is_grad_enabled())


class Workspace(threading.local):
    """Memory that convolutions use one after the other; each thread has its own."""

    def __init__(self) -> None:
        self._blocks: dict[str, Tensor] = {}

    def __reduce__(self) -> tuple[type[Workspace], tuple[()]]:
        """Copies, pickled ones too, begin without memory."""
        return Workspace, ()

    def take(self, name: str, *shape: int) -> Tensor:
        """Return float32 of some shape that hold anything, and no more once the name is taken."""
        size = math.prod(shape)
        if name not in self._blocks or len(self._blocks[name]) < size:
            with torch.inference_mode(False):  # so that it can be written to in any mode
                self._blocks[name] = torch.empty(size, dtype=torch.float32, device="cpu")
        return self._blocks[name][:size].view(shape)


def winograd_convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, workspace: Workspace | None = None
) -> Tensor:
    """Convolve with stride 1 and a padding of 1, as `torch.nn.functional.conv2d`; no gradients.

    Args:
        x: float32 [N, C, H, W]; fastest channels-last.
        weight: [O, C, 3, 3], likewise.
        bias: [O].
        workspace: shared with other convolutions, as getting memory takes as long as filling it.

    Returns:
        [N, O, H, W], channels-last; where H or W is no multiple of 4, a part of a larger map.
    """
    take = (workspace or Workspace()).take
    count, channels, height, width = x.shape
    at_points, of_weights, to_outputs = _transforms()
    factors = take("factors", _READ**2, len(weight), channels)
    weights = weight.permute(2, 3, 0, 1).reshape(_TAPS**2, -1)
    torch.mm(of_weights, weights, out=factors.view(_READ**2, -1))

    down, across = -(-height // _TILE), -(-width // _TILE)
    tiles = max(_CHUNK // max(channels, len(weight)), across)
    rows = min(down, tiles // across)  # of tiles, of an image at once
    images = min(count, max(tiles // (down * across), 1))
    tiles = images * rows * across
    source = x.permute(0, 2, 3, 1)
    out = x.new_empty(count, down, _TILE, across, _TILE, len(weight))
    strip = take("strip", images, rows * _TILE + 2, across * _TILE + 2, channels)
    strip.zero_()  # around what is copied into it: the padding
    patches = strip.unfold(1, _READ, _TILE).unfold(2, _READ, _TILE).permute(4, 5, 0, 1, 2, 3)
    inputs = take("inputs", *patches.shape)
    values = take("values", _READ**2, tiles, channels)
    products = take("products", _READ**2, tiles, len(weight))
    results = take("results", _TILE, _TILE, images, rows, across, len(weight))
    for image, row in itertools.product(range(0, count, images), range(0, down, rows)):
        top = row * _TILE - 1  # of the strip; the first one begins with padding
        seen = source[image : image + images, max(top, 0) : top + strip.shape[1]]
        start = max(top, 0) - top
        strip[: len(seen), :start] = 0
        strip[: len(seen), start : start + seen.shape[1], 1 : width + 1] = seen
        strip[: len(seen), start + seen.shape[1] :] = 0
        inputs.copy_(patches)
        torch.mm(at_points, inputs.view(_READ**2, -1), out=values.view(_READ**2, -1))
        torch.bmm(values, factors.transpose(1, 2), out=products)
        torch.mm(to_outputs, products.view(_READ**2, -1), out=results.view(_TILE**2, -1))
        place = out[image : image + images, row : row + rows]
        upright = results.permute(2, 3, 0, 4, 1, 5)
        place.copy_(upright[: place.shape[0], : place.shape[1]])
    if bias is not None:
        out += bias
    out = out.view(count, down * _TILE, across * _TILE, -1)[:, :height, :width]
    return out.permute(0, 3, 1, 2)


@functools.cache
def _transforms() -> tuple[Tensor, Tensor, Tensor]:
    """[36, 36]: tiles → points; [36, 9]: weights → points; [16, 36]: products → outputs."""
    points = np.array(_POINTS)
    rest = [np.delete(points, index) for index in range(len(points))]
    inputs = np.zeros((_READ, _READ))
    inputs[:-1, :-1] = [np.poly(others)[::-1] for others in rest]
    inputs[-1] = np.poly(points)[::-1]
    scale = [np.prod(point - others) for point, others in zip(points, rest, strict=True)]
    weights, outputs = (np.vander(points, size, increasing=True) for size in (_TAPS, _TILE))
    weights = np.vstack([weights / np.array(scale)[:, None], np.eye(_TAPS)[-1]])  # the last row
    outputs = np.vstack([outputs, np.eye(_TILE)[-1]]).T  # and column are infinity
    first, second, third = (
        torch.from_numpy(np.kron(matrix, matrix)).float() for matrix in (inputs, weights, outputs)
    )
    return first, second, third
