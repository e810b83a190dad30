"""Test-time augmentation: an image at many sizes and mirrored, seen as one.

    image → test size → looks: short side 400 .. 1200, each as it is and mirrored
    every look → boxes → all of them, in pixels of the image → one NMS
    these boxes in every look → raw maps, those of mirrored ones mirrored back → mean → People

D: people. C: channels. S: side of a raw map. Sizes are (height, width).
Parity with Detectron2's DensePose (sizes and flips); see docs/evaluation.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from iuv.bodyparts import MASK_MIRROR, PART_MIRROR
from iuv.data.symmetry import UVSymmetry
from iuv.decode import decode_people
from iuv.images import ChannelOrder, ImageInput, input_size, read_image, resize
from iuv.modeling.box_head import Boxes
from iuv.modeling.rcnn import network_input
from iuv.modeling.rpn import decode_proposals, select_proposals
from iuv.ops.boxes import clip_boxes, nms, non_empty, scale_boxes
from iuv.predictor import Predictor, padded_size
from iuv.results import ByteArray, ChartOutputs, People, Person
from iuv.runtime.devices import exact_convolutions

__all__ = ["LONG_SIDE", "SHORT_SIDES", "AugmentedPredictor", "mean_charts", "mirror_charts"]

SHORT_SIDES = tuple(range(400, 1201, 100))
"""The reference's sizes."""
LONG_SIDE = 4000
"""No look's longer side is longer, even if that makes the shorter one shorter."""

_PEOPLE_AT_ONCE = 32  # bounds memory: the maps of 100 people in one look take 400 MB

Size = tuple[int, int]


class _Look(NamedTuple):
    """What the network sees of an image at one size: as it is and, if wanted, mirrored."""

    size: Size
    features: tuple[Tensor, ...]
    """Pyramid levels, one row for the image and one for its mirror image."""
    found: list[Boxes]
    """Of each row, in its own pixels."""


class AugmentedPredictor:
    """A `Predictor` that looks at every image many times. Called like one; slower by far.

    Args:
        predictor: its minimum score is that of every look, its maximum number of people that of
            all looks together.
        symmetry: what becomes of U and V in a mirror. None: no look is mirrored.
        short_sides: the sizes to look at.
        long_side: limit of the longer side.

    Raises:
        ValueError: there is no size, or one is below 1.
    """

    def __init__(
        self,
        predictor: Predictor,
        symmetry: UVSymmetry | None,
        *,
        short_sides: Sequence[int] = SHORT_SIDES,
        long_side: int = LONG_SIDE,
    ) -> None:
        if not short_sides or min(*short_sides, long_side) < 1:
            raise ValueError(
                "test-time augmentation needs sizes of at least 1, "
                f"got short_sides={tuple(short_sides)}, long_side={long_side}"
            )
        self.predictor = predictor
        self.symmetry = symmetry
        self.short_sides = tuple(short_sides)
        self.long_side = long_side

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a str is an Iterable, too; it means a path
        self, inputs: ImageInput, *, channel_order: ChannelOrder = "rgb"
    ) -> People: ...
    @overload
    def __call__(
        self, inputs: Iterable[ImageInput], *, channel_order: ChannelOrder = "rgb"
    ) -> list[People]: ...
    def __call__(
        self, inputs: ImageInput | Iterable[ImageInput], *, channel_order: ChannelOrder = "rgb"
    ) -> People | list[People]:
        """Find the people in one image, or in each of several; as `Predictor.__call__`."""
        if isinstance(inputs, str | os.PathLike | Image.Image | np.ndarray | Tensor):
            return self._predict(read_image(inputs, channel_order=channel_order))
        return list(self.stream(inputs, channel_order=channel_order))

    def stream(
        self,
        inputs: Iterable[ImageInput],
        *,
        batch_size: int = 1,
        channel_order: ChannelOrder = "rgb",
    ) -> Iterator[People]:
        """Yield the people of each image, in order; as `Predictor.stream`.

        The batch size makes no difference: an image and its mirror image are a batch.
        """
        for source in inputs:
            yield self._predict(read_image(source, channel_order=channel_order))

    @torch.inference_mode()
    def _predict(self, image: ByteArray) -> People:
        config = self.predictor.config.input
        full = image.shape[0], image.shape[1]
        test = input_size(full, config.short_side, config.long_side)
        resized = resize(image, test)
        with exact_convolutions(self.predictor.device):
            looks = [self._look(resized, short_side) for short_side in self.short_sides]
            found = self._merge(looks, test, full)
            people: list[Person] = []
            for rows in torch.arange(len(found.boxes)).split(_PEOPLE_AT_ONCE):
                some = Boxes(*(values[rows] for values in found))
                boxes = scale_boxes(some.boxes, full, test)
                charts = mean_charts(self._charts(looks, boxes, test))
                people += decode_people(charts, *some, full)
        return People(full, tuple(people))

    def _look(self, image: ByteArray, short_side: int) -> _Look:
        """Find boxes at one size."""
        model, device = self.predictor.model, self.predictor.device
        size = input_size(image.shape[:2], short_side, self.long_side)
        pixels = torch.tensor(resize(image, size)).to(device)
        rows = [pixels] if self.symmetry is None else [pixels, pixels.flip(1)]
        sizes = [size] * len(rows)
        batch = network_input(rows, padded_size(size), model.config.input)
        features, logits, deltas = model.trunk(batch)
        candidates = decode_proposals(logits, deltas, model.config.rpn)
        proposals = [boxes for boxes, _ in select_proposals(*candidates, sizes, model.config.rpn)]
        found = model.detect_boxes(model.pool_boxes(features, proposals), proposals, sizes)
        return _Look(size, features[:4], found)

    def _merge(self, looks: Iterable[_Look], test: Size, full: Size) -> Boxes:
        """Return the people of all looks, in pixels of the image of size `full`."""
        boxes, scores, classes = [], [], []
        for look in looks:
            for found, mirrored in zip(look.found, (False, True), strict=False):
                seen = _mirror_boxes(found.boxes, look.size[1]) if mirrored else found.boxes
                boxes.append(scale_boxes(scale_boxes(seen, look.size, test), test, full))
                scores.append(found.scores)
                classes.append(found.classes)
        found = Boxes(clip_boxes(torch.cat(boxes), full), torch.cat(scores), torch.cat(classes))
        config = self.predictor.config.box
        kept = nms(found.boxes, found.scores, config.nms_iou, found.classes)[: config.max_people]
        kept = kept[non_empty(found.boxes[kept])]
        return Boxes(*(values[kept] for values in found))

    def _charts(self, looks: Iterable[_Look], boxes: Tensor, test: Size) -> Iterator[ChartOutputs]:
        """Yield the raw maps of boxes [D, 4] of the `test` image in every look, all upright."""
        for look in looks:
            here = scale_boxes(boxes, test, look.size)
            rows = [here, _mirror_boxes(here, look.size[1])][: len(look.found)]
            seen, *mirrored = self.predictor.model.read_charts(look.features, rows)
            yield seen
            if self.symmetry is not None:
                yield mirror_charts(mirrored[0], self.symmetry)


