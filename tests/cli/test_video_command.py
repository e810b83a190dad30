"""``iuv video``: what comes out, and what becomes of every kind of mistake."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from fractions import Fraction

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

import iuv.predictor
from clips import heard, textured, write_clip, write_sound_too
from iuv.cli.app import app
from iuv.pipeline import WORKERS
from iuv.video import VideoReader, VideoWriter
from iuv.visualize.presets import PRESETS
from iuv.writers import read_iuv_png, read_npz
from staged import Scripted


@pytest.fixture
def script():
    """What is found in every frame; clear it for nobody."""
    return [(20, 10, 50, 50, 0.9), (0, 0, 12, 40, 0.8)]


@pytest.fixture
def loaded(monkeypatch, script):
    """How the predictor was loaded, each time."""
    calls = []

    def load(model="default", **options):
        calls.append({"model": model, **options})
        return Scripted(script)

    monkeypatch.setattr(iuv.predictor, "load", load)
    return calls


@pytest.fixture
def clip(tmp_path, monkeypatch):
    """``clip.mp4`` of 4 frames, 80 x 64, 10 a second, in the working folder."""
    monkeypatch.chdir(tmp_path)
    return write_clip(tmp_path / "clip.mp4", 4, make=textured)


@pytest.fixture
def run(loaded, clip):
    return lambda *arguments: CliRunner().invoke(app, ["video", *map(str, arguments)])


def frames(path):
    with VideoReader(path) as reader:
        return list(reader)


def test_a_video_of_the_same_length_times_and_size(run):
    result = run("clip.mp4", "out/parts.mp4")
    assert result.exit_code == 0, result.output
    with VideoReader("clip.mp4") as reader:
        info, given = reader.info, list(reader)
    with VideoReader("out/parts.mp4") as reader:
        assert (reader.info.size, reader.info.rate) == (info.size, info.rate)
        made = list(reader)
    assert [f.time for f in made] == [f.time for f in given]
    assert np.abs(made[2].image.astype(int) - given[2].image).mean() > 3  # something is drawn
    assert result.stderr.startswith("4 frames, ")
    assert result.stderr.endswith("results in out/parts.mp4\n")
    assert os.listdir("out") == ["parts.mp4"]


def test_frames_too(run):
    assert run("clip.mp4", "a.mkv", "--frames", "f", "--draw", "tracks+bbox").exit_code == 0
    names = sorted(os.listdir("f"))
    assert names[:2] == ["clip_000000.npz", "clip_000000_iuv.png"]
    assert len(names) == 8
    people = read_npz("f/clip_000003.npz")
    assert people.image_size == (64, 80)
    assert all(person.track for person in people)
    np.testing.assert_array_equal(read_iuv_png("f/clip_000003_iuv.png"), people.iuv())


def test_a_folder(run):
    assert run("clip.mp4", "folder", "--save", "json", "--every", 2).exit_code == 0
    assert sorted(os.listdir("folder")) == [f"clip_00000{i}.json" for i in range(4)]


def test_lossless_labels(run):
    assert run("clip.mp4", "a.mkv", "--lossless", "--preset", "pose_with_style").exit_code == 0
    assert run("clip.mp4", "f", "--preset", "pose_with_style").exit_code == 0
    for index, frame in enumerate(frames("a.mkv")):
        np.testing.assert_array_equal(read_iuv_png(f"f/clip_00000{index}.png"), frame.image)
    assert run("clip.mp4", "b.mkv", "--lossless", "--preset", "catvton_labels").exit_code == 0
    (values,) = {tuple(np.unique(frame.image)) for frame in frames("b.mkv")}
    assert values == (0, 2)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset(run, loaded, name, script):
    """Into a video, where its pixels are colours; else into files."""
    script.clear()
    is_video = PRESETS[name].is_picture
    result = run("clip.mp4", "a.mp4" if is_video else "f", "--preset", name, "--seconds", 0.15)
    wanted = PRESETS[name].needs_person
    assert result.exit_code == (1 if wanted else 0), result.output
    assert ("needs a person" in result.stderr) == wanted
    assert loaded[0]["model"] == PRESETS[name].model or PRESETS[name].model is None
    if is_video:
        assert len(frames("a.mp4")) == 2
        assert {"viton_hd": (1024, 768), "controlnet_viridis": (512, 640)}.get(
            name, frames("a.mp4")[0].image.shape[:2]
        ) == frames("a.mp4")[0].image.shape[:2]
    elif not wanted:
        assert len(os.listdir("f")) == 2 * len(PRESETS[name].suffixes)


def test_magic_animate_has_its_colours(run, script):
    script.clear()
    run("clip.mp4", "a.mp4", "--preset", "magic_animate")
    np.testing.assert_allclose(frames("a.mp4")[0].image, np.full((64, 80, 3), (68, 1, 84)), atol=4)


def test_a_person_is_needed_and_frames_stay_in_step(run, script):
    script.clear()
    result = run("clip.mp4", "a.mkv", "--lossless", "--preset", "leffa_pose_transfer")
    assert result.exit_code == 1
    assert "4 frames, 4 failed" in result.stderr
    made = frames("a.mkv")
    assert len(made) == 4
    assert not made[0].image.any()


def test_scores_of_those_who_are_known_may_be_lower(run, loaded):
    run("clip.mp4", "a.mp4", "--min-score", 0.5, "--seconds", 0.05)
    run("clip.mp4", "a.mp4", "--min-score", 0.5, "--smooth", 0, "--seconds", 0.05)
    assert [call["min_score"] for call in loaded] == pytest.approx([0.3, 0.5])


def test_seconds(run):
    assert run("clip.mp4", "a.mp4", "--seconds", 0.25).exit_code == 0
    assert len(frames("a.mp4")) == 3


def test_no_sound_to_copy(run):
    result = run("clip.mp4", "a.mp4", "--audio")
    assert result.exit_code == 0
    assert "NOTE: clip.mp4 has no sound to copy" in result.stderr


def test_sound_is_copied(run, tmp_path):
    """All of it, or as much as there are pictures."""
    write_sound_too(tmp_path / "loud.mp4", seconds=2)
    assert run("loud.mp4", "a.mp4", "--audio").exit_code == 0
    assert heard("a.mp4") == heard("loud.mp4")
    assert len(frames("a.mp4")) == 20
    assert run("loud.mp4", "b.mp4", "--audio", "--seconds", 0.5).exit_code == 0
    assert len(frames("b.mp4")) == 5
    assert heard("b.mp4") == heard("loud.mp4")[: len(heard("b.mp4"))]
    assert 0.4 < len(heard("b.mp4")) * 1024 / 16000 < 0.6


def test_frames_are_read_and_written_while_the_network_runs(run, monkeypatch, tmp_path):
    """And no further ahead or behind than a few, however long the video is."""
    write_clip(tmp_path / "long.mp4", 60, make=lambda i: textured(i % 9))
    third_read, first_write, later_look = (threading.Event() for _ in range(3))
    events, ahead = Counter(), []

    def spy(owner, name, watch):
        real = getattr(owner, name)

        def call(*arguments):
            events[name] += 1
            ahead.append(events["_upright"] - events["write"])
            watch(events[name])
            return real(*arguments)

        monkeypatch.setattr(owner, name, call)

    def looks(count):
        assert count < 2 or third_read.wait(20)
        if first_write.is_set():
            later_look.set()

    def writes(count):
        first_write.set()
        assert later_look.wait(20)

    spy(VideoReader, "_upright", lambda count: third_read.set() if count == 3 else None)
    spy(Scripted, "look", looks)
    spy(VideoWriter, "write", writes)
    result = run("long.mp4", "a.mp4", "--smooth", 0)
    assert result.exit_code == 0, result.output
    assert events == {"_upright": 60, "look": 60, "write": 60}
    assert max(ahead) <= 3 * WORKERS + 6


def test_an_error_while_writing_leaves_no_file(run, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(VideoWriter, "write", fail)
    result = run("clip.mp4", "a.mp4")
    assert (result.exit_code, result.stderr) == (2, "iuv: No space left on device\n")
    assert os.listdir() == ["clip.mp4"]


def test_a_truncated_file(run, tmp_path):
    noise = np.random.default_rng(1).integers(0, 256, (12, 64, 80, 3), dtype=np.uint8)
    whole = write_clip(tmp_path / "whole.mp4", 12, make=lambda i: noise[i]).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    result = run("cut.mp4", "a.mp4")
    assert result.exit_code == 1
    assert "failed: cut.mp4: damaged: " in result.stderr
    assert "what could be read is written" in result.stderr
    assert 2 <= len(frames("a.mp4")) < 12


class StoppedCamera:
    """OpenCV's camera, in front of which somebody presses Ctrl-C after a while."""

    def __init__(self, number):
        self.count = 0

    def set(self, *_):
        return True

    def get(self, _):
        return 30.0

    def read(self):
        self.count += 1
        if self.count == 4:
            signal.raise_signal(signal.SIGINT)
        return True, textured(self.count)[..., ::-1]

    def release(self):
        pass


