"""Results as .npz: everything the model said, in plain numpy arrays.

N people, k = 0 .. N-1, best score first; h x w is a person's box. ``image_size`` int32 [2] (H, W),
``boxes_xyxy`` float32 [N, 4], ``scores`` float32 [N]; for each k ``box_xywh_k`` int32 [4],
``labels_k`` uint8 [h, w], ``uv_k`` float32 [2, h, w], and those confidences the model has, such as
``sigma_2_k`` float32 [h, w]. ``classes`` int32 [N] only if somebody's is not 0; ``tracks`` int32
[N], numbers from 1, only if the people are those of a video.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from iuv.results import CONFIDENCE_FIELDS, People, Person
from iuv.writers.atomic import atomic_write
from iuv.writers.errors import reading

__all__ = ["read_npz", "write_npz"]


def write_npz(path: str | os.PathLike[str], people: People) -> None:
    """Write the people of one image; without people there are no per-person entries.

    Raises:
        OSError: the file cannot be written.
    """
    arrays: dict[str, Any] = {
        "image_size": np.array(people.image_size, dtype=np.int32),
        "boxes_xyxy": people.boxes_xyxy.astype(np.float32, copy=False),
        "scores": people.scores,
    }
    classes = [person.class_index for person in people]
    if any(classes):
        arrays["classes"] = np.array(classes, dtype=np.int32)
    tracks = [person.track or 0 for person in people]
    if any(tracks):
        arrays["tracks"] = np.array(tracks, dtype=np.int32)
    for k, person in enumerate(people):
        arrays[f"box_xywh_{k}"] = np.array(person.box_xywh, dtype=np.int32)
        arrays[f"labels_{k}"] = person.labels
        for name, values in {"uv": person.uv, **person.confidences()}.items():
            arrays[f"{name}_{k}"] = values.astype(np.float32, copy=False)
    with atomic_write(path) as file:
        np.savez_compressed(file, **arrays)


def read_npz(path: str | os.PathLike[str]) -> People:
    """Read back what `write_npz` wrote. The file is data: nothing in it is executed.

    Raises:
        ResultFileError: the file does not hold results.
        OSError: the file cannot be read.
    """
    with (
        reading(path, "an .npz of results as iuv writes it"),
        open(path, "rb") as file,
        np.load(file, allow_pickle=False) as arrays,
    ):
        height, width = arrays["image_size"].tolist()
        count = len(arrays["scores"])
        persons = [_person(arrays, k, (height, width)) for k in range(count)]
        return People((height, width), tuple(persons))


def _person(arrays: Any, k: int, image_size: tuple[int, int]) -> Person:
    x, y, w, h = arrays[f"box_xywh_{k}"].tolist()
    return Person(
        image_size=image_size,
        box_xyxy=arrays["boxes_xyxy"][k],
        score=float(arrays["scores"][k]),
        box_xywh=(x, y, w, h),
        labels=arrays[f"labels_{k}"],
        uv=arrays[f"uv_{k}"],
        class_index=int(arrays["classes"][k]) if "classes" in arrays else 0,
        track=(int(arrays["tracks"][k]) or None) if "tracks" in arrays else None,
        **{name: arrays[f"{name}_{k}"] for name in CONFIDENCE_FIELDS if f"{name}_{k}" in arrays},
    )
