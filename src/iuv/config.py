"""Model configurations: frozen, typed, checked at construction.

A configuration says what a network is made of and how its detections are chosen. The zoo
(`iuv.zoo`) builds one per released model; `iuv.detectron2_yaml` reads one from a Detectron2 file.
Lengths are pixels of the network input unless said otherwise.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

__all__ = [
    "BackboneConfig",
    "BoxConfig",
    "ConfigError",
    "DenseConfig",
    "InputConfig",
    "ModelConfig",
    "RPNConfig",
    "UVConfidence",
]

UVConfidence = Literal["iid_iso", "indep_aniso"]


# Configurations come with files of others: without bounds, one number could ask for all memory.
_LARGEST: Mapping[str, int] = {
    "input.short_side": 16384,
    "input.long_side": 16384,
    "backbone.fpn_channels": 4096,
    "rpn.anchor_sizes": 16384,
    "rpn.pre_nms_topk": 100_000,
    "rpn.post_nms_topk": 100_000,
    "box.num_classes": 10_000,
    "box.pool_size": 64,
    "box.sampling_ratio": 16,
    "box.fc_dim": 16384,
    "box.max_people": 10_000,
    "dense.pool_size": 256,
    "dense.sampling_ratio": 16,
    "dense.num_convs": 64,
    "dense.conv_dim": 4096,
}


class ConfigError(ValueError):
    """A configuration value is unknown, of the wrong type or out of range."""


def _require(ok: bool, what: str) -> None:
    if not ok:
        raise ConfigError(what)


@dataclass(frozen=True, kw_only=True)
class InputConfig:
    """How a photo becomes the network's input."""

    short_side: int = 800
    """The shorter side is resized to this, unless the longer one would exceed `long_side`."""
    long_side: int = 1333
    pixel_mean_bgr: tuple[float, float, float] = (103.530, 116.280, 123.675)
    """Subtracted from the pixels (0..255), in the order B, G, R."""
    pixel_std_bgr: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        _require(self.short_side > 0, f"input.short_side must be positive, got {self.short_side}")
        _require(
            self.long_side >= self.short_side,
            f"input.long_side ({self.long_side}) must not be below input.short_side "
            f"({self.short_side})",
        )
        _require(min(self.pixel_std_bgr) > 0, "input.pixel_std_bgr must be positive")


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """Residual network and feature pyramid."""

    depth: Literal[50, 101] = 50
    fpn_channels: int = 256

    def __post_init__(self) -> None:
        _require(self.depth in (50, 101), f"backbone.depth must be 50 or 101, got {self.depth}")
        _require(self.fpn_channels > 0, "backbone.fpn_channels must be positive")


