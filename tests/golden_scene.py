"""The scene of tests/golden/training/chart_losses.json, as what the losses take."""

from __future__ import annotations

import functools
import json

import numpy as np
import torch

from hashing import GOLDEN, affine
from iuv.data.masks import decode_part_masks, decode_rle
from iuv.losses.detection import Samples
from iuv.results import ChartOutputs
from iuv.targets import PersonPoints, Targets

CHARTS = json.loads((GOLDEN / "training/chart_losses.json").read_text())
ARRAYS = dict(np.load(GOLDEN / "training/chart_intermediate.npz"))

Images = list[list[dict]]
"""The instances of each image, as in the file."""


def scene() -> Images:
    """A fresh copy, to be edited."""
    return json.loads(json.dumps([image["instances"] for image in CHARTS["scene"]["images"]]))


def targets_of(instances: list[dict]) -> Targets:
    people = [p for p, instance in enumerate(instances) for _ in instance.get("dp_x", [])]
    masked = [p for p, instance in enumerate(instances) if "dp_masks" in instance]
    part_mask_row = torch.full((len(instances),), -1)
    part_mask_row[masked] = torch.arange(len(masked))
    parts = [_part_mask(json.dumps(instances[p]["dp_masks"])) for p in masked]
    shapes = [i["gt_mask_rle"] for i in instances if "gt_mask_rle" in i]
    masks = [torch.from_numpy(decode_rle(shape).copy()) for shape in shapes]
    return Targets(
        boxes=boxes_of(instances, "gt_box_xyxy"),
        classes=torch.zeros(len(instances), dtype=torch.int64),
        annotated=torch.tensor(["dp_x" in i for i in instances], dtype=torch.bool),
        points=PersonPoints(
            torch.tensor(people, dtype=torch.int64),
            *(_points(instances, f"dp_{name}") for name in "xy"),
            _points(instances, "dp_I").long(),
            *(_points(instances, f"dp_{name}") for name in "UV"),
        ),
        part_masks=torch.from_numpy(np.array(parts, np.uint8).reshape(-1, 256, 256)),
        part_mask_row=part_mask_row,
        masks=torch.stack(masks) if masks else None,
        has_mask=torch.ones(len(instances), dtype=torch.bool) if masks else None,
    )


def samples_of(instances: list[dict]) -> Samples:
    """One box for each person."""
    rows = torch.arange(len(instances))
    boxes = boxes_of(instances, "proposal_box_xyxy")
    return Samples(boxes, torch.zeros_like(rows), rows, rows >= 0)


def boxes_of(instances: list[dict], name: str) -> torch.Tensor:
    return torch.tensor([i[name] for i in instances], dtype=torch.float32).reshape(-1, 4)


def outputs_of(
    fields: list[str], count: int, size: int, coarse_channels: int = 2
) -> dict[str, torch.Tensor]:
    """The golden's raw maps by name, as leaves."""
    maps = {}
    for name in fields:
        key = f"chart/{name}/{coarse_channels}" if name == "coarse_segm" else f"chart/{name}"
        channels = 1 if name.endswith("confidence") else 25
        channels = coarse_channels if name == "coarse_segm" else channels
        span = CHARTS["output_ranges"][name]
        shape = (count, channels, size, size)
        maps[name] = affine(key, shape, span["scale"], span["offset"]).requires_grad_()
    return maps


def chart_outputs(maps: dict[str, torch.Tensor]) -> ChartOutputs:
    """What the predictor makes of raw maps: logits are multiplied by their confidence."""
    fields = dict(maps)
    for segm in ("fine_segm", "coarse_segm"):
        raw = maps.get(f"{segm}_confidence")
        if raw is not None:
            fields[f"{segm}_confidence"] = torch.nn.functional.softplus(raw) + 0.01
            fields[segm] = maps[segm] * fields[f"{segm}_confidence"]
    return ChartOutputs(**fields)


@functools.cache
def _part_mask(masks: str) -> np.ndarray:
    return decode_part_masks(json.loads(masks))


def _points(instances: list[dict], name: str) -> torch.Tensor:
    return torch.tensor([v for i in instances for v in i.get(name, [])], dtype=torch.float32)
