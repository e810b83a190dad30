"""What values the tensors of a network take on typical images, which 8 bits then have to cover.

H, W: an image as given. T: tensors of a part.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from iuv.config import InputConfig, ModelConfig
from iuv.image_files import is_image_file
from iuv.images import ImageError, input_size, read_image, resize
from iuv.modeling.rcnn import STRIDE, network_input
from iuv.runtime.engines import EngineError
from iuv.runtime.parts import Run, join
from iuv.runtime.quantise import observed_tensors, write_observed

__all__ = ["CalibrationImages", "Ranges", "measure_ranges"]

_log = logging.getLogger(__name__)

Ranges = dict[str, tuple[float, float]]
"""Least and greatest value of each tensor, by name."""

_Image = npt.NDArray[np.uint8]

_MOST_PHOTOS = 64  # more make a long wait, and hardly other ranges
_PICTURES, _SEED = 32, 7
_SIZES = ((320, 320), (480, 320), (320, 480))
_SYNTHETIC = "synthetic-1"  # another name whenever other pictures are made
_COVERED = 0.9  # of the images; of 0.6 to 1 the best for the features of synth-S
_MOST_PEOPLE = 8  # of an image: the best boxes, people or not, so that there always are some


class CalibrationImages:
    """Typical images: photos of a folder, or synthetic people.

    Args:
        folder: of photos, also in folders below it; None: synthetic people.

    Raises:
        EngineError: there is no such folder, or no image in it.
        OSError: the folder cannot be read.
    """

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self.folder = folder
        self.photos = [] if folder is None else _spread(_photos(Path(folder)))
        """At most 64."""

    def digest(self) -> str:
        """Return what tells these images from others, as 16 digits, without reading them."""
        name = _SYNTHETIC
        if self.photos:
            entries = ((os.fspath(path), path.stat()) for path in self.photos)
            name = repr([(name, at.st_size, at.st_mtime_ns) for name, at in entries])
        return hashlib.sha256(name.encode()).hexdigest()[:16]

    def __iter__(self) -> Iterator[_Image]:
        """Yield the images, uint8 [H, W, 3], one at a time; those that are damaged are left out.

        Raises:
            EngineError: none can be read.
        """
        if not self.photos:
            yield from _synthetic()
            return
        damaged = []
        for path in self.photos:
            try:
                image = read_image(path)
            except ImageError as error:
                _log.warning("not used for calibration: %s", error)
                damaged.append(error)
                continue
            yield image
        if len(damaged) == len(self.photos):
            raise EngineError(
                f"calibration needs typical photos, but none of {len(damaged)} in {self.folder} "
                f"can be read, e.g. {damaged[0]}; mend them, give another folder, or none for "
                "synthetic people"
            )


def measure_ranges(
    config: ModelConfig,
    parts: Mapping[str, Path],
    engine: Callable[[Path], Run],
    images: CalibrationImages,
) -> dict[str, Ranges]:
    """Run a network on images and return the ranges of the tensors of each of its parts.

    A tensor's range covers all values of it in nine of ten images: what is beyond in the tenth is
    cut off, and all others get smaller steps.

    Args:
        config: of the model.
        parts: its ONNX files.
        engine: makes one of them ready to run.
        images: typical ones.

    Raises:
        EngineError: none of the images can be read, or nothing is found in any.
        OSError: there is no space for temporary files.
    """
    every_box = {"box.min_score": 0.0, "box.min_size": 0.0, "box.max_people": _MOST_PEOPLE}
    with TemporaryDirectory(prefix="iuv-", ignore_cleanup_errors=True) as folder:
        runs = {}
        for name, path in parts.items():
            target = Path(folder, path.name)
            write_observed(path, target)
            runs[name] = _Observed(engine(target), len(observed_tensors(path)))
        model = join(config.replace(**every_box), runs)
        with torch.inference_mode():
            for image in images:
                model(*_input(image, config.input))
                for run in runs.values():
                    run.end_image()
    names = {name: observed_tensors(path) for name, path in parts.items()}
    return {name: run.ranges(names[name]) for name, run in runs.items()}


class _Observed:
    """Runs a part that returns ranges besides its outputs, and keeps them."""

    def __init__(self, run: Run, tensors: int) -> None:
        self.run = run
        self.tensors = tensors
        self.seen: list[npt.NDArray[np.float64]] = []
        """Of each image, least and greatest of the tensors."""
        self.of_image: list[npt.NDArray[np.float64]] = []

    def __call__(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        outputs = self.run(inputs)
        own = len(outputs) - 2 * self.tensors
        found = np.array([float(x) for x in outputs[own:]]).reshape(self.tensors, 2)
        self.of_image.append(found)
        return outputs[:own]

    def end_image(self) -> None:
        """Join what the runs on one image have seen: there is one for each group of people."""
        if self.of_image:
            runs = np.stack(self.of_image)
            self.seen.append(np.stack([runs[..., 0].min(0), runs[..., 1].max(0)], axis=-1))
            self.of_image = []

    def ranges(self, names: Sequence[str]) -> Ranges:
        if not self.seen:
            raise EngineError(
                "calibration found no box in any image that could be somebody's; give other photos"
            )
        least = np.quantile(self.seen, 1 - _COVERED, axis=0)[:, 0].tolist()
        greatest = np.quantile(self.seen, _COVERED, axis=0)[:, 1].tolist()
        return {name: (a, b) for name, a, b in zip(names, least, greatest, strict=True)}


class _Batch(NamedTuple):
    images: Tensor
    sizes: list[tuple[int, int]]


def _input(image: _Image, config: InputConfig) -> _Batch:
    size = input_size(image.shape[:2], config.short_side, config.long_side)
    padded = -size[0] % STRIDE + size[0], -size[1] % STRIDE + size[1]
    return _Batch(network_input([torch.tensor(resize(image, size))], padded, config), [size])


def _photos(folder: Path) -> list[Path]:
    if not folder.is_dir():
        problem = "is a file" if folder.exists() else "does not exist"
        raise EngineError(f"calibration needs a folder of typical photos, but {folder} {problem}")
    photos = sorted(filter(is_image_file, folder.rglob("*")))
    if not photos:
        raise EngineError(
            f"calibration needs typical photos, but there is no image in {folder} or in the "
            "folders below it; give another folder, or none for synthetic people"
        )
    return photos


def _spread(photos: Sequence[Path]) -> list[Path]:
    count = min(len(photos), _MOST_PHOTOS)
    return [photos[index * len(photos) // count] for index in range(count)]


def _synthetic() -> Iterator[_Image]:
    # Imported here, as only calibrating needs them.
    from iuv.synth.person import sample_person
    from iuv.synth.render import render
    from iuv.synth.scene import sample_scene

    for index in range(_PICTURES):
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([_SEED, index])))
        size = _SIZES[index % len(_SIZES)]
        yield render(sample_scene(rng, sample_person, size)).rgb
