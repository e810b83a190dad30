"""Two processes under torchrun do what one does."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from toy import TOY, ToyLoader, ToyStep

from iuv.engine.trainer import Trainer, TrainingData
from iuv.processes import ALONE, joined_processes

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where both processes have left their results."""
    path = tmp_path_factory.mktemp("two")
    script = Path(__file__).with_name("two_processes.py")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launcher, script, path],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error::FutureWarning"},
    )
    assert done.returncode == 0, done.stderr
    return path


def losses(folder):
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    return [[line["iteration"], line["loss_square"], line["loss_random"]] for line in lines]


def weights(folder, rank):
    return torch.load(folder / f"weights{rank}.pt", weights_only=True)


def test_exchange(folder):
    found = [json.loads((folder / f"exchange{rank}.json").read_text()) for rank in range(2)]
    assert found[0] == found[1]
    assert found[0] == {
        "max": 15,
        "mean": [0.5, 4.0],
        "gather": [{"rank": 0}, {"rank": 1}],
        "broadcast": "of 0",
    }


class Alternating:
    """The batches of both processes, for one."""

    def __init__(self) -> None:
        self.loaders, self.position = [ToyLoader(rank=rank) for rank in range(2)], 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __next__(self):
        self.position += 1
        return next(self.loaders[(self.position - 1) % 2])


def test_gradients_are_averaged(folder, tmp_path):
    step = ToyStep(TOY.replace(**{"solver.accumulate": 4}), noise=False)
    data = TrainingData(lambda position: Alternating(), "toy")
    Trainer(step, data, tmp_path, device=CPU).run()
    for rank in range(2):
        torch.testing.assert_close(weights(folder / "whole", rank), step.model.state_dict())
    for ours, expected in zip(losses(folder / "whole"), losses(tmp_path), strict=True):
        assert ours == pytest.approx(expected)


@pytest.mark.parametrize("run", ["whole", "noisy", "parts"])
def test_all_processes_have_the_same_weights(folder, run):
    first, second = (weights(folder / run, rank) for rank in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_going_on_is_the_same_bit_for_bit(folder):
    """Although one process only has got the signal to stop."""
    assert losses(folder / "parts") == losses(folder / "noisy")
    first, second = (weights(folder / run, 1) for run in ("parts", "noisy"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_going_on_with_fewer_processes(folder, caplog):
    config = TOY.replace(**{"solver.accumulate": 2, "solver.max_iter": 8})
    trainer = Trainer(ToyStep(config), TrainingData(ToyLoader, "toy"), folder / "parts", device=CPU)
    assert trainer.resume()
    assert trainer.state.position == 6 * 2 * 2  # as many images on as both together
    assert "the run had 2 processes and goes on with 1" in caplog.text
    trainer.run()
    assert trainer.state.iteration == 8


def test_alone():
    with joined_processes(CPU) as processes:
        assert processes == ALONE
        assert processes.is_main
    assert processes.max(3) == 3
    assert processes.mean([1.0]) == [1.0]
    assert processes.gather("x") == ["x"]
    assert processes.broadcast("x") == "x"


def test_one_may_keep_the_others_waiting(monkeypatch):
    """With a download, or the harder half of an evaluation: longer than torch's half an hour."""
    begun = {}
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("torch.distributed.init_process_group", lambda _, **o: begun.update(o))
    monkeypatch.setattr("torch.distributed.get_rank", lambda: 0)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 1)
    monkeypatch.setattr("torch.distributed.destroy_process_group", lambda: None)
    with joined_processes(CPU) as processes:
        assert processes == ALONE
    assert begun["timeout"] >= datetime.timedelta(hours=2)
