"""Read-out: from raw chart maps and a box to labels, U and V for each pixel of the box.

The definition is simple: resample all maps to the box bilinearly, take the arg-max of coarse and
fine segmentation, and where both say "person" read U and V of the winning part. Done literally,
most of the work is thrown away.

On processors, what is certain is copied and what is not is blended. A cell is the square between
four neighbouring values of a map. Bilinear weights are convex: where one part wins at all four
corners of a cell, it wins everywhere in it. So the labels of most pixels are known from the small
maps, and U and V there are those of one small map, made of the winners' values, that is resampled
once. Only pixels in cells at borders of parts are blended part by part, and only of the parts that
can win there: one whose best corner is below another's worst cannot. If most cells are such
(noise), the scores of all parts are resampled instead.

Elsewhere (GPUs) all pixels are treated alike: resampling is two small matrix products, one per
axis, and U, V and confidences are interpolated for the winning part alone.

Both go through the rows in bands, so that memory does not grow with the box. Both equal the literal
form, `iuv.bench.plain`, but for rounding: a label may differ where two channels are within 1e-5 of
each other, relative to the largest value around. Parity with Detectron2's chart result converter.

S: side of the maps. C: channels. h, w: box size in whole pixels. K: fields with a channel per part.
B: undecided pixels of a band; n: its foreground pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from iuv.results import CONFIDENCE_FIELDS, ChartOutputs, People, Person

__all__ = ["box_to_pixels", "decode_people", "read_out"]

_BAND_PIXELS = 1 << 18
_MANY = 0.3  # of the pixels: resampling every part costs less than choosing among some of them
_UNDECIDED = 255

_Floats = npt.NDArray[np.float32]
_Labels = npt.NDArray[np.uint8]


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
        maps: raw maps of the person, float32, each [C, S, S].
        height: h of the box, at least 1.
        width: w of the box, at least 1.

    Returns:
        ``labels`` uint8 [h, w], ``uv`` float32 [2, h, w], and float32 [h, w] for each confidence
        the model has. U, V and the confidences of parts are 0 on the background.
    """
    confidences = {name: getattr(maps, name) for name in CONFIDENCE_FIELDS}
    confidences = {name: m for name, m in confidences.items() if m is not None}
    per_part = {"u": maps.u, "v": maps.v}
    per_part |= {name: m for name, m in confidences.items() if len(m) > 1}
    side, axes = maps.u.shape[-1], []
    for length in (height, width):
        pixels = torch.arange(length, dtype=maps.u.dtype, device=maps.u.device)
        points = ((pixels + 0.5) * (side / length) - 0.5).clamp(min=0)
        lower = points.floor().long()
        axes.append(_Axis(lower, (lower + 1).clamp(max=side - 1), points - lower, side))
    rows, cols = axes
    read = _read_cells if maps.u.device.type == "cpu" else _read_all
    labels, values = read(maps.coarse_segm, maps.fine_segm, list(per_part.values()), rows, cols)
    planes = dict(zip(per_part, values, strict=True))
    for name, m in confidences.items():
        if name not in planes:  # one channel: the whole map, background included
            planes[name] = rows.matrix() @ m[0] @ cols.matrix().T
    return {"labels": labels, "uv": values[:2], **{name: planes[name] for name in confidences}}


class _Axis(NamedTuple):
    """Bilinear resampling of one axis of maps, with half-pixel centres; L output pixels."""

    lower: Tensor  # int64 [L], the neighbour before each output pixel
    upper: Tensor  # int64 [L], the neighbour after it
    fraction: Tensor  # float32 [L], distance from lower
    side: int  # S

    def matrix(self) -> Tensor:
        """The resampling as a matrix, float32 [L, S]."""
        grid = torch.arange(self.side, device=self.lower.device)
        matrix = (self.lower[:, None] == grid) * (1 - self.fraction)[:, None]
        return matrix + (self.upper[:, None] == grid) * self.fraction[:, None]


