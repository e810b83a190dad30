"""What a user of an exported model has to know, as data that goes with the file.

H, W: image. D: people. S: side of a map.
"""

from __future__ import annotations

import hashlib
import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

from iuv.bodyparts import PARTS
from iuv.config import ModelConfig
from iuv.modeling.chart import output_channels
from iuv.runtime.parts import Part

__all__ = ["describe_parts", "describe_weights", "describe_whole", "flat"]

_MAPS = {
    "coarse_segm": "logits: background, then person or 14 mask parts",
    "fine_segm": "logits: background, then the parts of I in order",
    "u": "U, about 0..1, one map per part; map 0 has no meaning",
    "v": "V, as u",
    "sigma_2": "confidence, before the softplus that makes it a variance",
    "kappa_u": "confidence of U",
    "kappa_v": "confidence of V",
    "fine_segm_confidence": "positive; already multiplied into fine_segm",
    "coarse_segm_confidence": "positive; already multiplied into coarse_segm",
}


def describe_weights(
    name: str, weights: str | os.PathLike[str], licence: str | None
) -> dict[str, Any]:
    """Say where a model comes from.

    Args:
        name: of the model.
        weights: file of its weights.
        licence: of the weights, if known.
    """
    return {
        "model": name,
        "weights_sha256": hashlib.sha256(Path(weights).read_bytes()).hexdigest(),
        "weights_licence": licence or "not known; that of whoever trained them",
        "written_by": f"iuv {version('iuv')}",
    }


def describe_whole(config: ModelConfig) -> dict[str, Any]:
    """Say what goes into `iuv.export.network.WholeNetwork` and what comes out."""
    size = config.dense.heatmap_size
    outputs: dict[str, Any] = {
        "boxes": {
            "type": "float32",
            "shape": ["D", 4],
            "is": "left, top, right, bottom in pixels of the input, best score first",
        },
        "scores": {"type": "float32", "shape": ["D"], "is": "0..1"},
        "classes": {"type": "int64", "shape": ["D"], "is": "0 is a person"},
    }
    for name, channels in output_channels(config.dense).items():
        outputs[name] = {
            "type": "float32",
            "shape": ["D", channels, size, size],
            "is": _MAPS[name],
        }
    return {
        "input": {
            "image": {"type": "uint8", "shape": ["H", "W", 3], "is": "a photo, RGB, resized"},
            "short_side": config.input.short_side,
            "long_side": config.input.long_side,
            "resizing": "the shorter side becomes short_side, unless that makes the longer one "
            "exceed long_side, which then decides; sides are rounded; bilinear with antialiasing "
            "(Pillow's BILINEAR)",
        },
        "outputs": outputs,
        "min_score": config.box.min_score,
        "max_people": config.box.max_people,
        "I": ["background", *(part.name for part in PARTS)],
    }


def describe_parts(parts: list[Part]) -> dict[str, Any]:
    """Say what goes into the parts of a network and what comes out."""
    described = {}
    for part in parts:
        inputs = {}
        for name, example in part.inputs.items():
            shape: list[Any] = ["N", *example.shape[1:]]
            if (factor := part.multiples.get(name)) is not None:
                shape[1:3] = [f"{factor} * h", f"{factor} * w"]
            inputs[name] = {"type": "float32", "shape": shape}
        described[part.name] = {"inputs": inputs, "outputs": list(part.outputs)}
    return {"parts": described}


def flat(card: dict[str, Any]) -> dict[str, str]:
    """Return a card as texts, for files whose metadata are texts."""
    return {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in card.items()
    }
