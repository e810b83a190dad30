"""One prediction, stage by stage, with time and arithmetic of each.

The steps are those of `Predictor` and `RCNN.forward`, whatever engine runs the heavy ones.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from iuv.bench.plain import PlainRCNN, plain_people
from iuv.bench.scene import Scene, people_in_a_row
from iuv.decode import decode_people
from iuv.images import read_image, resize
from iuv.modeling.box_head import Boxes
from iuv.modeling.rcnn import RCNN, network_input
from iuv.modeling.rpn import decode_proposals, select_proposals
from iuv.ops.boxes import clip_boxes, non_empty, scale_boxes
from iuv.predictor import padded_size
from iuv.results import FloatArray, People
from iuv.runtime.devices import exact_convolutions

__all__ = ["HEAVY", "STAGES", "TRUNK_PARTS", "Clock", "Trace", "run_stages"]

STAGES = (
    "read, resize",
    "trunk",
    "proposals",
    "pool boxes",
    "box head",
    "decoder, pool people",
    "dense head",
    "decode",
)
"""What a prediction is made of, in order."""

HEAVY = ("trunk", "box head", "decoder, pool people", "dense head")
"""The stages that an engine runs, and whose arithmetic is counted."""

TRUNK_PARTS = {"resnet": "ResNet", "fpn": "FPN", "rpn": "RPN head"}
"""What the trunk is made of, where it is made of modules: attribute → name."""


class Trace(NamedTuple):
    """What one run took and gave."""

    ms: dict[str, float]
    """Milliseconds for the batch, by stage."""
    flop: dict[str, int]
    """Floating-point operations of convolutions and matrix products, by stage; if counted."""
    boxes: list[FloatArray]
    """Who was found in each image, [D, 4] xyxy, best first, in pixels of the people's frame."""
    people: list[People]
    """Of each image: in pixels of the network's input if their number was given, else of the photo.
    """


