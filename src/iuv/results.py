"""Results: the people of one image, and for each of them labels, U and V per pixel.

Shapes: N people, H x W the image, h x w a person's box, S the side of a raw output map, C channels.
Boxes are in pixels of the input image: ``xyxy`` is (left, top, right, bottom), ``xywh`` is
(left, top, width, height); x runs to the right, y down, and pixel i covers [i, i + 1].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, overload

import numpy as np
import numpy.typing as npt
import torch

from iuv.bodyparts import NUM_PARTS

__all__ = [
    "CONFIDENCE_FIELDS",
    "ByteArray",
    "ChartOutputs",
    "FloatArray",
    "People",
    "Person",
    "Selection",
    "quantize_uv",
]

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]
Selection = Literal["best", "largest", "all"] | int

CONFIDENCE_FIELDS = (
    "sigma_2",
    "kappa_u",
    "kappa_v",
    "fine_segm_confidence",
    "coarse_segm_confidence",
)
"""The confidence maps a model may add to a person, in the order of the file formats."""


class ChartOutputs(NamedTuple):
    """Raw maps of the dense branch, one entry per person; parity with Detectron2's chart output."""

    coarse_segm: torch.Tensor
    """[N, 2 or 15, S, S] logits: background, then person or the 14 mask parts."""
    fine_segm: torch.Tensor
    """[N, 25, S, S] logits: background, then the 24 parts."""
    u: torch.Tensor
    """[N, 25, S, S], about 0..1, one map per part; channel 0 has no meaning."""
    v: torch.Tensor
    """[N, 25, S, S], as u."""
    sigma_2: torch.Tensor | None = None
    """[N, 25, S, S], before the softplus that makes it a variance."""
    kappa_u: torch.Tensor | None = None
    """[N, 25, S, S]."""
    kappa_v: torch.Tensor | None = None
    """[N, 25, S, S]."""
    fine_segm_confidence: torch.Tensor | None = None
    """[N, 1, S, S], positive; already multiplied into fine_segm."""
    coarse_segm_confidence: torch.Tensor | None = None
    """[N, 1, S, S], positive; already multiplied into coarse_segm."""

    def at(self, index: int | slice | torch.Tensor) -> ChartOutputs:
        """Return the maps of one person (without the leading dimension) or of several."""
        maps = {name: m[index] for name, m in self._asdict().items() if m is not None}
        return ChartOutputs(**maps)


