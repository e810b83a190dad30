"""People for tests: the two of the golden drawings, and simple ones of any size."""

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


def make_person(
    box_xywh=(1, 2, 3, 2), part=1, score=0.9, *, image_size=(6, 8), uv=(0.5, 0.25), **fields
) -> Person:
    """A person whose whole box is one part and one U, V; each may also be given per pixel."""
    x, y, w, h = box_xywh
    labels = np.broadcast_to(np.uint8(part), (h, w)).copy()
    maps = [np.broadcast_to(np.float32(values), (h, w)) for values in uv]
    return Person(
        **{
            "image_size": image_size,
            "box_xyxy": np.array([x, y, x + w, y + h], dtype=np.float32),
            "score": score,
            "box_xywh": box_xywh,
            "labels": labels,
            "uv": np.stack(maps) * (labels > 0),
            **fields,
        }
    )


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
