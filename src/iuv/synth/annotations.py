"""What annotators would say of a rendered picture: boxes, masks, key points, points, part masks.

Everything is COCO's JSON, as `iuv.data.annotations` reads it. Pixel i spans i to i + 1.

Three grades, for what trains and scores best:

- Whoever shows at least `FEWEST_PIXELS` of the charts, in a box with a side of at least
  `SHORTEST_SIDE`, has everything.
- Who shows less has no points and no part masks, as there is nothing to see of parts, but a box and
  a mask: left out, they would be taught to be background.
- Of whom less than `HARDLY_SEEN` pixels show is a crowd of one, which neither training nor scoring
  looks at: nobody could tell what it is.

H, W: of the picture. h, w: of a person's box. n: pixels of a person on the charts. K: points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from iuv.bodyparts import MASK_PARTS, NUM_PARTS, PART_TO_MASK, PARTS
from iuv.data.masks import PART_MASK_SIZE
from iuv.synth.render import Frame

__all__ = [
    "CATEGORY",
    "FEWEST_PIXELS",
    "HARDLY_SEEN",
    "KEYPOINTS",
    "SHORTEST_SIDE",
    "annotate",
]

KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
    "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
"""COCO's, in its order."""

CATEGORY: dict[str, Any] = {
    "id": 1,
    "name": "person",
    "supercategory": "person",
    "keypoints": list(KEYPOINTS),
    "skeleton": [
        [16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9],
        [8, 10], [9, 11], [2, 3], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7],
    ],
}  # fmt: skip
"""The only category."""

FEWEST_PIXELS = 100
SHORTEST_SIDE = 24
HARDLY_SEEN = 16

_SPECK = 1 / 200  # of a person: annotators overlook smaller pieces
_POINTS = (100, 180)
_FEW = 4  # points of each part that is seen: 24 parts need no more than there are
_MASK_OF_PART = np.array(PART_TO_MASK, np.uint8)
# metres from the surface to what lies below it: a key point is seen if the surface above it is
_BELOW = np.array([0.03] * 5 + [0.12] * 2 + [0.07] * 2 + [0.06] * 2 + [0.16] * 2 + [0.10] * 4)
# [17, 25], per part: whatever its depth, nobody's knee is seen through the other one
_OTHER_SIDE = np.array(
    [
        [False, *(part.side not in ("both", name.partition("_")[0]) for part in PARTS)]
        for name in KEYPOINTS
    ]
)
_OTHER_SIDE[:5] = False  # a face is seen from the side

_Bytes = npt.NDArray[np.uint8]
_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]
_Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What is seen of a person, in the tight box around it."""

    left: int
    top: int
    mask: _Bools
    """[h, w]"""
    part: _Bytes
    """[h, w], 1..24; 0 where it is somebody else, or none of the charts."""
    uv: npt.NDArray[np.float32]
    """[2, h, w]"""


def annotate(
    frame: Frame, keypoints: list[_Floats], rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Return COCO's annotation of everybody who is seen; its id is the person's number, from 1.

    Args:
        frame: the picture and what is seen in it.
        keypoints: of each person of the scene, [3, 17]: column and row, 0 being the centre of the
            first pixel, and depth in metres.
        rng: says which points are chosen.
    """
    annotations = []
    for number, places in enumerate(keypoints, start=1):
        seen = _look(frame, number)
        if seen is not None:
            about = _describe(frame, seen, _keypoints(frame, number, places), rng)
            annotations.append({"id": number} | about)
    return annotations


def _look(frame: Frame, number: int) -> _Seen | None:
    everything = frame.instance == number
    if not everything.any():
        return None
    top, left, mask = _cut(everything)
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] >= _SPECK * np.count_nonzero(mask)
    large[0] = False  # the background
    inner_top, inner_left, mask = _cut(large[pieces])
    top, left = top + inner_top, left + inner_left
    rows, columns = (slice(at, at + size) for at, size in zip((top, left), mask.shape, strict=True))
    return _Seen(
        left=left,
        top=top,
        mask=mask,
        part=np.where(mask, frame.part[rows, columns], 0).astype(np.uint8),
        uv=frame.uv[:, rows, columns],
    )


def _cut(mask: _Bools) -> tuple[int, int, _Bools]:
    """Top and left of the tight box around a mask, and what is in it."""
    (rows,), (columns,) = (np.nonzero(mask.any(axis=axis)) for axis in (1, 0))
    top, left = int(rows[0]), int(columns[0])
    return top, left, mask[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]


def _describe(
    frame: Frame, seen: _Seen, keypoints: list[float], rng: np.random.Generator
) -> dict[str, Any]:
    height, width = seen.mask.shape
    area = int(np.count_nonzero(seen.mask))
    annotation: dict[str, Any] = {
        "category_id": CATEGORY["id"],
        "bbox": [float(value) for value in (seen.left, seen.top, width, height)],
        "area": float(area),
        "iscrowd": int(area < HARDLY_SEEN),
        "segmentation": _outline(seen, frame.instance.shape),
        "num_keypoints": sum(visibility > 0 for visibility in keypoints[2::3]),
        "keypoints": keypoints,
    }
    if np.count_nonzero(seen.part) >= FEWEST_PIXELS and max(height, width) >= SHORTEST_SIDE:
        annotation |= _points(seen, rng)
        annotation["dp_masks"] = _part_masks(seen)
    return annotation


def _outline(seen: _Seen, size: tuple[int, ...]) -> dict[str, Any]:
    whole = np.zeros(size, np.uint8, order="F")
    height, width = seen.mask.shape
    whole[seen.top : seen.top + height, seen.left : seen.left + width] = seen.mask
    return _as_json(coco_mask.encode(whole))


