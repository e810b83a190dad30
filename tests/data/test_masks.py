from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from golden_data import document
from iuv.data.masks import (
    decode_instance_mask,
    decode_part_masks,
    decode_rle,
    find_broken_masks,
)
from iuv.data.records import DataError


def random_masks():
    rng = np.random.default_rng(0)
    masks = [np.zeros((7, 5)), np.ones((7, 5)), np.ones((1, 1)), np.eye(300)]
    masks += [rng.random((rng.integers(1, 40), rng.integers(1, 40))) > p for p in rng.random(50)]
    return [mask.astype(np.uint8) for mask in masks]


def encode(mask):
    rle = coco_mask.encode(np.asfortranarray(mask))
    return rle | {"counts": rle["counts"].decode()}


def test_decoding_inverts_cocos_encoding():
    for mask in random_masks():
        rle = encode(mask)
        assert np.array_equal(decode_rle(rle), mask)
        assert np.array_equal(decode_rle(rle | {"counts": rle["counts"].encode()}), mask)
        edges = np.flatnonzero(np.diff(mask.T.ravel(), prepend=0, append=2))
        counts = np.diff(edges, prepend=0).tolist()
        assert np.array_equal(decode_rle({"size": list(mask.shape), "counts": counts}), mask)


def test_sound_masks_are_not_broken():
    masks = [encode(mask) for mask in random_masks()]
    assert find_broken_masks(masks) == {}
    assert find_broken_masks([]) == {}


GOOD = encode(np.eye(9, dtype=np.uint8))
COMPRESSED = "not run lengths in COCO's compressed form"


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ("", COMPRESSED),
        (GOOD["counts"] + "é", COMPRESSED),
        (GOOD["counts"] + " ", COMPRESSED),
        (GOOD["counts"] + "P", COMPRESSED),  # a digit that promises more
        ("oooooooooo0", COMPRESSED),  # a number beyond any image
        (GOOD["counts"][:-1], "cover 9 x 9 = 81 pixels, but they cover"),
        (GOOD["counts"] + "1", "cover 9 x 9 = 81 pixels, but they cover 91"),
        ([81, 1], "pixels, but they cover 82"),
        ([90, -9], "0 or more"),
        ([], "pixels, but they cover 0"),
        ([2**63 - 1, 2, 2**63 - 1, 81], "go beyond 1073741824 pixels"),  # their sum overflows to 81
        ([81.0], "neither text nor a list of whole numbers"),
        ([[81]], "neither text nor a list of whole numbers"),
        ([81, [1, 2]], "neither text nor a list of whole numbers"),
        (["81"], "neither text nor a list of whole numbers"),
    ],
)
def test_broken_masks_are_found(counts, message):
    broken = {"size": [9, 9], "counts": counts}
    found = find_broken_masks([GOOD, {"size": [2, 2], "counts": [4]}, broken, GOOD])
    assert list(found) == [2]
    assert message in found[2]
    with pytest.raises(DataError, match=r"its (run lengths|counts)"):
        decode_rle(broken)


def test_part_masks():
    first, second = np.zeros((2, 256, 256), np.uint8)
    first[10:20, 10:20] = second[15:30, 15:30] = 1
    labels = decode_part_masks([None, encode(first), [], encode(second)])
    expected = np.where(second, 4, np.where(first, 2, 0))
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, expected)
    assert np.array_equal(decode_part_masks(encode(first)), first)
    assert not decode_part_masks([]).any()


def test_part_masks_of_every_kind_of_counts():
    rng = np.random.default_rng(1)
    masks = [(rng.random((256, 256)) > p).astype(np.uint8) for p in (0.3, 0.9, 0.7)]
    text, packed, plain = map(encode, masks)
    packed = packed | {"counts": packed["counts"].encode()}
    edges = np.flatnonzero(np.diff(masks[2].T.ravel(), prepend=0, append=2))
    plain = {"size": [256, 256], "counts": np.diff(edges, prepend=0).tolist()}
    expected = np.zeros((256, 256))
    for label, mask in enumerate(masks, start=1):
        expected[mask > 0] = label
    assert np.array_equal(decode_part_masks([text, packed, plain]), expected)


@pytest.mark.parametrize("side", [255, 257])
def test_part_masks_of_another_size(side):
    whole = np.ones((256, 256), np.uint8)
    other = np.ones((side, side), np.uint8)
    with pytest.raises(DataError, match=f"256 x 256 = 65536 pixels, but they cover {side**2}"):
        decode_part_masks([encode(whole), encode(other)])


def test_instance_masks():
    annotations = {annotation["id"]: annotation for annotation in document()["annotations"]}
    crowd = decode_instance_mask(annotations[102]["segmentation"], 96, 128)
    assert crowd.shape == (96, 128)
    assert crowd.sum() == annotations[102]["area"]
    (polygon,) = annotations[100]["segmentation"]
    mask = decode_instance_mask((tuple(polygon), (0, 0, 4, 0, 4, 3, 0, 3)), 96, 128)
    assert mask.dtype == np.uint8
    assert abs(int(mask[:3, :4].sum()) - 12) <= 1  # every polygon is painted
    assert abs(mask.sum() - annotations[100]["area"] - 12) < 100
    assert decode_instance_mask(None, 4, 5).shape == (4, 5)
    assert not decode_instance_mask((), 4, 5).any()
