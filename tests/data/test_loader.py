"""The stream of training batches: the same for any number of workers, and resumable."""

import itertools
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from multiprocessing.connection import Connection

import numpy as np
import pytest
import torch

from golden_data import ANNOTATIONS
from hashing import uniform
from iuv.data.datasets import load_dataset
from iuv.data.loader import TrainingLoader
from iuv.data.records import DataError
from iuv.data.symmetry import UVSymmetry
from iuv.sectioned import ConfigError
from iuv.training_config import TrainingConfig

CONFIG = TrainingConfig().override(
    "loader.batch_size=2", "loader.workers=0", "augment.short_sides=(40, 48)"
)


@pytest.fixture(scope="module")
def dataset():
    return load_dataset(ANNOTATIONS)


@pytest.fixture(scope="module")
def symmetry():
    half = np.float32(0.5)
    return UVSymmetry(*(uniform(f"sym/{axis}", (24, 256, 256)) * half + half for axis in "UV"))


def tensors(value):
    """All tensors of a batch, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    return list(itertools.chain(*map(tensors, value))) if isinstance(value, list | tuple) else []


def assert_same(one, other):
    assert [batch.image_ids for batch in one] == [batch.image_ids for batch in other]
    for a, b in zip(tensors(one), tensors(other), strict=True):
        assert torch.equal(a, b)


def take(count, dataset, symmetry, config=CONFIG, **arguments):
    with TrainingLoader(dataset, config, symmetry, **arguments) as loader:
        return list(itertools.islice(loader, count))


def test_every_image_comes_before_any_comes_again(dataset, symmetry):
    config = CONFIG.override("loader.aspect_ratio_grouping=False", "loader.batch_size=1")
    ids = [batch.image_ids[0] for batch in take(10, dataset, symmetry, config)]
    everything = [image.id for image in dataset.images]
    assert sorted(ids[:5]) == sorted(ids[5:]) == everything
    assert ids[:5] != ids[5:]


def test_processes_share_the_images(dataset, symmetry):
    config = CONFIG.override("loader.aspect_ratio_grouping=False", "loader.batch_size=5")
    batches = [take(1, dataset, symmetry, config, rank=r, world_size=5)[0] for r in range(5)]
    assert sorted(b.image_ids[0] for b in batches) == [image.id for image in dataset.images]
    alone = take(1, dataset, symmetry, config)[0]
    assert alone.image_ids == [batch.image_ids[0] for batch in batches]
    for image, batch in zip(alone.images, batches, strict=True):  # changed in the same way, too
        assert torch.equal(image, batch.images[0])


def test_batches_are_all_wide_or_all_tall(dataset, symmetry):
    wide = {image.id: image.width > image.height for image in dataset.images}
    kinds = [{wide[id] for id in b.image_ids} for b in take(12, dataset, symmetry)]
    assert all(len(kind) == 1 for kind in kinds)
    assert {True} in kinds
    assert {False} in kinds


def test_images_differ_from_time_to_time_and_seed_to_seed(dataset, symmetry):
    one = replace(dataset, images=dataset.images[:1])
    config = CONFIG.override("augment.short_sides=(40, 48, 56, 64)", "loader.batch_size=8")
    (first,) = take(1, one, symmetry, config)
    assert len({tuple(image.flatten().tolist()) for image in first.images}) > 3
    (second,) = take(1, one, symmetry, config.override("run.seed=1"))
    assert [i.shape for i in first.images] != [i.shape for i in second.images]


@pytest.mark.parametrize("position", [1, 7])
def test_a_position_continues_exactly(dataset, symmetry, position):
    with TrainingLoader(dataset, CONFIG, symmetry) as loader:
        for _ in range(position):
            next(loader)
        assert loader.position == position
        expected = [next(loader) for _ in range(3)]
    assert_same(take(3, dataset, symmetry, position=position), expected)


def test_workers_change_nothing(dataset, symmetry):
    config = CONFIG.override("losses.segm_from_masks=True", "augment.rotation_angles=(0, 20)")
    expected = take(8, dataset, symmetry, config)
    state = torch.get_rng_state()
    with TrainingLoader(dataset, config.override("loader.workers=2"), symmetry) as loader:
        found = list(itertools.islice(loader, 8))
        assert loader.position == 8  # not what the workers have prepared ahead
        assert multiprocessing.active_children()
    assert_same(found, expected)
    assert not multiprocessing.active_children()
    assert torch.equal(state, torch.get_rng_state())  # the trainer's numbers are its own


def test_no_more_workers_than_cores(dataset, symmetry, monkeypatch):
    """More would make torch warn."""
    monkeypatch.setattr("iuv.data.loader._cores", lambda: 1)
    loader = TrainingLoader(dataset, CONFIG.override("loader.workers=64"), symmetry)
    assert loader._stream().num_workers == 1


def test_a_closed_loader_goes_on_where_it_was(dataset, symmetry):
    loader = TrainingLoader(dataset, CONFIG, symmetry)
    first = next(loader)
    loader.close()
    assert_same([first, next(loader)], take(2, dataset, symmetry))


def test_the_trainers_random_numbers_are_left_alone(dataset, symmetry):
    state = torch.get_rng_state()
    take(1, dataset, symmetry)
    assert torch.equal(state, torch.get_rng_state())


def test_batches_are_as_targets_says(dataset, symmetry):
    (batch,) = take(1, dataset, symmetry, CONFIG.override("losses.segm_from_masks=True"))
    for image, targets in zip(batch.images, batch.targets, strict=True):
        assert image.dtype == torch.uint8
        assert min(image.shape[:2]) in (40, 48)
        assert targets.masks.shape == (len(targets.boxes), *image.shape[:2])


def test_a_batch_is_shared_out(dataset, symmetry):
    config = CONFIG.override("loader.batch_size=12", "solver.accumulate=3")
    (batch,) = take(1, dataset, symmetry, config, rank=1, world_size=2)
    assert len(batch.images) == len(batch.targets) == len(batch.image_ids) == 2
    with pytest.raises(ConfigError, match=r"\(12\) must be a multiple of .* \(5\) times .* \(3\)"):
        TrainingLoader(dataset, config, symmetry, world_size=5)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_named(dataset, symmetry, tmp_path, workers):
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"no image")
    broken = replace(dataset, images=(replace(dataset.images[0], path=path),))
    loader = TrainingLoader(broken, CONFIG.override(f"loader.workers={workers}"), symmetry)
    message = re.escape(f"image {broken.images[0].id}: {path}: not an image")
    with pytest.raises(DataError, match=f"^{message}"):
        next(loader)
    assert not multiprocessing.active_children()
    assert loader.position == 0


def test_an_image_of_another_size_is_named(dataset, symmetry):
    other = replace(dataset.images[0], path=dataset.images[1].path)
    with pytest.raises(DataError, match=r"image \d+: \S+\.png: has \d+ x \d+ pixels"):
        take(1, replace(dataset, images=(other,)), symmetry)


def test_no_images(dataset, symmetry):
    with pytest.raises(DataError, match=r"dataset\.json: there is no image to train with"):
        TrainingLoader(replace(dataset, images=()), CONFIG, symmetry)


def test_mirroring_needs_tables(dataset):
    with pytest.raises(DataError, match=r"symmetry tables; give them, or set augment\.flip"):
        TrainingLoader(dataset, CONFIG, None)
    assert len(take(1, dataset, None, CONFIG.override("augment.flip_probability=0"))) == 1


def test_closing_waits_for_the_threads_that_write_orders(dataset, symmetry, monkeypatch):
    """Ended by Python's end instead, one of them could leave a semaphore half removed."""

    def close_late(connection, close=Connection.close):
        time.sleep(0.1)
        close(connection)

    monkeypatch.setattr(Connection, "close", close_late)
    before = set(threading.enumerate())
    loader = TrainingLoader(dataset, CONFIG.override("loader.workers=1"), symmetry)
    next(loader)
    assert set(threading.enumerate()) - before
    loader.close()
    assert not set(threading.enumerate()) - before


