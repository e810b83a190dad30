"""Time of a training step part by part, and its peak memory.

    python benchmarks/train.py [--depth 18] [--channels 64] [--side 320] [--batch 2] [--people 3]
        [--steps 10] [--threads 2] [--precision fp32]

By default a small configuration: ResNet-18, 64 pyramid channels, images of 320 x 427 pixels, two
per step; the rest is that of R_50_FPN_s1x. The data set is the one of benchmarks/loader.py; images
are read and prepared in the same process (workers would do it meanwhile). All of the ResNet but the
stem and res2 learns, from random weights. Times are medians over the steps after the second.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import iuv.engine.step
from iuv.data.loader import TrainingLoader
from iuv.data.symmetry import UVSymmetry
from iuv.engine.gradients import compute_gradients
from iuv.engine.logs import peak_memory_mb
from iuv.engine.optim import freeze
from iuv.engine.state import TrainingState
from iuv.engine.step import TrainingStep
from iuv.modeling.initialise import initialise
from iuv.modeling.rcnn import RCNN
from iuv.recipes import recipe
from iuv.training_config import TrainingConfig
from iuv.zoo import get_model
from loader import make_dataset

CPU = torch.device("cpu")
WARM_UP = 2
Times = dict[str, float]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--depth", type=int, default=18)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--side", type=int, default=320)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--people", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="fp32")
    return parser.parse_args()


def configure(args: argparse.Namespace) -> TrainingConfig:
    model = get_model("R_50_FPN_s1x").config.replace(
        **{"backbone.depth": args.depth, "backbone.fpn_channels": args.channels}
    )
    return recipe(model).replace(
        **{
            "augment.short_sides": [args.side],
            "loader.batch_size": args.batch,
            "loader.workers": 0,
            "solver.base_lr": 1e-6,  # random weights would diverge
            "solver.precision": args.precision,
        }
    )


def watch(times: Times, step: TrainingStep) -> None:
    """Have the parts of a step add their seconds to `times`."""
    model, module = step.model, iuv.engine.step
    parts = {
        "trunk": [(model.trunk, "forward")],
        "proposals": [(step, "propose"), (module, "all_anchors")],
        "sampling": [(module, "sample_proposals"), (module, "dense_samples")],
        "box branch": [(model, "pool_boxes"), (model.box_head, "forward")],
        "dense branch": [(model, "pool_people"), (model.dense, "forward")],
        "RPN losses": [(module, "rpn_losses")],
        "box losses": [(module, "box_losses")],
        "dense losses": [(module, "chart_losses")],
        "backward": [(torch.Tensor, "backward")],
    }
    for part, functions in parts.items():
        for owner, name in functions:
            setattr(owner, name, timed(getattr(owner, name), part, times))


def timed(work: Callable[..., Any], part: str, times: Times) -> Callable[..., Any]:
    def run(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        result = work(*arguments, **options)
        times[part] += time.perf_counter() - start
        return result

    return run


def run_steps(config: TrainingConfig, args: argparse.Namespace, folder: Path) -> list[Times]:
    """Return the seconds of each part, step by step."""
    torch.manual_seed(0)
    model = RCNN(config.model)
    initialise(model)
    freeze(model.trunk.resnet, config.solver.freeze_at)
    model.to(memory_format=torch.channels_last)
    step, state = TrainingStep(model, config), TrainingState(model, config, CPU)
    dataset = make_dataset(folder, images=args.batch * 8, people=args.people)
    symmetry = UVSymmetry(*np.random.default_rng(0).random((2, 24, 256, 256), np.float32))
    times: Times = defaultdict(float)
    watch(times, step)
    runs = []
    with TrainingLoader(dataset, config, symmetry) as loader:
        for _ in range(WARM_UP + args.steps):
            times.clear()
            start = time.perf_counter()
            found = compute_gradients(step, loader, config.solver, state.scaler, CPU)
            times["data"] = found.data_s
            timed(state.update, "optimiser", times)()
            total = time.perf_counter() - start
            runs.append({**times, "rest": total - sum(times.values()), "step": total})
    return runs[WARM_UP:]


def main() -> None:
    args = parse()
    torch.set_num_threads(args.threads)
    config = configure(args)
    with tempfile.TemporaryDirectory() as folder:
        runs = run_steps(config, args, Path(folder))
    print(
        f"python {' '.join(sys.argv)}\n{os.cpu_count()} cores, {args.threads} threads, Python "
        f"{platform.python_version()}, torch {torch.__version__}; R_{args.depth}, {args.channels} "
        f"channels, {args.side} pixels, {args.batch} images of {args.people} people, "
        f"{args.precision}\n"
    )
    medians = {part: statistics.median(run[part] for run in runs) for part in runs[0]}
    print("| part | ms |\n|---|--:|")
    for part, seconds in medians.items():
        print(f"| {part} | {seconds * 1e3:.0f} |")
    print(f"| peak memory, MB | {peak_memory_mb(CPU):.0f} |")
    ahead = (medians["step"] - medians["data"]) / medians["data"]
    print(f"\none process loads images {ahead:.0f} times as fast as a step consumes them")


if __name__ == "__main__":
    main()