def _read_all(
    coarse: Tensor, fine: Tensor, fields: Sequence[Tensor], rows: _Axis, cols: _Axis
) -> tuple[Tensor, Tensor]:
    """Return labels uint8 [h, w], and the values [K, h, w] of the winning parts, on any device."""
    down, across = rows.matrix(), cols.matrix().T
    coarse, fine = coarse @ across, fine @ across  # [2 or 15, S, w], [25, S, w]
    labels = fine.new_empty((len(down), across.shape[1]), dtype=torch.uint8)
    values = fine.new_zeros((len(fields), *labels.shape))
    band = max(1, _BAND_PIXELS // labels.shape[1])
    for top in range(0, len(labels), band):
        weights = down[top : top + band]
        person = (weights @ coarse).max(0).indices > 0
        labels[top : top + band] = (weights @ fine).max(0).indices * person
    _blend(labels, values, labels > 0, fields, (rows, cols))
    return labels, values


def _read_cells(
    coarse: Tensor, fine: Tensor, fields: Sequence[Tensor], rows: _Axis, cols: _Axis
) -> tuple[Tensor, Tensor]:
    """As `_read_all`, for maps in the processor's memory."""
    import cv2

    width, height, side = len(cols.lower), len(rows.lower), rows.side
    planes: list[_Floats] = []
    for m in (coarse, fine):
        pixels = m.permute(1, 2, 0).flatten(0, 1)  # [S * S, C]: a view, if channels are last
        copied = m.numpy() if m.is_contiguous() else cv2.transpose(pixels.numpy())
        planes.append(np.asarray(copied, np.float32).reshape(m.shape))
    (background, *others), scores = planes
    person = np.maximum.reduce([cv2.resize(plane, (width, height)) for plane in others])
    person = person > cv2.resize(background, (width, height))
    values = torch.zeros((len(fields), height, width), dtype=torch.float32, device="cpu")
    if height * width < side * side:  # fewer pixels than cells
        labels = torch.from_numpy(_winners(scores, (height, width)) * person)
        _blend(labels, values, labels > 0, fields, (rows, cols))
        return labels, values

    winners = _winners(scores, (side, side))
    around = np.pad(winners, ((0, 1), (0, 1)), mode="edge")
    agree = (winners == around[1:, 1:]) & (winners == around[1:, :-1])
    cells = np.where(agree & (winners == around[:-1, 1:]), winners, np.uint8(_UNDECIDED))
    known = cells.take(cols.lower.numpy(), axis=1).take(rows.lower.numpy(), axis=0) * person
    undecided = torch.from_numpy(known == _UNDECIDED)
    places = torch.from_numpy(winners).long()[None]
    for plane, field in zip(values.numpy(), fields, strict=True):
        cv2.resize(field.gather(0, places)[0].numpy(), (width, height), dst=plane)
    several: Tensor | None = torch.from_numpy(scores)
    if undecided.sum() > _MANY * undecided.numel():
        known, several = _winners(scores, (height, width)) * person, None
    labels = torch.from_numpy(known)
    _blend(labels, values, undecided, fields, (rows, cols), several)
    values *= labels > 0
    return labels, values


def _winners(planes: _Floats, size: tuple[int, int]) -> _Labels:
    """Return the first best channel of [C, S, S], resampled to a size, at each pixel."""
    import cv2

    best, resampled = np.full(size, -np.inf, np.float32), np.empty(size, np.float32)
    won, better = np.zeros(size, np.uint8), np.empty(size, bool)
    for channel, plane in enumerate(planes):
        cv2.resize(plane, size[::-1], dst=resampled)
        np.greater(resampled, best, out=better)
        np.maximum(resampled, best, out=best)
        # channels ascend, so that the later of two is the larger: quicker than assigning by a mask
        np.maximum(won, better.view(np.uint8) * np.uint8(channel), out=won)
    return won


def _blend(
    labels: Tensor,
    values: Tensor,
    undecided: Tensor,
    fields: Sequence[Tensor],
    axes: tuple[_Axis, _Axis],
    scores: Tensor | None = None,
) -> None:
    """Fill in the values [K, h, w] of undecided pixels; their labels too, if scores are given."""
    rows, cols = axes
    width = labels.shape[1]
    band = max(1, _BAND_PIXELS // width)
    for top in range(0, len(labels), band):
        places = undecided[top : top + band].flatten().nonzero().squeeze(1) + top * width  # [B]
        y = places.div(width, rounding_mode="floor")
        x = places - y * width
        near, far, down = (part.index_select(0, y) for part in rows[:3])
        left, right, across = (part.index_select(0, x) for part in cols[:3])
        near, far = near * rows.side, far * rows.side
        corners = torch.stack([near + left, near + right, far + left, far + right])  # [4, B]
        up, back = 1 - down, 1 - across
        weights = torch.stack([up * back, up * across, down * back, down * across])
        if scores is not None:
            chosen = _choose(scores.numpy(), corners.numpy(), weights.numpy())
            labels.put_(places, torch.from_numpy(chosen))
        won = labels.take(places).long()
        for plane, field in zip(values, fields, strict=True):
            if field.stride(1) != rows.side * field.stride(2):  # a part of a larger map
                field = field.contiguous()
            part, _, pixel = field.stride()
            span = (len(field) - 1) * part + (field[0].numel() - 1) * pixel + 1
            memory = field.as_strided((span,), (1,))  # whatever its layout, without a copy
            blended = memory.take(corners * pixel + won * part).mul_(weights).sum(0)
            plane.put_(places, blended)


def _choose(planes: _Floats, corners: npt.NDArray[np.int64], weights: _Floats) -> _Labels:
    """Return the first best channel of pixels [B]: scores [C, S, S], corners and weights [4, B]."""
    scores = planes.reshape(len(planes), -1)
    here = np.zeros(scores.shape[1], bool)
    here[corners[0]] = True  # a cell is known by its first corner
    cells = here.nonzero()[0]  # [number of cells]
    place = np.empty(len(here), np.int64)
    place[cells] = np.arange(len(cells))
    place = place.take(corners[0])  # [B]: in which of these cells a pixel is

    four = np.empty((4, len(cells)), np.int64)
    four[:, place] = corners
    around = scores.take(four, axis=1)  # [C, 4, cells]
    able = around.max(axis=1) >= around.min(axis=1).max(axis=0)
    cell, channel = able.T.nonzero()  # channels ascend within a cell
    around = around[channel, :, cell].T  # [4, pairs of a cell and a channel that can win in it]
    counts = able.sum(axis=0)
    first, counts = (counts.cumsum() - counts).take(place), counts.take(place)

    won: _Labels = channel.take(first).astype(np.uint8)
    best = (around.take(first, axis=1) * weights).sum(axis=0)
    for rank in range(1, int(counts.max(initial=1))):
        rivals = (counts > rank).nonzero()[0]
        pair = first.take(rivals) + rank
        score = (around.take(pair, axis=1) * weights.take(rivals, axis=1)).sum(axis=0)
        better = score > best.take(rivals)
        rivals = rivals[better]
        best[rivals], won[rivals] = score[better], channel.take(pair[better])
    return won
