"""The annotated points of all boxes in one row, and what the maps say at each of them.

G: people of an image. R: boxes of the dense branch, of all images. A: those of them whose person
has points. K: the points of these, where a person's points count once for each of their boxes.
P: part masks. C: channels. S: side of a map. Boxes are xywh in pixels of the network input.
Source: Güler et al., DensePose (2018), section 4; parity with Detectron2.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from iuv.losses.detection import Samples
from iuv.targets import PersonPoints, Targets

__all__ = ["Neighbours", "PackedPoints", "Points", "at_points", "neighbours", "pack"]

_FRAME = 256  # annotators saw each person's box at this size


class Points(NamedTuple):
    """Annotated points, [K] each."""

    box: Tensor
    """int64, 0..R-1, ascending: in which box."""
    annotated: Tensor
    """int64, 0..A-1: the same, counting boxes with points only."""
    x: Tensor
    """float32, from the left edge of the person's box in 256ths of its width."""
    y: Tensor
    """float32, from the top edge in 256ths of its height."""
    labels: Tensor
    """int64: part 1..24, 0 background."""
    u: Tensor
    """float32, 0..1."""
    v: Tensor
    """float32, 0..1."""

    def at(self, index: Tensor) -> Points:
        """Return some of the points."""
        return Points(*(field[index] for field in self))


class PackedPoints(NamedTuple):
    """The points of a batch, and the boxes that they are in."""

    points: Points
    boxes: Tensor
    """int64 [A], 0..R-1: which boxes have points."""
    box_xywh: Tensor
    """float32 [A, 4]: these boxes."""
    person_xywh: Tensor
    """float32 [A, 4]: the annotated boxes of the people in them."""
    part_masks: Tensor
    """uint8 [P, 256, 256], mask parts 0..14, of the whole batch."""
    part_mask_row: Tensor
    """int64 [A]: the row in `part_masks`, -1 where there is none."""


class Neighbours(NamedTuple):
    """The four cells of a map around each point."""

    valid: Tensor
    """bool [K]: whether the point is inside the box."""
    y: Tensor
    """int64 [K, 4]: rows."""
    x: Tensor
    """int64 [K, 4]: columns."""
    weight: Tensor
    """float32 [K, 4]; of points outside the box they may be of any size and sign."""

    def at(self, index: Tensor) -> Neighbours:
        """Return the neighbours of some of the points."""
        return Neighbours(*(field[index] for field in self))


def pack(samples: Sequence[Samples], targets: Sequence[Targets]) -> PackedPoints:
    """Collect the points of everyone the dense branch looks at.

    Args:
        samples: of each image, people only; R in all.
        targets: of each image.
    """
    people = _joined(targets)
    first_person = _starts(t.boxes for t in targets)
    person = [s.person + first for s, first in zip(samples, first_person, strict=True)]
    counts = people.points.person.bincount(minlength=len(people.boxes))  # points of each person
    first_point = counts.cumsum(0) - counts

    boxes = counts[torch.cat(person)].nonzero().squeeze(1)  # [A]
    person_of_box = torch.cat(person)[boxes]
    repeats = counts[person_of_box]
    annotated = torch.repeat_interleave(repeats)  # [K]
    earlier = (repeats.cumsum(0) - repeats)[annotated]
    number = torch.arange(len(annotated), device=annotated.device) - earlier  # within the box
    place = first_point[person_of_box][annotated] + number
    _, x, y, labels, u, v = (field[place] for field in people.points)
    return PackedPoints(
        Points(boxes[annotated], annotated, x, y, labels, u, v),
        boxes,
        _xywh(torch.cat([s.boxes for s in samples])[boxes]),
        _xywh(people.boxes[person_of_box]),
        people.part_masks,
        people.part_mask_row[person_of_box],
    )