def test_ctrl_c_at_a_camera_finishes_the_file(run, monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", StoppedCamera)
    result = run("0", "a.mp4")
    assert result.exit_code == 0, result.output
    assert len(frames("a.mp4")) == 3


def test_ctrl_c_at_a_file_finishes_it_and_says_so(run, monkeypatch):
    look = Scripted.look

    def stop(self, image):
        if self.frame == 0:
            signal.raise_signal(signal.SIGTERM)
        return look(self, image)

    monkeypatch.setattr(Scripted, "look", stop)
    result = run("clip.mp4", "a.mp4")
    assert result.exit_code == 143
    assert len(frames("a.mp4")) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["clip.mp4", "a.webm"], "a video must be named *.mp4 or *.m4v"),
        (["clip.mp4", "a.mp4", "--lossless"], "a lossless video must be named *.mkv"),
        (["clip.mp4", "clip.mp4"], "clip.mp4: would overwrite the input"),
        (["none.mp4", "a.mp4"], "none.mp4: No such file"),
        (["letter.txt", "a.mp4"], "letter.txt: not a video that FFmpeg can read"),
        (["clip.mp4", "a.mp4", "--draw", "overlaid"], "unknown kind 'overlaid'; did you mean"),
        (["clip.mp4", "a.mp4", "--draw", "npz"], "--draw: npz is no drawing"),
        (["clip.mp4", "a.mp4", "--preset", "magic"], "unknown preset 'magic'; did you mean"),
        (["clip.mp4", "a.mp4", "--preset", "viton_hd", "--draw", "u"], "--draw and --preset"),
        (["clip.mp4", "a.mp4", "--save", "npz"], "say by --frames DIR where to"),
        (["clip.mp4", "f", "--draw", "u"], "f is a folder; --save says what goes into it"),
        (["clip.mp4", "f", "--preset", "viton_hd", "--save", "npz"], "another size; run twice"),
        (["clip.mp4", "a.mp4", "--preset", "viton_hd", "--frames", "f"], "another size"),
        (["clip.mp4", "a.mp4", "--preset", "catvton_labels"], "its pixels are numbers, which a"),
        (["clip.mp4", "a.mkv", "--lossless", "--preset", "caffe2_iuv"], "what it writes is no vid"),
        (["clip.mp4", "a.mp4", "--person", "tallest"], "cannot select people by 'tallest'"),
        (["7", "a.mp4"], "camera 7 cannot be used"),
    ],
)
def test_wrong_calls(run, arguments, says, tmp_path):
    (tmp_path / "letter.txt").write_text("Dear video")
    before = (tmp_path / "clip.mp4").read_bytes()
    result = run(*arguments)
    assert (result.exit_code, says in result.stderr) == (2, True), result.output
    assert (tmp_path / "clip.mp4").read_bytes() == before
    assert not (tmp_path / "a.mp4").exists()


def test_uneven_times(run, tmp_path):
    times = [Fraction(n, 100) for n in (0, 7, 9, 40)]
    with VideoWriter(tmp_path / "uneven.mp4", time_base=Fraction(1, 100)) as writer:
        for index, time in enumerate(times):
            writer.write(textured(index), time)
    assert run("uneven.mp4", "a.mp4").exit_code == 0
    assert [frame.time for frame in frames("a.mp4")] == times
