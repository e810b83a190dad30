"""Frames of a video, wherever they come from.

H x W: a frame, upright. Times are exact fractions of a second, counted from the video's beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Protocol

from iuv.results import ByteArray

__all__ = ["Frame", "FrameSource", "VideoInfo"]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a video."""

    image: ByteArray
    """RGB uint8 [H, W, 3]."""
    index: int
    """Counted from 0."""
    time: Fraction
    """When it is shown: seconds from the beginning of the video."""
    duration: Fraction | None = None
    """For how long, seconds; None: until the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """What is known of a video before it is read."""

    size: tuple[int, int]
    """(H, W) of the frames, upright."""
    rate: Fraction
    """Frames per second, on average."""
    time_base: Fraction
    """All times are multiples of this many seconds."""
    frames: int | None = None
    """How many there are, as the file says or its duration suggests; None: nobody knows."""
    pixel_aspect: Fraction = Fraction(1)
    """Width of a pixel divided by its height."""
    audio: str | None = None
    """The codec of the first audio stream; None: there is none."""


class FrameSource(Protocol):
    """What yields frames, once, and holds a file or a device open until it is closed."""

    @property
    def info(self) -> VideoInfo:
        """What is known beforehand."""
        ...

    @property
    def problem(self) -> str | None:
        """What could not be read of what has been asked for so far; None: all is well."""
        ...

    def __iter__(self) -> Iterator[Frame]: ...

    def __enter__(self) -> FrameSource: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
