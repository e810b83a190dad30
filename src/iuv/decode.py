"""Read-out: from raw chart maps and a box to labels, U and V for each pixel of the box.

The definition is simple: resample all maps to the box bilinearly, take the arg-max of coarse and
fine segmentation, and where both say "person" read U and V of the winning part. Done literally,
most of the work is thrown away. On processors, `iuv.readout` does what is needed only. Elsewhere
the work goes to many small cores at once, and

* bilinear resampling is two small matrix products, one per axis;
* only the segmentation is resampled whole; U, V and confidences are interpolated for the winning
  part of each foreground pixel alone;
* rows are handled in bands, so that memory does not grow with the box.

S: side of the maps. C: channels. h, w: box size in whole pixels. n: foreground pixels of a band.
Parity with Detectron2's chart result converter; `iuv.bench.plain` has the literal form.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from iuv.readout import read_out_cells
from iuv.results import CONFIDENCE_FIELDS, ChartOutputs, People, Person

__all__ = ["box_to_pixels", "decode_people", "read_out"]

_BAND_PIXELS = 1 << 19


def box_to_pixels(box_xyxy: np.ndarray) -> tuple[int, int, int, int]:
    """Return a box as whole pixels x, y, w, h: each truncated on its own, w and h at least 1."""
    x0, y0, x1, y1 = np.asarray(box_xyxy, dtype=np.float32)
    return int(x0), int(y0), max(int(x1 - x0), 1), max(int(y1 - y0), 1)


def decode_people(
    charts: ChartOutputs,
    boxes: Tensor,
    scores: Tensor,
    classes: Tensor,
    image_size: tuple[int, int],
) -> People:
    """Turn the outputs for one image into `People`.

    Args:
        charts: raw maps of N people.
        boxes: float32 [N, 4] xyxy in pixels of the image.
        scores: float32 [N], descending.
        classes: int64 [N], 0..K-1.
        image_size: (height, width) of the image.
    """
    persons = []
    rows = zip(boxes.cpu().numpy(), scores.tolist(), classes.tolist(), strict=True)
    for index, (box, score, class_index) in enumerate(rows):
        box_xywh = box_to_pixels(box)
        fields = read_out(charts.at(index), height=box_xywh[3], width=box_xywh[2])
        persons.append(
            Person(
                image_size=image_size,
                box_xyxy=box,
                score=score,
                box_xywh=box_xywh,
                class_index=class_index,
                track=None,
                **{name: value.cpu().numpy() for name, value in fields.items()},
            )
        )
    return People(image_size, tuple(persons))


def read_out(maps: ChartOutputs, *, height: int, width: int) -> dict[str, Tensor]:
    """Decode one person.

    Args:
        maps: raw maps of the person, each [C, S, S].
        height: h of the box, at least 1.
        width: w of the box, at least 1.

    Returns:
        ``labels`` uint8 [h, w], ``uv`` float32 [2, h, w], and float32 [h, w] for each confidence
        the model has. U, V and the confidences of parts are 0 on the background.
    """
    if maps.u.device.type == "cpu":
        fields = read_out_cells(maps, height=height, width=width)
        return {name: torch.from_numpy(value) for name, value in fields.items()}
    return _read_out_bands(maps, height, width)


def _read_out_bands(maps: ChartOutputs, height: int, width: int) -> dict[str, Tensor]:
    confidences = {name: getattr(maps, name) for name in CONFIDENCE_FIELDS}
    confidences = {name: m for name, m in confidences.items() if m is not None}
    per_part = {"u": maps.u, "v": maps.v}
    per_part |= {name: m for name, m in confidences.items() if len(m) > 1}

    rows, cols = _Axis.of(height, maps.u), _Axis.of(width, maps.u)
    coarse = maps.coarse_segm @ cols.matrix.T  # [2 or 15, S, w]
    fine = maps.fine_segm @ cols.matrix.T  # [25, S, w]
    labels = torch.empty((height, width), dtype=torch.int64, device=maps.u.device)
    values = maps.u.new_zeros((len(per_part), height, width))
    band = max(1, _BAND_PIXELS // width)
    for top in range(0, height, band):
        weights = rows.matrix[top : top + band]
        person = (weights @ coarse).max(0).indices > 0
        labels[top : top + band] = (weights @ fine).max(0).indices * person
        y, x = labels[top : top + band].nonzero(as_tuple=True)
        y = y + top
        offset = labels[y, x] * maps.u[0].numel()
        corners, weights = _corners(rows, cols, y, x)
        for plane, part_maps in zip(values, per_part.values(), strict=True):
            plane[y, x] = (part_maps.take(corners + offset) * weights).sum(0)

    planes = dict(zip(per_part, values, strict=True))
    for name, m in confidences.items():
        if name not in planes:  # one channel: the whole map, background included
            planes[name] = rows.matrix @ m[0] @ cols.matrix.T
    return {
        "labels": labels.to(torch.uint8),
        "uv": values[:2],
        **{name: planes[name] for name in confidences},
    }


class _Axis(NamedTuple):
    """Bilinear resampling of one axis of a map, with half-pixel centres; L output pixels."""

    lower: Tensor  # int64 [L], the neighbour before each output pixel
    upper: Tensor  # int64 [L], the neighbour after it
    fraction: Tensor  # float32 [L], distance from lower
    matrix: Tensor  # float32 [L, S], the resampling as a matrix

    @classmethod
    def of(cls, length: int, like: Tensor) -> _Axis:
        """Resample maps [..., S, S] such as `like` to `length` pixels."""
        side = like.shape[-1]
        pixels = torch.arange(length, dtype=like.dtype, device=like.device)
        points = ((pixels + 0.5) * (side / length) - 0.5).clamp(min=0)
        lower = points.floor().long()
        upper = (lower + 1).clamp(max=side - 1)
        fraction = points - lower
        grid = torch.arange(side, device=like.device)
        matrix = (lower[:, None] == grid) * (1 - fraction)[:, None]
        matrix += (upper[:, None] == grid) * fraction[:, None]
        return cls(lower, upper, fraction, matrix)


def _corners(rows: _Axis, cols: _Axis, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Flat positions and weights [4, n] of the neighbours of output pixels (y[i], x[i])."""
    side = cols.matrix.shape[1]
    near, far = rows.lower[y] * side, rows.upper[y] * side
    left, right = cols.lower[x], cols.upper[x]
    down, across = rows.fraction[y], cols.fraction[x]
    corners = torch.stack([near + left, near + right, far + left, far + right])
    up, back = 1 - down, 1 - across
    return corners, torch.stack([up * back, up * across, down * back, down * across])
