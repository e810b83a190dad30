"""From images to people.

    photo → read_image → resize → RCNN (modeling/rcnn.py) → decode_people (decode.py) → People

H x W: an image as given. h x w: resized to the network's input size.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from functools import partial
from typing import NamedTuple, TypeVar, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from iuv.config import ModelConfig
from iuv.decode import decode_people
from iuv.images import ChannelOrder, ImageInput, input_size, read_image, resize
from iuv.modeling.box_head import Boxes
from iuv.modeling.rcnn import RCNN, STRIDE, TrunkOutputs, network_input
from iuv.modeling.rpn import decode_proposals, select_proposals
from iuv.ops.boxes import clip_boxes, non_empty, scale_boxes
from iuv.pipeline import WORKERS, in_batches, in_order
from iuv.resolve import limited, resolve_model
from iuv.results import ChartOutputs, People
from iuv.runtime.build import build_model
from iuv.runtime.devices import exact_convolutions, pick_device
from iuv.runtime.engines import ENGINES, PRECISIONS, EngineChoice, EngineError, choose_engine

__all__ = [
    "ENGINES",
    "PRECISIONS",
    "Look",
    "Predictor",
    "load",
    "padded_size",
    "resolve_model",
]

_log = logging.getLogger(__name__)


def load(  # noqa: PLR0913 - all that can be said of a model, once
    model: str | os.PathLike[str] = "R_50_FPN_s1x",
    *,
    weights: str | os.PathLike[str] | None = None,
    config: ModelConfig | str | os.PathLike[str] | None = None,
    device: str | torch.device = "auto",
    engine: str = "auto",
    precision: str = "fp32",
    calibration: str | os.PathLike[str] | None = None,
    min_score: float = 0.5,
    max_people: int = 100,
    min_size: float = 0.0,
    short_side: int | None = None,
    max_proposals: int | None = None,
) -> Predictor:
    """Load a model, ready to predict.

    Args:
        model: a name of the zoo (see `iuv.list_models`), a weights file, or a Detectron2 YAML. The
            zoo's weights are downloaded once; those of "synth-S" are in the package.
        weights: a weights file to use in place of the model's own; needed with a YAML.
        config: what a weights file holds: a `ModelConfig`, a name of the zoo or a Detectron2 YAML.
            Not needed for files in our own format, which carry it.
        device: ``"auto"`` (CUDA, else MPS, else CPU) or anything `torch.device` takes.
        engine: one of `ENGINES`; ``"auto"`` is the fastest that is installed and fits, and eager
            where the cache that it needs cannot be written.
        precision: one of `PRECISIONS`; all but ``"fp32"`` change results a little.
        calibration: folder of typical photos that ``"int8"`` is fitted to, once; None: synthetic
            people.
        min_score: people must score above this, 0..1.
        max_people: at most so many per image, best first.
        min_size: people whose box has a longer side below this share (0..1) of the image's are
            left out, which saves the time to read them.
        short_side: of the network's input, in pixels; None: the model's own. Less is faster and
            finds fewer small people (docs/engines.md); the bound on the long side goes with it.
        max_proposals: how many boxes per image the second stage judges; None: the model's own.

    Raises:
        ConfigError: the configuration is missing, broken or unsupported, or a limit out of range.
        UnknownModelError: the zoo has no such model; the message lists near names.
        CheckpointError: the weights are broken or do not fit the model.
        FileNotFoundError: there is no such file.
        DownloadError: the weights could not be fetched; the message says what to put where.
        ValueError: the device cannot be used here.
        EngineError: the engine or the precision cannot, or the photos for calibration are of no use
            (a ValueError, too).
    """
    target = pick_device(device)
    choose_engine(engine, precision, target)  # whatever is wrong is found before a download
    if calibration is not None and precision != "int8":
        raise EngineError(f"calibration goes with precision 'int8', not with {precision!r}")
    chosen, path = resolve_model(model, weights, config)
    chosen = limited(
        chosen,
        min_score=min_score,
        max_people=max_people,
        min_size=min_size,
        short_side=short_side,
        max_proposals=max_proposals,
    )
    choice = choose_engine(engine, precision, target, chosen.backbone.fpn_channels)
    try:
        network = build_model(chosen, path, choice, target, calibration=calibration)
    except (OSError, EngineError) as error:
        named = engine != "auto" or bool(os.environ.get("IUV_ENGINE"))
        if named or choice.engine == "eager" or precision == "int8":
            raise
        _log.warning("%s cannot be made ready (%s); eager torch is used", choice.engine, error)
        choice = choice._replace(engine="eager")
        network = build_model(chosen, path, choice, target)
    return Predictor(network, device=target, choice=choice)


_EAGER = EngineChoice("eager", "fp32")


_Result = TypeVar("_Result")

_WINDOW = 4
"""Batches from among which images of one size are taken."""


class _Prepared(NamedTuple):
    """One image, ready for the network."""

    image_size: tuple[int, int]
    """(H, W) of the image."""
    size: tuple[int, int]
    """(h, w) of the network's input, without padding."""
    pixels: Tensor
    """uint8 [h, w, 3], RGB; pinned if it goes to a GPU."""


