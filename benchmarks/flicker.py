"""Flicker of people in a video, and their error, with and without smoothing.

    python benchmarks/flicker.py [--frames 24] [--size 128] [--clips 3] [--smooth 0,0.5,0.7,0.85]
                                 [--every 1] [--fast] [--model synth-S]

A synthetic person goes from one pose to another (and a little to the side) before a fixed camera
with noise. I, U and V of every pixel are known. People come from a simulated network: the truth
with noise in boxes, scores, labels, U and V, new in every frame; or, with --model, from a real one.

Measured between consecutive frames, along places of the surface that are seen in both, so that the
truth itself has no flicker:

    labels   share of these places whose part changes
    outline  pixels of the background that turn into somebody or back, as a share of the person
    U, V     mean change of the error in (U, V), where both parts are right
    box      mean change of the error of a side, in percent of it

and against the truth, frame by frame: the share of the person's pixels with a wrong part or none;
the pixels on the wrong side of the outline, be they the person's or the background's, as a share of
the person (and the background's alone); the mean error of (U, V) where the part is right, and the
mean error of a box side, in percent.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import torch
from scipy.spatial import cKDTree

from iuv.modeling.box_head import Boxes
from iuv.results import ChartOutputs, People
from iuv.synth.actions import ACTIONS
from iuv.synth.camera import Camera, rotate, rotation
from iuv.synth.clothes import sample_outfit
from iuv.synth.effects import Effects
from iuv.synth.lighting import sample_lighting
from iuv.synth.person import make_person, sample_palette
from iuv.synth.places import sample_indoors
from iuv.synth.poses import Pose
from iuv.synth.render import Frame as Truth
from iuv.synth.render import render
from iuv.synth.scene import Actor, Scene
from iuv.synth.shapes import sample_shape
from iuv.video import Frame, track

FPS = 25
SIDE = 56  # of the simulated network's maps
SAME_PLACE = 0.05  # in (U, V): farther apart, two pixels show different places
PARTS = 25


# The clip


def between(first: Any, last: Any, share: float) -> Any:
    """A pose, or a limb of one, between two."""
    values = {}
    for name in (entry.name for entry in fields(first)):
        one, other = getattr(first, name), getattr(last, name)
        if isinstance(one, int | float):
            values[name] = one + share * (other - one)
        elif not isinstance(one, str):
            values[name] = between(one, other, share)
    return replace(first, **values)


@dataclass(frozen=True)
class Clip:
    """Frames and what is true of them."""

    truths: list[Truth]
    boxes: np.ndarray  # [frames, 4] xyxy, tight around the person

    @property
    def frames(self) -> list[Frame]:
        """As a video."""
        pictures = [truth.rgb for truth in self.truths]
        return [Frame(rgb, i, Fraction(i, FPS)) for i, rgb in enumerate(pictures)]


def make_clip(seed: int, count: int, size: int, *, fast: bool = False) -> Clip:
    """A person who moves for `count` frames of `size` x `size`; `fast`: in a third of the time."""
    rng = np.random.Generator(np.random.PCG64([seed, 77]))
    axes = np.diag([1.0, -1.0, -1.0])  # of the camera: x right, y down, z forward
    camera = Camera(size, size, 1.75 * size, np.array([0.0, 0.95, 4.2]), axes)
    scene = Scene(
        camera=camera,
        people=(),
        props=(),
        backdrop=sample_indoors(rng, camera, 5.0, 1.0),
        lighting=sample_lighting(rng, outdoors=False),
        effects=Effects(noise=0.03),
    )
    shape = sample_shape(rng)
    outfit = sample_outfit(rng, female=shape.female, child=shape.child)
    palette = sample_palette(rng, outfit.materials())
    first, last = poses(rng)
    yaw, step = 30 * float(rng.standard_normal()), float(rng.choice([-0.35, 0.35]))
    truths, boxes = [], []
    for index in range(count):
        time = min(1.0, (3 if fast else 1) * index / max(count - 1, 1))
        share = 0.5 - 0.5 * float(np.cos(np.pi * time))  # begins and ends at rest
        person = make_person(shape, outfit, palette, between(first, last, share))
        turn, move = rotation(yaw + 25 * share), np.array([[step * (share - 0.5)], [0.0], [0.0]])
        vertices, joints, keypoints = (
            np.ascontiguousarray((rotate(turn, np.ascontiguousarray(p.T)) + move).T)
            for p in (person.mesh.vertices, person.joints, person.keypoints)
        )
        actor = Actor(
            mesh=replace(person.mesh, vertices=vertices),
            palette=palette,
            joints=joints,
            keypoints=keypoints,
        )
        effects = replace(scene.effects, seed=1000 * seed + index)
        truth = render(replace(scene, people=(actor,), effects=effects))
        rows, columns = np.nonzero(truth.part)
        truths.append(truth)
        boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    return Clip(truths, np.array(boxes, dtype=np.float32))


def poses(rng: np.random.Generator) -> tuple[Pose, Pose]:
    """Two upright ones."""
    names = ("stand", "walk", "reach", "arms crossed")
    first, last = (ACTIONS[names[int(rng.integers(4))]][0](rng) for _ in range(2))
    return first, last


# The simulated network


class NoisyTruth:
    """A network in three parts, as `iuv.video` wants it, that is right but for noise.

    Args:
        clip: what it looks at, frame by frame.
        seed: of the noise.
        box: of a box's sides, as a share of them; standard deviation, as below.
        score: of the score, whose mean is 0.8.
        label: of the scores of parts, where the right one has 4 more than the others.
        uv: of U and V.
    """

    def __init__(
        self, clip: Clip, seed: int, *, box: float = 0.02, score: float = 0.08,
        label: float = 0.8, uv: float = 0.04,
    ) -> None:  # fmt: skip
        self.clip = clip
        self.rng = np.random.default_rng(seed)
        self.amounts = {"box": box, "score": score, "label": label, "uv": uv}
        self.index = -1

    def look(self, image: np.ndarray) -> Any:
        """Take the next frame of the clip, whatever is given."""
        self.index += 1
        return _Seen(image.shape[:2], self.index)

    def find(self, look: Any) -> Boxes:
        """Return the true box, noisy."""
        x0, y0, x1, y1 = self.clip.boxes[look.index]
        sides = np.array([x1 - x0, y1 - y0] * 2)
        box = self.clip.boxes[look.index] + self.amounts["box"] * sides * self.rng.normal(size=4)
        score = np.clip(0.8 + self.amounts["score"] * self.rng.normal(), 0.05, 1)
        limits = look.image_size[::-1] * 2
        return Boxes(
            torch.from_numpy(np.clip(box, 0, limits).astype(np.float32))[None],
            torch.tensor([score], dtype=torch.float32),
            torch.zeros(1, dtype=torch.int64),
        )

    def charts_at(self, look: Any, boxes_xyxy: torch.Tensor) -> ChartOutputs:
        """Return the true maps of given boxes, noisy."""
        truth = self.clip.truths[look.index]
        maps = [self._maps(truth, box) for box in boxes_xyxy.numpy()]
        return ChartOutputs(*(torch.stack(group) for group in zip(*maps, strict=True)))

    def _maps(self, truth: Truth, box: np.ndarray) -> list[torch.Tensor]:
        steps = (np.arange(SIDE) + 0.5) / SIDE
        height, width = truth.part.shape
        columns = np.clip(box[0] + steps * (box[2] - box[0]), 0, width - 1).astype(int)
        rows = np.clip(box[1] + steps * (box[3] - box[1]), 0, height - 1).astype(int)
        part = truth.part[np.ix_(rows, columns)]
        uv = truth.uv[:, rows[:, None], columns]
        fine = np.stack([cv2.GaussianBlur((part == k) * np.float32(4), (0, 0), 0.8)
                         for k in range(PARTS)])  # fmt: skip
        coarse = np.stack([fine[0], fine[1:].sum(axis=0)])
        u, v = (self._spread(part, values) for values in uv)
        amounts = self.amounts
        noisy = (
            coarse + amounts["label"] * self._noise(2),
            fine + amounts["label"] * self._noise(PARTS),
            u + amounts["uv"] * self._noise(PARTS),
            v + amounts["uv"] * self._noise(PARTS),
        )
        return [torch.from_numpy(values.astype(np.float32)) for values in noisy]

    def _noise(self, channels: int) -> np.ndarray:
        """[channels, SIDE, SIDE] of standard deviation about 1, a quarter as fine as the maps."""
        coarse = self.rng.normal(size=(SIDE // 4, SIDE // 4, channels)).astype(np.float32)
        fine = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        return fine.transpose(2, 0, 1) / 0.8

    @staticmethod
    def _spread(part: np.ndarray, values: np.ndarray) -> np.ndarray:
        """[PARTS, S, S]: each part's values, carried on to where the part is not."""
        planes = np.zeros((PARTS, *part.shape), dtype=np.float32)
        for k in np.unique(part[part > 0]):
            away = (part != k).astype(np.uint8)
            _, nearest = cv2.distanceTransformWithLabels(
                away, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
            )
            table = np.zeros(nearest.max() + 1, dtype=np.float32)
            table[nearest[part == k]] = values[part == k]
            planes[k] = table[nearest]
        return planes