def _part_masks(seen: _Seen) -> list[Any]:
    """The mask parts 1..14 in the frame of the box, `[]` where nothing is seen of one."""
    rows, columns = (
        ((np.arange(PART_MASK_SIZE) + 0.5) * (size / PART_MASK_SIZE)).astype(np.int64)
        for size in seen.mask.shape
    )
    # column by column, as run lengths go
    labels = _MASK_OF_PART[seen.part.T][columns[:, None], rows]
    shown = np.flatnonzero(np.bincount(labels.ravel(), minlength=len(MASK_PARTS) + 1)[1:]) + 1
    masks = (labels == shown[:, None, None]).astype(np.uint8).transpose(2, 1, 0)
    result: list[Any] = [[] for _ in MASK_PARTS]
    for part, mask in zip(shown.tolist(), coco_mask.encode(masks), strict=True):
        result[part - 1] = _as_json(mask)
    return result


def _as_json(mask: dict[str, Any]) -> dict[str, Any]:
    return {"size": [int(side) for side in mask["size"]], "counts": mask["counts"].decode("ascii")}


def _points(seen: _Seen, rng: np.random.Generator) -> dict[str, list[Any]]:
    """Points at centres of pixels, spread over every part that is seen."""
    rows, columns = np.nonzero(seen.part)
    parts = seen.part[rows, columns]
    wanted = min(int(rng.integers(_POINTS[0], _POINTS[1] + 1)), len(parts))
    counts = _share_out(np.bincount(parts, minlength=NUM_PARTS + 1), wanted)
    # neighbours on the curve are neighbours in the picture: one of each stretch of it is spread
    order = np.lexsort((_along_z_curve(rows, columns), parts))
    starts = np.searchsorted(parts[order], np.arange(NUM_PARTS + 2))
    chosen = [
        start + _one_of_each(end - start, count, rng)
        for start, end, count in zip(starts, starts[1:], counts, strict=False)
    ]
    at = order[np.concatenate(chosen)]
    height, width = seen.mask.shape
    u, v = seen.uv[:, rows[at], columns[at]].astype(np.float64)
    return {
        "dp_x": np.round((columns[at] + 0.5) * (PART_MASK_SIZE / width), 3).tolist(),
        "dp_y": np.round((rows[at] + 0.5) * (PART_MASK_SIZE / height), 3).tolist(),
        "dp_I": parts[at].tolist(),
        "dp_U": np.round(u, 5).tolist(),
        "dp_V": np.round(v, 5).tolist(),
    }


def _share_out(pixels: _Ints, wanted: int) -> list[int]:
    """How many points each label gets, [25], of as many in all as there are wanted.

    Few each, the rest by the root of its pixels: annotators gave all parts about as many, but what
    is scored on photos is pixels. (Sainte-Laguë: the next one goes to who is shortest of them.)
    """
    pixels = np.concatenate([[0], pixels[1:]])
    counts = np.minimum(pixels, _FEW)
    left = max(wanted - int(counts.sum()), 0)
    # the next one goes to the largest quotient; no label gets more of them than it has pixels
    step = np.arange(left)
    quotients = np.sqrt(pixels)[:, None] / (counts[:, None] + step + 0.5)
    quotients[counts[:, None] + step >= pixels[:, None]] = 0
    first = np.argsort(-quotients, axis=None, kind="stable")[:left]
    counts += np.bincount(first // max(left, 1), minlength=len(counts))
    result: list[int] = counts.tolist()
    return result


def _along_z_curve(rows: _Ints, columns: _Ints) -> _Ints:
    """The bits of rows and columns in turns."""
    return (_spread_bits(rows) << 1) | _spread_bits(columns)


def _spread_bits(values: _Ints) -> _Ints:
    """0 between all bits of numbers below 2^16."""
    for shift, kept in ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
        values = (values | (values << shift)) & kept
    return values


def _one_of_each(length: int, count: int, rng: np.random.Generator) -> _Ints:
    """A random index of each of so many stretches of 0..length - 1."""
    edges = np.arange(count + 1) * length // max(count, 1)
    return edges[:-1] + (rng.random(count) * np.diff(edges)).astype(np.int64)


def _keypoints(frame: Frame, number: int, places: _Floats) -> list[float]:
    """COCO's x, y, visibility of each: 2 seen, 1 hidden, if only by the own body, 0 outside."""
    x, y, depth = places
    height, width = frame.instance.shape
    safe = (np.clip(np.rint(x), -1, width), np.clip(np.rint(y), -1, height))
    columns, rows = (value.astype(np.int64) for value in safe)
    inside = (depth > 0) & (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    at = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    # the deepest of the person's own surface around: ears are at the edge
    own = np.where(frame.instance == number, frame.depth, -1).astype(np.float32)
    surface = np.asarray(cv2.dilate(own, np.ones((3, 3), np.uint8)))[at]
    is_own = frame.instance[at] == number
    covered = np.where(is_own, _OTHER_SIDE[range(17), frame.part[at]], frame.depth[at] < depth)
    seen = inside & (surface > 0) & (depth < surface + _BELOW) & ~covered
    # at most half a pixel: what is in the picture is at a pixel of it
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    numbers = np.stack([np.round(x, 1), np.round(y, 1), np.where(seen, 2.0, 1.0)], axis=1)
    numbers[~inside] = 0
    result: list[float] = numbers.ravel().tolist()
    return result
