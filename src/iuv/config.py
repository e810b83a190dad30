"""Model configurations: frozen, typed, checked at construction.

A configuration says what a network is made of and how its detections are chosen. The zoo
(`iuv.zoo`) builds one per released model; `iuv.detectron2_yaml` reads one from a Detectron2 file.
Lengths are pixels of the network input unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from iuv.sectioned import ConfigError, Sectioned, require

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
    "backbone.width": 1024,
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
        require(self.short_side > 0, f"input.short_side must be positive, got {self.short_side}")
        require(
            self.long_side >= self.short_side,
            f"input.long_side ({self.long_side}) must not be below input.short_side "
            f"({self.short_side})",
        )
        require(min(self.pixel_std_bgr) > 0, "input.pixel_std_bgr must be positive")


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """Residual network and feature pyramid."""

    depth: Literal[18, 50, 101] = 50
    norm: Literal["frozen_batch_norm", "batch_norm"] = "frozen_batch_norm"
    """Of the ResNet. Frozen is for pretrained weights; random ones need batch norm that learns.
    Predictions are the same with either."""
    width: int = 64
    """Channels of the ResNet's stem, by which its other channels grow and shrink."""
    fpn_channels: int = 256
    fpn_norm: bool = False
    """Batch norm in the feature pyramid and the decoder; helps models that begin with random
    weights."""

    def __post_init__(self) -> None:
        depths = (18, 50, 101)
        require(self.depth in depths, f"backbone.depth must be one of {depths}, got {self.depth}")
        require(
            self.norm in ("frozen_batch_norm", "batch_norm"),
            f"backbone.norm must be 'frozen_batch_norm' or 'batch_norm', got {self.norm!r}",
        )
        for name in ("width", "fpn_channels"):
            value = getattr(self, name)
            require(value > 0, f"backbone.{name} must be positive, got {value}")


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
        require(
            len(self.anchor_sizes) == 5,
            f"rpn.anchor_sizes needs one size per pyramid level (5), got {self.anchor_sizes}",
        )
        require(min(self.anchor_sizes) > 0, "rpn.anchor_sizes must be positive")
        require(len(self.aspect_ratios) > 0, "rpn.aspect_ratios must not be empty")
        require(min(self.aspect_ratios) > 0, "rpn.aspect_ratios must be positive")
        require(self.pre_nms_topk > 0, "rpn.pre_nms_topk must be positive")
        require(self.post_nms_topk > 0, "rpn.post_nms_topk must be positive")
        require(0 < self.nms_iou <= 1, f"rpn.nms_iou must be in (0, 1], got {self.nms_iou}")


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
    min_size: float = 0.0
    """People whose box has a longer side below this share of the image's longer side are left
    out, 0..1."""

    def __post_init__(self) -> None:
        for name in ("num_classes", "pool_size", "fc_dim", "max_people"):
            value = getattr(self, name)
            require(value > 0, f"box.{name} must be positive, got {value}")
        require(self.sampling_ratio >= 0, "box.sampling_ratio must not be negative")
        require(0 <= self.min_score <= 1, f"box.min_score must be in [0, 1], got {self.min_score}")
        require(0 < self.nms_iou <= 1, f"box.nms_iou must be in (0, 1], got {self.nms_iou}")
        require(0 <= self.min_size <= 1, f"box.min_size must be in [0, 1], got {self.min_size}")


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
    """Group norm in the DeepLab head's convolutions."""
    batch_norm: bool = False
    """Batch norm in the plain head's convolutions; helps models that begin with random weights."""
    nonlocal_block: bool = False
    """Self-attention after the DeepLab head's ASPP."""
    coarse_channels: Literal[2, 15] = 2
    """Coarse segmentation: background and person, or background and 14 mask parts."""
    uv_confidence: UVConfidence | None = None
    segm_confidence: bool = False
    segm_confidence_epsilon: float = 0.01
    """Lower bound of the segmentation confidences."""

    def __post_init__(self) -> None:
        require(
            self.head in ("conv", "deeplab"),
            f"dense.head must be 'conv' or 'deeplab', got {self.head!r}",
        )
        for name in ("pool_size", "num_convs", "conv_dim"):
            value = getattr(self, name)
            require(value > 0, f"dense.{name} must be positive, got {value}")
        require(self.sampling_ratio >= 0, "dense.sampling_ratio must not be negative")
        require(
            self.coarse_channels in (2, 15),
            f"dense.coarse_channels must be 2 or 15, got {self.coarse_channels}",
        )
        require(
            self.uv_confidence in (None, "iid_iso", "indep_aniso"),
            "dense.uv_confidence must be None, 'iid_iso' or 'indep_aniso', "
            f"got {self.uv_confidence!r}",
        )
        require(self.segm_confidence_epsilon >= 0, "dense.segm_confidence_epsilon must be >= 0")
        require(
            not (self.nonlocal_block and self.head != "deeplab"),
            "dense.nonlocal_block needs dense.head='deeplab'",
        )
        require(
            not (self.batch_norm and self.head != "conv"),
            "dense.batch_norm is of the plain head; with dense.head='deeplab' see dense.group_norm",
        )
        require(
            self.head != "deeplab" or not self.group_norm or self.conv_dim % 32 == 0,
            "dense.conv_dim must be a multiple of 32, the number of groups of the DeepLab head's "
            f"group norm, got {self.conv_dim}",
        )

    @property
    def heatmap_size(self) -> int:
        """Side of the output maps: pooled size, doubled by the deconvolution and the upsampling."""
        return self.pool_size * 4


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Sectioned):
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
            require(most <= largest, f"{path} must be at most {largest}, got {most}")
        channels = self.backbone.fpn_channels
        require(
            self.dense.head != "deeplab" or (channels % 32 == 0 and channels > 32),
            "backbone.fpn_channels must be a multiple of 32 above 32 for the DeepLab head, whose "
            f"group norm has 32 groups, got {channels}",
        )
