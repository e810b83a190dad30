"""From an image and what is known about it to what a network is trained with.

H x W: the image as read. h x w: the network input. G: people. K: points. A *frame* is a person's
box, spanned by 0..256 in both directions; points and part masks are given in it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from iuv.bodyparts import MASK_MIRROR
from iuv.data.geometry import Geometry, apply, compose, invert, warp
from iuv.data.masks import PART_MASK_SIZE, decode_instance_mask, decode_part_masks, decode_rle
from iuv.data.records import RLE, Annotation, DataError, ImageRecord, Points, Polygons
from iuv.data.symmetry import UVSymmetry
from iuv.images import input_size
from iuv.targets import PersonPoints, Targets
from iuv.training_config import AugmentConfig

__all__ = ["Augmentation", "draw_augmentation", "prepare"]

_MASK_MIRROR = np.array(MASK_MIRROR, np.uint8)
_FRAME = (PART_MASK_SIZE, PART_MASK_SIZE)

_Bytes = npt.NDArray[np.uint8]
_Floats = npt.NDArray[np.float64]


class Augmentation(NamedTuple):
    """What is done to an image."""

    short_side: int
    """Pixels of the network input, unless the long side would exceed its limit."""
    long_side: int
    flip: bool = False
    angle: float = 0.0
    """Degrees, counter-clockwise, about the centre."""


def draw_augmentation(config: AugmentConfig, rng: np.random.Generator) -> Augmentation:
    """Draw what is done to one image."""
    return Augmentation(
        short_side=int(rng.choice(config.short_sides)),
        long_side=config.long_side,
        flip=bool(rng.random() < config.flip_probability),
        angle=float(rng.choice(config.rotation_angles)),
    )


def prepare(
    record: ImageRecord,
    image: _Bytes,
    augmentation: Augmentation,
    *,
    symmetry: UVSymmetry | None,
    with_masks: bool,
) -> tuple[_Bytes, Targets]:
    """Return the network input and its targets.

    Crowds are left out, and so is who is not in the input at all.

    Args:
        record: what is known about the image.
        image: uint8 [H, W, 3], RGB.
        augmentation: what is done to it.
        symmetry: needed to mirror people with points.
        with_masks: whether the targets hold masks. People with part masks but without a
            segmentation get theirs from those.

    Returns:
        uint8 [h, w, 3], RGB, and the targets. Parity with Detectron2, except that points and part
        masks follow their person through rotation and clipping (docs/differences.md).

    Raises:
        DataError: the image is not of the record's size, a mask cannot be decoded, or people with
            points are to be mirrored without tables. Names the image and the annotation.
    """
    if image.shape[:2] != (record.height, record.width):
        raise DataError(
            f"{record.path}: has {image.shape[1]} x {image.shape[0]} pixels, but its annotations "
            f"are for {record.width} x {record.height}; put the original image there"
        )
    size = input_size(image.shape[:2], augmentation.short_side, augmentation.long_side)
    geometry = Geometry.of(
        (record.height, record.width), size, flip=augmentation.flip, angle=augmentation.angle
    )
    people = []
    for annotation in record.annotations:
        if annotation.is_crowd:
            continue
        try:
            person = _person(annotation, geometry, symmetry, with_masks)
        except DataError as error:
            raise DataError(f"{record.path}: annotation {annotation.id}: {error}") from None
        if person is not None:
            people.append(person)
    return geometry.image(image), _targets(people, size, with_masks)


class _Surface(NamedTuple):
    """What is annotated within a person's frame, in the precision of the targets."""

    xy: npt.NDArray[np.float32]  # [K, 2]
    labels: npt.NDArray[np.int64]  # [K]
    u: npt.NDArray[np.float32]  # [K]
    v: npt.NDArray[np.float32]  # [K]
    parts: _Bytes | None  # [256, 256]

    @staticmethod
    def of(points: Points | None, parts: _Bytes | None) -> _Surface:
        if points is None:
            none = np.zeros(0, np.float32)
            return _Surface(none.reshape(0, 2), np.zeros(0, np.int64), none, none, parts)
        x, y, u, v = np.stack([points.x, points.y, points.u, points.v]).astype(np.float32)
        return _Surface(np.stack([x, y], axis=1), points.labels, u, v, parts)

    def mirror(self, symmetry: UVSymmetry | None) -> _Surface:
        labels, u, v = self.labels, self.u, self.v
        if len(labels):
            if symmetry is None:
                raise DataError(
                    "its points cannot be mirrored without symmetry tables; give them, or set "
                    "augment.flip_probability=0"
                )
            labels, u, v = symmetry.mirror(labels, u, v)
        xy = np.stack([PART_MASK_SIZE - self.xy[:, 0], self.xy[:, 1]], axis=1)
        parts = None if self.parts is None else _MASK_MIRROR[self.parts[:, ::-1]]
        return _Surface(xy, labels, u, v, parts)

    def move(self, affine: _Floats) -> _Surface:
        """Go to another frame; what is outside of it is lost."""
        xy = apply(affine, self.xy.astype(np.float64)).astype(np.float32)
        inside = ((xy >= 0) & (xy <= PART_MASK_SIZE)).all(axis=1)
        parts = None if self.parts is None else warp(self.parts, affine, _FRAME, nearest=True)
        return _Surface(xy[inside], self.labels[inside], self.u[inside], self.v[inside], parts)


