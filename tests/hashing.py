"""Weights and inputs from an exact integer hash, as described in tests/golden/README.md.

They let the golden numbers be rebuilt anywhere, bit for bit, without shipping any weights.
"""

from __future__ import annotations

import functools
import json
import math
import re
import zlib
from pathlib import Path

import numpy as np
import torch

GOLDEN = Path(__file__).parent / "golden"


def uniform(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float32 numbers in [-1, 1) that depend on the name and the flat index only."""
    count = math.prod(shape)
    with np.errstate(over="ignore"):
        x = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B9)
        x += np.uint32(zlib.crc32(name.encode()))
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x7FEB352D)
        x ^= x >> np.uint32(15)
        x *= np.uint32(0x846CA68B)
        x ^= x >> np.uint32(16)
    return ((x >> np.uint32(8)).astype(np.float32) * np.float32(2**-23) - np.float32(1)).reshape(
        shape
    )


def affine(name: str, shape: tuple[int, ...], scale: float, offset: float = 0) -> torch.Tensor:
    """float32 numbers in [offset - scale, offset + scale)."""
    out = uniform(name, shape) * np.float32(scale)
    return torch.from_numpy(out + np.float32(offset) if offset else out)


def sample_positions(numel: int, count: int) -> np.ndarray:
    """Flat positions at which golden tensors are sampled."""
    k = np.arange(count, dtype=np.uint64)
    return ((k * np.uint64(2654435761) + np.uint64(12345)) % np.uint64(numel)).astype(np.int64)


@functools.cache
def _rules() -> list[dict]:
    return json.loads((GOLDEN / "weights_table.json").read_text())


@functools.cache
def weight(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The hash weight of one released (Detectron2) key; shared, so leave it as it is."""
    rule = next(
        r
        for r in _rules()
        if re.search(r["regex"], key)
        and {"any": True, "1": len(shape) == 1, ">=2": len(shape) >= 2}[str(r["ndim"])]
    )
    kind = rule["kind"]
    if kind == "zeros_int":
        return torch.zeros(shape, dtype=torch.int64)
    u = uniform(key, shape)
    if kind == "affine":
        out = u * np.float32(rule["scale"])
        if rule["offset"]:
            out += np.float32(rule["offset"])
        return torch.from_numpy(out)
    gain = rule["gain"]
    if kind == "deconv0":
        stride = rule["stride"]
        if stride == "2^i":
            stride = 2 ** int(re.search(r"interp_conv\.(\d)", key)[1])
        fan_in = shape[0] * shape[2] * shape[3] / stride**2
        u = u - np.roll(u, -1, axis=0)
    else:
        fan_in = math.prod(shape[1:])
        if kind == "conv0":
            u = u - np.roll(u, -1, axis=1)
    scale = gain * math.sqrt(3 / fan_in) / (1 if kind == "conv" else math.sqrt(2))
    return torch.from_numpy(u * np.float32(scale))


def manifest(config: str) -> dict[str, tuple[int, ...]]:
    """Key → shape of a released model, e.g. ``manifest("R_50_FPN_s1x")``."""
    lines = (GOLDEN / "manifests" / f"densepose_rcnn_{config}.tsv").read_text().splitlines()[1:]
    rows = (line.split("\t") for line in lines)
    return {
        key: () if shape == "scalar" else tuple(map(int, shape.split("x")))
        for key, shape, *_ in rows
    }


def state_dict(config: str) -> dict[str, torch.Tensor]:
    """All hash weights of a released model, under the released keys."""
    return {key: weight(key, shape) for key, shape in manifest(config).items()}
