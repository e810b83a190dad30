"""The plain form: the network and the read-out as they are defined, with nothing saved.

What the lean form must equal, and what it is measured against: batch norms apart, NCHW, the decoder
everywhere, all channels of all maps resampled. It is not Detectron2: both forms share our RoIAlign
and NMS.

N: people. S: side of a raw map. h, w: box size in whole pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from iuv.decode import box_to_pixels
from iuv.modeling.box_head import BOX_WEIGHTS, Boxes, select_boxes
from iuv.modeling.rcnn import RCNN
from iuv.ops.boxes import decode_deltas
from iuv.ops.roi_align import pool_pyramid
from iuv.results import CONFIDENCE_FIELDS, ChartOutputs, People, Person

__all__ = ["PlainRCNN", "plain_people", "plain_read_out"]


class PlainRCNN(RCNN):
    """`RCNN`, each step by its definition."""

    def pool_boxes(self, features: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """As `RCNN.pool_boxes`."""
        config = self.config.box
        return pool_pyramid(
            features[:4],
            boxes,
            pool_size=config.pool_size,
            sampling_ratio=config.sampling_ratio,
            aligned=config.aligned,
        )

    def detect_boxes(
        self, pooled: Tensor, proposals: Sequence[Tensor], sizes: Sequence[tuple[int, int]]
    ) -> list[Boxes]:
        """As `RCNN.detect_boxes`."""
        logits, deltas = self.box_head(pooled)
        boxes = decode_deltas(deltas, torch.cat(list(proposals)), BOX_WEIGHTS)
        counts = [len(image_proposals) for image_proposals in proposals]
        return [
            select_boxes(*outputs, self.config.box)
            for outputs in zip(logits.split(counts), boxes.split(counts), sizes, strict=True)
        ]

    def pool_people(self, features: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """As `RCNN.pool_people`, from the decoder's whole map."""
        config = self.config.dense
        return pool_pyramid(
            features[:4] if self.decoder is None else [self.decoder(features[:4])],
            boxes,
            pool_size=config.pool_size,
            sampling_ratio=config.sampling_ratio,
            aligned=config.aligned,
        )


def plain_people(
    charts: ChartOutputs,
    boxes: Tensor,
    scores: Tensor,
    classes: Tensor,
    image_size: tuple[int, int],
) -> People:
    """As `iuv.decode.decode_people`, by `plain_read_out`."""
    persons = []
    for index, box in enumerate(boxes.cpu().numpy()):
        box_xywh = box_to_pixels(box)
        fields = plain_read_out(charts.at(index), height=box_xywh[3], width=box_xywh[2])
        persons.append(
            Person(
                image_size=image_size,
                box_xyxy=box,
                score=float(scores[index]),
                box_xywh=box_xywh,
                class_index=int(classes[index]),
                track=None,
                **{name: value.cpu().numpy() for name, value in fields.items()},
            )
        )
    return People(image_size, tuple(persons))


def plain_read_out(maps: ChartOutputs, *, height: int, width: int) -> dict[str, Tensor]:
    """As `iuv.decode.read_out`, by resampling every channel of every map."""

    def resample(m: Tensor) -> Tensor:
        size = (height, width)
        return F.interpolate(m[None], size=size, mode="bilinear", align_corners=False)[0]

    foreground = resample(maps.coarse_segm).argmax(0) > 0
    labels = resample(maps.fine_segm).argmax(0) * foreground

    def of_winner(m: Tensor) -> Tensor:
        return resample(m).gather(0, labels[None])[0] * (labels > 0)

    fields = {
        "labels": labels.to(torch.uint8),
        "uv": torch.stack([of_winner(maps.u), of_winner(maps.v)]),
    }
    for name in CONFIDENCE_FIELDS:
        m = getattr(maps, name)
        if m is not None:
            fields[name] = of_winner(m) if len(m) > 1 else resample(m)[0]
    return fields