def quantize_uv(uv: FloatArray) -> ByteArray:
    """Turn U, V into bytes the way every DensePose file does: trunc(clamp(uv, 0, 1) * 255).

    The truncation (not rounding) is parity with Detectron2 and what downstream tools expect.
    """
    return np.asarray(np.clip(uv * np.float32(255), 0, 255), dtype=np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Person:
    """One person: a box, a score, and the body surface inside the box.

    Raises:
        ValueError: maps and box disagree in size, or have the wrong dtype; the box is not finite or
            its pixels not whole; a label is no part, or the class none.
    """

    image_size: tuple[int, int]
    """(H, W) of the image the person is in."""
    box_xyxy: FloatArray
    """[4], pixels of the image."""
    score: float
    """0..1."""
    box_xywh: tuple[int, int, int, int]
    """Whole pixels: where the maps below lie in the image; each of x, y, w, h truncated on its own,
    w and h at least 1. It may reach a pixel beyond the image, see `paste`."""
    labels: ByteArray
    """[h, w], the part I of each pixel: 0 background, 1..24."""
    uv: FloatArray
    """[2, h, w], U and V; 0 on the background. Not clamped: values may leave 0..1 a little."""
    class_index: int = 0
    """Which of the model's classes; the released models know one, people."""
    track: int | None = None
    """In a video: who this is, the same number in every frame, counted from 1."""
    sigma_2: FloatArray | None = None
    """[h, w], raw (before softplus), of the pixel's part; 0 on the background."""
    kappa_u: FloatArray | None = None
    """[h, w], as sigma_2."""
    kappa_v: FloatArray | None = None
    """[h, w], as sigma_2."""
    fine_segm_confidence: FloatArray | None = None
    """[h, w], positive, also on the background."""
    coarse_segm_confidence: FloatArray | None = None
    """[h, w], positive, also on the background."""

    def __post_init__(self) -> None:
        _, _, w, h = self.box_xywh
        if self.box_xyxy.shape != (4,) or self.box_xyxy.dtype != np.float32:
            raise ValueError(
                "box_xyxy must be float32 of shape (4,), "
                f"got {self.box_xyxy.dtype} of shape {self.box_xyxy.shape}"
            )
        if not np.isfinite(self.box_xyxy).all():
            raise ValueError(f"box_xyxy must be finite, got {self.box_xyxy.tolist()}")
        if np.asarray(self.box_xywh).dtype.kind != "i" or min(w, h) < 1:
            raise ValueError(
                f"box_xywh must be whole pixels, width and height at least 1, got {self.box_xywh!r}"
            )
        if self.class_index < 0:
            raise ValueError(f"class_index must be 0 or more, got {self.class_index}")
        if self.labels.shape != (h, w) or self.labels.dtype != np.uint8:
            raise ValueError(
                f"labels must be uint8 of shape {(h, w)} (the box's height and width), "
                f"got {self.labels.dtype} of shape {self.labels.shape}"
            )
        if self.labels.max() > NUM_PARTS:
            raise ValueError(f"labels must lie in 0..{NUM_PARTS}, got {self.labels.max()}")
        expected = {"uv": (2, h, w), **dict.fromkeys(self.confidences(), (h, w))}
        for name, shape in expected.items():
            value = getattr(self, name)
            if value.shape != shape or value.dtype != np.float32:
                raise ValueError(
                    f"{name} must be float32 of shape {shape}, "
                    f"got {value.dtype} of shape {value.shape}"
                )

    def confidences(self) -> dict[str, FloatArray]:
        """Return the confidence maps the model gave, by field name; empty for a plain model."""
        maps = {name: getattr(self, name) for name in CONFIDENCE_FIELDS}
        return {name: value for name, value in maps.items() if value is not None}

    def paste(self) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Return (image slices, map slices): where the maps lie in the image, cut at its borders.

        ``canvas[image][...] = person.labels[maps]`` never fails, whatever the box.
        """
        x, y, w, h = self.box_xywh
        height, width = self.image_size
        left, right = min(max(x, 0), width), min(max(x + w, 0), width)
        top, bottom = min(max(y, 0), height), min(max(y + h, 0), height)
        image = (slice(top, bottom), slice(left, right))
        return image, (slice(top - y, bottom - y), slice(left - x, right - x))

    def iuv_crop(self) -> ByteArray:
        """Return uint8 [h, w, 3]: I, U * 255, V * 255 (truncated) inside `box_xywh`."""
        return np.dstack([self.labels, *quantize_uv(self.uv)])

    def iuv(self) -> ByteArray:
        """Return uint8 [H, W, 3]: I, U * 255, V * 255 (truncated) in the full image frame."""
        canvas = np.zeros((*self.image_size, 3), dtype=np.uint8)
        image, maps = self.paste()
        canvas[image] = self.iuv_crop()[maps]
        return canvas

    def mask(self) -> npt.NDArray[np.bool_]:
        """Return bool [H, W]: the pixels of the person in the full image frame."""
        canvas = np.zeros(self.image_size, dtype=np.bool_)
        image, maps = self.paste()
        canvas[image] = self.labels[maps] > 0
        return canvas


@dataclass(frozen=True, slots=True, eq=False)
class People(Sequence[Person]):
    """The people of one image, best score first. An empty result never raises.

    Index with an integer for a `Person`; with a slice, a list of integers or a boolean array for
    `People`.

    Raises:
        ValueError: the image's size is none, or a person belongs to an image of another size.
    """

    image_size: tuple[int, int]
    """(H, W) of the image."""
    persons: tuple[Person, ...] = ()

    def __post_init__(self) -> None:
        if np.asarray(self.image_size).dtype.kind != "i" or min(self.image_size) < 0:
            raise ValueError(f"image_size must be whole numbers (H, W), got {self.image_size!r}")
        for person in self.persons:
            if person.image_size != self.image_size:
                raise ValueError(
                    f"a person of an image of size {person.image_size} cannot be among the people "
                    f"of an image of size {self.image_size}"
                )

    def __len__(self) -> int:
        return len(self.persons)

    def __iter__(self) -> Iterator[Person]:
        return iter(self.persons)

    @overload
    def __getitem__(self, key: int) -> Person: ...
    @overload
    def __getitem__(self, key: slice | Sequence[int] | npt.NDArray[np.generic]) -> People: ...
    def __getitem__(
        self, key: int | slice | Sequence[int] | npt.NDArray[np.generic]
    ) -> Person | People:
        if isinstance(key, int | np.integer):
            return self.persons[key]
        if isinstance(key, slice):
            return People(self.image_size, self.persons[key])
        chosen = np.arange(len(self))[np.asarray(key, dtype=None if len(key) else np.int64)]
        return People(self.image_size, tuple(self.persons[i] for i in chosen))

    def __repr__(self) -> str:
        height, width = self.image_size
        scores = ", ".join(f"{person.score:.2f}" for person in self.persons)
        return f"People({len(self)} in {width}x{height}; scores {scores or '-'})"

    @property
    def boxes_xyxy(self) -> FloatArray:
        """float32 [N, 4], pixels of the image."""
        if not self.persons:
            return np.zeros((0, 4), dtype=np.float32)
        return np.stack([person.box_xyxy for person in self.persons])

    @property
    def scores(self) -> FloatArray:
        """float32 [N], 0..1, descending."""
        return np.array([person.score for person in self.persons], dtype=np.float32)

    def select(self, which: Selection) -> People:
        """Choose people: ``"all"``, ``"best"`` score, ``"largest"`` area, or an index (0 = best).

        Nobody stays nobody, and an index beyond the last person selects nobody.

        Raises:
            ValueError: `which` is none of these.
        """
        if which == "all":
            return self
        if which == "best":
            return self[:1]
        if which == "largest":
            if not self.persons:
                return self
            sizes = [(b[2] - b[0]) * (b[3] - b[1]) for b in self.boxes_xyxy]
            return self[[int(np.argmax(sizes))]]
        if isinstance(which, int) and not isinstance(which, bool) and which >= 0:
            return self[which : which + 1]
        raise ValueError(
            f"cannot select people by {which!r}; use 'best', 'largest', 'all' or an index from 0"
        )

    def iuv(self) -> ByteArray:
        """Return uint8 [H, W, 3]: I, U * 255, V * 255 (truncated); 0 where nobody is.

        Where people overlap, the better score is on top.
        """
        canvas = np.zeros((*self.image_size, 3), dtype=np.uint8)
        for person in reversed(self.persons):
            image, maps = person.paste()
            crop = person.iuv_crop()[maps]
            np.copyto(canvas[image], crop, where=crop[..., :1] > 0)
        return canvas

    def label_map(self) -> ByteArray:
        """Return uint8 [H, W]: the part I of each pixel, 0 where nobody is."""
        return self.iuv()[..., 0]

    def instance_map(self) -> npt.NDArray[np.int32]:
        """Return int32 [H, W]: 1 for the best person's pixels, 2 for the next, ...; 0 elsewhere."""
        canvas = np.zeros(self.image_size, dtype=np.int32)
        for index in reversed(range(len(self))):
            image, maps = self.persons[index].paste()
            canvas[image][self.persons[index].labels[maps] > 0] = index + 1
        return canvas

    def masks(self) -> npt.NDArray[np.bool_]:
        """Return bool [N, H, W]: each person's pixels in the full image frame."""
        masks = [person.mask() for person in self.persons]
        return np.stack(masks) if masks else np.zeros((0, *self.image_size), dtype=np.bool_)
