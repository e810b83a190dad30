"""The loop: going on bit for bit, stopping, what is written, and what goes wrong."""

from __future__ import annotations

import errno
import json
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toy import TOY, toy_trainer

from iuv.checkpoint import CheckpointError, read_config
from iuv.engine.checkpoints import Checkpoints
from iuv.engine.gradients import TrainingError
from iuv.engine.trainer import Trainer
from iuv.writers.atomic import atomic_write

FINAL = "model_final.safetensors"


def metrics(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]


def losses(folder: Path) -> list[dict]:
    """What must not depend on interruptions."""
    clocks = {"s_per_iter", "data_s", "eta_s", "max_memory_mb"}
    return [{k: v for k, v in line.items() if k not in clocks} for line in metrics(folder)]


def interrupted(folder, *signals_at, config=TOY, number=signal.SIGTERM) -> Trainer:
    """Run, be stopped in the middle of each of these batches, and go on until the end."""
    for position in signals_at:
        trainer = toy_trainer(
            folder, config, events={position: lambda: signal.raise_signal(number)}
        )
        trainer.resume()
        assert trainer.run() == number
    trainer = toy_trainer(folder, config)
    assert trainer.resume()
    assert trainer.run() is None
    return trainer


@pytest.mark.parametrize(
    ("changes", "stops"),
    [
        ({}, [3]),
        ({}, [0, 4]),
        ({"solver.accumulate": 3}, [7]),
        ({"solver.ema_decay": 0.5, "solver.clip": "norm"}, [3]),
        ({"solver.precision": "bf16"}, [3]),
    ],
    ids=str,
)
def test_going_on_is_the_same_bit_for_bit(tmp_path, changes, stops):
    config = TOY.replace(**changes)
    whole = toy_trainer(tmp_path / "whole", config)
    assert whole.run() is None
    interrupted(tmp_path / "parts", *stops, config=config)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    for name in (FINAL, "model_final_average.safetensors"):
        files = [tmp_path / folder / name for folder in ("whole", "parts")]
        assert [file.exists() for file in files] == [
            name == FINAL or config.solver.ema_decay > 0
        ] * 2
        if files[0].exists():
            assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_step_and_ends_cleanly(tmp_path, number, capsys):
    before = signal.getsignal(number)
    trainer = toy_trainer(tmp_path, events={2: lambda: signal.raise_signal(number)})
    assert trainer.run() == number
    assert signal.getsignal(number) is before
    assert trainer.checkpoints.newest().iteration == 3
    assert not (tmp_path / FINAL).exists()
    message = f"stopped by {number.name}; step 3 is saved, and the same command with --resume"
    assert message in capsys.readouterr().err
    assert message in (tmp_path / "log.txt").read_text()


def test_a_second_ctrl_c_ends_it_at_once(tmp_path):
    def twice():
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        toy_trainer(tmp_path, events={1: twice}).run()


def test_after_a_crash_the_steps_since_the_checkpoint_come_again(tmp_path):
    def crash():
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        toy_trainer(tmp_path / "parts", events={3: crash}).run()
    with (tmp_path / "parts" / "metrics.json").open("a") as file:
        file.write('{"iteration": 4, "to')
    assert [line["iteration"] for line in metrics_so_far(tmp_path / "parts")] == [1, 2, 3]
    trainer = toy_trainer(tmp_path / "parts")
    trainer.resume()
    assert trainer.state.iteration == 2
    trainer.run()
    toy_trainer(tmp_path / "whole").run()
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
            r"step 3: DataLoader worker \(pid 7\) is killed by signal: Killed; .* loader\.workers",
        ),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB. GPU 0 has"),
            r"step 3: CUDA out of memory; with a larger solver\.accumulate, fewer images",
        ),
    ],
)
def test_what_the_machine_lacks_is_said(tmp_path, error, message):
    def fail():
        raise error

    with pytest.raises(TrainingError, match=message):
        toy_trainer(tmp_path, events={2: fail}).run()


def metrics_so_far(folder):
    lines = (folder / "metrics.json").read_text().splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def test_a_truncated_checkpoint_falls_back_to_the_one_before(tmp_path, capsys):
    toy_trainer(tmp_path).run()
    expected, paths = losses(tmp_path), Checkpoints(tmp_path / "checkpoints", keep=3).paths()
    assert [int(path.stem) for path in paths] == [2, 4, 6]
    paths[-1].write_bytes(paths[-1].read_bytes()[:-100])
    trainer = toy_trainer(tmp_path)
    assert trainer.resume()
    assert trainer.state.iteration == 4
    trainer.run()
    assert losses(tmp_path) == expected
    assert trainer.checkpoints.newest().iteration == 6


