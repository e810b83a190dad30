"""Pinhole cameras: where a point of the world is in the picture, and which ray a pixel sees.

World: x to the right of somebody facing us, y up, z towards us; the ground is y = 0; metres.
Camera: x right, y down, z forward (OpenCV). Picture: (0, 0) is the centre of the first pixel.

Shapes: M points, H and W of the picture. Arrays of points hold one axis per row: [3, M].
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin, tan
from typing import Any

import numpy as np
import numpy.typing as npt

from iuv.synth.rounding import on_grid

__all__ = ["Camera", "focal_of_view", "rotate", "rotation"]

_Floats = npt.NDArray[np.float64]


def rotation(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> _Floats:
    """Return a [3, 3] rotation: roll about z, then pitch about x, then yaw about y; degrees.

    Positive yaw turns z towards x, positive pitch turns y towards z, positive roll x towards y.
    """
    rows = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    # (angle, the axis that turns, the axis that it turns towards)
    for angle, one, other in ((roll, 0, 1), (pitch, 1, 2), (yaw, 2, 0)):
        if angle:
            c, s = cos(radians(angle)), sin(radians(angle))
            pairs = list(zip(rows[one], rows[other], strict=True))
            rows[one] = [c * a - s * b for a, b in pairs]
            rows[other] = [s * a + c * b for a, b in pairs]
    return on_grid(np.array(rows), bits=20)


def rotate(matrix: _Floats, points: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """[3, 3] times [3, ...], element by element: BLAS rounds as the processor likes."""
    x, y, z = points
    if points.ndim == 1:
        return np.array([first * x + second * y + third * z for first, second, third in matrix])
    result = np.empty_like(points, order="C")
    for into, (first, second, third) in zip(result, matrix.astype(points.dtype), strict=True):
        np.multiply(first, x, out=into)
        into += second * y
        into += third * z
    return result


def focal_of_view(degrees: float, pixels: int) -> float:
    """Return the focal length in pixels that sees an angle over a length of the picture."""
    return round(pixels / 2 / tan(radians(degrees) / 2), 4)


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """A pinhole camera with square pixels, its axis through the middle of the picture.

    Raises:
        ValueError: the picture has no pixels, or the focal length is not positive.
    """

    height: int
    """Pixels."""
    width: int
    """Pixels."""
    focal: float
    """Pixels."""
    position: _Floats
    """[3], in the world."""
    to_camera: _Floats
    """[3, 3], from directions of the world to those of the camera."""

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(
                f"a picture must have at least one pixel, got {self.height} x {self.width}"
            )
        if not self.focal > 0:
            raise ValueError(f"a focal length must be positive, got {self.focal}")

    @property
    def centre(self) -> tuple[float, float]:
        """The pixel coordinates (x, y) of the optical axis."""
        return (self.width - 1) / 2, (self.height - 1) / 2

    def view(self, points: _Floats) -> _Floats:
        """World points in camera coordinates: [3, M] → [3, M] metres."""
        return rotate(self.to_camera, points - self.position[:, None])

    def to_world(self, points: _Floats) -> _Floats:
        """Camera coordinates in the world: [3, M] → [3, M] metres."""
        return rotate(self.to_camera.T, points) + self.position[:, None]

    def project(self, points: _Floats) -> _Floats:
        """World points in the picture: [3, M] → x and y in pixels and the depth in metres, [3, M].

        Where the depth is not positive, x and y mean nothing.
        """
        x, y, z = self.view(points)
        safe = np.where(z > 0, z, 1.0)
        centre_x, centre_y = self.centre
        return np.stack([self.focal * x / safe + centre_x, self.focal * y / safe + centre_y, z])

    def rays_at(self, pixels: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """World directions of pixels, [M] → [3, M], a metre long along the optical axis.

        Args:
            pixels: row x W + column of each.
        """
        rows = pixels // self.width
        columns = pixels - rows * self.width
        centre_x, centre_y = self.centre
        x = ((np.arange(self.width) - centre_x) / self.focal).astype(np.float32)
        y = ((np.arange(self.height) - centre_y) / self.focal).astype(np.float32)
        # to the world, by the transposed rotation: what a ray has from its column and its row
        right, down, ahead = self.to_camera.astype(np.float32)[:, :, None]
        rays: npt.NDArray[np.float32] = (right * x).take(columns, axis=1)
        rays += (down * y + ahead).take(rows, axis=1)
        return rays
