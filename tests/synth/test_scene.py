"""Random scenes: what is in them, and that they are the same every time."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from capsules import capsule_person
from iuv.synth.effects import Effects
from iuv.synth.placement import NEAREST
from iuv.synth.render import Frame, render
from iuv.synth.scene import Scene, sample_scene
from older_machine import older_machine

SIZE = (96, 128)


def generator(*seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(list(seed)))


def sample(number: int) -> tuple[Scene, Frame]:
    scene = sample_scene(generator(11, number), capsule_person, SIZE)
    return scene, render(scene)


@pytest.fixture(scope="module")
def samples() -> list[tuple[Scene, Frame]]:
    return [sample(number) for number in range(40)]


def digest(frame: Frame) -> str:
    parts = (frame.rgb, frame.part, frame.uv, frame.depth, frame.instance)
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def test_people(samples: list[tuple[Scene, Frame]]):
    counts = {len(scene.people) for scene, _ in samples}
    assert min(counts) == 1
    assert 3 < max(counts) <= 6
    for scene, frame in samples:
        assert frame.rgb.shape == (*SIZE, 3)
        assert frame.instance.max() <= len(scene.people)
    shown = [np.isin(1, frame.instance) for _, frame in samples]
    assert np.mean(shown) > 0.9


def test_sizes_and_truncation(samples: list[tuple[Scene, Frame]]):
    shares, cut = [], 0
    for scene, frame in samples:
        x, y, z = scene.camera.project(scene.people[0].mesh.vertices.T)
        assert z.min() > 0
        shares.append((y.max() - y.min()) / SIZE[0])
        cut += x.min() < 0 or y.min() < 0 or x.max() > SIZE[1] or y.max() > SIZE[0]
        assert scene.camera.position[1] > 0
        rows = np.nonzero((frame.instance == 1).any(axis=1))[0]
        assert not len(rows) or rows[-1] - rows[0] <= y.max() - y.min() + 1
    assert min(shares) * SIZE[0] > 15  # 24 px of height, seen from above
    assert min(shares) < 0.4
    assert max(shares) > 1.2
    assert 5 < cut < 35


def test_nobody_is_torn_by_the_camera():
    for number in range(60):
        scene = sample_scene(generator(23, number), capsule_person, SIZE)
        depths = [scene.camera.project(person.mesh.vertices.T)[2] for person in scene.people]
        assert min(depth.min() for depth in depths) > 0.9 * NEAREST


def test_people_stand_on_the_ground_apart(samples: list[tuple[Scene, Frame]]):
    for scene, _ in samples:
        places = []
        for person in scene.people:
            assert person.mesh.vertices[:, 1].min() == pytest.approx(0, abs=0.03)
            places.append(person.keypoints[[15, 16]].mean(axis=0)[[0, 2]])
        gaps = [np.hypot(*(a - b)) for i, a in enumerate(places) for b in places[:i]]
        assert not gaps or min(gaps) > 0.3


def test_pictures_differ(samples: list[tuple[Scene, Frame]]):
    assert len({digest(frame) for _, frame in samples}) == len(samples)
    kinds = {type(scene.backdrop).__name__ for scene, _ in samples}
    assert kinds == {"Planes", "Picture"}


def both(number: int) -> tuple[Frame, Frame]:
    """A picture as it is, and one on which neither blur nor JPEG hide small differences."""
    scene, frame = sample(number)
    return frame, render(replace(scene, effects=Effects()))


def test_another_process_on_an_older_machine_draws_the_same():
    here = Path(__file__).parent
    code = (
        "from test_scene import both, digest\n"
        "print(*(digest(frame) for number in range(6) for frame in both(number)))"
    )
    path = os.pathsep.join([str(here), str(here.parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "7", **older_machine()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [digest(frame) for number in range(6) for frame in both(number)]


def test_tiny_pictures_are_refused():
    with pytest.raises(ValueError, match=r"at least 32 pixels, got 64 x 20 \(width x height\)"):
        sample_scene(generator(0), capsule_person, (20, 64))