def test_nothing_to_resume(tmp_path):
    trainer = toy_trainer(tmp_path)
    assert not trainer.resume()
    assert trainer.run() is None


def test_a_finished_run_has_nothing_left_to_do(tmp_path):
    toy_trainer(tmp_path).run()
    before = losses(tmp_path)
    trainer = toy_trainer(tmp_path)
    trainer.resume()
    assert trainer.run() is None
    assert losses(tmp_path) == before
    longer = toy_trainer(tmp_path, TOY.replace(**{"solver.max_iter": 8}))
    longer.resume()
    longer.run()
    assert [line["iteration"] for line in metrics(tmp_path)] == [*range(1, 9)]
    shorter = toy_trainer(tmp_path, TOY.replace(**{"solver.max_iter": 4}))
    shorter.resume()
    assert shorter.run() is None
    assert shorter.state.iteration == 8


def test_a_run_of_another_model_or_data_set_is_refused(tmp_path):
    toy_trainer(tmp_path).run()
    other = toy_trainer(
        tmp_path, TOY.replace(**{"backbone.depth": 101, "solver.base_lr": 0.5}), digest="other"
    )
    with pytest.raises(TrainingError) as error:
        other.resume()
    for expected in (
        str(tmp_path),
        "backbone.depth: 50 in the run, 101 now",
        "solver.base_lr: 0.01 in the run, 0.5 now",
        "--data: not the images of the run",
        "or another folder",
    ):
        assert expected in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda snapshot: snapshot.model.popitem(),
        lambda snapshot: snapshot.optimizer.clear(),
        lambda snapshot: snapshot.processes.clear(),
        lambda snapshot: snapshot.config.update(solver=None),
    ],
)
def test_a_checkpoint_of_another_version_is_refused(tmp_path, change):
    toy_trainer(tmp_path, TOY.replace(**{"solver.max_iter": 2})).run()
    trainer = toy_trainer(tmp_path)
    snapshot = trainer.checkpoints.newest()
    change(snapshot)
    trainer.checkpoints.save(snapshot)
    with pytest.raises(TrainingError, match=r"checkpoint of step 2 does not fit this version"):
        trainer.resume()


def test_what_is_written(tmp_path):
    config = TOY.replace(**{"run.log_period": 2, "loader.batch_size": 4})
    config = config.replace(**{"solver.base_batch_size": 16, "solver.base_lr": 0.02})
    toy_trainer(tmp_path, config).run()
    lines = metrics(tmp_path)
    assert [line["iteration"] for line in lines] == [1, 2, 4, 6]
    for line in lines:
        assert line["total_loss"] == pytest.approx(line["loss_square"] + line["loss_random"])
        assert line["max_memory_mb"] > 50
        assert line["s_per_iter"] > line["data_s"] >= 0
    assert [line["lr"] for line in lines] == pytest.approx([0.0005, 0.00275, 0.005, 0.0005])
    assert lines[-1]["eta_s"] == 0
    text = (tmp_path / "log.txt").read_text()
    assert "learning rate 0.005: solver.base_lr 0.02 is for 16 images per step, here are 4" in text
    assert "step 4/6: loss " in text
    assert type(config).from_dict(json.loads((tmp_path / "config.json").read_text())) == config
    assert read_config(tmp_path / FINAL) == config.model


def test_metrics_are_means_over_the_period(tmp_path):
    toy_trainer(tmp_path / "each").run()
    toy_trainer(tmp_path / "three", TOY.replace(**{"run.log_period": 3})).run()
    each = [line["total_loss"] for line in metrics(tmp_path / "each")]
    first, second, third = (line["total_loss"] for line in metrics(tmp_path / "three"))
    assert first == each[0]
    assert second == pytest.approx(sum(each[1:3]) / 2)
    assert third == pytest.approx(sum(each[3:]) / 3)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_parts_are_averaged(tmp_path, accumulate):
    """A batch in two parts gives the gradients of the whole."""
    config = TOY.replace(**{"solver.accumulate": accumulate, "solver.max_iter": 1})
    trainer = toy_trainer(tmp_path, config)
    reference = toy_trainer(tmp_path / "reference")
    restored = reference._random  # the same random numbers
    torch.set_rng_state(restored["torch"])
    loader = reference.data.load(0)
    for _ in range(accumulate):
        loss = sum(reference._step(next(loader)).values()) / accumulate
        loss.backward()
    reference.state.update()
    trainer.run()
    for ours, expected in zip(
        trainer.state.model.parameters(), reference.state.model.parameters(), strict=True
    ):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_with_its_name_and_images(tmp_path, value):
    trainer = toy_trainer(tmp_path)
    forward = trainer._step.forward

    def broken(batch):
        found = forward(batch)
        return found | {
            "loss_square": found["loss_square"] * (value if trainer.state.iteration == 3 else 1)
        }

    trainer._step.forward = broken
    with pytest.raises(TrainingError, match=r"step 4: loss_square is (nan|inf).*images 30, 31.*lr"):
        trainer.run()
    assert trainer.checkpoints.newest().iteration == 2
    assert all(p.isfinite().all() for p in trainer.state.model.parameters())