@dataclass(frozen=True, kw_only=True)
class RPNConfig:
    """Region proposal network: anchors and how proposals are chosen."""

    anchor_sizes: tuple[int, ...] = (32, 64, 128, 256, 512)
    """One per pyramid level p2..p6: the square root of the anchors' area."""
    aspect_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Height over width."""
    pre_nms_topk: int = 1000
    """Anchors kept per level before non-maximum suppression."""
    post_nms_topk: int = 1000
    """Proposals kept per image."""
    nms_iou: float = 0.7

    def __post_init__(self) -> None:
        _require(
            len(self.anchor_sizes) == 5,
            f"rpn.anchor_sizes needs one size per pyramid level (5), got {self.anchor_sizes}",
        )
        _require(min(self.anchor_sizes) > 0, "rpn.anchor_sizes must be positive")
        _require(len(self.aspect_ratios) > 0, "rpn.aspect_ratios must not be empty")
        _require(min(self.aspect_ratios) > 0, "rpn.aspect_ratios must be positive")
        _require(self.pre_nms_topk > 0, "rpn.pre_nms_topk must be positive")
        _require(self.post_nms_topk > 0, "rpn.post_nms_topk must be positive")
        _require(0 < self.nms_iou <= 1, f"rpn.nms_iou must be in (0, 1], got {self.nms_iou}")


@dataclass(frozen=True, kw_only=True)
class BoxConfig:
    """Box head: which proposals are people, and where exactly."""

    num_classes: int = 1
    pool_size: int = 7
    sampling_ratio: int = 2
    """RoIAlign samples per bin and side; 0 adapts to the box size."""
    aligned: bool = False
    """RoIAlign with the half-pixel shift."""
    fc_dim: int = 1024
    min_score: float = 0.05
    """People must score above this (exclusive)."""
    nms_iou: float = 0.5
    max_people: int = 100
    """At most so many people per image, best scores first."""

    def __post_init__(self) -> None:
        for name in ("num_classes", "pool_size", "fc_dim", "max_people"):
            value = getattr(self, name)
            _require(value > 0, f"box.{name} must be positive, got {value}")
        _require(self.sampling_ratio >= 0, "box.sampling_ratio must not be negative")
        _require(0 <= self.min_score <= 1, f"box.min_score must be in [0, 1], got {self.min_score}")
        _require(0 < self.nms_iou <= 1, f"box.nms_iou must be in (0, 1], got {self.nms_iou}")


@dataclass(frozen=True, kw_only=True)
class DenseConfig:
    """Dense branch: for every person the part and the surface coordinates of each pixel."""

    decoder: bool = True
    """Fuse the pyramid into one stride-4 map before pooling; the legacy models pool from p2..p5."""
    head: Literal["conv", "deeplab"] = "conv"
    pool_size: int = 28
    sampling_ratio: int = 2
    aligned: bool = False
    num_convs: int = 8
    conv_dim: int = 512
    group_norm: bool = True
    """Group norm in the DeepLab head's convolutions; the plain head has no norm."""
    nonlocal_block: bool = False
    """Self-attention after the DeepLab head's ASPP."""
    coarse_channels: Literal[2, 15] = 2
    """Coarse segmentation: background and person, or background and 14 mask parts."""
    uv_confidence: UVConfidence | None = None
    segm_confidence: bool = False
    segm_confidence_epsilon: float = 0.01
    """Lower bound of the segmentation confidences."""

    def __post_init__(self) -> None:
        _require(
            self.head in ("conv", "deeplab"),
            f"dense.head must be 'conv' or 'deeplab', got {self.head!r}",
        )
        for name in ("pool_size", "num_convs", "conv_dim"):
            value = getattr(self, name)
            _require(value > 0, f"dense.{name} must be positive, got {value}")
        _require(self.sampling_ratio >= 0, "dense.sampling_ratio must not be negative")
        _require(
            self.coarse_channels in (2, 15),
            f"dense.coarse_channels must be 2 or 15, got {self.coarse_channels}",
        )
        _require(
            self.uv_confidence in (None, "iid_iso", "indep_aniso"),
            "dense.uv_confidence must be None, 'iid_iso' or 'indep_aniso', "
            f"got {self.uv_confidence!r}",
        )
        _require(self.segm_confidence_epsilon >= 0, "dense.segm_confidence_epsilon must be >= 0")
        _require(
            not (self.nonlocal_block and self.head != "deeplab"),
            "dense.nonlocal_block needs dense.head='deeplab'",
        )
        _require(
            self.head != "deeplab" or not self.group_norm or self.conv_dim % 32 == 0,
            "dense.conv_dim must be a multiple of 32, the number of groups of the DeepLab head's "
            f"group norm, got {self.conv_dim}",
        )

    @property
    def heatmap_size(self) -> int:
        """Side of the output maps: pooled size, doubled by the deconvolution and the upsampling."""
        return self.pool_size * 4


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A whole DensePose model."""

    input: InputConfig = field(default_factory=InputConfig)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    rpn: RPNConfig = field(default_factory=RPNConfig)
    box: BoxConfig = field(default_factory=BoxConfig)
    dense: DenseConfig = field(default_factory=DenseConfig)

    def __post_init__(self) -> None:
        for path, largest in _LARGEST.items():
            section, name = path.split(".")
            value = getattr(getattr(self, section), name)
            most = max(value) if isinstance(value, tuple) else value
            _require(most <= largest, f"{path} must be at most {largest}, got {most}")
        channels = self.backbone.fpn_channels
        _require(
            self.dense.head != "deeplab" or (channels % 32 == 0 and channels > 32),
            "backbone.fpn_channels must be a multiple of 32 above 32 for the DeepLab head, whose "
            f"group norm has 32 groups, got {channels}",
        )

    def replace(self, **changes: Any) -> ModelConfig:
        """Return a copy with dotted fields changed, e.g. ``replace(**{"box.min_score": 0.3})``.

        Values are checked against the field's type; strings are not parsed (see `override`).

        Raises:
            ConfigError: an unknown field, a wrong type or a value out of range.
        """
        hints = _field_types()
        sections: dict[str, dict[str, Any]] = {}
        for path, value in changes.items():
            if path not in hints:
                near = get_close_matches(path, hints, n=3) or sorted(hints)
                raise ConfigError(f"unknown config field {path!r}; did you mean {', '.join(near)}?")
            section, _, name = path.partition(".")
            sections.setdefault(section, {})[name] = _cast(value, hints[path], path)
        # A section at once, since its fields may constrain each other.
        new = {s: dataclasses.replace(getattr(self, s), **fields) for s, fields in sections.items()}
        return dataclasses.replace(self, **new)

    def override(self, *assignments: str) -> ModelConfig:
        """Return a copy changed by assignments as typed on a command line: ``"box.min_score=0.3"``.

        The right side is read as a Python literal, else taken as text.

        Raises:
            ConfigError: no "=", an unknown field, a wrong type or a value out of range.
        """
        changes = {}
        for text in assignments:
            path, equals, literal = text.partition("=")
            _require(bool(equals), f"expected FIELD=VALUE, e.g. box.min_score=0.3, got {text!r}")
            try:
                changes[path.strip()] = ast.literal_eval(literal.strip())
            except (ValueError, SyntaxError, TypeError):
                changes[path.strip()] = literal.strip()
        return self.replace(**changes)

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain data (numbers, strings, lists), ready for JSON."""
        plain: dict[str, Any] = _plain(dataclasses.asdict(self))
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelConfig:
        """Rebuild a configuration from `to_dict`'s data.

        Raises:
            ConfigError: an unknown section or field, a wrong type or a value out of range.
        """
        _require(isinstance(data, Mapping), f"a config must be a mapping, got {data!r}")
        known = [f.name for f in dataclasses.fields(cls)]
        changes = {}
        for section, values in data.items():
            _require(
                section in known,
                f"unknown config section {section!r}; the sections are {', '.join(known)}",
            )
            _require(
                isinstance(values, Mapping),
                f"config section {section!r} must be a mapping, got {type(values).__name__}",
            )
            changes.update({f"{section}.{name}": value for name, value in values.items()})
        return cls().replace(**changes)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