class Clock:
    """Times stages, and counts their arithmetic if wanted.

    Args:
        device: where they run; it has done its work before a stage counts as over.
        count: whether to count, which costs time.
    """

    def __init__(self, device: torch.device, *, count: bool = False) -> None:
        self.ms: dict[str, float] = {}
        self.flop: dict[str, int] = {}
        self.counter = FlopCounterMode(display=False) if count else None
        self._device = device
        self._begun: dict[str, tuple[float, int]] = {}

    def begin(self, stage: str) -> None:
        """Let a stage begin."""
        self._begun[stage] = self._now()

    def end(self, stage: str) -> None:
        """Let it end."""
        seconds, flop = self._now()
        start, flop_before = self._begun.pop(stage)
        self.ms[stage] = (seconds - start) * 1e3
        if self.counter:
            self.flop[stage] = flop - flop_before

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block."""
        self.begin(name)
        yield
        self.end(name)

    def _now(self) -> tuple[float, int]:
        if self._device.type != "cpu":
            torch.accelerator.synchronize(self._device)
        flop = self.counter.get_total_flops() if self.counter else 0
        return time.perf_counter(), flop


@torch.inference_mode()
def run_stages(
    model: RCNN,
    scene: Scene,
    device: torch.device,
    *,
    look_inside: bool = False,
    count: bool = False,
) -> Trace:
    """Run a prediction on a scene.

    Args:
        model: prepared by an engine, or a `PlainRCNN`.
        scene: what to look at.
        device: where the model runs.
        look_inside: also time the parts of the trunk, which must be modules then.
        count: also count floating-point operations.

    Raises:
        ImageError: the photo cannot be read.
    """
    clock = Clock(device, count=count)
    with ExitStack() as stack:
        stack.enter_context(exact_convolutions(device))
        if clock.counter:
            stack.enter_context(clock.counter)
        if look_inside:
            stack.enter_context(_watched(model.trunk, clock))
        boxes, people = _Recipe(model, scene, device, clock).run()
    return Trace(clock.ms, clock.flop, boxes, people)


class _Recipe:
    def __init__(self, model: RCNN, scene: Scene, device: torch.device, clock: Clock) -> None:
        self.model = model
        self.scene = scene
        self.device = device
        self.stage = clock.stage
        plain = isinstance(model, PlainRCNN)
        self.layout = torch.contiguous_format if plain else torch.channels_last
        self.decode = plain_people if plain else decode_people

    def run(self) -> tuple[list[FloatArray], list[People]]:
        model, stage = self.model, self.stage
        sizes = [self.scene.size] * self.scene.batch
        with stage("read, resize"):
            batch, photo_size = self._read()
        batch = batch.contiguous(memory_format=self.layout)
        with stage("trunk"):
            features, logits, deltas = model.trunk(batch)
        with stage("proposals"):
            candidates = decode_proposals(logits, deltas, model.config.rpn)
            proposals = [b for b, _ in select_proposals(*candidates, sizes, model.config.rpn)]
        # The plain form's RoIAlign would read NCHW; ours does not, and layouts are not its cost.
        rows = [feature.contiguous(memory_format=torch.channels_last) for feature in features]
        with stage("pool boxes"):
            pooled = model.pool_boxes(rows, proposals)
        pooled = pooled.contiguous(memory_format=self.layout)
        with stage("box head"):
            found = model.detect_boxes(pooled, proposals, sizes)
        del rows, pooled
        return self._dense(features, found, photo_size)

    def _read(self) -> tuple[Tensor, tuple[int, int]]:
        images = [read_image(self.scene.photo) for _ in range(self.scene.batch)]
        resized = [torch.tensor(resize(image, self.scene.size)) for image in images]
        padded = padded_size(self.scene.size)
        batch = network_input(resized, padded, self.model.config.input, self.device)
        return batch, (images[0].shape[0], images[0].shape[1])

    def _dense(
        self, features: Sequence[Tensor], found: list[Boxes], photo_size: tuple[int, int]
    ) -> tuple[list[FloatArray], list[People]]:
        wanted, frame = found, photo_size
        if self.scene.people is not None:
            wanted = [_fixed(self.scene.people, self.scene.size, self.device)] * len(found)
            frame = self.scene.size
        if not sum(len(image.boxes) for image in wanted):
            return [_to_frame(b, self.scene.size, frame) for b in found], [People(frame)] * len(
                found
            )
        with self.stage("decoder, pool people"):
            pooled = self.model.pool_people(features, [image.boxes for image in wanted])
        pooled = pooled.contiguous(memory_format=self.layout)
        with self.stage("dense head"):
            charts = self.model.dense(pooled)
        people, start = [], 0
        with self.stage("decode"):
            for image in wanted:
                own = charts.at(slice(start, start + len(image.boxes)))
                start += len(image.boxes)
                boxes = scale_boxes(image.boxes, self.scene.size, frame)
                boxes = clip_boxes(boxes, frame)
                keep = non_empty(boxes)
                rest = (image.scores[keep], image.classes[keep])
                people.append(self.decode(own.at(keep), boxes[keep], *rest, frame))
        return [_to_frame(b, self.scene.size, frame) for b in found], people


def _fixed(people: int, size: tuple[int, int], device: torch.device) -> Boxes:
    boxes = people_in_a_row(people, size).to(device)
    return Boxes(boxes, boxes.new_ones(people), boxes.new_zeros(people, dtype=torch.int64))


def _to_frame(found: Boxes, size: tuple[int, int], frame: tuple[int, int]) -> FloatArray:
    boxes = clip_boxes(scale_boxes(found.boxes, size, frame), frame)
    array: FloatArray = boxes[non_empty(boxes)].cpu().numpy().astype(np.float32)
    return array


@contextmanager
def _watched(trunk: nn.Module, clock: Clock) -> Iterator[None]:
    """Time the trunk's parts, too."""

    def begin(name: str) -> Any:
        return lambda module, inputs: clock.begin(name)

    def end(name: str) -> Any:
        return lambda module, inputs, outputs: clock.end(name)

    hooks = []
    for attribute, name in TRUNK_PARTS.items():
        part = trunk.get_submodule(attribute)
        hooks += [
            part.register_forward_pre_hook(begin(name)),
            part.register_forward_hook(end(name)),
        ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
