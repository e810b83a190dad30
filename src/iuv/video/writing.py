"""Video files that play everywhere, or that keep every value.

H x W: a picture as given.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from iuv.results import ByteArray
from iuv.video.ffmpeg import VideoError, explained, load_av

__all__ = ["VIDEO_SUFFIXES", "VideoWriter", "check_video_path"]

VIDEO_SUFFIXES = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""Suffix of a file → FFmpeg's name of its format."""

_FASTSTART = {"mp4", "mov"}  # formats whose index would otherwise come last, after all pictures
_PLAYED = {"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"}  # sound that players take there
_BT601, _BT709, _LIMITED = 6, 1, 1  # as H.264 numbers matrices, primaries and ranges


def check_video_path(path: str | os.PathLike[str], *, lossless: bool = False) -> Path:
    """Return the path, if a video of this name can be written.

    Raises:
        VideoError: its suffix stands for no format, or for none that keeps every value.
    """
    path = Path(path)
    known = [".mkv"] if lossless else list(VIDEO_SUFFIXES)
    if path.suffix.lower() not in known:
        what = "a lossless video" if lossless else "a video"
        raise VideoError(f"{path}: {what} must be named {' or '.join(f'*{s}' for s in known)}")
    return path


class VideoWriter:
    """Writes a video file. Use it in a ``with`` block: the file is there, whole, when it ends well.

    H.264 in 4:2:0 with its index in front, which every browser and player shows. 4:2:0 needs even
    sides: an odd one gets one more row or column at the bottom or right, a copy of the last.
    Colours are converted by the matrix of BT.601, and the file says so, because the many programs
    that do not look (OpenCV) assume it.

    Args:
        path: ``.mp4``, ``.m4v``, ``.mov`` or ``.mkv``.
        rate: frames per second; when frames are given times, merely a hint for players.
        time_base: times are rounded to multiples of this many seconds; None: fine enough.
        crf: quality of H.264, 0 (best) to 51; 18 looks like the original.
        lossless: keep every value exactly, by FFV1 in ``.mkv``; browsers do not play it.
        pixel_aspect: width of a pixel divided by its height.
        audio: a stream to copy sound from, `VideoReader.audio_stream`.

    Raises:
        VideoError: the suffix stands for no format that can be written, or a number is out of its
            range.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        rate: Fraction | float = 25,
        time_base: Fraction | None = None,
        crf: int = 18,
        lossless: bool = False,
        pixel_aspect: Fraction = Fraction(1),
        audio: Any = None,
    ) -> None:
        self.path = check_video_path(path, lossless=lossless)
        if not 0 <= crf <= 51 or rate <= 0:
            raise VideoError(f"crf must be in 0..51 and rate above 0, got {crf} and {rate}")
        self.frames = 0
        """Written so far."""
        self._rate = Fraction(rate).limit_denominator(1_000_000)
        self._time_base = time_base or _time_base(self._rate)
        self._crf = crf
        self._lossless = lossless
        self._pixel_aspect = pixel_aspect
        self._source = audio
        # Beside the target, as a rename is atomic only within one file system.
        self._partial = self.path.with_name(f".{uuid.uuid4().hex}.part")
        self._container: Any = None
        self._stream: Any = None
        self._audio: Any = None
        self._shape: tuple[int, ...] = ()
        self._last = -1
        self._durations: dict[int, int] = {}

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def write(
        self,
        picture: ByteArray,
        time: Fraction | float | None = None,
        duration: Fraction | None = None,
    ) -> None:
        """Add a picture.

        Args:
            picture: RGB uint8 [H, W, 3], or uint8 [H, W]; all of one size.
            time: when it is shown, seconds; None: `rate` after the one before.
            duration: for how long; counts for the last one.

        Raises:
            VideoError: the picture is another kind of array or of another size than the first, or
                its time is not after that of the one before.
            OSError: the file cannot be written.
        """
        self._check(picture)
        if self._container is None:
            self._open(picture)
        if time is None:
            time = self.frames / self._rate
        pts = round(Fraction(time) / self._time_base)
        if pts <= self._last:
            raise VideoError(
                f"{self.path}: frame {self.frames} is shown at {float(time):.6f} s, which is not "
                "after the frame before; give frames in the order of their times"
            )
        with explained(f"{self.path}: a frame cannot be encoded"):
            frame = self._frame(picture)
            frame.pts, frame.time_base = pts, self._time_base
            usual = 1 / self._rate if duration is None else duration
            self._durations[pts] = max(1, round(usual / self._time_base))
            self._mux(self._stream.encode(frame))
        self._last = pts
        self.frames += 1

    def write_audio(self, packets: Iterable[Any]) -> None:
        """Copy packets of sound that `VideoReader.take_audio` returned.

        Raises:
            VideoError: they do not fit the file.
        """
        for packet in packets:
            packet.stream = self._audio
            with explained(f"{self.path}: the sound cannot be copied"):
                self._container.mux(packet)

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            VideoError: no picture was written.
            OSError: the file cannot be written.
        """
        if self._container is None:
            raise VideoError(f"{self.path}: no picture was given, so that there is no video")
        try:
            with explained(f"{self.path}: the video cannot be finished"):
                self._mux(self._stream.encode(None))
                self._container.close()
            self._partial.replace(self.path)
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Leave no file behind, and a former one as it was."""
        if self._container is not None:
            # Trouble is known already, or nobody asks for this file any more.
            with suppress(OSError, ValueError):
                self._container.close()
        self._partial.unlink(missing_ok=True)

    def _check(self, picture: ByteArray) -> None:
        shape = picture.shape
        if picture.dtype != np.uint8 or len(shape) not in (2, 3) or shape[2:] not in ((), (3,)):
            raise VideoError(
                "a picture of a video must be uint8 of shape (H, W, 3) or (H, W), "
                f"got {picture.dtype} of shape {shape}"
            )
        if self._shape and shape != self._shape:
            raise VideoError(
                f"all pictures of a video must have one shape: the first has {self._shape}, "
                f"number {self.frames} has {shape}"
            )

    def _open(self, picture: ByteArray) -> None:
        av = load_av()
        kind = VIDEO_SUFFIXES[self.path.suffix.lower()]
        options = {"movflags": "+faststart"} if kind in _FASTSTART else {}
        self._shape = picture.shape
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(self._partial), "w", format=kind, options=options)
        with explained(f"{self.path}: cannot be written"):
            self._stream = self._video_stream()
            if self._source is not None:
                self._audio = self._audio_stream()
            self._container.start_encoding()

    def _video_stream(self) -> Any:
        height, width = self._shape[:2]
        if self._lossless:
            stream = self._container.add_stream("ffv1", rate=self._rate)
            stream.pix_fmt = "gray" if len(self._shape) == 2 else "bgr0"
        else:
            # Without B-frames no frame is stored before an earlier one, which simple players and
            # editors get wrong.
            options = {"crf": str(self._crf), "preset": "veryfast", "bf": "0"}
            stream = self._container.add_stream("libx264", rate=self._rate, options=options)
            stream.pix_fmt = "yuv420p"
            height, width = height + height % 2, width + width % 2
            context = stream.codec_context
            context.colorspace, context.color_range = _BT601, _LIMITED
            context.color_primaries = context.color_trc = _BT709
        stream.height, stream.width = height, width
        stream.codec_context.time_base = self._time_base
        stream.time_base = self._time_base
        stream.codec_context.sample_aspect_ratio = self._pixel_aspect
        return stream

    def _audio_stream(self) -> Any:
        codec = self._source.codec_context.codec.canonical_name
        if VIDEO_SUFFIXES[self.path.suffix.lower()] in _FASTSTART and codec not in _PLAYED:
            raise VideoError(
                f"{self.path}: sound in {codec} cannot be put into a {self.path.suffix}; write an "
                ".mkv, or leave the sound out"
            )
        return self._container.add_stream_from_template(self._source)

    def _frame(self, picture: ByteArray) -> Any:
        av = load_av()
        if self._lossless:
            kind = "gray" if picture.ndim == 2 else "rgb24"
            return av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=kind)
        if picture.ndim == 2:
            picture = np.repeat(picture[..., None], 3, axis=2)
        height, width = picture.shape[:2]
        picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        return frame.reformat(format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG")

    def _mux(self, packets: Iterable[Any]) -> None:
        for packet in packets:
            duration = self._durations.pop(packet.pts, None)
            if duration is not None:
                packet.duration = duration
            self._container.mux(packet)


def _time_base(rate: Fraction) -> Fraction:
    """A part of a frame's length, so that times in between are told apart too."""
    return Fraction(1, rate.numerator * -(-12_800 // rate.numerator))
