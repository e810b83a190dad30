"""Images per second of the training loader alone, and where its time goes.

    python benchmarks/loader.py [--images 64] [--people 3] [--batches 12] [--workers 0 1 2]

The data set is made up in a temporary folder: JPEGs of 640 x 480 pixels cut from the photos of the
tests, with noise so that they weigh what such photos weigh; each person has a segmentation, 14 part
masks and 100 points. Settings are those of the published R_50_FPN_s1x (short side 640 to 800),
with batches of 8. Stages are medians in milliseconds per image, in one process and one thread.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from iuv.data.datasets import load_dataset
from iuv.data.geometry import warp
from iuv.data.loader import TrainingLoader
from iuv.data.packing import PackedBatch
from iuv.data.records import Dataset
from iuv.data.symmetry import UVSymmetry
from iuv.data.transforms import Augmentation, prepare
from iuv.images import input_size, read_image, resize
from iuv.targets import Batch
from iuv.training_config import TrainingConfig

PHOTOS = Path(__file__).parent.parent / "tests" / "golden"
WIDTH, HEIGHT = 640, 480
POINTS = 100
CONFIG = TrainingConfig().override("loader.batch_size=8")


def write_images(folder: Path, count: int, rng: np.random.Generator) -> None:
    photo = Image.open(PHOTOS / "astronaut.png").convert("RGB")
    for index in range(count):
        left, top = rng.integers(0, photo.width // 4), rng.integers(0, photo.height // 4)
        size = photo.width * 3 // 4, photo.width * 3 // 4 * HEIGHT // WIDTH
        crop = photo.crop((left, top, left + size[0], top + size[1])).resize((WIDTH, HEIGHT))
        noisy = np.asarray(crop) + rng.normal(0, 6, (HEIGHT, WIDTH, 3))
        pixels = noisy.clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.jpg", quality=90)


def part_masks() -> list[dict[str, Any]]:
    """Fourteen ellipses in the frame of a box."""
    y, x = np.mgrid[:256, :256]
    masks = []
    for part in range(14):
        row, column = divmod(part, 4)
        inside = ((x - 40 - 58 * column) / 32) ** 2 + ((y - 40 - 58 * row) / 36) ** 2 < 1
        rle = coco_mask.encode(np.asfortranarray(inside.astype(np.uint8)))
        masks.append({"size": [256, 256], "counts": rle["counts"].decode()})
    return masks


def make_person(id: int, image: int, masks: list[Any], rng: np.random.Generator) -> dict[str, Any]:
    width, height = rng.uniform(80, 240), rng.uniform(160, 400)
    x, y = rng.uniform(0, WIDTH - width), rng.uniform(0, HEIGHT - height)
    turn = np.linspace(0, 2 * np.pi, 40)
    outline = [x + width / 2 * (1 + np.cos(turn)), y + height / 2 * (1 + np.sin(turn))]
    return {
        "id": id,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [x, y, width, height],
        "area": width * height * 0.7,
        "segmentation": [np.stack(outline, axis=1).ravel().tolist()],
        "dp_masks": masks,
        "dp_x": rng.uniform(0, 256, POINTS).tolist(),
        "dp_y": rng.uniform(0, 256, POINTS).tolist(),
        "dp_I": rng.integers(1, 25, POINTS).astype(float).tolist(),
        "dp_U": rng.random(POINTS).tolist(),
        "dp_V": rng.random(POINTS).tolist(),
    }


def make_dataset(folder: Path, images: int, people: int) -> Dataset:
    rng = np.random.default_rng(0)
    write_images(folder, images, rng)
    masks = part_masks()
    document = {
        "images": [
            {"id": index, "file_name": f"{index}.jpg", "width": WIDTH, "height": HEIGHT}
            for index in range(images)
        ],
        "annotations": [
            make_person(number, number // people, masks, rng) for number in range(images * people)
        ],
        "categories": [{"id": 1, "name": "person"}],
    }
    path = folder / "made_up.json"
    path.write_text(json.dumps(document))
    return load_dataset(path)


def time_stages(dataset: Dataset, symmetry: UVSymmetry) -> dict[str, float]:
    """Return milliseconds per image of each stage."""
    times: dict[str, list[float]] = {}

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        times.setdefault(stage, []).append((time.perf_counter() - start) * 1e3)
        return result

    augmentation = Augmentation(720, CONFIG.augment.long_side, flip=True)
    for record in dataset.images:
        image = timed("read", lambda path=record.path: read_image(path))
        size = input_size(image.shape[:2], augmentation.short_side, augmentation.long_side)
        big = timed("resize", lambda image=image, size=size: resize(image, size))
        timed("mirror", lambda big=big: cv2.flip(big, 1))
        rotation = cv2.getRotationMatrix2D((size[1] / 2, size[0] / 2), 10, 1.0)
        timed("rotate (not published)", lambda a=(big, rotation, size): warp(*a))
        prepared = partial(prepare, image=image, augmentation=augmentation, symmetry=symmetry)
        for stage, people, with_masks in (
            ("without people", (), False),
            ("with people", record.annotations, False),
            ("with their masks", record.annotations, True),
        ):
            bare = dataclasses.replace(record, annotations=people)
            work = partial(prepared, bare, with_masks=with_masks)
            pixels, targets = timed(stage, work)
        batch = Batch([torch.tensor(pixels)], [targets._replace(masks=None, has_mask=None)], [0])
        timed("pack", lambda batch=batch: PackedBatch.of(batch))
    stages = {stage: statistics.median(values) for stage, values in times.items()}
    bare, people, masks = (
        stages.pop(f"with{name}") for name in ("out people", " people", " their masks")
    )
    return stages | {"targets": people - bare, "masks (not published)": masks - people}


def run_loader(
    dataset: Dataset, symmetry: UVSymmetry, workers: int, batches: int
) -> tuple[float, float]:
    """Return seconds to the first batch, and images per second from then on."""
    config = CONFIG.override(f"loader.workers={workers}")
    ahead = 2 * workers  # that workers make before anybody asks; they must not count
    with TrainingLoader(dataset, config, symmetry) as loader:
        start = time.perf_counter()
        next(loader)
        first = time.perf_counter() - start
        for _ in range(ahead):
            next(loader)
        start = time.perf_counter()
        for _ in range(batches):
            next(loader)
        seconds = time.perf_counter() - start
    return first, batches * loader.batch_size / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--people", type=int, default=3)
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    print(
        f"python {' '.join(sys.argv)}\n{os.cpu_count()} cores, Python {platform.python_version()}, "
        f"torch {torch.__version__}, Pillow {PIL.__version__}, OpenCV {cv2.__version__}; "
        f"{args.people} people per image\n"
    )
    symmetry = UVSymmetry(*np.random.default_rng(0).random((2, 24, 256, 256), np.float32))
    with tempfile.TemporaryDirectory() as folder:
        dataset = make_dataset(Path(folder), args.images, args.people)
        size = statistics.mean(image.path.stat().st_size for image in dataset.images)
        print(f"JPEGs of {size / 1e3:.0f} kB\n\n| stage | ms per image |\n|---|--:|")
        for stage, milliseconds in time_stages(dataset, symmetry).items():
            print(f"| {stage} | {milliseconds:.2f} |")
        print("\n| workers | s to the first batch | images/s |\n|---|--:|--:|")
        for workers in args.workers:
            first, speed = run_loader(dataset, symmetry, workers, args.batches)
            print(f"| {workers} | {first:.2f} | {speed:.1f} |")


if __name__ == "__main__":
    main()