class Look(NamedTuple):
    """One image after the trunk: what `Predictor.find` and `Predictor.charts_at` go on from."""

    image_size: tuple[int, int]
    """(H, W) of the image."""
    size: tuple[int, int]
    """(h, w) of the network's input, without padding."""
    outputs: TrunkOutputs


class Predictor:
    """A model that turns images into `People`. `load` makes one.

    Args:
        model: with weights, prepared by an engine (`iuv.runtime`).
        device: where the model runs.
        choice: what runs it, of `iuv.runtime.engines.choose_engine`.
    """

    def __init__(
        self,
        model: RCNN,
        *,
        device: torch.device,
        choice: EngineChoice = _EAGER,
    ) -> None:
        self.model = model
        self.device = device
        self.choice = choice
        self._exactly: Callable[[], AbstractContextManager[None]] = nullcontext
        if device.type == "cuda":
            self._exactly = partial(exact_convolutions, device)

    @property
    def config(self) -> ModelConfig:
        """The model's configuration, detection settings included."""
        return self.model.config

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
        """Find the people in one image, or in each of several.

        Args:
            inputs: a path, PIL image, numpy array or torch tensor (see `iuv.images.read_image`), or
                a list or generator of them.
            channel_order: of arrays and tensors.

        Returns:
            `People` for one image, a list of `People` for several.

        Raises:
            ImageError: an input cannot be read as an image.
        """
        if isinstance(inputs, str | os.PathLike | Image.Image | np.ndarray | Tensor):
            return self._predict([self._prepare(inputs, channel_order)])[0]
        return list(self.stream(inputs, channel_order=channel_order))

    def stream(
        self,
        inputs: Iterable[ImageInput],
        *,
        batch_size: int = 1,
        channel_order: ChannelOrder = "rgb",
    ) -> Generator[People, None, None]:
        """Yield the people of each image, in order; memory does not grow with their number.

        Threads read and resize the next images while the network runs. Images go through it
        together if their padded input sizes are equal, at most `batch_size` of them, from among
        four times as many neighbours; the result does not depend on an image's neighbours.

        Args:
            inputs: consumed as needed, in the thread of the consumer: up to ``5 * batch_size`` and
                a few (`iuv.pipeline.WORKERS`) further than the results. So leave an array or a
                tensor as it is until its result is there; PIL images may be closed at once.
            batch_size: how many images may go through the network together.
            channel_order: of arrays and tensors.

        Raises:
            ImageError: an input cannot be read as an image; after the results of those before.
            ValueError: the batch size is below 1.
        """
        return self._in_batches(self._predict, inputs, batch_size, channel_order)

    def looks(
        self,
        inputs: Iterable[ImageInput],
        *,
        batch_size: int = 1,
        channel_order: ChannelOrder = "rgb",
    ) -> Generator[Look, None, None]:
        """Yield `look` of each image, in order; images are read and batched as by `stream`."""
        return self._in_batches(self._look, inputs, batch_size, channel_order)

    def look(self, image: ImageInput, *, channel_order: ChannelOrder = "rgb") -> Look:
        """Run the trunk on one image: the first of the three parts of a prediction.

        The others, `find` and `charts_at`, may then be run as often as needed, or with boxes that
        come from elsewhere, such as a tracker. ``decode_people(charts_at(look, boxes), boxes,
        scores, classes, look.image_size)`` makes `People` of what they return.

        Raises:
            ImageError: the input cannot be read as an image.
        """
        return self._look([self._prepare(image, channel_order)])[0]

    @torch.inference_mode()
    def find(self, look: Look) -> Boxes:
        """Find people, best score first; boxes are float32 [D, 4] xyxy in pixels of the image."""
        model, (features, logits, deltas) = self.model, look.outputs
        candidates = decode_proposals(logits, deltas, self.config.rpn)
        proposals = [
            boxes for boxes, _ in select_proposals(*candidates, [look.size], self.config.rpn)
        ]
        with self._exactly():
            pooled = model.pool_boxes(features, proposals)
            (found,) = model.detect_boxes(pooled, proposals, [look.size])
        boxes = clip_boxes(scale_boxes(found.boxes, look.size, look.image_size), look.image_size)
        keep = non_empty(boxes)
        return Boxes(boxes[keep], found.scores[keep], found.classes[keep])

    @torch.inference_mode()
    def charts_at(self, look: Look, boxes_xyxy: Tensor) -> ChartOutputs:
        """Read D raw maps in given boxes, float32 [D, 4] xyxy in pixels of the image."""
        boxes = scale_boxes(boxes_xyxy.to(self.device), look.image_size, look.size)
        with self._exactly():
            (charts,) = self.model.read_charts(look.outputs.features, [boxes])
        return charts

    def _in_batches(
        self,
        work: Callable[[Sequence[_Prepared]], list[_Result]],
        inputs: Iterable[ImageInput],
        batch_size: int,
        channel_order: ChannelOrder,
    ) -> Generator[_Result, None, None]:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        # Pillow decodes when asked to, until the file is closed: with the source in hand.
        sources = (read_image(i) if isinstance(i, Image.Image) else i for i in inputs)
        prepare = partial(self._prepare, channel_order=channel_order)
        ahead = batch_size + WORKERS
        with closing(in_order(prepare, sources, workers=WORKERS, ahead=ahead)) as prepared:
            yield from in_batches(
                work,
                prepared,
                kind=lambda image: padded_size(image.size),
                size=batch_size,
                window=_WINDOW * batch_size,
            )

    def _prepare(self, source: ImageInput, channel_order: ChannelOrder) -> _Prepared:
        """Read and resize an image; threads do it."""
        image = read_image(source, channel_order=channel_order)
        limits = self.model.config.input
        size = input_size(image.shape[:2], limits.short_side, limits.long_side)
        pixels = torch.tensor(resize(image, size))
        if self.device.type == "cuda":
            pixels = pixels.pin_memory()  # the GPU fetches it by itself, and faster
        return _Prepared((image.shape[0], image.shape[1]), size, pixels)

    @torch.inference_mode()
    def _look(self, images: Sequence[_Prepared]) -> list[Look]:
        """Run the trunk on images of one padded size."""
        _, sizes, pixels = zip(*images, strict=True)
        batch = network_input(pixels, padded_size(sizes[0]), self.model.config.input, self.device)
        with self._exactly():
            features, logits, deltas = self.model.trunk(batch)
        looks = []
        for row, image in enumerate(images):
            one = slice(row, row + 1)
            outputs = (
                tuple(f[one] for f in features),
                [x[one] for x in logits],
                [x[one] for x in deltas],
            )
            looks.append(Look(image.image_size, image.size, TrunkOutputs(*outputs)))
        return looks

    @torch.inference_mode()
    def _predict(self, images: Sequence[_Prepared]) -> list[People]:
        """Find the people in images of one padded size."""
        _, sizes, pixels = zip(*images, strict=True)
        batch = network_input(pixels, padded_size(sizes[0]), self.model.config.input, self.device)
        with self._exactly():
            detections = self.model(batch, sizes)
        people = []
        for image, found in zip(images, detections, strict=True):
            full_size = image.image_size
            boxes = clip_boxes(scale_boxes(found.boxes, image.size, full_size), full_size)
            keep = non_empty(boxes)
            people.append(
                decode_people(
                    found.charts.at(keep),
                    boxes[keep],
                    found.scores[keep],
                    found.classes[keep],
                    full_size,
                )
            )
        return people


def padded_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the (height, width) to which an input of this size is padded."""
    return -size[0] % STRIDE + size[0], -size[1] % STRIDE + size[1]
