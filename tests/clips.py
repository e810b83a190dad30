"""Small clips for tests, as arrays and as files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from iuv.video import VideoWriter


def picture(index: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A bright square on grey that goes to the right, 4 pixels per frame; smooth all over."""
    height, width = size
    image = np.full((height, width, 3), (68, 1, 84), dtype=np.uint8)
    image[8:24, 4 + 4 * index : 20 + 4 * index] = (240, 200, 40)
    return image


def textured(index: int, size: tuple[int, int] = (64, 80)) -> np.ndarray:
    """The same random texture, moved by 2 pixels to the right and 1 down per frame."""
    noise = np.random.default_rng(5).integers(0, 256, (140, 140, 3), dtype=np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0).astype(np.float32)
    smooth = (smooth - smooth.min()) * (255 / (smooth.max() - smooth.min()))
    top, left = 40 - index, 40 - 2 * index
    crop = smooth[top : top + size[0], left : left + size[1]]
    return np.ascontiguousarray(crop, dtype=np.uint8)


def write_clip(path: Path, count: int = 6, *, rate: Fraction | int = 10, make=picture, **options):
    """A file of `count` pictures."""
    with VideoWriter(path, rate=rate, **options) as writer:
        for index in range(count):
            writer.write(make(index))
    return path


def write_sound_too(path, *, codec="aac", seconds=1):
    """A clip with a second of sound; its stream is in the file's own time."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream(codec, rate=16000)
        for index in range(10 * seconds):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            container.mux(video.encode(frame))
        tone = np.sin(np.arange(16000 * seconds) / 6).astype(np.float32) / 4
        kind = audio.codec_context.format.name
        for start in range(0, len(tone), 1024):
            samples = tone[None, start : start + 1024]
            if kind.startswith("s16"):
                samples = (samples * 32767).astype(np.int16)
            sound = av.AudioFrame.from_ndarray(samples, format=kind, layout="mono")
            sound.sample_rate, sound.pts = 16000, start
            container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


def heard(path):
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(audio=0) if p.size]
