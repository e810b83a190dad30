"""Reading and writing video files: what goes in comes out, and what is broken is said."""

from __future__ import annotations

import re
import struct
import sys
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from clips import heard, picture, write_clip, write_sound_too
from iuv.video import CameraReader, VideoError, VideoReader, VideoWriter
from iuv.video.ffmpeg import explained, load_av


def read(path, **options):
    with VideoReader(path, **options) as reader:
        return reader, list(reader)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.M4V"])
def test_length_rate_size_and_colours(tmp_path, name):
    reader, frames = read(write_clip(tmp_path / name, rate=Fraction(30000, 1001)))
    assert reader.info.size == (48, 64)
    assert abs(reader.info.rate - Fraction(30000, 1001)) < 0.01
    assert reader.info.frames == len(frames) == 6
    assert reader.problem is None
    assert [frame.index for frame in frames] == list(range(6))
    for index, frame in enumerate(frames):
        assert abs(frame.time - index * Fraction(1001, 30000)) <= Fraction(1, 1000)
        near = np.abs(frame.image.astype(int) - picture(index))
        assert near[12:20, 8 + 4 * index : 16 + 4 * index].max() <= 12
        assert near[30:].max() <= 6


def test_what_browsers_need(tmp_path):
    path = write_clip(tmp_path / "a.mp4")
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        packets = [p for p in container.demux(video=0) if p.size]
        assert all(p.pts == p.dts for p in packets)


def test_opencv_sees_the_same_colours(tmp_path):
    capture = cv2.VideoCapture(str(write_clip(tmp_path / "a.mp4")))
    done, bgr = capture.read()
    assert done
    np.testing.assert_allclose(bgr[40, 10, ::-1], (68, 1, 84), atol=4)


def test_odd_sides_get_a_copy_of_the_last_row_and_column(tmp_path):
    path = write_clip(tmp_path / "a.mp4", make=lambda i: picture(i, (47, 63)))
    reader, frames = read(path)
    assert reader.info.size == (48, 64)
    assert np.abs(frames[0].image[47].astype(int) - frames[0].image[46]).max() <= 4


@pytest.mark.parametrize("shape", [(47, 63, 3), (47, 63)])
def test_lossless_keeps_every_value(tmp_path, shape):
    noise = np.random.default_rng(0).integers(0, 256, (3, *shape), dtype=np.uint8)
    path = write_clip(tmp_path / "a.mkv", 3, make=lambda i: noise[i], lossless=True)
    _, frames = read(path)
    for frame, wanted in zip(frames, noise, strict=True):
        given = frame.image if len(shape) == 3 else frame.image[..., 0]
        np.testing.assert_array_equal(given, wanted)


def test_grey_pictures(tmp_path):
    _, frames = read(write_clip(tmp_path / "a.mp4", 2, make=lambda i: picture(i)[..., 0]))
    assert np.ptp(frames[0].image.astype(int), axis=2).max() <= 3


TIMES = [Fraction(n, 100) for n in (0, 4, 8, 30, 31, 90)]


def test_uneven_times_are_kept(tmp_path):
    path = tmp_path / "a.mp4"
    with VideoWriter(path, rate=25, time_base=Fraction(1, 600)) as writer:
        for index, time in enumerate(TIMES):
            writer.write(picture(index), time, Fraction(1, 10))
    reader, frames = read(path)
    assert [frame.time for frame in frames] == TIMES
    assert frames[-1].duration == Fraction(1, 10)
    assert reader.problem is None
    # and through a second file, as `iuv video` does
    with VideoWriter(tmp_path / "b.mp4", time_base=reader.info.time_base) as writer:
        for frame in frames:
            writer.write(frame.image, frame.time, frame.duration)
    assert [frame.time for frame in read(tmp_path / "b.mp4")[1]] == TIMES