class _Person(NamedTuple):
    """A person of the network input."""

    box: _Floats  # [4], xyxy
    category: int
    annotated: bool
    surface: _Surface
    mask: _Bytes | None  # [h, w]


def _person(
    annotation: Annotation, geometry: Geometry, symmetry: UVSymmetry | None, with_masks: bool
) -> _Person | None:
    """Return an annotation as the network input shows it; None if it does not."""
    upright = geometry.upright(_corners(annotation.box_xywh))
    box = _bounds(geometry.turn(upright)).clip(0, (geometry.size * 2)[::-1])
    if not (box[:2] < box[2:]).all():
        return None

    annotated = annotation.points is not None
    parts = None
    if annotation.part_masks is not None and (annotated or with_masks):
        parts = decode_part_masks(annotation.part_masks)
    surface = _Surface.of(annotation.points, parts)
    if geometry.flip:
        surface = surface.mirror(symmetry)
    move = _between_frames(_bounds(upright), geometry.rotation, box)
    if move is not None:
        surface = surface.move(move)

    mask = None
    if with_masks and annotation.segmentation:
        mask = _mask(annotation.segmentation, geometry)
    elif with_masks and surface.parts is not None:
        person = (surface.parts > 0) * np.uint8(255)
        mask = (warp(person, _from_frame(box), geometry.size) > 127).astype(np.uint8)
    return _Person(box, annotation.category, annotated, surface, mask)


def _corners(box_xywh: tuple[float, ...]) -> _Floats:
    x, y, width, height = np.array(box_xywh, np.float32)  # the precision of the targets
    right, bottom = x + width, y + height
    return np.array([[x, y], [right, y], [x, bottom], [right, bottom]], np.float64)


def _bounds(xy: _Floats) -> _Floats:
    return np.concatenate([xy.min(axis=0), xy.max(axis=0)])


def _from_frame(box: _Floats) -> _Floats:
    """Return the map from the frame of a box to the image."""
    width, height = (box[2:] - box[:2]) / PART_MASK_SIZE
    return np.array([[width, 0, box[0]], [0, height, box[1]]])


def _between_frames(old: _Floats, rotation: _Floats | None, new: _Floats) -> _Floats | None:
    """Return the map from the frame of one box to that of another; None if they are the same."""
    if rotation is not None:
        return compose(invert(_from_frame(new)), compose(rotation, _from_frame(old)))
    return None if (old == new).all() else compose(invert(_from_frame(new)), _from_frame(old))


def _mask(segmentation: Polygons | RLE, geometry: Geometry) -> _Bytes:
    """Return an instance mask in the network input, uint8 [h, w], 0 or 1."""
    if not isinstance(segmentation, tuple):
        return geometry.mask(decode_rle(segmentation))
    outlines = [geometry.turn(geometry.upright(np.reshape(p, (-1, 2)))) for p in segmentation]
    polygons = tuple(tuple(outline.ravel().tolist()) for outline in outlines)
    return decode_instance_mask(polygons, *geometry.size)


def _targets(people: list[_Person], size: tuple[int, int], with_masks: bool) -> Targets:
    surfaces = [_Surface.of(None, None), *(person.surface for person in people)]  # never none
    xy, labels, u, v = (np.concatenate([s[field] for s in surfaces]) for field in range(4))
    counts = [len(person.surface.labels) for person in people]
    points = PersonPoints(
        person=torch.from_numpy(np.repeat(np.arange(len(people)), counts)),
        x=torch.from_numpy(xy[:, 0].copy()),
        y=torch.from_numpy(xy[:, 1].copy()),
        labels=torch.from_numpy(labels),
        u=torch.from_numpy(u),
        v=torch.from_numpy(v),
    )
    parts = [person.surface.parts if person.annotated else None for person in people]
    has_parts = np.array([part is not None for part in parts], bool)
    targets = Targets(
        boxes=torch.from_numpy(np.array([p.box for p in people], np.float32).reshape(-1, 4)),
        classes=torch.tensor([p.category for p in people], dtype=torch.int64),
        annotated=torch.tensor([p.annotated for p in people], dtype=torch.bool),
        points=points,
        part_masks=_stack([part for part in parts if part is not None], _FRAME),
        part_mask_row=torch.from_numpy(np.where(has_parts, np.cumsum(has_parts) - 1, -1)),
    )
    if not with_masks:
        return targets
    empty = np.zeros(size, np.uint8)
    return targets._replace(
        masks=_stack([empty if p.mask is None else p.mask for p in people], size),
        has_mask=torch.tensor([p.mask is not None for p in people], dtype=torch.bool),
    )


def _stack(masks: list[_Bytes], size: tuple[int, int]) -> Tensor:
    """Return uint8 [M, *size] of M masks, also of none."""
    none = np.zeros((0, *size), np.uint8)
    return torch.from_numpy(np.concatenate([none, *(mask[None] for mask in masks)]))
