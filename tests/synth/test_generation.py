"""The pictures of a generation stay as they are: data sets that are continued depend on it."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from iuv.synth import dataset
from iuv.synth.dataset import Recipe, Sample

DIGESTS = {5: "96eaed09feabc94e"}
"""By `dataset._GENERATION`. Older ones need not be kept."""
SIZES = ((96, 128), (128, 96), (64, 64))


def digest() -> str:
    """Of some pictures, their dense ground truth and their annotations; not of JPEG's bytes."""
    sha = hashlib.sha256()
    for number, size in enumerate(SIZES):
        sample = Sample.make(Recipe(seed=7, size=size), number)
        frame = sample.frame
        for array in (frame.rgb, frame.part, frame.uv, frame.depth, frame.instance):
            sha.update(np.ascontiguousarray(array).tobytes())
        sha.update(json.dumps(sample.annotations).encode())
    return sha.hexdigest()[:16]


def test_pictures_change_with_the_generation_only():
    found = digest()
    if found != DIGESTS.get(dataset._GENERATION):
        pytest.fail(
            f"generation {dataset._GENERATION} has other pictures or annotations than "
            f"before, {found}: if that is meant, or another version of NumPy, SciPy or OpenCV does "
            "it, count _GENERATION up in iuv/synth/dataset.py and write the digest here; else it "
            "is a mistake"
        )
