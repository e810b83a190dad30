"""Videos: frames in, people who keep their numbers, pictures out. Needs the extra ``video``.

import iuv
import iuv.video

predict = iuv.load("R_50_FPN_s1x")
for frame, people in iuv.video.read("clip.mp4", predict):
    frame.time, people[0].track, people[0].labels
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from iuv.results import People
from iuv.video.camera import CameraReader
from iuv.video.ffmpeg import VideoError
from iuv.video.following import DEFAULT_SMOOTH, Chosen, PeopleTracker, StagedPredictor, track
from iuv.video.frames import Frame, FrameSource, VideoInfo
from iuv.video.reading import VideoReader
from iuv.video.writing import VIDEO_SUFFIXES, VideoWriter, check_video_path

__all__ = [
    "DEFAULT_SMOOTH",
    "VIDEO_SUFFIXES",
    "CameraReader",
    "Chosen",
    "Frame",
    "FrameSource",
    "PeopleTracker",
    "StagedPredictor",
    "VideoError",
    "VideoInfo",
    "VideoReader",
    "VideoWriter",
    "check_video_path",
    "read",
    "track",
]


def read(
    path: str | os.PathLike[str],
    predict: StagedPredictor,
    *,
    smooth: float = DEFAULT_SMOOTH,
    every: int = 1,
    new_score: float = 0.0,
) -> Iterator[tuple[Frame, People]]:
    """Yield each frame of a video file with its people.

    A damaged file ends early, without an error: take `VideoReader` and `track` to hear of it.

    Args:
        path: any file that FFmpeg reads.
        predict: of `iuv.load`.
        smooth: as for `PeopleTracker`.
        every: as for `PeopleTracker`.
        new_score: as for `PeopleTracker`.

    Raises:
        FileNotFoundError: there is no such file.
        VideoError: it is no video, or PyAV is not installed.
    """
    with VideoReader(path) as frames:
        yield from track(predict, frames, smooth=smooth, every=every, new_score=new_score)
