"""What each of two processes does that torchrun starts for test_distributed.py."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import torch
from toy import TOY, ToyLoader, ToyStep

from iuv.engine.trainer import Trainer, TrainingData
from iuv.processes import Processes, joined_processes

CPU = torch.device("cpu")


def main(folder: Path) -> None:
    with joined_processes(CPU) as processes:
        exchange(folder, processes)
        config = TOY.replace(**{"solver.accumulate": 2})
        train(folder / "whole", processes, ToyStep(config, noise=False))
        train(folder / "noisy", processes, ToyStep(config))

        def stop() -> None:
            if processes.rank == 1:  # a scheduler's signals do not reach all at the same step
                signal.raise_signal(signal.SIGTERM)

        train(folder / "parts", processes, ToyStep(config), {5: stop})
        train(folder / "parts", processes, ToyStep(config))


def exchange(folder: Path, processes: Processes) -> None:
    rank = processes.rank
    found = {
        "max": processes.max(rank * 15),
        "mean": processes.mean([rank, 4.0]),
        "gather": processes.gather({"rank": rank}),
        "broadcast": processes.broadcast(f"of {rank}"),
    }
    (folder / f"exchange{rank}.json").write_text(json.dumps(found))


def train(folder: Path, processes: Processes, step: ToyStep, events=None) -> None:
    folder.mkdir(exist_ok=True)
    data = TrainingData(
        lambda position: ToyLoader(position, rank=processes.rank, events=events), "toy"
    )
    trainer = Trainer(step, data, folder, device=CPU, processes=processes)
    trainer.resume()
    stopped = trainer.run()
    assert stopped == (signal.SIGTERM if events else None)
    assert trainer.state.iteration == (3 if events else 6)
    torch.save(trainer.state.model.state_dict(), folder / f"weights{processes.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
