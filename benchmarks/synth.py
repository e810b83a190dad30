"""Pictures of synthetic people per second, and where the time goes.

    python benchmarks/synth.py [--images 24] [--size 320] [--people 2] [--seed 0]

One process, one thread. Scenes are random but for the number of people. Figures are milliseconds
of processor time per picture: mean, and the slowest.
"""

from __future__ import annotations

import argparse
import os
import platform
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

from iuv.synth.person import sample_person
from iuv.synth.render import render
from iuv.synth.scene import Scene, sample_scene


def scenes(count: int, size: int, people: int, seed: int) -> tuple[list[Scene], list[float]]:
    """Scenes with so many people each, and the time that each took."""
    found: list[Scene] = []
    times: list[float] = []
    number = 0
    while len(found) < count:
        rng = np.random.Generator(np.random.PCG64([seed, number]))
        start = time.process_time()
        scene = sample_scene(rng, sample_person, (size, size))
        if len(scene.people) == people:
            times.append(1000 * (time.process_time() - start))
            found.append(scene)
        number += 1
    return found, times


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--people", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    # the body and the noise are made once per process
    first = sample_scene(np.random.Generator(np.random.PCG64(0)), sample_person, (64, 64))
    render(first)
    found, sampling = scenes(options.images, options.size, options.people, options.seed)
    vertices = [sum(len(p.mesh.vertices) for p in scene.people) for scene in found]
    faces = [sum(len(p.mesh.faces) for p in scene.people) for scene in found]
    drawing = []
    for scene in found:
        start = time.process_time()
        render(scene)
        drawing.append(1000 * (time.process_time() - start))
    print(f"{platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}")
    print(
        f"{options.size} x {options.size}, {options.people} people, "
        f"{np.mean(vertices):.0f} vertices, {np.mean(faces):.0f} triangles"
    )
    for name, times in (("people and scene", sampling), ("picture", drawing)):
        print(f"{name:18s} {np.mean(times):7.1f} ms   slowest {np.max(times):7.1f} ms")
    print(f"{'pictures alone':18s} {1000 / np.mean(drawing):7.1f} a second and core")
    print(f"{'all':18s} {1000 / (np.mean(drawing) + np.mean(sampling)):7.1f} a second and core")


if __name__ == "__main__":
    main()
