"""What an annotation file says, as typed records; `iuv.data.datasets` reads them.

K: annotated points of a person. Boxes are (left, top, width, height) in pixels of the image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["RLE", "Annotation", "DataError", "Dataset", "ImageRecord", "Points", "Polygons"]

RLE = Mapping[str, Any]
"""COCO's run lengths: ``size`` [height, width] and ``counts``, compressed text or a list."""
Polygons = tuple[Sequence[float] | npt.NDArray[np.float64], ...]
"""Outlines x0, y0, x1, y1, ... in pixels of the image; arrays when read from a file, as smaller."""


class DataError(ValueError):
    """Annotations or images are not what they should be; names file, annotation and field."""


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Annotated points of one person, float64 [K] as in the file."""

    x: npt.NDArray[np.float64]
    """From the box's left edge, in 256ths of its width."""
    y: npt.NDArray[np.float64]
    """From the box's top edge, in 256ths of its height."""
    labels: npt.NDArray[np.int64]
    """The part: 1..24, or 0 for background."""
    u: npt.NDArray[np.float64]
    """0..1."""
    v: npt.NDArray[np.float64]
    """0..1."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Annotation:
    """One annotated object of an image."""

    id: int
    category: int
    """Class index 0..C-1, contiguous (not the file's category id)."""
    box_xywh: tuple[float, float, float, float]
    area: float
    """Pixels, of the segmentation; what the evaluation's size ranges refer to."""
    is_crowd: bool = False
    segmentation: Polygons | RLE | None = None
    keypoints: npt.NDArray[np.float64] | None = None
    """[3 n]: x, y, visibility of each key point, as in the file."""
    points: Points | None = None
    """None: the annotation has no DensePose points (an empty list is not None)."""
    part_masks: tuple[RLE | None, ...] | RLE | None = None
    """256 x 256 in the frame of the box: one mask per part 1..14 (None where it is not seen), or a
    single mask of the whole person."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageRecord:
    """One image and its annotations."""

    id: int
    path: Path
    height: int
    width: int
    annotations: tuple[Annotation, ...] = ()
    ignore_regions: Polygons = ()
    """Where nobody has been annotated (PoseTrack)."""
    video_id: int | str | None = None
    """As the file has it; PoseTrack's are numbers or text."""
    frame_id: int | str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """A data set: its images in ascending order of their ids."""

    name: str
    images: tuple[ImageRecord, ...]
    classes: tuple[str, ...]
    """Names by class index."""
    class_of_category: Mapping[int, int]
    """Category id of the file → class index."""
    source: Path
    """The annotation file, for messages."""

    def __len__(self) -> int:
        return len(self.images)
