"""Images and targets equal the reference's, and rotation does what the reference meant."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

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


def rle(mask):
    """COCO's run lengths as a list."""
    flat = np.concatenate([[0], mask.T.reshape(-1), [0]])
    edges = np.flatnonzero(np.diff(flat))
    counts = np.diff(np.concatenate([[0], edges, [mask.size]]))
    return {"size": list(mask.shape), "counts": counts.tolist()}


LABELS = np.kron([[1, 6], [8, 14]], np.ones((128, 128), int))
QUARTERS = tuple(rle(part == LABELS) if part in LABELS else None for part in range(1, 15))
"""Part masks: a person whose quarters are torso, right thigh, right lower leg and head."""


def points(x, y, labels=None):
    x, y = np.array(x, float), np.array(y, float)
    labels = np.full(len(x), 2) if labels is None else np.array(labels)
    return Points(x=x, y=y, labels=labels, u=x / 256, v=y / 256)


def person(box, **fields):
    return Annotation(id=7, category=0, box_xywh=box, area=1.0, **fields)


def record(*people, height=100, width=200):
    path = Path("photo.jpg")
    return ImageRecord(id=1, path=path, height=height, width=width, annotations=people)


def targets_of(record, symmetry=None, *, with_masks=False, **augmentation):
    image = np.zeros((record.height, record.width, 3), np.uint8)
    change = Augmentation(record.height, 10_000, **augmentation)
    return prepare(record, image, change, symmetry=symmetry, with_masks=with_masks)[1]


def in_image(targets):
    """Where the points are, [K, 2] of the network input."""
    boxes = targets.boxes[targets.points.person].numpy()
    share = np.stack([targets.points.x, targets.points.y], axis=1) / 256
    return boxes[:, :2] + share * (boxes[:, 2:] - boxes[:, :2])


def parts_at(targets, xy):
    """The mask parts of the first person at points of the network input."""
    x0, y0, x1, y1 = targets.boxes[0].numpy()
    columns, rows = ((xy - [x0, y0]) / [x1 - x0, y1 - y0] * 256).astype(int).T
    return targets.part_masks[0].numpy()[rows, columns].tolist()


CORNERS = points([64, 192, 64, 192], [64, 64, 192, 192])
"""The centres of the quarters."""


def test_points_and_part_masks_follow_their_person_through_rotation():
    """A quarter turn moves (x, y) to (y - 50 + 100, 100 - x + 50) in an image of 200 x 100."""
    box = (90.0, 20.0, 40.0, 60.0)
    targets = targets_of(record(person(box, points=CORNERS, part_masks=QUARTERS)), angle=90.0)
    np.testing.assert_allclose(targets.boxes, [[70, 20, 130, 60]], atol=1e-4)
    before = np.array([[100, 35], [120, 35], [100, 65], [120, 65]])
    after = np.stack([before[:, 1] + 50, 150 - before[:, 0]], axis=1)
    np.testing.assert_allclose(in_image(targets), after, atol=1e-3)
    assert parts_at(targets, after) == [1, 6, 8, 14]
    assert targets.points.u.tolist() == (CORNERS.x / 256).tolist()


def test_the_frame_of_an_oblique_box_is_the_box_around_it():
    box = (80.0, 30.0, 40.0, 40.0)  # around the centre of the image
    targets = targets_of(record(person(box, points=CORNERS, part_masks=QUARTERS)), angle=45.0)
    half = 20 * 2**0.5
    np.testing.assert_allclose(
        targets.boxes, [[100 - half, 50 - half, 100 + half, 50 + half]], atol=1e-4
    )
    step = 10 * 2**0.5
    after = np.add([100, 50], [[-step, 0], [0, -step], [0, step], [step, 0]])
    np.testing.assert_allclose(in_image(targets), after, atol=1e-3)
    assert parts_at(targets, after) == [1, 6, 8, 14]
    parts = targets.part_masks[0]
    assert parts[0, 0] == parts[0, -1] == parts[-1, 0] == parts[-1, -1] == 0  # was outside
    assert (parts > 0).float().mean() == pytest.approx(0.5, abs=0.01)


