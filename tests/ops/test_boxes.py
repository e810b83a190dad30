import numpy as np
import pytest
import torch

from hashing import GOLDEN
from iuv.ops.boxes import (
    clip_boxes,
    decode_deltas,
    encode_deltas,
    iou_matrix,
    non_empty,
    scale_boxes,
)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "ops" / "box_transform.npz") as data:
        return {name: torch.from_numpy(data[name]) for name in data}


@pytest.mark.parametrize(
    ("name", "weights"), [("decode_w1", (1, 1, 1, 1)), ("decode_w10", (10, 10, 5, 5))]
)
def test_decode_equals_reference(golden, name, weights):
    ours = decode_deltas(golden["deltas"], golden["src"], weights)
    torch.testing.assert_close(ours, golden[name], rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "weights"), [("encode_w1", (1, 1, 1, 1)), ("encode_w10", (10, 10, 5, 5))]
)
def test_encode_equals_reference(golden, name, weights):
    ours = encode_deltas(golden["src"], golden["tgt"], weights)
    torch.testing.assert_close(ours, golden[name], rtol=1e-5, atol=1e-5)


def test_encode_inverts_decode():
    boxes = torch.tensor([[10.0, 20, 60, 90], [0, 0, 4, 8]])
    deltas = torch.tensor([[0.1, -0.2, 0.3, -0.4], [1.0, 0.5, -1.0, 2.0]])
    targets = decode_deltas(deltas, boxes, (1, 1, 1, 1))
    torch.testing.assert_close(encode_deltas(boxes, targets, (1, 1, 1, 1)), deltas)


def test_clip_and_non_empty_equal_reference(golden):
    clipped = clip_boxes(golden["decode_w10"][:, :4], (600, 700))
    torch.testing.assert_close(clipped, golden["clip_h600_w700"], rtol=0, atol=1e-4)
    assert torch.equal(non_empty(clipped), golden["nonempty"].bool())


def test_iou_matrix():
    boxes = torch.tensor([[0.0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6]])
    expected = torch.tensor([[1, 1 / 7, 0], [1 / 7, 1, 0], [0, 0, 1]])
    torch.testing.assert_close(iou_matrix(boxes, boxes), expected)


def test_scale_boxes_uses_each_axis_factor():
    boxes = torch.tensor([[10.0, 10, 20, 20]])
    assert scale_boxes(boxes, (100, 50), (200, 200)).tolist() == [[40, 20, 80, 40]]
