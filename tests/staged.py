"""A network in three parts that finds what it is told."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from iuv.modeling.box_head import Boxes
from iuv.results import ChartOutputs


class Scripted:
    """Finds the boxes of a script, one entry per frame that is looked at; part 2 everywhere.

    The last entry is that of all later frames. A row is left, top, right, bottom, score.
    """

    def __init__(self, *script):
        self.script = script
        self.frame = -1
        self.finds = 0
        self.asked = []

    def look(self, image):
        self.frame += 1
        return SimpleNamespace(image_size=image.shape[:2], frame=self.frame)

    def looks(self, images, batch_size=1):
        yield from map(self.look, images)

    def find(self, look):
        self.finds += 1
        rows = self.script[min(look.frame, len(self.script) - 1)]
        boxes = torch.tensor([row[:4] for row in rows], dtype=torch.float32).reshape(-1, 4)
        scores = torch.tensor([row[4] for row in rows], dtype=torch.float32)
        return Boxes(boxes, scores, torch.zeros(len(rows), dtype=torch.int64))

    def charts_at(self, look, boxes):
        self.asked.append(boxes.numpy().copy())
        fine = torch.zeros(len(boxes), 25, 8, 8)
        fine[:, 2] = 5
        half = torch.full((len(boxes), 25, 8, 8), 0.5)
        return ChartOutputs(fine[:, [0, 2]], fine, half, half)
