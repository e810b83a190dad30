"""Masks against scipy's resampling and the COCO library; pasting; ignored regions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from scipy.ndimage import zoom

from iuv.data.records import Annotation
from iuv.evaluation.mask_iou import (
    Mask,
    annotated_mask,
    mask_iou,
    outside_regions,
    paste,
    region_mask,
    resample,
    unite_parts,
)


def noise(seed, *shape):
    return np.random.default_rng(seed).integers(0, 2, shape, dtype=np.uint8)


# 511: values of exactly one half. 12, 14: scipy loses the last row, as 255 / 13 * 13 > 255.
SIZES = [(511, 511), (12, 14), (1, 1), (1, 30), (2, 700), (256, 256), (300, 151), (128, 766)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("blocks", [1, 16])
def test_resample_like_scipy(size, blocks):
    mask = np.kron(noise(blocks, 256 // blocks, 256 // blocks), np.ones((blocks, blocks), np.uint8))
    factors = (size[0] / 256, size[1] / 256)
    expected = zoom(mask.astype(float), factors, order=1, prefilter=False) > 0.5
    np.testing.assert_array_equal(resample(mask, *size), expected)
    np.testing.assert_array_equal(resample(np.asfortranarray(mask), *size), expected)


@pytest.mark.parametrize(
    ("box", "place", "size"),
    [
        ((3.7, 2.9, 4.0, 5.0), (2, 3), (5, 4)),
        ((-2.5, -0.5, 4.0, 5.0), (0, 0), (4, 1)),  # int(-2.5) is -2, and int(-2.5 + 4) is 1
        ((8.0, 17.0, 4.0, 5.0), (17, 8), (3, 2)),  # beyond the image of 20 x 10
        ((30.0, 2.0, 4.0, 5.0), (2, 30), (5, 0)),
        ((3.9, 2.0, 3.0, 5.0), (2, 3), (5, 3)),  # cut at int(3.9 + 3.0)
    ],
)
def test_paste(box, place, size):
    pixels = noise(0, 5, 4) > 0
    top, left, pasted = paste(pixels, box, (20, 10))
    assert (top, left) == place
    assert pasted.shape == size
    cut = (max(0, -int(box[1])), max(0, -int(box[0])))
    expected = pixels[cut[0] : cut[0] + size[0], cut[1] : cut[1] + size[1]]
    np.testing.assert_array_equal(pasted, expected)


def encode(mask):
    return coco_mask.encode(np.asfortranarray(mask))


ANNOTATION = Annotation(id=1, category=0, box_xywh=(5.0, 6.0, 30.0, 20.0), area=1.0)


def mask_of(annotation):
    _, parts, _ = unite_parts([ANNOTATION, annotation, ANNOTATION])
    return annotated_mask(annotation, parts, (40, 60))


def two_parts():
    """A block of 190 x 150 pixels, as a whole and in two parts that overlap."""
    whole = np.zeros((256, 256), np.uint8)
    whole[50:200, 30:220] = 1
    upper, lower = whole.copy(), whole.copy()
    upper[120:], lower[:100] = 0, 0
    return whole, upper, lower


def test_part_masks():
    whole, upper, lower = two_parts()
    parts = (None, encode(upper), None, encode(lower))
    found = mask_of(replace(ANNOTATION, part_masks=parts))
    assert found[:2] == (6, 5)
    np.testing.assert_array_equal(found.pixels, resample(whole, 20, 30))


@pytest.mark.parametrize("compressed", [True, False])
def test_single_part_mask(compressed):
    """It is the person as a whole; the reference fails on it."""
    whole, *_ = two_parts()
    counts = [30 * 256 + 50, *[150, 106] * 189, 150, 56 + 36 * 256]
    mask = encode(whole) if compressed else {"size": [256, 256], "counts": counts}
    found = mask_of(replace(ANNOTATION, part_masks=mask))
    np.testing.assert_array_equal(found.pixels, resample(whole, 20, 30))


def test_parts_that_are_not_seen():
    found = mask_of(replace(ANNOTATION, part_masks=(None,) * 14))
    assert found.pixels.shape == (20, 30)
    assert not found.pixels.any()


def test_segmentation_in_place_of_parts():
    square = (1.0, 1.0, 5.0, 1.0, 5.0, 4.0, 1.0, 4.0)
    top, left, pixels = mask_of(replace(ANNOTATION, segmentation=(square,)))
    expected = np.zeros((40, 60), bool)
    expected[1:4, 1:5] = True
    assert (top, left) == (0, 0)
    np.testing.assert_array_equal(pixels, expected)
    assert not mask_of(ANNOTATION).pixels.any()


def test_mask_iou_like_coco():
    masks = [
        paste(noise(k, 20, 15) > 0, (4.0 * k, 3.0 * k - 9, 15.0, 20.0), (30, 40)) for k in range(8)
    ]
    masks.append(Mask(3, 3, np.zeros((5, 5), bool)))
    canvases = np.zeros((30, 40, len(masks)), np.uint8, order="F")
    for k, (top, left, pixels) in enumerate(masks):
        canvases[top : top + pixels.shape[0], left : left + pixels.shape[1], k] = pixels
    codes = coco_mask.encode(canvases)
    crowd = np.array([0, 1, 0, 0, 1], bool)
    expected = coco_mask.iou(codes, codes[:5], crowd)
    np.testing.assert_array_equal(mask_iou(masks, masks[:5], crowd), expected)
    assert mask_iou([], masks[:5], crowd).shape == (0, 5)
    assert mask_iou(masks, [], crowd[:0]).shape == (9, 0)


# Ignored regions: the left half of an image of 20 x 40


def left_half():
    return region_mask(((0.0, 0.0, 20.0, 0.0, 20.0, 20.0, 0.0, 20.0),), (20, 40))


def test_region_mask():
    assert left_half()[:, :20].all()
    assert not left_half()[:, 20:].any()
    assert region_mask((), (20, 40)) is None


@pytest.mark.parametrize(
    ("box", "counts"),
    [
        ((25.0, 5.0, 10.0, 10.0), True),
        ((13.0, 5.0, 10.0, 10.0), False),  # 70 % of it
        ((14.0, 5.0, 10.0, 10.0), True),
        ((14.9, 5.9, 10.9, 10.9), True),  # truncated
        ((25.0, 5.0, 0.9, 10.0), False),  # no pixel
        ((-5.0, 5.0, 10.0, 10.0), True),  # half of it, the rest is outside
    ],
)
def test_boxes_in_regions(box, counts):
    assert outside_regions(left_half(), box) is counts
    assert outside_regions(None, box)


@pytest.mark.parametrize(("rows", "counts"), [(9, False), (8, True)])
def test_labels_in_regions(rows, counts):
    labels = np.zeros((10, 10), np.uint8)
    labels[:rows, 0], labels[rows:, 9] = 7, 24  # inside, outside
    assert outside_regions(left_half(), (15.0, 5.0, 10.0, 10.0), labels) is counts


def test_nobody_in_a_region_counts():
    assert outside_regions(left_half(), (5.0, 5.0, 10.0, 10.0), np.zeros((10, 10), np.uint8))


def test_labels_do_not_judge_a_box_that_leaves_the_image():
    labels = np.ones((10, 10), np.uint8)
    assert outside_regions(left_half(), (-1.0, 5.0, 10.0, 10.0), labels)
    assert not outside_regions(left_half(), (0.0, 5.0, 10.0, 10.0), labels)
