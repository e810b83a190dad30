"""Checkpoints: whole or absent, the newest kept, read back safely."""

from __future__ import annotations

import errno
import logging
import random
import signal
import sys

import numpy as np
import pytest
import torch

from iuv.checkpoint import CheckpointError
from iuv.engine.checkpoints import (
    Checkpoints,
    Snapshot,
    config_differences,
    random_state,
    restore_random_state,
)
from iuv.training_config import TrainingConfig

CPU = torch.device("cpu")


def snapshot(iteration: int, value: float = 1.0) -> Snapshot:
    return Snapshot(
        iteration=iteration,
        config=TrainingConfig().to_dict(),
        data="digest",
        model={"weight": torch.full((1000,), value)},
        optimizer={"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]},
        scaler={},
        average={},
        processes=[{"random": random_state(CPU), "position": 3}],
    )


def test_a_checkpoint_comes_back(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    assert checkpoints.newest() is None
    saved = snapshot(7)
    assert checkpoints.save(saved).name == "0000007.pt"
    found = checkpoints.newest()
    assert (found.iteration, found.data, found.config) == (7, "digest", saved.config)
    assert found.optimizer["param_groups"] == [{"lr": 0.1}]
    assert torch.equal(found.model["weight"], saved.model["weight"])
    restore_random_state(found.processes[0]["random"], CPU)


def test_the_newest_stay(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    (tmp_path / "best.pt").touch()
    for iteration in (9, 10, 11):
        checkpoints.save(snapshot(iteration))
    assert [path.name for path in checkpoints.paths()] == ["0000010.pt", "0000011.pt"]
    assert (tmp_path / "best.pt").exists()


def test_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / ".0a1b2c.part").write_bytes(b"half")
    Checkpoints(tmp_path, keep=2).save(snapshot(1))
    assert [path.name for path in tmp_path.iterdir()] == ["0000001.pt"]


def test_a_truncated_one_falls_back_to_the_one_before(tmp_path, caplog):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for iteration in (10, 20):
        path = checkpoints.save(snapshot(iteration))
    path.write_bytes(path.read_bytes()[:3000])
    with caplog.at_level(logging.WARNING):
        assert checkpoints.newest().iteration == 10
    assert "0000020.pt: cannot be read" in caplog.text
    assert "trying the one before" in caplog.text
    checkpoints.save(snapshot(15))  # going on from 10
    assert [int(path.stem) for path in checkpoints.paths()] == [10, 15]


def test_a_damaged_one_falls_back_too(tmp_path, caplog):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for iteration in (10, 20):
        path = checkpoints.save(snapshot(iteration, value=float(iteration)))
    content = bytearray(path.read_bytes())
    content[content.index(np.full(1000, 20.0, np.float32).tobytes())] ^= 1
    path.write_bytes(content)
    assert float(checkpoints.newest().model["weight"][0]) == 10
    assert "is damaged" in caplog.text


def test_none_can_be_read(tmp_path):
    for name in ("1.pt", "2.pt"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"none of the 2 checkpoints can be read.*remove"):
        Checkpoints(tmp_path, keep=2).newest()


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def test_code_in_a_checkpoint_is_not_executed(tmp_path, capsys):
    torch.save({"iteration": Evil()}, tmp_path / "1.pt")
    with pytest.raises(CheckpointError):
        Checkpoints(tmp_path, keep=2).newest()
    assert "executed" not in capsys.readouterr().out


@pytest.fixture
def small_disk():
    """Files may grow to 5 kB in this process, as the system itself enforces."""
    import resource

    before, limits = signal.getsignal(signal.SIGXFSZ), resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, before)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot limit the size of files")
def test_a_full_disk_leaves_the_old_one_intact(tmp_path, request):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(snapshot(10))
    request.getfixturevalue("small_disk")
    with pytest.raises(OSError, match=r"cannot save .*0000020.pt.*newest.*0000010.pt.*Make room"):
        checkpoints.save(snapshot(20))
    assert [path.name for path in tmp_path.iterdir()] == ["0000010.pt"]
    assert checkpoints.newest().iteration == 10


def test_a_full_disk_keeps_its_number(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(
        OSError, match=r"No space left on device\); there is no checkpoint"
    ) as error:
        Checkpoints(tmp_path, keep=2).save(snapshot(1))
    assert error.value.errno == errno.ENOSPC


def test_broken_weights_are_not_saved(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(snapshot(1))
    with pytest.raises(CheckpointError, match=r"after step 2 the weights.*weight.*0000001.pt.*lr"):
        checkpoints.save(snapshot(2, float("nan")))
    assert len(checkpoints.paths()) == 1


def test_differences_of_configurations():
    one = TrainingConfig()
    assert not config_differences(one.to_dict(), one.to_dict())
    harmless = one.replace(
        **{"solver.max_iter": 5, "solver.steps": [3], "run.log_period": 1, "loader.workers": 0}
    )
    assert not config_differences(one.to_dict(), harmless.to_dict())
    other = one.replace(**{"backbone.depth": 101, "solver.base_lr": 0.5, "run.seed": 3})
    assert config_differences(one.to_dict(), other.to_dict()) == [
        "backbone.depth: 50 in the run, 101 now",
        "solver.base_lr: 0.01 in the run, 0.5 now",
        "run.seed: 0 in the run, 3 now",
    ]
    without = {name: dict(values) for name, values in one.to_dict().items()}
    del without["rpn"]["nms_iou"]
    assert config_differences(without, one.to_dict()) == ["rpn.nms_iou: absent in the run, 0.7 now"]


def test_random_numbers_go_on():
    def draw():
        return torch.rand(2).tolist(), np.random.rand(), random.random()

    state = random_state(CPU)
    first = draw()
    restore_random_state(state, CPU)
    assert draw() == first
