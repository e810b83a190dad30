"""Where the pixels of an image go when it is resized, mirrored and rotated, in this order.

H x W: the image as read. h x w: the network input. K: points. Affine maps of the plane are float64
[2, 3]; they take points, whose origin is the image's upper left corner, half a pixel from the
centre of its first pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from iuv.images import resize

__all__ = ["Geometry", "apply", "compose", "invert", "warp"]

_Bytes = npt.NDArray[np.uint8]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """The way from an image to the network input."""

    scale: tuple[float, float]
    """w / W, h / H."""
    size: tuple[int, int]
    """(h, w)."""
    flip: bool
    rotation: _Floats | None
    """About the centre of the network input; None: there is none."""

    @staticmethod
    def of(source: tuple[int, int], size: tuple[int, int], *, flip: bool, angle: float) -> Geometry:
        """Return the geometry of an image of `source` = (H, W), rotated counter-clockwise.

        An angle is degrees. What is rotated out of the image is lost; what comes in is black.
        """
        (height, width), (h, w) = source, size
        rotation = None
        if angle % 360:
            matrix = cv2.getRotationMatrix2D((w / 2, h / 2), angle, 1.0)
            rotation = np.asarray(matrix, np.float64)
        return Geometry((w / width, h / height), size, flip, rotation)

    def image(self, image: _Bytes) -> _Bytes:
        """Return an image [H, W, 3] as [h, w, 3]."""
        image = resize(image, self.size)
        image = cv2.flip(image, 1) if self.flip else image  # type: ignore[assignment]  # as uint8
        return image if self.rotation is None else warp(image, self.rotation, self.size)

    def mask(self, mask: _Bytes) -> _Bytes:
        """Return a mask [H, W] as [h, w], its values unmixed."""
        h, w = self.size
        mask = np.asarray(Image.fromarray(mask).resize((w, h), Image.Resampling.NEAREST))
        mask = mask[:, ::-1] if self.flip else mask
        if self.rotation is None:
            return mask
        return warp(mask, self.rotation, self.size, nearest=True)

    def upright(self, xy: _Floats) -> _Floats:
        """Return points [K, 2] of the image in the network input before its rotation."""
        xy = xy * self.scale
        if self.flip:
            xy[:, 0] = self.size[1] - xy[:, 0]
        return xy

    def turn(self, xy: _Floats) -> _Floats:
        """Rotate points [K, 2]."""
        return xy if self.rotation is None else apply(self.rotation, xy)


def apply(affine: _Floats, xy: _Floats) -> _Floats:
    """Return points [K, 2], mapped."""
    return xy @ affine[:, :2].T + affine[:, 2]


def compose(second: _Floats, first: _Floats) -> _Floats:
    """Return the map that does `first`, then `second`."""
    return second[:, :2] @ first + np.pad(second[:, 2:], ((0, 0), (2, 0)))


def invert(affine: _Floats) -> _Floats:
    """Return the map's inverse."""
    linear = np.linalg.inv(affine[:, :2])
    return np.column_stack([linear, -linear @ affine[:, 2]])


def warp(
    pixels: _Bytes, affine: _Floats, size: tuple[int, int], *, nearest: bool = False
) -> _Bytes:
    """Move pixels [H, W] or [H, W, C] to [h, w, ...] of `size`; 0 comes in from outside."""
    matrix = affine.copy()
    matrix[:, 2] += affine[:, :2].sum(axis=1) / 2 - 0.5  # OpenCV's origin is a pixel's centre
    method = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    return np.asarray(cv2.warpAffine(pixels, matrix, size[::-1], flags=method), dtype=np.uint8)
