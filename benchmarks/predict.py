"""Time and memory of one prediction, stage by stage, beside the plain form in the same run.

    python benchmarks/predict.py [--model R_50_FPN_s1x] [--people 5] [--runs 5] [--threads 2]

The plain form is the network as written down (batch norm apart, NCHW, the decoder everywhere) and
the literal read-out that resamples every channel. It is not Detectron2: both forms share our
RoIAlign and NMS. Weights are the hash weights of the tests, the image is noise of the size that a
600 x 1116 photo is resized to, people are boxes of 240 x 480 pixels in a row. Times are medians, in
milliseconds; both forms take turns, so that a noisy machine hurts both alike.
"""

from __future__ import annotations

import argparse
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from hashing import state_dict
from iuv.checkpoint import load_weights, save_weights
from iuv.checkpoint.keys import from_released
from iuv.decode import read_out
from iuv.modeling.rcnn import RCNN
from iuv.modeling.rpn import decode_proposals, select_proposals
from iuv.ops.roi_align import pool_pyramid
from iuv.runtime.eager import prepare_eager
from iuv.zoo import get_model
from plain import plain_read_out

SIZE = (717, 1333)
PERSON = (480, 240)
Stages = dict[str, float]


def write_weights(name: str, path: Path) -> None:
    weights = {from_released(key): value for key, value in state_dict(name).items()}
    save_weights(weights, get_model(name).config, path)


def build(name: str, path: Path, *, plain: bool) -> RCNN:
    with torch.device("meta"):
        model = RCNN(get_model(name).config)
    load_weights(model, path)
    if plain:
        return model.eval().requires_grad_(False)
    return prepare_eager(model, torch.device("cpu"))


def boxes_of(people: int) -> torch.Tensor:
    """People in a row, evenly spread over the width."""
    height, width = PERSON
    left = torch.linspace(0, SIZE[1] - width, people)
    top = torch.full((people,), 100.0)
    return torch.stack([left, top, left + width, top + height], dim=1)


@torch.inference_mode()
def run_stages(model: RCNN, image: torch.Tensor, people: int, *, plain: bool) -> Stages:
    """Run the recipe of `RCNN.forward` and the read-out; return milliseconds per stage."""
    times: Stages = {}

    def timed(stage: str, work: Callable[..., Any], *inputs: Any) -> Any:
        start = time.perf_counter()
        result = work(*inputs)
        times[stage] = (time.perf_counter() - start) * 1e3
        return result

    config, boxes = model.config, boxes_of(people)
    stages = timed("ResNet", model.trunk.resnet, image)
    features = timed("FPN", model.trunk.fpn, stages)
    del stages
    logits, deltas = timed("RPN head", model.trunk.rpn, features)
    ((proposals, _),) = timed(
        "proposals",
        lambda: select_proposals(*decode_proposals(logits, deltas, config.rpn), [SIZE], config.rpn),
    )
    if not plain:
        pooled = timed("pool boxes", model.pool_boxes, features, [proposals])
        timed("box head", model.detect_boxes, pooled, [proposals], [SIZE])
        pooled = timed("decoder, pool", model.pool_people, features, [boxes])
    else:  # pools from NHWC copies made outside the clock, as its own RoIAlign would need none
        rows = [feature.contiguous(memory_format=torch.channels_last) for feature in features]
        pooled = timed("pool boxes", model.pool_boxes, rows, [proposals]).contiguous()
        timed("box head", model.detect_boxes, pooled, [proposals], [SIZE])
        pooled = timed("decoder, pool", decode_everywhere, model, features, boxes).contiguous()
    charts = timed("dense head", model.dense, pooled)
    read = plain_read_out if plain else read_out
    height, width = PERSON
    timed(
        "read-out",
        lambda: [read(charts.at(i), height=height, width=width) for i in range(people)],
    )
    times["total"] = sum(times.values())
    return times


def decode_everywhere(
    model: RCNN, features: tuple[torch.Tensor, ...], boxes: torch.Tensor
) -> torch.Tensor:
    """`RCNN.pool_people` with the decoder's whole map."""
    config = model.config.dense
    return pool_pyramid(
        features[:4] if model.decoder is None else [model.decoder(features[:4])],
        [boxes],
        pool_size=config.pool_size,
        sampling_ratio=config.sampling_ratio,
        aligned=config.aligned,
    )


def peak_memory(args: argparse.Namespace, form: str, weights: Path) -> float:
    """GB of resident memory of a fresh process that loads one form and runs it twice."""
    command = [sys.executable, __file__, "--only", form, "--weights", str(weights), "--runs", "1"]
    command += ["--people", str(args.people), "--threads", str(args.threads)]
    command += ["--model", args.model]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="R_50_FPN_s1x")
    parser.add_argument("--people", type=int, default=5)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=["lean", "plain"], help=argparse.SUPPRESS)
    parser.add_argument("--weights", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.only:
        measure(args, [args.only], args.weights)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
        return
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "hash.pkl"
        write_weights(args.model, weights)
        memory = {form: peak_memory(args, form, weights) for form in ("lean", "plain")}
        report(args, measure(args, ["lean", "plain"], weights), memory)


def measure(args: argparse.Namespace, forms: list[str], weights: Path) -> dict[str, list[Stages]]:
    """Run the forms in turn; the first turn warms up and does not count."""
    models = {form: build(args.model, weights, plain=form == "plain") for form in forms}

    height, width = (-SIZE[0] % 32 + SIZE[0], -SIZE[1] % 32 + SIZE[1])
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)) * 255 - 115
    images = {"lean": image.contiguous(memory_format=torch.channels_last), "plain": image}
    runs: dict[str, list[Stages]] = {form: [] for form in forms}
    for turn in range(args.runs + 1):
        for form, model in models.items():
            times = run_stages(model, images[form], args.people, plain=form == "plain")
            if turn > 0:
                runs[form].append(times)
    return runs


def report(
    args: argparse.Namespace, runs: dict[str, list[Stages]], memory: dict[str, float]
) -> None:
    square = torch.rand(2048, 2048)
    start = time.perf_counter()
    for _ in range(10):
        square @ square
    gflops = 10 * 2 * 2048**3 / (time.perf_counter() - start) / 1e9
    print(
        f"{args.model}, {SIZE[0]}x{SIZE[1]}, {args.people} people, {args.threads} threads, torch "
        f"{torch.__version__}, Python {platform.python_version()}, {args.runs} runs; "
        f"matrix product {gflops:.0f} GFLOP/s\n"
    )
    print(f"| {'stage':12} | {'lean ms':>8} | {'plain ms':>8} | {'ratio':>5} |")
    print("|---|--:|--:|--:|")
    for stage in runs["lean"][0]:
        lean, plain = (
            statistics.median(t[stage] for t in runs[form]) for form in ("lean", "plain")
        )
        print(f"| {stage:12} | {lean:8.0f} | {plain:8.0f} | {plain / lean:5.2f} |")
    lean, plain = memory["lean"], memory["plain"]
    print(f"| {'peak GB':12} | {lean:8.2f} | {plain:8.2f} | {plain / lean:5.2f} |")


if __name__ == "__main__":
    main()
