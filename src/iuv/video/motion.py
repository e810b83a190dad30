"""How the picture moves from one frame to the next, seen person by person.

Boxes are xyxy in pixels of the frame. H x W: a frame. S: side of the square in which a region of it
is compared. Flow says, for a place in one frame, by how many pixels (x, y) it is elsewhere in the
other.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from iuv.results import ByteArray, FloatArray, Person

__all__ = ["Motion", "grey", "measure_motion", "moved_box", "sample_motion"]

_SIDE = 128  # people are compared at this size, however large they are
_MARGIN = 0.2  # of a box, around it: where somebody may have gone
_NOISE = 12.0  # grey levels; a larger difference means that something else is seen there
_SPECKLE = 5  # pixels of S; differences are averaged over so many, as single ones are noise
_GROWTH = 0.1  # a person grows or shrinks by at most this much between two frames
_ENOUGH = 16  # points that must agree to tell a motion


class Motion(NamedTuple):
    """Where each place of a region was in the other frame."""

    region: tuple[int, int, int, int]
    """Left, top, right, bottom: whole pixels."""
    flow: FloatArray
    """[S, S, 2], pixels (x, y) of the frame."""
    trust: FloatArray
    """[S, S], 0..1: how much both frames look alike there."""


def grey(image: ByteArray) -> ByteArray:
    """RGB uint8 [H, W, 3] → uint8 [H, W]."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def measure_motion(frame: ByteArray, other: ByteArray, box: FloatArray) -> Motion | None:
    """Find where what is seen in a box of `frame`, and a little around it, is in `other`.

    By dense inverse search (Kroeger et al., ECCV 2016), as OpenCV has it.

    Args:
        frame: uint8 [H, W].
        other: uint8 [H, W].
        box: float32 [4] xyxy.

    Returns:
        None if the box is too small, or outside the frame.
    """
    height, width = frame.shape
    x0, y0, x1, y1 = (float(value) for value in box)
    across, down = _MARGIN * (x1 - x0), _MARGIN * (y1 - y0)
    left, right = max(int(x0 - across), 0), min(int(np.ceil(x1 + across)), width)
    top, bottom = max(int(y0 - down), 0), min(int(np.ceil(y1 + down)), height)
    if right - left < 4 or bottom - top < 4:
        return None
    here, there = (
        cv2.resize(image[top:bottom, left:right], (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        for image in (frame, other)
    )
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow = search.calc(here, there, None)  # type: ignore[call-overload]  # None: no first guess
    steps = np.arange(_SIDE, dtype=np.float32)
    found = cv2.remap(
        there,
        flow[..., 0] + steps,
        flow[..., 1] + steps[:, None],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    difference = cv2.blur(cv2.absdiff(here, found).astype(np.float32), (_SPECKLE, _SPECKLE))
    scale = np.array([(right - left) / _SIDE, (bottom - top) / _SIDE], dtype=np.float32)
    return Motion(
        (left, top, right, bottom),
        np.asarray(flow * scale, dtype=np.float32),
        np.exp(-((difference / _NOISE) ** 2)).astype(np.float32),
    )


def sample_motion(motion: Motion, x: FloatArray, y: FloatArray) -> FloatArray:
    """Read a motion at places of the frame, x [n] and y [m], pixels: [m, n, 3] flow and trust.

    Outside the region, it is that of its border.
    """
    left, top, right, bottom = motion.region
    columns = (x - left) * (_SIDE / (right - left)) - 0.5
    rows = (y - top) * (_SIDE / (bottom - top)) - 0.5
    grid = np.meshgrid(columns.astype(np.float32), rows.astype(np.float32))
    fields = np.dstack([motion.flow, motion.trust])
    sampled = cv2.remap(fields, *grid, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled, dtype=np.float32)


def moved_box(box: FloatArray, motion: Motion | None, person: Person | None = None) -> FloatArray:
    """Return where a box goes: shifted and scaled as most of what it holds.

    Args:
        box: float32 [4] xyxy.
        motion: from the box's frame to the next; None: it stays.
        person: whose pixels count; None: all in the box.
    """
    if motion is None:
        return box
    points, shifts = _moving_points(box, motion, person)
    if len(points) < _ENOUGH:
        return box
    shift = np.median(shifts, axis=0)
    off = np.linalg.norm(shifts - shift, axis=1)
    near = off <= 2 * np.median(off) + 0.5  # limbs go their own ways
    points, shifts = points[near], shifts[near]
    centred = points - points.mean(axis=0)
    spread = float((centred**2).sum())
    growth = float((centred * (shifts - shifts.mean(axis=0))).sum()) / max(spread, 1e-6)
    growth = min(max(growth, -_GROWTH), _GROWTH)
    corners = box.reshape(2, 2)
    moved = corners + shift + growth * (corners - points.mean(axis=0))
    return np.asarray(moved, dtype=np.float32).reshape(4)


def _moving_points(
    box: FloatArray, motion: Motion, person: Person | None
) -> tuple[FloatArray, FloatArray]:
    """Places [n, 2] of somebody on a grid, and how they move, [n, 2]; untrusted ones left out."""
    steps = (np.arange(32, dtype=np.float32) + 0.5) / 32
    x, y = box[0] + steps * (box[2] - box[0]), box[1] + steps * (box[3] - box[1])
    sampled = sample_motion(motion, x, y)
    kept = sampled[..., 2] > 0.3
    if person is not None:
        left, top, width, height = person.box_xywh
        columns = np.clip(x - left, 0, width - 1).astype(int)
        rows = np.clip(y - top, 0, height - 1).astype(int)
        body = person.labels[np.ix_(rows, columns)] > 0
        if body.any():
            kept &= body
    points = np.dstack(np.meshgrid(x, y))[kept]
    return points.astype(np.float32), sampled[..., :2][kept]