def test_what_rotation_takes_out_of_the_image_is_dropped():
    """The right half of the upper edge leaves an image of 200 x 100 at a quarter turn."""
    box = (120.0, 0.0, 80.0, 100.0)
    people = person(box, points=CORNERS, part_masks=QUARTERS)
    targets = targets_of(record(people), angle=90.0)
    np.testing.assert_allclose(targets.boxes, [[50, 0, 150, 30]], atol=1e-4)
    np.testing.assert_allclose(in_image(targets), [[75, 10], [125, 10]], atol=1e-3)
    assert targets.points.x.tolist() == pytest.approx([64, 192], abs=0.01)
    assert parts_at(targets, in_image(targets)) == [1, 8]
    assert targets.annotated.tolist() == [True]


def test_a_person_without_points_left_stays_annotated():
    far = points([250], [128])
    targets = targets_of(record(person((120.0, 0.0, 80.0, 100.0), points=far)), angle=90.0)
    assert targets.annotated.tolist() == [True]
    assert len(targets.points.x) == 0


def test_a_box_cut_by_the_border_takes_its_points_along():
    box = (160.0, 20.0, 80.0, 40.0)  # half outside
    targets = targets_of(record(person(box, points=CORNERS, part_masks=QUARTERS)))
    np.testing.assert_allclose(targets.boxes, [[160, 20, 200, 60]])
    np.testing.assert_allclose(in_image(targets), [[180, 30], [180, 50]], atol=1e-4)
    assert np.unique(targets.part_masks).tolist() == [1, 8]


def test_points_outside_their_frame_pass_as_they_are():
    """That is for `iuv data check` to say; the losses leave them out."""
    targets = targets_of(record(person((10.0, 10.0, 50.0, 50.0), points=points([300], [-5]))))
    assert (targets.points.x.item(), targets.points.y.item()) == (300, -5)


def test_mirrored_part_masks_swap_sides(symmetry):
    people = person((90.0, 20.0, 40.0, 60.0), points=CORNERS, part_masks=QUARTERS)
    targets = targets_of(record(people), symmetry, flip=True)
    assert parts_at(targets, in_image(targets)) == [1, 7, 9, 14]


def test_crowds_and_people_outside_are_left_out():
    crowd = person((0.0, 0.0, 50.0, 50.0), points=CORNERS, is_crowd=True)
    outside = person((200.0, 10.0, 30.0, 30.0), points=CORNERS)
    flat = person((10.0, 10.0, 30.0, 0.0))
    plain = person((20.0, 30.0, 40.0, 50.0))
    targets = targets_of(record(crowd, outside, flat, plain))
    np.testing.assert_array_equal(targets.boxes, [[20, 30, 60, 80]])
    assert targets.annotated.tolist() == [False]
    assert targets.part_mask_row.tolist() == [-1]
    assert len(targets.points.person) == 0


@pytest.mark.parametrize("with_masks", [False, True])
def test_nobody(with_masks):
    targets = targets_of(record(), with_masks=with_masks, flip=True, angle=10.0)
    assert targets.boxes.shape == (0, 4)
    assert targets.part_masks.shape == (0, 256, 256)
    assert (targets.masks is None) != with_masks
    assert not with_masks or targets.masks.shape == (0, 100, 200)


def test_each_person_has_its_own_points_and_part_masks():
    first = person((0.0, 0.0, 50.0, 50.0), points=points([1], [2]))
    second = person((0.0, 0.0, 50.0, 50.0), part_masks=QUARTERS)  # without points
    third = person((50.0, 0.0, 50.0, 50.0), points=points([3, 4], [5, 6]), part_masks=QUARTERS)
    targets = targets_of(record(first, second, third))
    assert targets.points.person.tolist() == [0, 2, 2]
    assert targets.annotated.tolist() == [True, False, True]
    assert targets.part_mask_row.tolist() == [-1, -1, 0]
    np.testing.assert_array_equal(targets.part_masks, LABELS[None])
    kinds = [tensor.dtype for tensor in targets.points]
    assert kinds == [torch.int64, torch.float32, torch.float32, torch.int64] + [torch.float32] * 2