def _mirror_boxes(boxes: Tensor, width: int) -> Tensor:
    x0, y0, x1, y1 = boxes.unbind(1)
    return torch.stack([width - x1, y0, width - x0, y1], dim=1)


def mirror_charts(charts: ChartOutputs, symmetry: UVSymmetry) -> ChartOutputs:
    """Return the raw maps that the mirror image of an image should give.

    U and V are looked up in tables of 256 steps, and so rounded down and clamped to 0..1. The
    confidences are mirrored in place, but not given to the opposite part.

    Args:
        charts: raw maps [D, C, S, S].
        symmetry: U and V of the opposite part, by part, V and U.
    """
    maps = {name: m.flip(3) for name, m in charts._asdict().items() if m is not None}
    u, v = (maps[name][:, 1:].clamp(0, 1).mul(255).long() for name in ("u", "v"))
    part = torch.arange(u.shape[1], device=u.device)[:, None, None]
    for name, table in (("u", symmetry.u), ("v", symmetry.v)):
        opposite = torch.as_tensor(table, dtype=torch.float32).to(u.device)[part, v, u]
        maps[name] = torch.cat([maps[name][:, :1], opposite], dim=1)
    for name in ("fine_segm", "u", "v"):
        maps[name] = maps[name][:, list(PART_MIRROR)]
    if maps["coarse_segm"].shape[1] > 2:
        maps["coarse_segm"] = maps["coarse_segm"][:, list(MASK_MIRROR)]
    return ChartOutputs(**maps)


def mean_charts(looks: Iterable[ChartOutputs]) -> ChartOutputs:
    """Return the mean of the segmentations, U and V of several looks at the same people.

    Confidences are those of the first look, as in the reference: no mean of them says how sure the
    mean is.

    Args:
        looks: at least one; raw maps [D, C, S, S].
    """
    iterator = iter(looks)
    first = next(iterator)
    names = ("coarse_segm", "fine_segm", "u", "v")
    mean = {name: getattr(first, name).clone() for name in names}
    for count, look in enumerate(iterator, start=1):
        for name, m in mean.items():
            m.mul_(count).add_(getattr(look, name)).div_(count + 1)
    return first._replace(**mean)
