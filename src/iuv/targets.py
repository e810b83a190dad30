"""What a network is trained towards: the ground truth of an image, as tensors.

G: people of an image. K: annotated points of all of them. P: people with part masks. N: images.
Boxes are xyxy in pixels of the network input.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Batch", "PersonPoints", "Targets"]


class PersonPoints(NamedTuple):
    """The annotated points of all people of an image, one after the other, [K] each."""

    person: Tensor
    """int64, 0..G-1, ascending: whose point it is."""
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

    @staticmethod
    def none() -> PersonPoints:
        """Return no points."""
        whole, real = torch.zeros(0, dtype=torch.int64), torch.zeros(0)
        return PersonPoints(whole, real, real, whole, real, real)


class Targets(NamedTuple):
    """The people of one image."""

    boxes: Tensor
    """float32 [G, 4]."""
    classes: Tensor
    """int64 [G]."""
    annotated: Tensor
    """bool [G]: who has DensePose annotations, be they without a single point."""
    points: PersonPoints
    part_masks: Tensor
    """uint8 [P, 256, 256]: mask part 0..14 of each cell of the person's box."""
    part_mask_row: Tensor
    """int64 [G]: each person's row in `part_masks`, -1 where there is none."""
    masks: Tensor | None = None
    """uint8 [G, h, w], 0 or 1, of the network input; only when training by masks."""
    has_mask: Tensor | None = None
    """bool [G]: whose row of `masks` means something."""

    def to(self, device: torch.device | str) -> Targets:
        """Return a copy on a device."""
        points = PersonPoints(*(t.to(device, non_blocking=True) for t in self.points))
        fields = {
            name: value.to(device, non_blocking=True)
            for name, value in self._asdict().items()
            if isinstance(value, Tensor)
        }
        return self._replace(**fields, points=points)


class Batch(NamedTuple):
    """Images of one process's share of a training step, with what is known about them."""

    images: list[Tensor]
    """uint8 [h, w, 3] each, R, G, B, resized and not padded."""
    targets: list[Targets]
    image_ids: list[int]
    """For messages."""

    def to(self, device: torch.device | str) -> Batch:
        """Return a copy on a device."""
        images = [image.to(device, non_blocking=True) for image in self.images]
        return self._replace(images=images, targets=[t.to(device) for t in self.targets])
