"""Read-out: from raw chart maps and a box to labels, U and V for each pixel of the box.

The definition is simple: resample all maps to the box bilinearly, take the arg-max of coarse and
fine segmentation, and where both say "person" read U and V of the winning part. Done literally,
nearly all of the work is thrown away. Here

* the arg-max is taken at map resolution first. Bilinear weights are convex, so wherever the four
  neighbours of a pixel agree the answer is known; only pixels at borders blend all channels;
* U, V and confidences are interpolated for the winning part alone;
* rows are handled in bands, so that memory does not grow with the box.

S: side of the maps. C: channels. h, w: box size in whole pixels. n: pixels of a band.
Parity with Detectron2's chart result converter; `benchmarks/plain.py` has the literal form.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from iuv.results import CONFIDENCE_FIELDS, ChartOutputs, People, Person

__all__ = ["box_to_pixels", "decode_people", "read_out"]

_BAND_PIXELS = 1 << 19
_BLEND_PIXELS = 1 << 16


def box_to_pixels(box_xyxy: np.ndarray) -> tuple[int, int, int, int]:
    """Return a box as whole pixels x, y, w, h: each truncated on its own, w and h at least 1."""
    x0, y0, x1, y1 = np.asarray(box_xyxy, dtype=np.float32)
    return int(x0), int(y0), max(int(x1 - x0), 1), max(int(y1 - y0), 1)


def decode_people(
    charts: ChartOutputs, boxes: Tensor, scores: Tensor, image_size: tuple[int, int]
) -> People:
    """Turn the outputs for one image into `People`.

    Args:
        charts: raw maps of N people.
        boxes: float32 [N, 4] xyxy in pixels of the image.
        scores: float32 [N], descending.
        image_size: (height, width) of the image.
    """
    persons = []
    rows = zip(boxes.cpu().numpy(), scores.tolist(), strict=True)
    for index, (box, score) in enumerate(rows):
        box_xywh = box_to_pixels(box)
        fields = read_out(charts.at(index), height=box_xywh[3], width=box_xywh[2])
        persons.append(
            Person(
                image_size=image_size,
                box_xyxy=box,
                score=score,
                box_xywh=box_xywh,
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
    coarse, fine = _Segmentation.of(maps.coarse_segm), _Segmentation.of(maps.fine_segm)
    confidences = {name: getattr(maps, name) for name in CONFIDENCE_FIELDS}
    confidences = {name: m for name, m in confidences.items() if m is not None}
    per_part = {"u": maps.u, "v": maps.v}
    per_part |= {name: m for name, m in confidences.items() if len(m) > 1}

    labels = torch.zeros(height * width, dtype=torch.uint8, device=maps.u.device)
    values = maps.u.new_zeros((len(per_part), height * width))
    side = maps.u.shape[-1]
    band = max(1, _BAND_PIXELS // width)
    for top in range(0, height, band):
        rows = _Axis.of(top, min(top + band, height), height, side, maps.u)
        samples = _Samples.of(rows, _Axis.of(0, width, width, side, maps.u), side)
        person = coarse.argmax(samples).nonzero().squeeze(1)
        samples = samples.at(person)
        parts = fine.argmax(samples)
        inside = parts.nonzero().squeeze(1)
        samples, parts, pixels = samples.at(inside), parts[inside], person[inside] + top * width
        labels[pixels] = parts.to(torch.uint8)
        for row, part_maps in zip(values, per_part.values(), strict=True):
            row[pixels] = samples.interpolate(part_maps.flatten(), parts * side**2)

    planes = dict(zip(per_part, values.view(-1, height, width), strict=True))
    for name, m in confidences.items():
        if name not in planes:  # one channel: the whole map, background included
            planes[name] = F.interpolate(
                m[None], size=(height, width), mode="bilinear", align_corners=False
            )[0, 0]
    uv = values[:2].view(2, height, width)
    return {
        "labels": labels.view(height, width),
        "uv": uv,
        **{name: planes[name] for name in confidences},
    }


class _Axis(NamedTuple):
    """Where the pixels of a box fall on one axis of a map, with half-pixel centres."""

    lower: Tensor  # int64 [pixels]
    upper: Tensor  # int64 [pixels]
    fraction: Tensor  # float32 [pixels], distance from lower

    @classmethod
    def of(cls, start: int, stop: int, length: int, side: int, like: Tensor) -> _Axis:
        pixels = torch.arange(start, stop, dtype=like.dtype, device=like.device)
        points = ((pixels + 0.5) * (side / length) - 0.5).clamp(min=0)
        lower = points.floor()
        upper = (lower + 1).clamp(max=side - 1)
        return cls(lower.long(), upper.long(), points - lower)


class _Samples(NamedTuple):
    """Bilinear samples: for each pixel four positions in a flattened map, and their weights."""

    corners: Tensor  # int64 [4, n]
    weights: Tensor  # float32 [4, n]

    @classmethod
    def of(cls, rows: _Axis, cols: _Axis, side: int) -> _Samples:
        corners = [
            (y[:, None] * side + x).flatten()
            for y in (rows.lower, rows.upper)
            for x in (cols.lower, cols.upper)
        ]
        weights = [
            (y[:, None] * x).flatten()
            for y in (1 - rows.fraction, rows.fraction)
            for x in (1 - cols.fraction, cols.fraction)
        ]
        return cls(torch.stack(corners), torch.stack(weights))

    def at(self, pixels: Tensor) -> _Samples:
        return _Samples(self.corners[:, pixels], self.weights[:, pixels])

    def interpolate(self, flat_map: Tensor, offset: Tensor) -> Tensor:
        """Values [n] of a flattened map, each pixel's corners shifted by its `offset`."""
        return (flat_map[self.corners + offset] * self.weights).sum(0)


class _Segmentation(NamedTuple):
    """Logits of one segmentation, and their arg-max at map resolution."""

    logits: Tensor  # [C, S * S]
    winner: Tensor  # int64 [S * S]

    @classmethod
    def of(cls, logits: Tensor) -> _Segmentation:
        flat = logits.flatten(1)
        return cls(flat, flat.argmax(0))

    def argmax(self, samples: _Samples) -> Tensor:
        """Return int64 [n]: the arg-max over channels of the logits resampled at each pixel."""
        votes = self.winner[samples.corners]  # [4, n]
        labels = votes[0].clone()
        undecided = (votes[1:] != votes[0]).any(0).nonzero().squeeze(1)
        for pixels in undecided.split(_BLEND_PIXELS):
            corners, weights = samples.at(pixels)
            labels[pixels] = (self.logits[:, corners] * weights).sum(1).argmax(0)
        return labels