def neighbours(packed: PackedPoints, size: int) -> Neighbours:
    """Find the cells of the boxes' maps around every point.

    Cell k stands for the position k / size of the box, its left edge; so it is in the reference.

    Args:
        packed: from `pack`.
        size: S.
    """
    points = packed.points
    box, person = packed.box_xywh[points.annotated], packed.person_xywh[points.annotated]
    x_valid, x, right = _axis(points.x, person[:, ::2], box[:, ::2], size)
    y_valid, y, below = _axis(points.y, person[:, 1::2], box[:, 1::2], size)
    left, above = 1 - right, 1 - below
    return Neighbours(
        x_valid & y_valid,
        y[:, [0, 0, 1, 1]],
        x[:, [0, 1, 0, 1]],
        torch.stack([above * left, above * right, below * left, below * right], dim=1),
    )


def at_points(
    maps: Sequence[Tensor], box: Tensor, near: Neighbours, channel: Tensor | None = None
) -> list[Tensor]:
    """Interpolate maps at points; gradients reach the neighbouring cells only.

    Args:
        maps: each [R, C, S, S].
        box: int64 [K], 0..R-1.
        near: the neighbours of these points.
        channel: int64 [K], which channel to read at each point; None: all.

    Returns:
        For each map float32 [K], or [K, C] without `channel`.
    """
    count, channels, *plane = maps[0].shape
    grid = (count, *plane) if channel is None else (count, channels, *plane)
    first = box if channel is None else box * channels + channel
    cell = (first[:, None] * plane[0] + near.y) * plane[1] + near.x  # [K, 4]
    # Each cell is read once, and points share what was read. If cells were read again for each
    # point, the gradients would be added up in whatever order the threads come.
    cells, inverse = cell.unique(return_inverse=True)
    in_box, *in_channel, y, x = torch.unravel_index(cells, grid)
    where = (in_box, *in_channel, y, x) if in_channel else (in_box, slice(None), y, x)
    tables = [m[where].float().reshape(len(cells), -1) for m in maps]  # [cells, C or 1]
    read = [(F.embedding(inverse, table) * near.weight[..., None]).sum(dim=1) for table in tables]
    return read if channel is None else [values.squeeze(1) for values in read]


def _joined(targets: Sequence[Targets]) -> Targets:
    """Return the people of all images as if they were in one, without their instance masks."""
    people, masks = _starts(t.boxes for t in targets), _starts(t.part_masks for t in targets)
    points = [
        t.points._replace(person=t.points.person + k) for t, k in zip(targets, people, strict=True)
    ]
    rows = [
        torch.where(t.part_mask_row < 0, -1, t.part_mask_row + k)
        for t, k in zip(targets, masks, strict=True)
    ]
    return Targets(
        boxes=torch.cat([t.boxes for t in targets]),
        classes=torch.cat([t.classes for t in targets]),
        annotated=torch.cat([t.annotated for t in targets]),
        points=PersonPoints(*map(torch.cat, zip(*points, strict=True))),
        part_masks=torch.cat([t.part_masks for t in targets]),
        part_mask_row=torch.cat(rows),
    )


def _starts(parts: Iterable[Tensor]) -> list[int]:
    """Where each part begins when they are joined."""
    return list(itertools.accumulate((len(part) for part in parts), initial=0))[:-1]


def _xywh(boxes: Tensor) -> Tensor:
    """[A, 4] xyxy → xywh."""
    return torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], dim=1)


def _axis(
    position: Tensor, person: Tensor, box: Tensor, size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Look along one axis, where `person` and `box` are start and length, [K, 2].

    Returns:
        Whether points are in the box [K], their two cells [K, 2], the weight of the second [K].
    """
    offset = person[:, 0] + position * person[:, 1] / _FRAME - box[:, 0]
    place = offset * size / box[:, 1]
    low = place.floor().clamp(0, size - 1)
    high = (low + 1).clamp(max=size - 1)
    weight = torch.minimum(place, high) - low
    return (offset >= 0) & (offset < box[:, 1]), torch.stack([low, high], dim=1).long(), weight
