"""Cameras of this computer, by their number."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from iuv.results import ByteArray
from iuv.video.ffmpeg import VideoError
from iuv.video.frames import Frame, VideoInfo

__all__ = ["CameraReader"]

_TICK = Fraction(1, 90_000)  # seconds; fine enough for any camera, and usual in video
_FALLBACK_RATE = 30


class CameraReader:
    """A camera. Iterate over it for frames, without end; use it in a ``with`` block.

    Frames are as far apart in time as they were taken: where the network takes longer than the
    camera, those in between are left out, and the video still plays at the speed of life.

    Args:
        number: 0 is the first camera.
        clock: seconds, from anywhere.

    Raises:
        VideoError: there is no such camera, or it cannot be used.
    """

    def __init__(self, number: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.problem: str | None = None
        self._clock = clock
        self._number = number
        self._capture: Any = cv2.VideoCapture(number)
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame, not one of long ago
        self._first = self._read()
        if self._first is None:
            self._capture.release()
            raise VideoError(
                f"camera {number} cannot be used; check that it is plugged in, that no other "
                "program has it and that this one may (on Linux, there is /dev/video"
                f"{number}), or try another number"
            )
        rate = Fraction(self._capture.get(cv2.CAP_PROP_FPS) or _FALLBACK_RATE)
        self.info = VideoInfo(
            size=(self._first.shape[0], self._first.shape[1]),
            rate=rate.limit_denominator(1001) if rate > 0 else Fraction(_FALLBACK_RATE),
            time_base=_TICK,
        )

    def __enter__(self) -> CameraReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the camera back."""
        self._capture.release()

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames until the camera gives no more."""
        begun, last, index = self._clock(), -_TICK, 0
        image = self._first
        while image is not None:
            moment = round(Fraction(self._clock() - begun) / _TICK) * _TICK
            last = max(moment, last + _TICK)
            yield Frame(image, index, last)
            index += 1
            image = self._read()
        self.problem = f"camera {self._number} gives no more pictures"

    def _read(self) -> ByteArray | None:
        done, bgr = self._capture.read()
        return np.ascontiguousarray(bgr[..., ::-1], dtype=np.uint8) if done else None
