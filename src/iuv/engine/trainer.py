"""The training loop.

    next batch → losses → gradients (averaged over parts and processes) → clip → SGD → average

A step is one of the optimiser. Its images are shared out to the processes, and each of these takes
its share through the network in `solver.accumulate` parts, the batches of its loader.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import Signals

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from iuv.checkpoint import save_weights
from iuv.data.loader import TrainingLoader
from iuv.data.records import Dataset
from iuv.engine.checkpoints import (
    Checkpoints,
    Snapshot,
    config_differences,
    random_state,
    restore_random_state,
)
from iuv.engine.gradients import TrainingError, compute_gradients
from iuv.engine.logs import EVALUATION, Averages, RunLog, is_scored, peak_memory_mb
from iuv.engine.state import TrainingState
from iuv.engine.step import TrainingStep
from iuv.engine.stopping import StopNow, StopRequest
from iuv.locking import file_lock
from iuv.modeling.rcnn import RCNN
from iuv.processes import ALONE, Processes
from iuv.writers.atomic import atomic_write

__all__ = ["Evaluate", "Trainer", "TrainingData"]

_log = logging.getLogger(__name__)

Evaluate = Callable[[RCNN], Mapping[str, float]]
"""Scores a model, which it may change; with several processes, all of them call it together."""


@dataclass(frozen=True)
class TrainingData:
    """What is trained on."""

    load: Callable[[int], TrainingLoader]
    """From a position to this process's loader."""
    digest: str
    """Tells another data set from this one, by `digest_of`."""

    @staticmethod
    def digest_of(dataset: Dataset) -> str:
        """Return a digest of which images there are, in which order."""
        images = [[image.id, image.path.name, len(image.annotations)] for image in dataset.images]
        return hashlib.sha256(json.dumps(images).encode()).hexdigest()


