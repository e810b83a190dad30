"""The whole network: from normalised images to people's boxes and raw chart outputs.

`RCNN.forward` is the R-CNN recipe, written once and in order. Its heavy parts (`trunk`, `box_head`,
`decoder`, `dense`) take tensors and return tensors, so that an engine can run each elsewhere.

N: images. C: pyramid channels. H, W: padded input size. R: boxes. D: detections of one image.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from iuv.config import BackboneConfig, DenseConfig, InputConfig, ModelConfig, RPNConfig
from iuv.modeling.box_head import BOX_WEIGHTS, Boxes, BoxHead, select_boxes
from iuv.modeling.chart import ChartPredictor, output_channels
from iuv.modeling.dense_head import ConvHead, DeepLabHead
from iuv.modeling.fpn import FPN, PyramidDecoder
from iuv.modeling.resnet import ResNet
from iuv.modeling.rpn import STRIDES, RPNHead, decode_proposals, select_proposals
from iuv.ops.boxes import decode_deltas
from iuv.ops.roi_align import far_apart, pool_pyramid, window_of
from iuv.results import ChartOutputs

__all__ = ["RCNN", "STRIDE", "DenseBranch", "Detections", "Trunk", "TrunkOutputs", "network_input"]

STRIDE = 32
"""Inputs are padded to multiples of it, so that all pyramid levels line up."""


class TrunkOutputs(NamedTuple):
    """What one look at the images gives."""

    features: tuple[Tensor, ...]
    """p2..p6, [N, C, H / stride, W / stride] at strides 4, 8, 16, 32, 64."""
    logits: list[Tensor]
    """Per level [N, A, H / stride, W / stride]: anchor scores."""
    deltas: list[Tensor]
    """Per level [N, A * 4, H / stride, W / stride]: anchor refinements."""


class Detections(NamedTuple):
    """The people of one image, best score first."""

    boxes: Tensor
    """[D, 4] xyxy in pixels of the network input."""
    scores: Tensor
    """[D], 0..1."""
    classes: Tensor
    """int64 [D]."""
    charts: ChartOutputs
    """Raw maps, D of each."""


def network_input(
    images: Sequence[Tensor],
    padded: tuple[int, int],
    config: InputConfig,
    device: torch.device | None = None,
) -> Tensor:
    """Turn RGB images, uint8 [h, w, 3], into the network's input, float32 [N, 3, *padded], B, G, R.

    The mean is subtracted before the padding, so that the padding is 0. The images are uploaded to
    `device`, if given: as bytes, and without waiting for it if they are pinned.
    """
    device = device or images[0].device
    kind: dict[str, Any] = {"dtype": torch.float32, "device": device}
    mean = torch.tensor(config.pixel_mean_bgr, **kind)
    std = torch.tensor(config.pixel_std_bgr, **kind)
    batch = torch.zeros((len(images), *padded, 3), **kind)
    for row, host in zip(batch, images, strict=True):
        image = host.to(device, non_blocking=host.is_pinned())
        row[: image.shape[0], : image.shape[1]] = (image.flip(2) - mean) / std
    return batch.permute(0, 3, 1, 2)  # channels-last, as the convolutions want it


class Trunk(nn.Module):
    """ResNet, FPN and RPN head: [N, 3, H, W] → `TrunkOutputs`."""

    def __init__(self, backbone: BackboneConfig, rpn: RPNConfig) -> None:
        super().__init__()
        self.resnet = ResNet(backbone)
        self.fpn = FPN(self.resnet.channels, backbone.fpn_channels, norm=backbone.fpn_norm)
        self.rpn = RPNHead(backbone.fpn_channels, len(rpn.aspect_ratios))

    def forward(self, images: Tensor) -> TrunkOutputs:
        """Return pyramid features and RPN maps of normalised images."""
        features = self.fpn(self.resnet(images))
        return TrunkOutputs(features, *self.rpn(features))


class DenseBranch(nn.Module):
    """Head and chart predictor: pooled features [R, C, P, P] → `ChartOutputs`."""

    def __init__(self, in_channels: int, config: DenseConfig) -> None:
        super().__init__()
        head = DeepLabHead if config.head == "deeplab" else ConvHead
        self.head = head(in_channels, config)
        self.chart = ChartPredictor(config)

    def forward(self, pooled: Tensor) -> ChartOutputs:
        """Return the raw maps of each box."""
        outputs: ChartOutputs = self.chart(self.head(pooled))
        return outputs


class RCNN(nn.Module):
    """A DensePose model. Build it with a configuration, load weights with `iuv.checkpoint`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.backbone.fpn_channels
        self.trunk = Trunk(config.backbone, config.rpn)
        self.box_head = BoxHead(channels, config.box)
        self.decoder = (
            PyramidDecoder(channels, norm=config.backbone.fpn_norm)
            if config.dense.decoder
            else None
        )
        self.dense = DenseBranch(channels, config.dense)

    def forward(self, images: Tensor, sizes: Sequence[tuple[int, int]]) -> list[Detections]:
        """Find the people of each image.

        Args:
            images: [N, 3, H, W], B, G, R with the mean subtracted, zero-padded at the right and
                bottom to multiples of 32.
            sizes: (height, width) of each image without the padding.
        """
        features, logits, deltas = self.trunk(images)
        candidates = decode_proposals(logits, deltas, self.config.rpn)
        proposals = [boxes for boxes, _ in select_proposals(*candidates, sizes, self.config.rpn)]
        people = self.detect_boxes(self.pool_boxes(features, proposals), proposals, sizes)
        charts = self.read_charts(features, [found.boxes for found in people])
        return [Detections(*found, maps) for found, maps in zip(people, charts, strict=True)]

    def pool_boxes(self, features: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Pool the box head's input: p2.. and boxes [R_i, 4] per image → [sum of R_i, C, P, P]."""
        config = self.config.box
        return pool_pyramid(
            features[:4],
            boxes,
            pool_size=config.pool_size,
            sampling_ratio=config.sampling_ratio,
            aligned=config.aligned,
        )

    def pool_people(self, features: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Pool the dense branch's input, through the decoder if there is one; as `pool_boxes`.

        The decoder runs only where people are: in a window around all of them or, on a processor,
        in one for each group of people who are far from the others.
        """
        config, scale = self.config.dense, 1 / STRIDES[0]
        pool = functools.partial(
            pool_pyramid,
            pool_size=config.pool_size,
            sampling_ratio=config.sampling_ratio,
            aligned=config.aligned,
        )
        if self.decoder is None:
            return pool(features[:4], boxes)
        everyone = range(sum(len(image_boxes) for image_boxes in boxes))
        groups = [(slice(None), list(boxes), list(everyone))]
        if everyone and not self.training and features[0].device.type == "cpu":
            starts = itertools.accumulate(map(len, boxes), initial=0)
            groups = [
                (slice(i, i + 1), [boxes[i][rows]], [start + row for row in rows])
                for i, start in enumerate(itertools.islice(starts, len(boxes)))
                for rows in far_apart(boxes[i], scale=scale, margin=self.decoder.margin)
            ]
        pooled, order = [], []
        for images, members, rows in groups:
            levels = [level[images] for level in features[:4]]
            everybody = torch.cat(members)
            size = levels[0].shape[-2:]
            window = window_of(everybody, size, scale=scale, aligned=config.aligned)
            fused = self.decoder(levels, window)
            origin = everybody.new_tensor([window.columns.start, window.rows.start] * 2) / scale
            people = pool([fused], [image_boxes - origin for image_boxes in members])
            pooled.append(people.permute(0, 2, 3, 1))  # as they lie in memory
            order += rows
        if len(groups) == 1:
            return people
        return torch.cat(pooled)[torch.tensor(order).argsort()].permute(0, 3, 1, 2)

    def detect_boxes(
        self, pooled: Tensor, proposals: Sequence[Tensor], sizes: Sequence[tuple[int, int]]
    ) -> list[Boxes]:
        """Classify and refine the pooled proposals of each image ([R_i, 4]) into detections."""
        logits, deltas = self.box_head(pooled)
        boxes = decode_deltas(deltas, torch.cat(list(proposals)), BOX_WEIGHTS)
        counts = [len(image_proposals) for image_proposals in proposals]
        return [
            select_boxes(*outputs, self.config.box)
            for outputs in zip(logits.split(counts), boxes.split(counts), sizes, strict=True)
        ]

    def read_charts(
        self, features: Sequence[Tensor], boxes: Sequence[Tensor]
    ) -> list[ChartOutputs]:
        """Run the dense branch on given boxes ([D_i, 4] per image): raw maps for each image."""
        counts = [len(image_boxes) for image_boxes in boxes]
        if sum(counts) == 0:
            return [self._no_charts(features[0]) for _ in counts]
        outputs: ChartOutputs = self.dense(self.pool_people(features, boxes))
        ends = list(itertools.accumulate(counts, initial=0))
        return [outputs.at(slice(start, end)) for start, end in itertools.pairwise(ends)]

    def _no_charts(self, like: Tensor) -> ChartOutputs:
        size = self.config.dense.heatmap_size
        channels = output_channels(self.config.dense)
        empty = {name: like.new_zeros((0, c, size, size)).float() for name, c in channels.items()}
        return ChartOutputs(**empty)
