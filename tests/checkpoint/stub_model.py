"""A module that has parameters of given names and shapes, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

import hashing
from iuv.checkpoint.keys import from_released, to_released
from iuv.config import ModelConfig


def stub_model(shapes: Mapping[str, tuple[int, ...]]) -> nn.Module:
    root = nn.Module()
    for name, shape in shapes.items():
        *path, leaf = name.split(".")
        module = root
        for step in path:
            if step not in dict(module.named_children()):
                module.add_module(step, nn.Module())
            module = module.get_submodule(step)
        if ".norm." in name:
            module.register_buffer(leaf, torch.zeros(shape))
        else:
            module.register_parameter(leaf, nn.Parameter(torch.zeros(shape)))
    return root


def our_shapes(model: str, limit: int | None = None) -> dict[str, tuple[int, ...]]:
    """Our parameter names and shapes of a zoo model; `limit` shrinks every dimension."""
    return {
        from_released(key): tuple(min(size, limit or size) for size in shape)
        for key, shape in hashing.manifest(model).items()
    }


def random_state(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


MODELS = sorted(
    path.stem.removeprefix("densepose_rcnn_")
    for path in (hashing.GOLDEN / "manifests").glob("*.tsv")
)

SMALL = our_shapes("R_50_FPN_s1x", limit=3)
CONFIG = ModelConfig().replace(**{"box.min_score": 0.3, "dense.uv_confidence": "iid_iso"})
STATE = random_state(SMALL)


def assert_holds(model, state):
    own = model.state_dict()
    assert own.keys() == state.keys()
    assert all(torch.equal(own[name], tensor) for name, tensor in state.items())


def released(state):
    return {to_released(name): tensor for name, tensor in state.items()}
