"""Many images: reading, resizing and saving beside the network, against the network alone.

    python benchmarks/many.py [--images 16] [--rounds 5] [--milliseconds 150] [--threads 2]
        [--model synth-S] [--engine auto]

Forms, which take turns so that a noisy machine hurts all alike; medians of their times per image:

* alone: the network, on images that are read and resized already;
* stream: `Predictor.stream` on JPEG files;
* in turn: read, resize, predict, one after the other;
* iuv predict: stream, and the files of ``--save overlay,iuv``, by the command's own pipeline;
* saved in turn: in turn, and the same files.

The network is computed elsewhere, as by a GPU (a pause of some milliseconds), or it is a model on
this machine's cores. CPU is the processor's time per image, in all threads.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import iuv
from iuv.cli.batch import Batch
from iuv.cli.outputs import Outputs
from iuv.cli.sources import Source, find_sources
from iuv.images import read_image
from iuv.modeling.chart import output_channels
from iuv.modeling.rcnn import RCNN, Detections
from iuv.predictor import Predictor
from iuv.results import ChartOutputs
from iuv.zoo import get_model

Form = Callable[[], object]
SIZE = (480, 640)


class Elsewhere(RCNN):
    """Takes its time without a core, and finds one person in every image."""

    def __init__(self, seconds: float) -> None:
        with torch.device("meta"):
            super().__init__(get_model("R_50_FPN_s1x").config)
        self.seconds = seconds
        side = self.config.dense.heatmap_size
        channels = output_channels(self.config.dense)
        generator = torch.Generator().manual_seed(0)
        maps = {n: torch.rand((1, c, side, side), generator=generator) for n, c in channels.items()}
        box = torch.tensor([[300.0, 100.0, 540.0, 580.0]])
        self.found = Detections(box, torch.ones(1), torch.zeros(1).long(), ChartOutputs(**maps))

    def forward(  # noqa: D102 - as RCNN's
        self, images: torch.Tensor, sizes: Sequence[tuple[int, int]]
    ) -> list[Detections]:
        time.sleep(self.seconds * len(sizes))
        return [self.found for _ in sizes]


def write_photos(folder: Path, count: int) -> list[Source]:
    """JPEGs with as much detail as photos have: about 100 kB of 640 x 480 pixels."""
    folder.mkdir()
    for index in range(count):
        noise = np.random.default_rng(index).normal(0, 1, (*SIZE, 3))
        coarse = np.random.default_rng(index).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize(SIZE[::-1], Image.Resampling.BICUBIC))
        pixels = np.clip(smooth + 9 * noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:03d}.jpg", quality=90)
    return find_sources([str(folder)])


def forms(predict: Predictor, sources: list[Source], out: Path) -> dict[str, Form]:
    outputs = Outputs.parse(out, save="overlay,iuv", preset=None, person=None)
    paths = [source.path for source in sources]
    prepared = [predict._prepare(path, "rgb") for path in paths]

    def save_in_turn() -> None:
        for source in sources:
            image = read_image(source.path)
            outputs.write(source, image, [predict(image)])

    def fail(source: Source, error: Exception | None) -> None:
        if error is not None:
            raise error

    return {
        "alone": lambda: [predict._predict([image]) for image in prepared],
        "stream": lambda: list(predict.stream(paths)),
        "in turn": lambda: [predict(path) for path in paths],
        "iuv predict": lambda: Batch(predict, outputs.views, outputs.write, fail).run(sources),
        "saved in turn": save_in_turn,
    }


def measure(work: dict[str, Form], rounds: int, count: int) -> dict[str, tuple[float, float]]:
    """Milliseconds per image, of the clock and of the processor; the first round is not counted."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in work}
    for _ in range(rounds + 1):
        for name, form in work.items():
            clock, cpu = time.perf_counter(), time.process_time()
            form()
            spent = time.perf_counter() - clock, time.process_time() - cpu
            times[name].append((spent[0] / count * 1e3, spent[1] / count * 1e3))
    return {
        name: (statistics.median(t[0] for t in all_[1:]), statistics.median(t[1] for t in all_[1:]))
        for name, all_ in times.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--milliseconds", type=float, default=150)
    parser.add_argument("--model", help="a network on this machine's cores; none: one elsewhere")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.model:
        title = f"{args.model} here"
        predict = iuv.load(args.model, device="cpu", engine=args.engine)
    else:
        title = f"elsewhere, {args.milliseconds:g} ms"
        network = Elsewhere(args.milliseconds / 1e3).eval()
        predict = Predictor(network, device=torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        sources = write_photos(Path(folder) / "photos", args.images)
        found = measure(forms(predict, sources, Path(folder) / "out"), args.rounds, args.images)
    print(f"| {title} | ms | CPU ms | of the throughput alone |")
    print("|---|--:|--:|--:|")
    for name, (clock, cpu) in found.items():
        print(f"| {name} | {clock:.0f} | {cpu:.0f} | {found['alone'][0] / clock:.2f} |")


if __name__ == "__main__":
    main()