@functools.cache
def _field_types() -> dict[str, Any]:
    """Return the type of every field by its dotted name, e.g. ``"box.min_score"`` → float."""
    return {
        f"{section}.{name}": hint
        for section, cls in typing.get_type_hints(ModelConfig).items()
        for name, hint in typing.get_type_hints(cls).items()
    }


def _cast(value: Any, hint: Any, path: str) -> Any:
    """Check a value against a field's type; whole numbers pass as floats, lists as tuples."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        ok = any(value == a and type(value) is type(a) for a in args)  # 50.0 is not 50
        _require(ok, f"{path} must be one of {args}, got {value!r}")
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _cast(value, next(a for a in args if a is not type(None)), path)
    if origin is tuple:
        _require(isinstance(value, list | tuple), f"{path} must be a list, got {value!r}")
        fixed = args[-1] is not Ellipsis
        _require(
            not fixed or len(value) == len(args), f"{path} needs {len(args)} values, got {value!r}"
        )
        return tuple(_cast(v, args[0], path) for v in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, float):
        _require(math.isfinite(value), f"{path} must be finite, got {value!r}")
    ok = isinstance(value, hint) and not (hint is int and isinstance(value, bool))
    _require(ok, f"{path} must be {hint.__name__}, got {value!r}")
    return value
