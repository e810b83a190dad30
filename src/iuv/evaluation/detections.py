"""What a system found in one image, in the form that it is scored in.

D: detections of the image. Boxes are (left, top, width, height) in pixels of the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from iuv.bodyparts import NUM_PARTS
from iuv.data.records import RLE
from iuv.results import ByteArray, People, quantize_uv

__all__ = ["Detections", "map_size"]


_MAX = 1e9  # what is beyond overflows as a whole number of pixels


def map_size(box_xywh: npt.NDArray[np.float64]) -> tuple[int, int]:
    """Return (h, w): the size of the maps that belong to a box, its own truncated, at least 1."""
    return max(int(box_xywh[3]), 1), max(int(box_xywh[2]), 1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detections:
    """The D detections of one image, in the order that breaks ties between equal scores.

    Raises:
        ValueError: lengths, types or sizes disagree, a number is not finite, or a label is no part.
    """

    classes: npt.NDArray[np.int64]
    """[D], class indices of the data set, 0..C-1."""
    scores: npt.NDArray[np.float64]
    """[D], any scale; more is surer."""
    boxes_xywh: npt.NDArray[np.float64]
    """[D, 4]; not truncated."""
    maps: tuple[ByteArray, ...] | None = None
    """D arrays [3, h, w]: label, U * 255, V * 255 (truncated), with h and w as `map_size` says.
    None if there are none: GPS and GPSm need them."""
    masks: tuple[RLE, ...] | None = None
    """D masks of the size of the image, to score in place of the pixels that `maps` label."""

    def __post_init__(self) -> None:
        count = len(self.scores)
        for name, kind, shape in (
            ("classes", np.int64, (count,)),
            ("scores", np.float64, (count,)),
            ("boxes_xywh", np.float64, (count, 4)),
        ):
            value = getattr(self, name)
            if value.dtype != kind or value.shape != shape:
                raise ValueError(
                    f"{name} must be {np.dtype(kind)} of shape {shape}, "
                    f"got {value.dtype} of shape {value.shape}"
                )
            if not (np.abs(value) < _MAX).all():
                raise ValueError(f"{name} must be finite, and below 1e9, got {value.tolist()}")
        for name in ("maps", "masks"):
            value = getattr(self, name)
            if value is not None and len(value) != count:
                raise ValueError(f"{count} detections cannot have {len(value)} {name}")
        for index, (box, found) in enumerate(zip(self.boxes_xywh, self.maps or (), strict=False)):
            _check_map(index, found, (3, *map_size(box)))

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def none(cls) -> Detections:
        """Return no detections."""
        return cls(
            classes=np.zeros(0, dtype=np.int64), scores=np.zeros(0), boxes_xywh=np.zeros((0, 4))
        )

    @classmethod
    def of(cls, people: People) -> Detections:
        """Return what a predictor found.

        Widths and heights are differences of float32 corners, as everywhere in DensePose files.
        """
        boxes = people.boxes_xyxy
        return cls(
            classes=np.array([person.class_index for person in people], dtype=np.int64),
            scores=people.scores.astype(np.float64),
            boxes_xywh=np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]).astype(np.float64),
            maps=tuple(
                np.concatenate([person.labels[None], quantize_uv(person.uv)]) for person in people
            ),
        )


def _check_map(index: int, found: np.ndarray[Any, Any], shape: tuple[int, int, int]) -> None:
    if found.dtype != np.uint8 or found.shape != shape:
        raise ValueError(
            f"the map of detection {index} must be uint8 of shape {shape}, as its box says, "
            f"got {found.dtype} of shape {found.shape}"
        )
    if found[0].max() > NUM_PARTS:
        raise ValueError(
            f"labels of detection {index} must lie in 0..{NUM_PARTS}, got {found[0].max()}"
        )