SCRIPT = """
import signal, sys
import numpy as np
from iuv.data.datasets import load_dataset
from iuv.data.loader import TrainingLoader
from iuv.data.symmetry import UVSymmetry
from iuv.training_config import TrainingConfig

if __name__ == "__main__":
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    symmetry = UVSymmetry(*np.zeros((2, 24, 256, 256), np.float32))
    config = TrainingConfig().override("loader.batch_size=2", "loader.workers=2")
    loader = TrainingLoader(load_dataset(sys.argv[1]), config, symmetry)
    next(loader)
    print("ready", flush=True)
    while not asked:
        next(loader)
    for _ in range(10):
        next(loader)
    print("done")  # and the loader is not closed
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX's")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGKILL"])
def test_a_signal_to_the_whole_job_ends_it_cleanly(tmp_path, name):
    """Training finishes its step after SIGTERM; no process outlives it, however it ends."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-W", "error", str(script), str(ANNOTATIONS)]
    job = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert job.stdout.readline() == "ready\n"
    number = getattr(signal, name)
    (os.kill if name == "SIGKILL" else os.killpg)(job.pid, number)
    output, errors = job.communicate(timeout=60)  # until nobody is left to write
    if name == "SIGTERM":
        assert (output, errors, job.returncode) == ("done\n", "", 0)
    elif name == "SIGINT":
        assert errors.endswith("KeyboardInterrupt\n")
        assert errors.count("Traceback") == 1
