"""Video files, frame by frame, upright, with their times, and as far as they can be read.

H x W: a frame, upright.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from iuv.results import ByteArray
from iuv.video.ffmpeg import VideoError, explained, load_av
from iuv.video.frames import Frame, VideoInfo

__all__ = ["VideoReader"]

_FALLBACK_RATE = Fraction(25)
_MICROSECONDS = 1_000_000  # FFmpeg's time base of whole files
_MISSING_FRAMES = Fraction(3, 2)  # at the end: fewer may be due to rounded durations


class VideoReader:
    """A video file. Iterate over it, once, for its frames; use it in a ``with`` block.

    Frames are turned upright by the file's rotation, keep their times (which need not be evenly
    spaced), and come one at a time: memory does not grow with the length. Where the file is damaged
    or ends early, what can be read is yielded, and `problem` says afterwards what was not.

    Args:
        path: any file that FFmpeg reads.
        audio: also collect the packets of the first audio stream, for `VideoWriter.write_audio`.

    Raises:
        FileNotFoundError: there is no such file.
        VideoError: the file is no video, holds no video stream, or no frame of it can be read.
    """

    def __init__(self, path: str | os.PathLike[str], *, audio: bool = False) -> None:
        av = load_av()
        self.path = Path(path)
        self.problem: str | None = None
        if not self.path.is_file():
            raise FileNotFoundError(2, "No such file", str(self.path))
        with explained(f"{self.path}: not a video that FFmpeg can read"):
            self._container: Any = av.open(str(self.path), metadata_errors="replace")
        try:
            self._stream = self._video_stream()
            self._audio = next(iter(self._container.streams.audio), None) if audio else None
            self._stream.thread_type = "AUTO"
            self._packets: deque[Any] = deque()
            self._raw = self._decode()
            self._first: Any = next(self._raw, None)
            if self._first is None:
                raise VideoError(
                    f"{self.path}: holds a video stream, of which no frame can be read"
                    + (f" ({self.problem})" if self.problem else "")
                )
            self._start = self._start_time()
            self.info = self._describe()
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._raw.close()
        self._container.close()

    @property
    def audio_stream(self) -> Any:
        """PyAV's audio stream, if it is collected and there is one; else None."""
        return self._audio

    def take_audio(self) -> list[Any]:
        """Return the audio packets read since the last call, their times as those of the frames."""
        taken = list(self._packets)
        self._packets.clear()
        for packet in taken:
            shift = round(self._start / packet.time_base)
            if packet.pts is not None:
                packet.pts -= shift
            if packet.dts is not None:
                packet.dts -= shift
        return taken

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames that are left."""
        end, index, last = None, 0, Fraction(-1)
        tick = Fraction(self._stream.time_base)
        usual = 1 / self.info.rate
        while self._first is not None:
            raw, self._first = self._first, None
            if raw.pts is None:  # some old formats do not say
                time = Fraction(0) if end is None else end
            else:
                time = raw.pts * Fraction(raw.time_base or tick) - self._start
            if index and time <= last:
                time = last + tick  # players and encoders want each frame after the one before
            duration = Fraction(raw.duration) * tick if raw.duration else None
            yield Frame(self._upright(raw), index, time, duration)
            last, end = time, time + (duration or usual)
            index += 1
            self._first = next(self._raw, None)
        if self.problem is None and end is not None:
            self.problem = self._shortfall(end, usual)

    def _video_stream(self) -> Any:
        cover = load_av().stream.Disposition.attached_pic  # of a song
        for stream in self._container.streams.video:
            if not stream.disposition & cover:
                return stream
        raise VideoError(f"{self.path}: holds no video stream; is it a sound file?")

    def _decode(self) -> Generator[Any, None, None]:
        """Yield PyAV's frames; a packet that cannot be read is noted and skipped."""
        av = load_av()
        streams = [self._stream] if self._audio is None else [self._stream, self._audio]
        packets = self._container.demux(*streams)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                self._note(error.strerror)
                packet = None
            if packet is None:
                return
            if packet.stream is self._audio:
                if packet.size:
                    self._packets.append(packet)
                continue
            if packet.is_corrupt:
                self._note("a packet is cut off")
            try:
                yield from packet.decode()
            except av.FFmpegError as error:
                self._note(error.strerror)

    def _note(self, what: str | None) -> None:
        self.problem = self.problem or f"damaged: {what or 'FFmpeg does not say how'}"

    def _start_time(self) -> Fraction:
        """When the video begins, in the file's own time."""
        if self._audio is not None and self._container.start_time is not None:
            return Fraction(self._container.start_time, _MICROSECONDS)
        if self._first.pts is None:
            return Fraction(0)
        return Fraction(self._first.pts) * Fraction(self._stream.time_base)

    def _describe(self) -> VideoInfo:
        stream, turned = self._stream, self._first.rotation % 180 != 0
        rate = stream.average_rate or stream.guessed_rate or _FALLBACK_RATE
        height, width = self._first.height, self._first.width
        aspect = Fraction(stream.sample_aspect_ratio or 1)
        seconds = self._declared_seconds()
        return VideoInfo(
            size=(width, height) if turned else (height, width),
            rate=Fraction(rate),
            time_base=Fraction(stream.time_base),
            frames=stream.frames or (None if seconds is None else round(seconds * rate)),
            pixel_aspect=1 / aspect if turned else aspect,
            audio=next(
                (s.codec_context.codec.canonical_name for s in self._container.streams.audio), None
            ),
        )

    def _declared_seconds(self) -> Fraction | None:
        """How long the file says that its pictures last; None: it does not say."""
        if self._stream.duration is not None:
            return Fraction(self._stream.duration) * Fraction(self._stream.time_base)
        if tag := {k.upper(): v for k, v in self._stream.metadata.items()}.get("DURATION"):
            try:  # Matroska's "00:00:01.200000000"
                hours, minutes, seconds = tag.split(":")
                return 3600 * Fraction(hours) + 60 * Fraction(minutes) + Fraction(seconds)
            except ValueError:
                pass
        # The duration of the whole file may be that of its sound.
        if self._container.duration is not None and not self._container.streams.audio:
            return Fraction(self._container.duration, _MICROSECONDS)
        return None

    def _shortfall(self, end: Fraction, usual: Fraction) -> str | None:
        """Say how much is missing after the last frame, which ends at `end`."""
        seconds = self._declared_seconds()
        if seconds is None:
            return None
        begun = self._start if self._stream.start_time is None else Fraction(0)
        missing = seconds - (end - begun)
        if missing < _MISSING_FRAMES * usual:
            return None
        return f"ends after {float(end):.2f} s, though it says it lasts {float(seconds):.2f} s"

    def _upright(self, raw: Any) -> ByteArray:
        turns = round(raw.rotation / 90)  # counter-clockwise, as np.rot90 counts
        height, width = self.info.size[::-1] if turns % 2 else self.info.size
        # Should the size change on the way, which is rare, all frames get that of the first.
        image = raw.to_ndarray(format="rgb24", width=width, height=height)
        return np.ascontiguousarray(np.rot90(image, turns), dtype=np.uint8)
