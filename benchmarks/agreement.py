"""How far precisions and engines are from eager fp32, on photos and with trained weights.

    python benchmarks/agreement.py FOLDER [--model synth-S] [--images 100]
                                   [--forms openvino:int8,onnxruntime:int8] [--calibrate DIR]

People: found by the reference, found by the form, and by both (boxes overlap by half or more).
Shift: of the farthest side of a box that both found, in pixels of the photo. Labels: pixels of the
reference's boxes with the same part, background included, both read in the reference's boxes;
and the same where the reference sees a person.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

import iuv
from iuv.decode import decode_people
from iuv.image_files import is_image_file
from iuv.modeling.box_head import Boxes
from iuv.ops.boxes import iou_matrix
from iuv.predictor import Predictor
from iuv.results import People


def labels_in(predictor: Predictor, photo: Path, found: Boxes) -> People:
    """People in given boxes."""
    look = predictor.look(photo)
    maps = predictor.charts_at(look, found.boxes)
    return decode_people(maps, *found, look.image_size)


def shifts(reference: torch.Tensor, other: torch.Tensor) -> list[float]:
    """Of each box of the reference that has a partner, how far its farthest side moved."""
    if not (len(reference) and len(other)):
        return []
    best, partner = iou_matrix(reference, other).max(dim=1)
    moved = (reference - other[partner]).abs().amax(dim=1)
    return [float(m) for m in moved[best >= 0.5]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="synth-S")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--forms", default="openvino:int8,onnxruntime:int8")
    parser.add_argument("--calibrate", type=Path)
    options = parser.parse_args()
    photos = [path for path in sorted(options.folder.rglob("*")) if is_image_file(path)]
    photos = photos[: options.images]
    reference = iuv.load(options.model, engine="eager", device="cpu")
    print("form                 people: both  of  and  shift<1  median    95 %  labels  on people")
    for form in options.forms.split(","):
        engine, precision = form.split(":")
        calibration = options.calibrate if precision == "int8" else None
        predictor = iuv.load(
            options.model,
            engine=engine,
            precision=precision,
            calibration=calibration,
            device="cpu",
        )
        moved: list[float] = []
        ours = theirs = 0
        equal: list[np.ndarray] = []
        on_people: list[np.ndarray] = []
        for photo in photos:
            found = reference.find(reference.look(photo))
            other = predictor.find(predictor.look(photo))
            ours, theirs = ours + len(found.boxes), theirs + len(other.boxes)
            moved += shifts(found.boxes, other.boxes)
            if len(found.boxes):
                for a, b in zip(
                    labels_in(reference, photo, found),
                    labels_in(predictor, photo, found),
                    strict=True,
                ):
                    same = a.labels == b.labels
                    equal.append(same.ravel())
                    on_people.append(same[a.labels > 0])
        far = np.array(moved)
        print(
            f"{form:22s} {len(moved):11d} {ours:4d} {theirs:4d} {(far < 1).mean():8.1%} "
            f"{np.median(far):7.2f} {np.percentile(far, 95):7.2f} "
            f"{np.concatenate(equal).mean():7.1%} {np.concatenate(on_people).mean():9.1%}"
        )


if __name__ == "__main__":
    main()