def test_masks_from_part_masks_where_there_is_no_segmentation():
    """The reference fails here."""
    upper = (rle(LABELS < 8), None, None)
    outline = person((10.0, 10.0, 20.0, 20.0), segmentation=((10.0, 10, 30, 10, 30, 30, 10, 30),))
    parts = person((40.0, 20.0, 100.0, 61.1), part_masks=upper)  # down to 50.55
    bare = person((10.0, 10.0, 20.0, 20.0))
    targets = targets_of(record(outline, parts, bare), with_masks=True)
    assert targets.has_mask.tolist() == [True, True, False]
    expected = np.zeros((2, 100, 200), np.uint8)
    expected[0, 10:30, 10:30] = 1
    expected[1, 20:51, 40:140] = 1  # the last row is centred at 50.5
    np.testing.assert_array_equal(targets.masks[:2], expected)
    assert targets.part_mask_row.tolist() == [-1] * 3


def test_such_masks_follow_the_image(symmetry):
    upper = (rle(LABELS < 8),)
    people = person((40.0, 20.0, 20.0, 40.0), part_masks=upper)
    targets = targets_of(record(people), symmetry, with_masks=True, flip=True, angle=-90.0)
    expected = np.zeros((100, 200), np.uint8)
    expected[90:100, 110:130] = 1  # upright (140..160, 20..40), then (150 - y, x - 50)
    np.testing.assert_array_equal(targets.masks[0], expected)


@pytest.mark.parametrize("name", ["no_dp", "masks_missing_segmentation"])
def test_what_the_reference_fails_on(records, symmetry, name):
    image, targets = run_of(name, records, symmetry)
    assert targets.masks.shape[1:] == image.shape[:2]
    assert targets.has_mask.all()
    assert targets.masks.flatten(1).any(dim=1).all()


def test_an_image_of_another_size():
    with pytest.raises(DataError, match=r"photo\.jpg: has 30 x 20 pixels, but .* for 200 x 100"):
        prepare(
            record(),
            np.zeros((20, 30, 3), np.uint8),
            Augmentation(20, 30),
            symmetry=None,
            with_masks=False,
        )


def test_mirroring_without_tables():
    with pytest.raises(DataError, match=r"photo\.jpg: annotation 7: its points cannot be mirr"):
        targets_of(record(person((0.0, 0.0, 9.0, 9.0), points=CORNERS)), flip=True)


def test_broken_masks():
    broken = {"size": [256, 256], "counts": [3, 4]}
    people = person((0.0, 0.0, 9.0, 9.0), points=CORNERS, part_masks=broken)
    with pytest.raises(DataError, match=r"photo\.jpg: annotation 7: .*256"):
        targets_of(record(people))


def test_augmentations_are_drawn_from_the_configuration():
    config = AugmentConfig(
        short_sides=(10, 20), long_side=99, flip_probability=0.25, rotation_angles=(0.0, 5.0, 9.0)
    )
    rng = np.random.default_rng(0)
    drawn = [draw_augmentation(config, rng) for _ in range(2000)]
    assert {change.long_side for change in drawn} == {99}
    assert np.mean([change.flip for change in drawn]) == pytest.approx(0.25, abs=0.04)
    for field, values in (("short_side", {10, 20}), ("angle", {0.0, 5.0, 9.0})):
        assert {getattr(change, field) for change in drawn} == values
    assert draw_augmentation(config, np.random.default_rng(3)) == draw_augmentation(
        config, np.random.default_rng(3)
    )
