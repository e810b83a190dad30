"""Time and memory of an evaluation, stage by stage, and how they grow with the number of people.

    python benchmarks/evaluate.py [--scales 1,3,10] [--images 1500] [--folder DIR]

Everything is made up: 1,500 images with two annotated people each, 100 points and 14 part masks per
person, three detections per image. The geodesic distances are as many as the official file has, in
its format: 1.5 GB, written to a temporary folder (in DIR). Only the evaluator's own work is timed;
what it does before the first detections come is no part of the total. It runs on one core, so on a
busy machine the processor's seconds tell more than the clock's. Memory is the peak of a fresh
process that holds the annotations, and the detections of one image at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import scipy
from pycocotools import mask as coco_mask
from scipy.io import savemat

from iuv.data.records import Annotation, Dataset, ImageRecord, Points
from iuv.evaluation.box_ap import score_boxes
from iuv.evaluation.detections import Detections, map_size
from iuv.evaluation.evaluator import Evaluator
from iuv.evaluation.smpl import load_smpl

VERTICES, CHART_VERTICES = 27_554, 30_000
SIZE = (480, 640)
KINDS = 64  # different people; more would only cost memory of the benchmark itself


def write_surface(folder: Path) -> None:
    """Write three files of the size and form of the official ones."""
    rng = np.random.default_rng(0)
    parts = np.sort(rng.integers(1, 25, CHART_VERTICES)).astype(np.uint8)
    u, v = rng.uniform(size=(2, CHART_VERTICES, 1))
    index = 1 + rng.permutation(CHART_VERTICES) % VERTICES
    savemat(folder / "SMPL_subdiv.mat", {"Part_ID_subdiv": parts, "U_subdiv": u, "V_subdiv": v})
    savemat(folder / "SMPL_SUBDIV_TRANSFORM.mat", {"index": index.astype(np.uint16)})
    count = VERTICES * (VERTICES - 1) // 2
    with (folder / "Pdist_matrix.pkl").open("wb") as file:  # as Python 2 writes it
        file.write(b"\x80\x02}U\x0cPdist_matrixcnumpy.core.multiarray\n_reconstruct\n")
        file.write(b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01")
        file.write(b"J" + struct.pack("<i", count) + b"K\x01\x86cnumpy\ndtype\nU\x02f4K\x00K\x01")
        file.write(b"\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89")
        file.write(b"T" + struct.pack("<i", 4 * count))
        piece = rng.uniform(0, 1.5, 1 << 22).astype(np.float32)
        for start in range(0, count, len(piece)):
            file.write(piece[: count - start].tobytes())
        file.write(b"tbs.")


def make_part_masks(rng: np.random.Generator) -> tuple[dict[str, object], ...]:
    """Make an oval person, cut into 14 parts."""
    y, x = np.mgrid[-1:1:256j, -1:1:256j]
    wave = 0.1 * np.sin(9 * y + rng.uniform(0, 6)) + 0.1 * np.sin(7 * x + rng.uniform(0, 6))
    person = np.hypot(x / 0.8, y / 0.95) + wave < 1
    part = np.clip(((y + wave + 1) * 3.5).astype(int), 0, 6) + 7 * (x + wave > 0)
    masks = np.stack([person & (part == index) for index in range(14)], axis=-1)
    return tuple(coco_mask.encode(np.asfortranarray(masks.astype(np.uint8))))


def make_dataset(images: int, rng: np.random.Generator) -> Dataset:
    kinds = [make_part_masks(rng) for _ in range(KINDS)]
    records = []
    for image in range(images):
        people = []
        for person in range(2):
            width, height = rng.uniform(60, 250), rng.uniform(120, 400)
            left, top = rng.uniform(0, SIZE[1] - width), rng.uniform(0, SIZE[0] - height)
            x, y = rng.uniform(60, 195, (2, 100))
            labels = rng.integers(1, 25, 100)
            people.append(
                Annotation(
                    id=2 * image + person,
                    category=0,
                    box_xywh=(left, top, width, height),
                    area=0.6 * width * height,
                    points=Points(x, y, labels, *rng.uniform(size=(2, 100))),
                    part_masks=kinds[rng.integers(KINDS)],
                )
            )
        records.append(
            ImageRecord(
                id=image + 1,
                path=Path(f"{image + 1}.jpg"),
                height=SIZE[0],
                width=SIZE[1],
                annotations=tuple(people),
            )
        )
    return Dataset(
        name="made up",
        images=tuple(records),
        classes=("person",),
        class_of_category={1: 0},
        source=Path("made up"),
    )


def make_detections(record: ImageRecord, rng: np.random.Generator) -> Detections:
    """Find both people, a little off, and somebody who is not there."""
    boxes = [np.array(person.box_xywh) for person in record.annotations]
    boxes = [*boxes, np.array([*rng.uniform(0, 300, 2), *rng.uniform(60, 150, 2)])]
    boxes = np.float32([box + rng.normal(0, 0.03, 4) * box[[2, 3, 2, 3]] for box in boxes])
    return Detections(
        classes=np.zeros(3, dtype=np.int64),
        scores=rng.uniform(size=3),
        boxes_xywh=boxes.astype(np.float64),
        maps=tuple(make_map(map_size(box), rng) for box in boxes),
    )


def make_map(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Make an oval person of 24 parts, on which U and V are noise."""
    y, x = np.linspace(-1, 1, size[0])[:, None], np.linspace(-1, 1, size[1])
    columns = np.clip((2 * (x + 1)).astype(int), 0, 3)
    rows = np.clip((3 * (y + 1)).astype(int), 0, 5)
    labels = np.where(np.hypot(x / 0.85, y / 0.95) < 1, 1 + 4 * rows + columns, 0)
    return np.stack([labels, *rng.integers(0, 256, (2, *size)) * (labels > 0)]).astype(np.uint8)