class Trainer:
    """Trains a model, from where a run stands to its end.

    The folder of the run gets `config.json`, `log.txt`, `metrics.json`, `tensorboard/` where that
    is installed, `checkpoints/` to go on from, and at the end `model_final.safetensors`, with
    `model_final_average.safetensors` beside it if there is a moving average.

    Args:
        step: from a batch to its losses; its model is on `device`.
        data: what to train on.
        folder: of the run; exists.
        device: of the model.
        processes: that train together; by default this one alone.
        evaluate: called every `run.eval_period` steps and after the last one.
        notes: lines with which the log begins.

    Raises:
        TrainingError: the precision needs another device.
    """

    def __init__(
        self,
        step: TrainingStep,
        data: TrainingData,
        folder: Path,
        *,
        device: torch.device,
        processes: Processes = ALONE,
        evaluate: Evaluate | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        config = step.config
        if config.solver.precision == "fp16" and device.type != "cuda":
            raise TrainingError(
                f"solver.precision=fp16 needs CUDA, but the device is {device}; use bf16 or fp32"
            )
        self.config = config
        self.data = data
        self.folder = folder
        self.device = device
        self.processes = processes
        self.evaluate = evaluate
        self.notes = notes
        self.checkpoints = Checkpoints(folder / "checkpoints", keep=config.run.keep_checkpoints)
        self.state = TrainingState(step.model, config, device)
        self._step = step
        self._averages = Averages()
        torch.manual_seed(config.run.seed + self.processes.rank)
        self._random: Mapping[str, object] = random_state(device)

    def resume(self) -> bool:
        """Go to the newest checkpoint that can be read; returns False if there is none.

        Raises:
            TrainingError: it is of another model, configuration or data set, says what differs; or
                it is not laid out as this version's.
            CheckpointError: there are checkpoints, and none can be read.
        """
        processes = self.processes
        snapshot = processes.broadcast(self.checkpoints.newest() if processes.is_main else None)
        if snapshot is None:
            return False
        try:
            self._require_same_run(snapshot)
            self._random = self.state.restore(snapshot, processes)
        except TrainingError:
            raise
        except Exception as error:  # whatever is looked for in vain
            raise TrainingError(
                f"{self.checkpoints.folder}: the checkpoint of step {snapshot.iteration} does not "
                f"fit this version of iuv ({error!r:.200}); go on with the version that wrote it"
            ) from error
        if processes.is_main and len(snapshot.processes) != processes.size:
            _log.warning(
                "the run had %d processes and goes on with %d, so with other random numbers",
                *(len(snapshot.processes), processes.size),
            )
        return True

    def _require_same_run(self, snapshot: Snapshot) -> None:
        differences = config_differences(snapshot.config, self.config.to_dict())
        if snapshot.data != self.data.digest:
            differences.append("--data: not the images of the run")
        if differences:
            listed = "\n  ".join(differences)
            raise TrainingError(
                f"{self.folder}: the run in this folder cannot go on like this; what differs:\n"
                f"  {listed}\nGive the same model, data and settings, or another folder"
            )

    def run(self) -> Signals | None:
        """Train to the end; returns the signal that has stopped the run before, if any.

        Raises:
            ConfigError: the batch cannot be shared out to processes and parts.
            TrainingError: a loss is not finite, names it and the images; the memory does not do; a
                process that loads images has been killed; or another run is at work in the folder.
            CheckpointError, OSError: nothing more can be saved; what has been saved is intact.
            DataError: an image cannot be read.
        """
        with ExitStack() as stack:
            stop = stack.enter_context(StopRequest())
            loader = stack.enter_context(self.data.load(self.state.position))
            log = None
            if self.processes.is_main:
                stack.enter_context(_only_run(self.folder))
                self._write_config()
                begin, end = self.state.iteration, self.config.solver.max_iter
                log = stack.enter_context(RunLog(self.folder, begin=begin, end=end))
                self._announce()
            try:
                stopped = self._train(loader, stop, log)
            except StopNow:  # in an evaluation, before which everything has been saved
                stopped = stop.signal
            except RuntimeError as error:
                raise self._explained(error) from error
            if stopped is not None:
                _log.info(
                    "stopped by %s; step %d is saved, and the same command with --resume goes on",
                    *(stopped.name, self.state.iteration),
                )
            return stopped

    def _explained(self, error: RuntimeError) -> Exception:
        """Return what to tell about an error that is the machine's, not a defect; else itself."""
        if isinstance(error, torch.OutOfMemoryError):
            advice = "with a larger solver.accumulate, fewer images are in memory at once"
        elif "DataLoader worker" in str(error):  # torch has no type for it
            advice = (
                "if for want of memory, set fewer loader.workers; the same command with --resume "
                "goes on after the newest checkpoint"
            )
        else:
            return error
        what = str(error).partition(". ")[0].rstrip(" .")
        return TrainingError(f"step {self.state.iteration + 1}: {what}; {advice}")

    def _train(
        self, loader: TrainingLoader, stop: StopRequest, log: RunLog | None
    ) -> Signals | None:
        state, end = self.state, self.config.solver.max_iter
        step = self._across_processes()
        restore_random_state(self._random, self.device)
        while True:
            if state.iteration >= end and self.processes.is_main:
                self._write_models()
            if self._owes_scores():
                self._score(stop, log)
            if state.iteration >= end:
                return None
            self._take_step(step, loader, log)
            stopped = self.processes.max(stop.signal or 0)
            if stopped or self._saves_now():
                self._save()
            if stopped:
                return Signals(stopped)

    def _across_processes(self) -> nn.Module:
        """Return the step, with gradients that are averaged over all processes if it is wrapped."""
        if self.processes.size == 1:
            return self._step
        parallel = DistributedDataParallel(
            self._step,
            device_ids=[self.device.index] if self.device.type == "cuda" else None,
            gradient_as_bucket_view=True,
        )
        # From here on, each process keeps statistics of its own; those of the main one are saved.
        parallel.broadcast_buffers = False
        return parallel

    def _take_step(self, step: nn.Module, loader: TrainingLoader, log: RunLog | None) -> None:
        state, start, lr = self.state, time.perf_counter(), self.state.lr
        try:
            found = compute_gradients(step, loader, self.config.solver, state.scaler, self.device)
        except TrainingError as error:
            raise TrainingError(f"step {state.iteration + 1}: {error}") from error
        state.update()
        state.position = loader.position
        values = {"total_loss": sum(found.losses.values()), **found.losses}
        values |= {"s_per_iter": time.perf_counter() - start, "data_s": found.data_s}
        self._averages.add(values)
        if log is not None:
            log.advance(state.iteration, values)
        last = self.config.solver.max_iter
        if self._is_time(self.config.run.log_period) or state.iteration in (1, last):
            self._report(lr, log)

    def _report(self, lr: float, log: RunLog | None) -> None:
        means = self._averages.take()
        values = dict(zip(means, self.processes.mean(list(means.values())), strict=True))
        if log is not None:
            iteration = self.state.iteration
            values |= {"lr": lr, "eta_s": log.eta_s(iteration)}
            log.training(iteration, values | {"max_memory_mb": peak_memory_mb(self.device)})

    def _is_time(self, period: int) -> bool:
        return period > 0 and self.state.iteration % period == 0

    def _saves_now(self) -> bool:
        return self._is_time(self.config.run.checkpoint_period) or self._scores_now()

    def _scores_now(self) -> bool:
        """Whether this is a step to evaluate after, and save: evaluations are what takes long."""
        last = self.state.iteration == self.config.solver.max_iter
        return last or (self.evaluate is not None and self._is_time(self.config.run.eval_period))

    def _owes_scores(self) -> bool:
        if self.evaluate is None or self.state.iteration == 0 or not self._scores_now():
            return False
        return not self.processes.broadcast(is_scored(self.folder, self.state.iteration))

    def _score(self, stop: StopRequest, log: RunLog | None) -> None:
        """Evaluate a copy of the model, with the moving average of the weights if there is one."""
        if self.evaluate is None:
            return
        model: RCNN = copy.deepcopy(self.state.model)
        weights = {name: weight.cpu() for name, weight in self.state.averaged().items()}
        model.load_state_dict(self.processes.broadcast(weights))  # statistics of norms differ
        before = random_state(self.device)
        with stop.at_once():
            scores = {name: float(score) for name, score in self.evaluate(model).items()}
        restore_random_state(before, self.device)
        if log is not None:
            iteration = self.state.iteration
            log.metrics(iteration, {EVALUATION + name: score for name, score in scores.items()})
            listed = ", ".join(f"{name} {score:.4g}" for name, score in scores.items())
            _log.info("scores after step %d: %s", iteration, listed)

    def _save(self) -> None:
        snapshot = self.state.snapshot(self.data.digest, self.processes)
        if self.processes.is_main:
            self.checkpoints.save(snapshot)

    def _write_models(self) -> None:
        weights: dict[str, Mapping[str, Tensor]] = {"model_final": self.state.model.state_dict()}
        if self.state.average is not None:
            weights["model_final_average"] = self.state.averaged()
        for name, state in weights.items():
            save_weights(state, self.config.model, self.folder / f"{name}.safetensors")

    def _write_config(self) -> None:
        with atomic_write(self.folder / "config.json") as file:
            file.write(json.dumps(self.config.to_dict(), indent=2).encode())

    def _announce(self) -> None:
        solver, batch_size = self.config.solver, self.config.loader.batch_size
        for note in self.notes:
            _log.info(note)
        _log.info(
            "%d steps of %d images in %s, on %s x %d",
            *(solver.max_iter, batch_size, solver.precision, self.device, self.processes.size),
        )
        if solver.base_batch_size not in (None, batch_size):
            _log.info(
                "learning rate %g: solver.base_lr %g is for %d images per step, here are %d",
                *(self.config.lr, solver.base_lr, solver.base_batch_size, batch_size),
            )
        if self.state.iteration:
            _log.info("going on after step %d", self.state.iteration)


@contextmanager
def _only_run(folder: Path) -> Iterator[None]:
    """Keep others from training in this folder: they would remove each other's checkpoints."""
    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(folder / ".lock", wait=False))
        except BlockingIOError:
            raise TrainingError(
                f"{folder}: another process is training in this folder; wait for its end, or "
                "choose another folder"
            ) from None
        except OSError:  # not every file system has locks
            pass
        yield
