"""``torch.compile``: the heavy parts as kernels that are generated for the machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from iuv.modeling.rcnn import RCNN

__all__ = ["compile_parts"]


def compile_parts(model: RCNN, backend: str | Callable[..., Any] = "inductor") -> RCNN:
    """Have the heavy parts compiled when they are first run, in place.

    These are the ResNet, the box head and the dense branch. The pyramid, the RPN head and the
    decoder run as they are: they are hardly more than convolutions, which torch does not generate,
    and would be compiled again for odd and even sides of the coarsest map, and for each window of
    the decoder.

    Heights, widths and numbers are free, but torch compiles apart what it runs apart:

    - the ResNet for one image and for several; on processors also for 16 images or more, and in
      float32, for one image, for each set of its maps that are small (20480 values or fewer, which
      none is in photos of the usual size): at most five sets. An image with a side of 32 or less
      is another case.
    - the heads for one box and for several, the box head for none, too; on processors also the
      dense branch for 16 boxes or more.

    Each is compiled when it first occurs; torch keeps what it has generated in its own cache on
    disk. What is beyond torch's own limit, eight cases of a part in a process, runs uncompiled.

    Args:
        model: prepared by `iuv.runtime.eager.prepare_eager`.
        backend: of `torch.compile`.
    """
    for part, free in (
        (model.trunk.resnet, (0, 2, 3)),
        (model.box_head, (0,)),
        (model.dense, (0,)),
    ):
        run = torch.compile(part.forward, dynamic=True, backend=backend)
        vars(part)["forward"] = _marked(run, free)
    return model


def _marked(run: Callable[[Tensor], Any], free: tuple[int, ...]) -> Callable[[Tensor], Any]:
    """Have axes taken for free even where they are equal in the first input, as in a square."""

    def forward(x: Tensor) -> Any:
        for axis in free:
            torch._dynamo.maybe_mark_dynamic(x, axis)
        return run(x)

    return forward
