"""The training forward: the R-CNN recipe once more, with losses in place of detections.

N: images. M: anchors. R: boxes. Boxes are xyxy in pixels of the network input.
Parity with Detectron2, but that batches in which nobody has DensePose annotations are trained on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from iuv.config import RPNConfig
from iuv.losses.chart import chart_losses
from iuv.losses.detection import (
    Permute,
    Samples,
    box_losses,
    dense_samples,
    rpn_losses,
    sample_proposals,
)
from iuv.modeling.box_head import BOX_WEIGHTS
from iuv.modeling.rcnn import RCNN, STRIDE, TrunkOutputs, network_input
from iuv.modeling.rpn import (
    STRIDES,
    cell_anchors,
    decode_proposals,
    grid_anchors,
    select_proposals,
)
from iuv.results import ChartOutputs
from iuv.targets import Batch, Targets
from iuv.training_config import TrainingConfig

__all__ = ["TrainingStep", "all_anchors"]

_SUM_OF = 2
"""The published models were trained with two images per GPU, and their U and V losses are sums over
the points of a GPU's images. So sums are scaled to two images here, however many come at once."""


class TrainingStep(nn.Module):
    """A batch → its losses, which are to be summed.

    A module of its own, so that `torch.nn.parallel.DistributedDataParallel` can wrap the whole.

    Args:
        model: in training as in inference; what must not learn has ``requires_grad`` off.
        config: how to train it.
        permute: makes random orders; see `iuv.losses.detection.Permute`.
    """

    def __init__(
        self, model: RCNN, config: TrainingConfig, permute: Permute = torch.randperm
    ) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.permute = permute

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses under their published names, scalars that need gradients.

        ``loss_rpn_cls``, ``loss_rpn_loc``, ``loss_cls``, ``loss_box_reg``, ``loss_densepose_I``,
        ``loss_densepose_S`` and either ``loss_densepose_U`` and ``_V`` or ``loss_densepose_UV``.

        Raises:
            ValueError: the network computes nothing finite any more.
        """
        model, sampling, targets = self.model, self.config.sampling, batch.targets
        sizes = [(image.shape[0], image.shape[1]) for image in batch.images]
        images = network_input(batch.images, _padded(sizes), model.config.input)
        outputs: TrunkOutputs = model.trunk(images)
        anchors = all_anchors(outputs.features, model.config.rpn)
        losses = rpn_losses(
            outputs.logits, outputs.deltas, anchors, targets, sampling, self.permute
        )
        proposals = self.propose(outputs, sizes)
        samples = sample_proposals(
            proposals, targets, model.config.box.num_classes, sampling, self.permute
        )
        pooled = model.pool_boxes(outputs.features, [s.boxes for s in samples])
        logits, deltas = model.box_head(pooled)
        losses |= box_losses(logits, deltas, samples, targets, BOX_WEIGHTS)
        people = dense_samples(
            samples, targets, sampling.dense_min_iou, by_masks=self.config.losses.segm_from_masks
        )
        return losses | self._dense_losses(outputs.features, people, targets)

    @torch.no_grad()
    def propose(self, outputs: TrunkOutputs, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
        """Return the proposals of each image, [P, 4]; more of them than in inference."""
        config = dataclasses.replace(
            self.model.config.rpn,
            pre_nms_topk=self.config.sampling.pre_nms_topk,
            post_nms_topk=self.config.sampling.post_nms_topk,
        )
        logits = [level.float() for level in outputs.logits]
        deltas = [level.float() for level in outputs.deltas]
        candidates = decode_proposals(logits, deltas, config)
        return [boxes for boxes, _ in select_proposals(*candidates, sizes, config)]

    def _dense_losses(
        self, features: Sequence[Tensor], people: Sequence[Samples], targets: Sequence[Targets]
    ) -> dict[str, Tensor]:
        # Also with nobody to learn from: all parameters take part in every step, as several
        # processes that average their gradients need.
        pooled = self.model.pool_people(features, [p.boxes for p in people])
        outputs: ChartOutputs = self.model.dense(pooled)
        losses = chart_losses(outputs, people, targets, self.config.losses)
        scale = _SUM_OF / len(targets)
        sums = ("loss_densepose_U", "loss_densepose_V", "loss_densepose_UV")
        return {name: loss * scale if name in sums else loss for name, loss in losses.items()}


def all_anchors(features: Sequence[Tensor], config: RPNConfig) -> Tensor:
    """Return the anchors [M, 4] of p2.. [N, C, H, W], in the order level, row, column, anchor."""
    levels = []
    for feature, stride, size in zip(features, STRIDES, config.anchor_sizes, strict=True):
        cells = cell_anchors(size, config.aspect_ratios).to(feature.device)
        height, width = feature.shape[2:]
        index = torch.arange(height * width * len(cells), device=feature.device)
        levels.append(grid_anchors(cells, index, width, stride))
    return torch.cat(levels)


def _padded(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the height and width that hold all images, in whole strides of the network."""
    height, width = (max(sides) for sides in zip(*sizes, strict=True))
    return -height % STRIDE + height, -width % STRIDE + width