@dataclass
class _Seen:
    image_size: tuple[int, int]
    index: int


# Measuring


@dataclass
class Read:
    """What is said of a frame."""

    part: np.ndarray  # [H, W]
    uv: np.ndarray  # [2, H, W]
    box: np.ndarray | None


def read_frame(people: People) -> Read:
    """The best person of a frame, at full size."""
    part = np.zeros(people.image_size, dtype=np.uint8)
    uv = np.zeros((2, *people.image_size), dtype=np.float32)
    if not people:
        return Read(part, uv, None)
    (rows, columns), (y, x) = people[0].paste()
    part[rows, columns] = people[0].labels[y, x]
    uv[:, rows, columns] = people[0].uv[:, y, x]
    return Read(part, uv, people[0].box_xyxy)


def same_places(first: Truth, second: Truth) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (row, column), [2, n] each, at which two frames show the same place of the surface."""
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    for k in np.intersect1d(first.part[first.part > 0], second.part[second.part > 0]):
        here, there = (np.array(np.nonzero(t.part == k)) for t in (first, second))
        tree = cKDTree(second.uv[:, there[0], there[1]].T)
        far, nearest = tree.query(first.uv[:, here[0], here[1]].T)
        near = far < SAME_PLACE
        pairs.append((here[:, near], there[:, nearest[near]]))
    return (
        np.concatenate([a for a, _ in pairs], axis=1),
        np.concatenate([b for _, b in pairs], axis=1),
    )


FIGURES = (
    "flicker: labels %", "outline %", "U, V x 1000", "box %",
    "error: labels %", "outline %", "background %", "U, V x 1000", "box %",
)  # fmt: skip


def measure(clip: Clip, reads: Sequence[Read]) -> np.ndarray:
    """The `FIGURES` of a clip."""
    flicker, errors = [], []
    for index, (truth, read) in enumerate(zip(clip.truths, reads, strict=True)):
        errors.append(_error(truth, read, clip.boxes[index]))
        if index:
            flicker.append(_flicker(clip, reads, index))
    return np.concatenate([np.nanmean(flicker, axis=0), np.nanmean(errors, axis=0)])


def _error(truth: Truth, read: Read, box: np.ndarray) -> list[float]:
    body = truth.part > 0
    right = body & (read.part == truth.part)
    off = np.linalg.norm(read.uv - truth.uv, axis=0)
    aside = (read.part > 0) & (truth.instance == 0)
    return [
        100 * float((read.part != truth.part)[body].mean()),
        100 * float((aside | (body & (read.part == 0))).sum() / body.sum()),
        100 * float(aside.sum() / body.sum()),
        1000 * float(off[right].mean()) if right.any() else np.nan,
        100 * float(np.abs(_box_error(read.box, box)).mean()),
    ]


def _flicker(clip: Clip, reads: Sequence[Read], index: int) -> list[float]:
    (first, second), (before, after) = (
        clip.truths[index - 1 : index + 1],
        reads[index - 1 : index + 1],
    )
    (y0, x0), (y1, x1) = same_places(first, second)
    changed = before.part[y0, x0] != after.part[y1, x1]
    right = (before.part[y0, x0] == first.part[y0, x0]) & ~changed
    errors = [r.uv[:, y, x] - t.uv[:, y, x]
              for r, t, y, x in ((before, first, y0, x0), (after, second, y1, x1))]  # fmt: skip
    jumps = np.linalg.norm(errors[1] - errors[0], axis=0)[right]
    empty = (first.instance == 0) & (second.instance == 0)
    blinks = ((before.part > 0) != (after.part > 0)) & empty
    boxes = [_box_error(r.box, clip.boxes[i]) for r, i in ((before, index - 1), (after, index))]
    return [
        100 * float(changed.mean()),
        100 * float(blinks.sum() / (first.part > 0).sum()),
        1000 * float(jumps.mean()) if jumps.size else np.nan,
        100 * float(np.abs(boxes[1] - boxes[0]).mean()),
    ]


def _box_error(box: np.ndarray | None, truth: np.ndarray) -> np.ndarray:
    if box is None:
        return np.full(4, np.nan)
    return (box - truth) / np.tile(truth[2:] - truth[:2], 2)


def figures(
    clips: Sequence[Clip], network: Callable[[int], Any], *, smooth: float, every: int = 1
) -> np.ndarray:
    """The mean `FIGURES` over clips; `network` makes the one that looks at the clip of a number."""
    rows = []
    for number, clip in enumerate(clips):
        options: dict[str, Any] = {"smooth": smooth, "every": every, "new_score": 0.3}
        found = track(network(number), clip.frames, **options)
        rows.append(measure(clip, [read_frame(people) for _, people in found]))
    return np.nanmean(rows, axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--clips", type=int, default=3)
    parser.add_argument("--smooth", default="0,0.5,0.7,0.85")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--fast", action="store_true", help="three times faster")
    parser.add_argument("--model", help="a real one, as of iuv.load; else a simulated one")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    clips = [
        make_clip(seed, options.frames, options.size, fast=options.fast)
        for seed in range(options.clips)
    ]
    model: Any = None
    if options.model:
        import iuv

        model = iuv.load(options.model, min_score=0.2, max_people=1, device="cpu")
    print("smooth  " + "  ".join(f"{name:>16s}" for name in FIGURES))
    for smooth in map(float, options.smooth.split(",")):
        row = figures(
            clips,
            lambda number: model or NoisyTruth(clips[number], seed=number),
            smooth=smooth,
            every=options.every,
        )
        print(f"{smooth:6.2f}  " + "  ".join(f"{value:16.2f}" for value in row), flush=True)


if __name__ == "__main__":
    main()
