"""Images and targets equal the reference's, and rotation does what the reference meant."""

import dataclasses
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from golden_data import ANNOTATIONS, FOLDER, golden
from hashing import uniform
from iuv.data.datasets import load_dataset
from iuv.data.records import Annotation, DataError, ImageRecord, Points
from iuv.data.symmetry import UVSymmetry
from iuv.data.transforms import Augmentation, draw_augmentation, prepare
from iuv.images import read_image
from iuv.training_config import AugmentConfig

RUNS = golden("mapper")
EXACT = [name for name, run in RUNS.items() if run.get("rotation_angle", 0) % 360 == 0]
ROTATED = [name for name in RUNS if name not in EXACT]


@pytest.fixture(scope="module")
def symmetry():
    half = np.float32(0.5)
    return UVSymmetry(*(uniform(f"sym/{axis}", (24, 256, 256)) * half + half for axis in "UV"))


@pytest.fixture(scope="module")
def records():
    dataset = load_dataset(ANNOTATIONS)
    return {record.id: record for record in dataset.images}


@pytest.fixture(scope="module")
def arrays():
    with np.load(FOLDER / "data_mapper.npz") as data:
        return dict(data)


def run_of(name, records, symmetry):
    run = RUNS[name]
    record = records[run["image_id"]]
    augmentation = Augmentation(
        run["min_size"], run["max_size"], bool(run["flip"]), run["rotation_angle"]
    )
    return prepare(
        record,
        read_image(record.path),
        augmentation,
        symmetry=symmetry,
        with_masks=run["masks_needed"],
    )


def sha256_of_bgr(image):
    return hashlib.sha256(np.ascontiguousarray(image[..., ::-1]).tobytes()).hexdigest()


def points_of(targets, person):
    """x, y, i, u, v of one person."""
    theirs = targets.points.person == person
    return [
        getattr(targets.points, field)[theirs].numpy() for field in ("x", "y", "labels", "u", "v")
    ]


@pytest.mark.parametrize("name", [name for name in EXACT if "image_hw" in RUNS[name]])
def test_images_equal_the_reference(records, symmetry, name):
    image, _ = run_of(name, records, symmetry)
    assert list(image.shape[:2]) == RUNS[name]["image_hw"]
    assert sha256_of_bgr(image) == RUNS[name]["image_sha256_of_hwc_bgr_uint8"]


@pytest.mark.parametrize("name", [name for name in ROTATED if "image_hw" in RUNS[name]])
def test_rotated_images_equal_the_reference(records, symmetry, arrays, name):
    image, _ = run_of(name, records, symmetry)
    assert list(image.shape[:2]) == RUNS[name]["image_hw"]
    assert image.mean() == pytest.approx(RUNS[name]["image_mean"], abs=0.1)
    if f"{name}/image" in arrays:  # OpenCV's builds differ by a grey level
        np.testing.assert_allclose(image[..., ::-1], arrays[f"{name}/image"].astype(int), atol=1)


@pytest.mark.parametrize("name", [name for name in RUNS if "gt_classes" in RUNS[name]])
def test_boxes_and_masks_equal_the_reference(records, symmetry, arrays, name):
    _, targets = run_of(name, records, symmetry)
    assert targets.classes.tolist() == RUNS[name]["gt_classes"]
    np.testing.assert_allclose(targets.boxes, arrays[f"{name}/gt_boxes"], rtol=0, atol=2e-5)
    if f"{name}/gt_masks" in arrays:
        assert targets.has_mask.all()
        np.testing.assert_array_equal(targets.masks, arrays[f"{name}/gt_masks"])


@pytest.mark.parametrize("name", [name for name in EXACT if "gt_densepose" in RUNS[name]])
def test_points_and_part_masks_equal_the_reference(records, symmetry, arrays, name):
    _, targets = run_of(name, records, symmetry)
    expected = RUNS[name]["gt_densepose"]
    assert targets.annotated.tolist() == [person is not None for person in expected]
    for person, points in enumerate(expected):
        for ours, field in zip(points_of(targets, person), "xyiuv", strict=True):
            wanted = [] if points is None else points[field]
            np.testing.assert_array_equal(ours, np.array(wanted, np.float32), field)
        row = targets.part_mask_row[person]
        if f"{name}/segm_{person}" in arrays:
            np.testing.assert_array_equal(targets.part_masks[row], arrays[f"{name}/segm_{person}"])
        else:
            assert row == -1


@pytest.mark.parametrize("name", [name for name in ROTATED if "gt_densepose" in RUNS[name]])
def test_rotation_keeps_what_is_no_position(records, symmetry, name):
    """The reference rotates points in the wrong place; whose they are and U, V are as they were."""
    _, targets = run_of(name, records, symmetry)
    expected = RUNS[name]["gt_densepose"]
    assert targets.annotated.tolist() == [person is not None for person in expected]
    for person, points in enumerate(expected):
        wanted = set() if points is None else set(zip(*(points[f] for f in "iuv"), strict=True))
        ours = {tuple(row) for row in np.stack(points_of(targets, person)[2:], axis=1).tolist()}
        assert ours <= {tuple(np.array(row, np.float32).tolist()) for row in wanted}
        assert bool(ours) == bool(wanted)
