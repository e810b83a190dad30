"""Which anchors and proposals count as people, and the losses of the RPN and the box head.

N: images. G: people of an image. M: anchors of all levels. A: anchors per cell. K: classes.
P: proposals of an image. S: samples of an image. R: samples of all images.
Boxes are xyxy in pixels of the network input.
Source: Ren et al., Faster R-CNN (2015), section 3.1.2; parity with Detectron2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from iuv.ops.boxes import encode_deltas, iou_matrix
from iuv.targets import Targets
from iuv.training_config import SamplingConfig

__all__ = [
    "Matches",
    "Permute",
    "Samples",
    "box_losses",
    "dense_samples",
    "match",
    "rpn_losses",
    "sample",
    "sample_proposals",
]

Permute = Callable[..., Tensor]
"""Makes the order in which candidates are chosen: called like `torch.randperm`, with a count and a
device. `torch.arange` takes them as they come."""

_MATCH_BLOCK = 8  # people at a time, since a large image has 267,000 anchors


class Matches(NamedTuple):
    """Who each box belongs to."""

    person: Tensor
    """int64 [M], 0..G-1, the first of the best; 0 if there is nobody."""
    label: Tensor
    """int64 [M]: 1 person, 0 background, -1 neither."""


class Samples(NamedTuple):
    """Boxes of one image that the heads learn from, people first."""

    boxes: Tensor
    """float32 [S, 4]."""
    classes: Tensor
    """int64 [S], 0..K-1, or K for background."""
    person: Tensor
    """int64 [S], 0..G-1; without meaning for background."""
    is_person: Tensor
    """bool [S]."""

    def at(self, index: Tensor) -> Samples:
        """Return some of the samples."""
        return Samples(*(field[index] for field in self))


def match(
    people: Tensor, boxes: Tensor, *, low: float, high: float, best_counts: bool = False
) -> Matches:
    """Match every box to the person that it overlaps most.

    Args:
        people: [G, 4].
        boxes: [M, 4].
        low: boxes whose best IoU is below are background.
        high: boxes whose best IoU is not below are people.
        best_counts: also those boxes are people that no other box surpasses in overlapping some
            person, whoever it is that they themselves overlap most.
    """
    best = boxes.new_full((len(boxes),), -1.0)  # nobody is worse than no overlap
    person = torch.zeros_like(best, dtype=torch.int64)
    chosen = torch.zeros_like(best, dtype=torch.bool)
    for start in range(0, len(people), _MATCH_BLOCK):
        iou = iou_matrix(people[start : start + _MATCH_BLOCK], boxes).nan_to_num_()  # two empty: 0
        value, row = iou.max(dim=0)
        person = torch.where(value > best, row + start, person)
        best = torch.maximum(best, value)
        if best_counts:
            chosen |= (iou == iou.amax(dim=1, keepdim=True)).any(dim=0)
    label = (best >= low).long().neg()
    label[(best >= high) | chosen] = 1
    return Matches(person, label)


def sample(
    label: Tensor, count: int, fraction: float, permute: Permute = torch.randperm
) -> tuple[Tensor, Tensor]:
    """Choose people, at most `fraction` of `count`, and fill up with background.

    Args:
        label: int64 [M]: 1 person, 0 background, -1 neither.
        count: how many to choose; fewer if there are not enough.
        fraction: 0..1.
        permute: see `Permute`.

    Returns:
        Two int64 vectors of indices: people, background.
    """
    people, background = ((label == wanted).nonzero().squeeze(1) for wanted in (1, 0))
    num_people = min(len(people), int(count * fraction))
    num_background = min(len(background), count - num_people)
    return (
        people[permute(len(people), device=label.device)[:num_people]],
        background[permute(len(background), device=label.device)[:num_background]],
    )


def rpn_losses(
    logits: Sequence[Tensor],
    deltas: Sequence[Tensor],
    anchors: Tensor,
    targets: Sequence[Targets],
    config: SamplingConfig,
    permute: Permute = torch.randperm,
) -> dict[str, Tensor]:
    """Return the losses of the region proposal network, ``loss_rpn_cls`` and ``loss_rpn_loc``.

    Args:
        logits: per level [N, A, H, W].
        deltas: per level [N, A * 4, H, W].
        anchors: [M, 4], in the order level, row, column, anchor.
        targets: of each image.
        config: thresholds, number of anchors to look at.
        permute: see `Permute`.
    """
    scores = torch.cat([m.permute(0, 2, 3, 1).flatten(1) for m in logits], dim=1)  # [N, M]
    offsets = torch.cat(
        [m.unflatten(1, (-1, 4)).permute(0, 3, 4, 1, 2).flatten(1, 3) for m in deltas], dim=1
    )  # [N, M, 4]
    images = list(zip(scores.float(), offsets.float(), targets, strict=True))
    loss_cls, loss_loc = scores.new_zeros(()), scores.new_zeros(())
    for image_scores, image_offsets, target in images:
        person, label = match(
            target.boxes,
            anchors,
            low=config.anchor_max_background_iou,
            high=config.anchor_min_person_iou,
            best_counts=True,
        )
        people, background = sample(
            label, config.anchors_per_image, config.anchor_person_fraction, permute
        )
        chosen = torch.cat([people, background])
        loss_cls = loss_cls + F.binary_cross_entropy_with_logits(
            image_scores[chosen], label[chosen].float(), reduction="sum"
        )
        wanted = encode_deltas(anchors[people], target.boxes[person[people]], (1.0, 1.0, 1.0, 1.0))
        loss_loc = loss_loc + F.l1_loss(image_offsets[people], wanted, reduction="sum")
    total = config.anchors_per_image * len(images)
    return {"loss_rpn_cls": loss_cls / total, "loss_rpn_loc": loss_loc / total}


def sample_proposals(
    proposals: Sequence[Tensor],
    targets: Sequence[Targets],
    num_classes: int,
    config: SamplingConfig,
    permute: Permute = torch.randperm,
) -> list[Samples]:
    """Choose what the box head learns from, among the proposals and the people's own boxes.

    Args:
        proposals: [P, 4] of each image.
        targets: of each image.
        num_classes: K.
        config: threshold, number of boxes to look at.
        permute: see `Permute`.
    """
    chosen = []
    for image_proposals, target in zip(proposals, targets, strict=True):
        boxes = torch.cat([image_proposals, target.boxes])
        threshold = config.box_min_person_iou
        person, label = match(target.boxes, boxes, low=threshold, high=threshold)
        is_person = label == 1
        classes = torch.full_like(label, num_classes)
        classes[is_person] = target.classes[person[is_person]]
        people_first = torch.cat(
            sample(label, config.boxes_per_image, config.box_person_fraction, permute)
        )
        chosen.append(Samples(boxes, classes, person, is_person).at(people_first))
    return chosen


def box_losses(
    logits: Tensor,
    deltas: Tensor,
    samples: Sequence[Samples],
    targets: Sequence[Targets],
    weights: tuple[float, float, float, float],
) -> dict[str, Tensor]:
    """Return the losses of the box head, ``loss_cls`` and ``loss_box_reg``.

    Args:
        logits: [R, K + 1], background last.
        deltas: [R, K * 4].
        samples: of each image, R in all.
        targets: of each image.
        weights: the deltas are scaled by these.
    """
    total = max(len(logits), 1)
    classes = torch.cat([s.classes for s in samples])
    is_person = torch.cat([s.is_person for s in samples])
    sources = torch.cat([s.boxes[s.is_person] for s in samples])
    pairs = zip(samples, targets, strict=True)
    people = torch.cat([t.boxes[s.person[s.is_person]] for s, t in pairs])
    predicted = deltas.float().unflatten(1, (-1, 4))[is_person, classes[is_person]]
    wanted = encode_deltas(sources, people, weights)
    return {
        "loss_cls": F.cross_entropy(logits.float(), classes, reduction="sum") / total,
        "loss_box_reg": F.l1_loss(predicted, wanted, reduction="sum") / total,
    }


def dense_samples(
    samples: Sequence[Samples], targets: Sequence[Targets], min_iou: float, *, by_masks: bool
) -> list[Samples]:
    """Choose what the dense branch learns from; an image may be left without any.

    Args:
        samples: of each image, from `sample_proposals`.
        targets: of each image.
        min_iou: boxes must overlap their person by more than this.
        by_masks: people with a mask count as much as those with DensePose annotations.
    """
    chosen = []
    for image_samples, target in zip(samples, targets, strict=True):
        people = image_samples.at(image_samples.is_person)
        known = target.annotated
        if by_masks and target.has_mask is not None:
            known = known | target.has_mask
        close = _paired_iou(people.boxes, target.boxes[people.person]) > min_iou
        chosen.append(people.at(close & known[people.person]))
    return chosen


def _paired_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Intersection over union [S] of boxes [S, 4] and [S, 4], row by row."""
    corner = torch.maximum(boxes1[:, :2], boxes2[:, :2])
    overlap = (torch.minimum(boxes1[:, 2:], boxes2[:, 2:]) - corner).clamp_(min=0).prod(dim=1)
    area1, area2 = ((b[:, 2:] - b[:, :2]).prod(dim=1) for b in (boxes1, boxes2))
    return overlap / (area1 + area2 - overlap)