def test_a_network_that_is_not_finite_names_the_images(tmp_path):
    trainer = toy_trainer(tmp_path)

    def broken(batch):
        raise ValueError("no finite box; fetch the weights again")

    trainer._step.forward = broken
    with pytest.raises(TrainingError, match=r"step 1: the network computes nothing.*images 0, 1"):
        trainer.run()


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    trainer = toy_trainer(tmp_path)
    trainer.state.model[0].bias.data[0] = float("inf")
    trainer._step.forward = lambda batch: {"loss_bias": trainer.state.model[2].bias.sum()}
    with pytest.raises(CheckpointError, match=r"after step 2 the weights are not finite.*0\.bias"):
        trainer.run()


def test_a_full_disk_stops_the_run_and_leaves_it_intact(tmp_path, monkeypatch):
    trainer, written = toy_trainer(tmp_path), []

    def full(path):
        written.append(path)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return atomic_write(path)

    monkeypatch.setattr("iuv.engine.checkpoints.atomic_write", full)
    with pytest.raises(OSError, match=r"cannot save .*4\.pt.*No space.*0000002\.pt.*--resume"):
        trainer.run()
    monkeypatch.undo()
    trainer = toy_trainer(tmp_path)
    assert trainer.resume()
    trainer.run()
    toy_trainer(tmp_path / "whole").run()
    assert losses(tmp_path) == losses(tmp_path / "whole")


def test_fp16_needs_cuda(tmp_path):
    with pytest.raises(TrainingError, match=r"precision=fp16 needs CUDA, but the device is cpu"):
        toy_trainer(tmp_path, TOY.replace(**{"solver.precision": "fp16"}))


class Scores:
    """An evaluation that notes what it is given and spoils it."""

    def __init__(self) -> None:
        self.weights: list[torch.Tensor] = []

    def __call__(self, model):
        self.weights.append(model[0].weight.detach().clone())
        torch.rand(3)  # must not change the training
        for parameter in model.parameters():
            parameter.data.zero_()
        return {"bbox/AP": 12.5 * len(self.weights)}


def test_evaluation(tmp_path):
    config, scores = TOY.replace(**{"run.eval_period": 3}), Scores()
    toy_trainer(tmp_path, config, evaluate=scores).run()
    lines = [line for line in metrics(tmp_path) if "eval/bbox/AP" in line]
    assert lines == [{"iteration": 3, "eval/bbox/AP": 12.5}, {"iteration": 6, "eval/bbox/AP": 25.0}]
    assert "scores after step 6: bbox/AP 25" in (tmp_path / "log.txt").read_text()
    toy_trainer(tmp_path / "without").run()
    training = [line for line in losses(tmp_path) if "lr" in line]
    assert training == losses(tmp_path / "without")
    final = load_file(tmp_path / FINAL)["0.weight"]
    assert torch.equal(final, scores.weights[-1])


def test_the_average_is_evaluated(tmp_path):
    config, scores = TOY.replace(**{"solver.ema_decay": 0.9}), Scores()
    toy_trainer(tmp_path, config, evaluate=scores).run()
    names = ("model_final_average.safetensors", FINAL)
    average, final = (load_file(tmp_path / name)["0.weight"] for name in names)
    assert torch.equal(scores.weights[0], average)
    assert not torch.equal(average, final)


def test_an_interrupted_evaluation_is_made_up_for(tmp_path):
    config = TOY.replace(**{"run.eval_period": 3})

    def slow(model):
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("signals end evaluations at once")

    assert toy_trainer(tmp_path, config, evaluate=slow).run() == signal.SIGTERM
    trainer, scores = toy_trainer(tmp_path, config, evaluate=Scores()), []
    trainer.resume()
    assert trainer.state.iteration == 3
    trainer.run()
    scores = [line["iteration"] for line in metrics(tmp_path) if "eval/bbox/AP" in line]
    assert scores == [3, 6]