def turned(path, degrees):
    """Patch the matrix of the track, as a phone writes it that is held upright."""
    one = 1 << 16
    rows = {
        90: (0, one, 0, -one, 0, 0),
        180: (-one, 0, 0, 0, -one, 0),
        270: (0, -one, 0, one, 0, 0),
    }
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = struct.pack(">9i", *rows[degrees], 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation(tmp_path, degrees):
    """Clockwise, as players show it."""
    reader, frames = read(turned(write_clip(tmp_path / "a.mp4", 2), degrees))
    wanted = np.rot90(picture(0), -degrees // 90)
    assert reader.info.size == wanted.shape[:2] == frames[0].image.shape[:2]
    assert np.abs(frames[0].image.astype(int) - wanted).mean() < 8


def copy_with_sound(source, target):
    with (
        VideoReader(source, audio=True) as reader,
        VideoWriter(target, rate=10, audio=reader.audio_stream) as writer,
    ):
        for frame in reader:
            writer.write(frame.image, frame.time, frame.duration)
            writer.write_audio(reader.take_audio())
        writer.write_audio(reader.take_audio())
    return reader


def test_sound_is_copied_bit_for_bit(tmp_path):
    source = write_sound_too(tmp_path / "in.mp4")
    reader = copy_with_sound(source, tmp_path / "out.mp4")
    assert reader.info.audio == "aac"
    assert len(heard(source)) > 10
    assert heard(tmp_path / "out.mp4") == heard(source)
    assert read(tmp_path / "out.mp4")[0].info.frames == 10


def test_sound_that_does_not_fit(tmp_path):
    source = write_sound_too(tmp_path / "in.mkv", codec="pcm_s16le")
    with pytest.raises(VideoError, match=r"pcm_s16le cannot be put into a \.mp4; write an \.mkv"):
        copy_with_sound(source, tmp_path / "out.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv"]
    copy_with_sound(source, tmp_path / "out.mkv")
    assert heard(tmp_path / "out.mkv") == heard(source)


def test_no_sound_asked_for(tmp_path):
    reader, frames = read(write_sound_too(tmp_path / "in.mp4"))
    assert reader.audio_stream is None
    assert reader.take_audio() == []
    assert len(frames) == 10


# What is broken


def noisy_clip(path, count=12):
    noise = np.random.default_rng(1).integers(0, 256, (count, 48, 64, 3), dtype=np.uint8)
    return write_clip(path, count, make=lambda i: noise[i])


@pytest.mark.parametrize(
    ("name", "says"),
    [("a.mp4", "damaged: "), ("a.mkv", r"ends after .* s, though it says it lasts")],
)
def test_a_truncated_file_gives_what_can_be_read(tmp_path, name, says):
    data = noisy_clip(tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) * 6 // 10])
    reader, frames = read(tmp_path / name)
    assert 3 <= len(frames) <= 9
    assert re.match(says, reader.problem)


def test_a_damaged_middle(tmp_path):
    path = noisy_clip(tmp_path / "a.mp4")
    data = bytearray(path.read_bytes())
    middle = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2
    data[middle : middle + 400] = bytes(400)
    path.write_bytes(data)
    reader, frames = read(path)
    assert len(frames) >= 10
    assert reader.problem


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"clip\.mp4"):
        VideoReader(tmp_path / "clip.mp4")


def test_no_video(tmp_path):
    (tmp_path / "a.mp4").write_text("a letter")
    with pytest.raises(VideoError, match=r"a\.mp4: not a video that FFmpeg can read"):
        VideoReader(tmp_path / "a.mp4")


def test_sound_only(tmp_path):
    with av.open(str(tmp_path / "a.wav"), "w") as container:
        audio = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.sample_rate = 8000
        container.mux(audio.encode(sound))
    with pytest.raises(VideoError, match="holds no video stream; is it a sound file"):
        VideoReader(tmp_path / "a.wav")


def test_without_pyav(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(VideoError, match=r"pip install 'iuv\[video\]'"):
        load_av()


# What cannot be written


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("a.webm", {}, r"must be named \*\.mp4 or \*\.m4v"),
        ("a.mp4", {"lossless": True}, r"a lossless video must be named \*\.mkv"),
        ("a.mp4", {"crf": 52}, r"crf must be in 0\.\.51"),
        ("a.mp4", {"rate": 0}, "rate above 0"),
    ],
)
def test_wrong_options(tmp_path, name, options, says):
    with pytest.raises(VideoError, match=says):
        VideoWriter(tmp_path / name, **options)


def write_two(path, second, time):
    with VideoWriter(path) as writer:
        writer.write(picture(0))
        writer.write(second, time)


@pytest.mark.parametrize(
    ("second", "time", "says"),
    [
        (picture(0, (48, 66)), None, r"the first has \(48, 64, 3\), number 1 has \(48, 66, 3\)"),
        (picture(0).astype(np.float32), None, r"must be uint8 of shape \(H, W, 3\)"),
        (picture(0), 0.0, "not after the frame before"),
    ],
)
def test_wrong_pictures_leave_a_former_file_as_it_was(tmp_path, second, time, says):
    (tmp_path / "a.mp4").write_text("before")
    with pytest.raises(VideoError, match=says):
        write_two(tmp_path / "a.mp4", second, time)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_no_pictures(tmp_path):
    with pytest.raises(VideoError, match="no picture was given"), VideoWriter(tmp_path / "a.mp4"):
        pass
    assert not list(tmp_path.iterdir())


def test_errors_of_the_system_pass():
    with pytest.raises(PermissionError), explained("what"):
        raise av.error.PermissionError(13, "no", "a.mp4")


# Cameras


class Capture:
    """OpenCV's, of three pictures."""

    def __init__(self, number):
        self.left = 3 if number == 0 else 0
        self.released = False

    def set(self, *_):
        return True

    def get(self, _):
        return 15.0

    def read(self):
        self.left -= 1
        return self.left >= 0, picture(0)[..., ::-1] if self.left >= 0 else None

    def release(self):
        self.released = True


@pytest.fixture
def camera(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", Capture)


@pytest.mark.usefixtures("camera")
def test_camera():
    times = iter([5.0, 5.0, 5.1, 5.1])  # the third frame comes within the clock's resolution
    with CameraReader(0, clock=lambda: next(times)) as reader:
        assert reader.info.size == (48, 64)
        assert reader.info.rate == 15
        frames = list(reader)
    assert [round(float(frame.time), 3) for frame in frames] == [0, 0.1, 0.1]
    assert frames[2].time > frames[1].time
    np.testing.assert_array_equal(frames[0].image, picture(0))
    assert reader.problem == "camera 0 gives no more pictures"


@pytest.mark.usefixtures("camera")
def test_no_camera():
    with pytest.raises(VideoError, match="camera 1 cannot be used; check that it is plugged in"):
        CameraReader(1)