class Stopwatch:
    """Seconds by stage, as the clock on the wall and the processor see them."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = defaultdict(float)
        self.processor: dict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        wall, processor = time.perf_counter(), time.process_time()
        yield
        self.wall[name] += time.perf_counter() - wall
        self.processor[name] += time.process_time() - processor


def measure(folder: Path, images: int) -> dict[str, float]:
    """Evaluate once; return seconds by stage, and the peak of resident memory in GB."""
    rng = np.random.default_rng(1)
    dataset = make_dataset(images, rng)
    watch, found = Stopwatch(), {}
    with watch.stage("before"):
        evaluator = Evaluator(dataset, load_smpl(folder))
    for record in dataset.images:
        detections = make_detections(record, rng)
        with watch.stage("images"):
            evaluator.update(record.id, detections)
        found[record.id] = replace(detections, maps=None)
    with watch.stage("distances"):
        evaluator.state()
    with watch.stage("GPS, GPSm, masks"):
        evaluator.curves()
    with watch.stage("boxes"):
        score_boxes(dataset, found)
    return {
        **watch.wall,
        "total": sum(watch.wall.values()) - watch.wall["before"],
        "total, processor": sum(watch.processor.values()) - watch.processor["before"],
        "peak GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def in_fresh_process(folder: Path, images: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--only", "--folder", folder, "--images", str(images)]
    own_cache = os.environ | {"IUV_HOME": str(folder)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=own_cache)
    return json.loads(done.stdout)


def report(images: int, measured: dict[int, dict[str, float]]) -> None:
    print(
        f"{images:,} images, {2 * images:,} people, {3 * images:,} detections, and multiples; "
        f"numpy {np.__version__}, scipy {scipy.__version__}, pycocotools {version('pycocotools')}, "
        f"Python {platform.python_version()}, {platform.machine()}\n"
    )
    print(f"| {'seconds':16} |" + "".join(f" {f'{scale}x':>6} |" for scale in measured))
    print("|---|" + "--:|" * len(measured))
    for stage in next(iter(measured.values())):
        row = "".join(f" {seconds[stage]:6.2f} |" for seconds in measured.values())
        print(f"| {stage:16} |" + row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scales", default="1,3,10")
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--folder", type=Path, help="where there are 1.5 GB for the distances")
    parser.add_argument("--only", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measure(args.folder, args.images)))
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        write_surface(Path(folder))
        scales = [int(scale) for scale in args.scales.split(",")]
        measured = {s: in_fresh_process(Path(folder), s * args.images) for s in scales}
    report(args.images, measured)


if __name__ == "__main__":
    main()
