"""Steady body surfaces: raw maps that are averaged over frames, along the motion of the picture.

The maps of a person (`ChartOutputs`) lie over the person's box. Those of the frame before are taken
to where the same things are seen now, pixel by pixel, and the present ones are mixed in. Labels are
decided afterwards, on scores that are averages, and so are U and V, each chart on its own, so that
a change of part is never an average of two parts' coordinates. Where the picture tells of no
motion that explains it (something comes out of hiding, or is too fast), nothing is averaged.

C: channels, S: side of a map. Boxes are float32 [4] xyxy, pixels of the frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from iuv.results import ChartOutputs, FloatArray
from iuv.video.motion import Motion, sample_motion

__all__ = ["History", "blend", "carry", "source_places"]


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """What is known of somebody's surface from the frames so far."""

    charts: ChartOutputs
    """Averaged maps of one person, each [C, S, S]."""
    weight: Tensor
    """[S, S], how many frames' worth each pixel's average has."""
    box: FloatArray
    """Where the maps lie in their frame."""


def source_places(
    box: FloatArray, before: FloatArray, motion: Motion, side: int
) -> tuple[FloatArray, FloatArray]:
    """Say where the pixels of a person's maps were a frame ago.

    Args:
        box: of the person now.
        before: of the person then.
        motion: from the frame now to the one then, around `box`.
        side: S of the maps.

    Returns:
        float32 [S, S, 2], (x, y) in the maps of then, from -1 to 1 at their borders; and float32
        [S, S], how far to trust that, 0..1.
    """
    steps = (np.arange(side, dtype=np.float32) + 0.5) / side
    x, y = box[0] + steps * (box[2] - box[0]), box[1] + steps * (box[3] - box[1])
    sampled = sample_motion(motion, x, y)
    places = np.dstack(np.meshgrid(x, y)) + sampled[..., :2]
    sides = np.maximum(before[2:] - before[:2], 1e-3)
    return (2 * (places - before[:2]) / sides - 1).astype(np.float32), sampled[..., 2]


def carry(history: History, places: FloatArray, trust: FloatArray, box: FloatArray) -> History:
    """Take a history to another frame, where its maps lie over `box`.

    Args:
        history: of the frame before.
        places: [S, S, 2], as of `source_places`.
        trust: [S, S]; weights are multiplied by it. What was outside the maps has no weight.
        box: of the person in the other frame.
    """
    maps = history.charts.coarse_segm
    grid = torch.from_numpy(places).to(maps)[None]
    stack = torch.cat([m for m in history.charts if m is not None])
    moved = F.grid_sample(stack[None], grid, padding_mode="border", align_corners=False)[0]
    weight = F.grid_sample(history.weight[None, None], grid, align_corners=False)[0, 0]
    parts = moved.split([len(m) for m in history.charts if m is not None])
    names = [name for name, m in history.charts._asdict().items() if m is not None]
    charts = ChartOutputs(**dict(zip(names, parts, strict=True)))
    return History(charts, weight * torch.from_numpy(trust).to(weight), box)


def blend(history: History | None, charts: ChartOutputs, box: FloatArray, most: float) -> History:
    """Mix a frame's maps into a history that was carried to it.

    Args:
        history: None: there is none.
        charts: maps of one person, each [C, S, S].
        box: where they lie.
        most: greatest share of the past, 0..1 (exclusive).

    Returns:
        The history with this frame. A pixel's past counts by the frames it has, and at most
        `most`; so the first frames of somebody are averaged evenly.
    """
    if history is None:
        return History(charts, torch.ones_like(charts.coarse_segm[0]), box)
    past = history.weight.clamp(max=most / (1 - most))
    share = past / (past + 1)
    mixed = {
        name: now + share * (then - now)
        for (name, now), then in zip(charts._asdict().items(), history.charts, strict=True)
        if now is not None
    }
    return History(ChartOutputs(**mixed), past + 1, box)
