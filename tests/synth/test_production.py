"""Runs of one process and of several, and what can become of them."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from capsules import capsule_person
from iuv.synth import production
from iuv.synth.dataset import DatasetError, Recipe, SampleWriter
from iuv.synth.production import produce

CAPSULE = capsule_person(np.random.default_rng(0), arms=90).mesh
RECIPE = Recipe(seed=5, size=(96, 120), people=capsule_person, surface=CAPSULE)


def test_few_pictures_are_ordered_ahead():
    """However many there are to be: their memory would grow with them."""
    ordered: list[int] = []

    def submit(index: int) -> Future[int]:
        ordered.append(index)
        future: Future[int] = Future()
        future.set_result(index * index)
        return future

    taken = []
    for result in production._in_order(submit, range(20), 6):
        taken.append(result)
        assert len(ordered) == min(len(taken) + 6, 20)
    assert taken == [index * index for index in range(20)]


@pytest.mark.parametrize(
    ("count", "workers", "name"), [(0, 1, "pictures"), (1, 0, "workers"), (-3, 1, "pictures")]
)
def test_at_least_one(tmp_path, count, workers, name):
    with pytest.raises(DatasetError, match=f"number of {name} must be 1 or more, got"):
        produce(SampleWriter(RECIPE, tmp_path), count, workers=workers)
    assert list(tmp_path.iterdir()) == []


def test_at_most_a_million(tmp_path):
    with pytest.raises(DatasetError, match=r"at most 1,000,000 pictures, got 1,000,001; make sev"):
        produce(SampleWriter(RECIPE, tmp_path), 1_000_001)
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(production, "file_lock", fail)
    assert produce(SampleWriter(RECIPE, tmp_path), 1) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_workers_do_not_hear_ctrl_c(tmp_path):
    """From their first moment: they would say so at length, and the parent tells them anyway."""
    with production._uninterrupted():
        code = "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert b"SIGINT" in child.stdout
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


UNGUARDED = """
import sys
from pathlib import Path

from iuv.synth.dataset import SampleWriter
from iuv.synth.production import produce
from test_production import RECIPE

produce(SampleWriter(RECIPE, Path(sys.argv[1])), 4, workers=2)
"""


@pytest.mark.slow
def test_a_script_without_a_guard_ends(tmp_path):
    """Its workers die at their start; the recipe is larger than a pipe holds."""
    assert len(pickle.dumps(RECIPE)) > 2**16
    (tmp_path / "script.py").write_text(UNGUARDED)
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py", tmp_path / "set"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        stderr=subprocess.PIPE,
        timeout=300,
        check=False,
    )
    assert b"a worker process was killed" in done.stderr
    assert b'outside of `if __name__ == "__main__":`' in done.stderr


class Killed:
    """People whose second picture ends its process, as lack of memory does."""

    def __call__(self, rng: np.random.Generator):
        if production._writer is not None:
            threading.Timer(0, os._exit, [9]).start()
        return capsule_person(rng)


def test_a_killed_worker_is_an_error(tmp_path):
    recipe = replace(RECIPE, people=Killed())
    with pytest.raises(DatasetError, match=r"a worker process was killed, .* with fewer workers"):
        produce(SampleWriter(recipe, tmp_path), 4, workers=2)
