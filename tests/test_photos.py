"""The embedded model on two photos: it has seen nothing but synthetic people.

The outlines are drawn by hand. Neither photo decided anything in its training.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

import iuv
from iuv.bodyparts import PARTS
from iuv.results import Person

PHOTOS = Path(__file__).parent / "photos"
FILES = {
    "skier": PHOTOS / "skier.jpg",
    "astronaut": Path(iuv.__file__).parent / "demo" / "astronaut.jpg",
}
OUTLINES = json.loads((PHOTOS / "outlines.json").read_text(encoding="utf-8"))
LEAST_IOU = {"skier": 0.6, "astronaut": 0.6}

Labels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def found() -> dict[str, tuple[Person, Labels]]:
    """Photo → the best person, and the parts of the whole photo."""
    predict = iuv.load("synth-S")
    results = {}
    for name, file in FILES.items():
        people = predict(file)
        best = people.select("best")
        results[name] = best[0], best.label_map()
    return results


def centre(labels: Labels, *words: str, side: str = "") -> npt.NDArray[np.float64]:
    """x, y of the middle of all parts whose name contains one of the words."""
    wanted = [p.index for p in PARTS if any(w in p.name for w in words) and side in ("", p.side)]
    y, x = np.nonzero(np.isin(labels, wanted))
    assert len(x) > 30, f"there is next to nothing of {words} {side}"
    return np.array([x.mean(), y.mean()])


@pytest.mark.parametrize("photo", FILES)
def test_person_and_mask(photo, found):
    person, labels = found[photo]
    outline = np.array(OUTLINES[photo])
    truth = cv2.fillPoly(np.zeros(labels.shape, np.uint8), [outline], 1) > 0
    assert person.score > 0.5
    overlap = (truth & (labels > 0)).sum() / (truth | (labels > 0)).sum()
    assert overlap > LEAST_IOU[photo]


def test_upper_parts_are_above_lower_ones(found):
    _, skier = found["skier"]
    names = ("head", "torso", "thigh", ("calf", "shin"))
    heights = [centre(skier, *([n] if isinstance(n, str) else n))[1] for n in names]
    assert heights == sorted(heights)
    assert np.diff(heights).min() > 20
    _, astronaut = found["astronaut"]
    assert centre(astronaut, "head")[1] + 100 < centre(astronaut, "torso")[1]


def test_left_and_right(found):
    """Both look towards the camera, so that their right side is on the left of the photo."""
    _, skier = found["skier"]
    for part in (("thigh",), ("calf", "shin"), ("arm",)):
        assert centre(skier, *part, side="right")[0] < centre(skier, *part, side="left")[0]
    _, astronaut = found["astronaut"]
    assert centre(astronaut, "arm", side="right")[0] < centre(astronaut, "arm", side="left")[0]


def test_faces_the_camera(found):
    for _, labels in found.values():
        front, back = ((labels == part).sum() for part in (2, 1))
        assert front > 3 * back
