"""The two synthetic people of the golden drawings, as results."""

from __future__ import annotations

import numpy as np
from PIL import Image

from hashing import GOLDEN
from iuv.results import People, Person

VIS = GOLDEN / "vis"


def photo() -> np.ndarray:
    return np.array(Image.open(GOLDEN / "person_small.png").convert("RGB"))


def picture(name: str) -> np.ndarray:
    return np.array(Image.open(VIS / f"{name}.png").convert("RGB"))


def sample_people(which: str = "inside") -> People:
    """``inside``: U and V within 0..1; ``outside``: from -0.35 to 1.3."""
    with np.load(VIS / "vis.npz") as z:
        size = z["gray_canvas_bgr"].shape[:2]
        persons = [
            Person(
                image_size=size,
                box_xyxy=np.concatenate([box[:2], box[:2] + box[2:]]),
                score=float(score),
                box_xywh=tuple(int(v) for v in box),
                labels=z[f"{which}_{i}_labels"],
                uv=z[f"{which}_{i}_uv"],
            )
            for i, (box, score) in enumerate(zip(z["boxes_xywh"], z["scores"], strict=True))
        ]
    return People(size, tuple(persons))
