import numpy as np
import pytest
import torch

from hashing import GOLDEN
from iuv.config import BoxConfig
from iuv.modeling.box_head import select_boxes
from iuv.ops.boxes import clip_boxes, non_empty, scale_boxes


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "ops" / "detections.npz") as data:
        return {name: torch.from_numpy(data[name]) for name in data}


@pytest.mark.parametrize(("threshold", "top"), [(5, 100), (80, 100), (5, 20)])
def test_selection_equals_reference(golden, threshold, top):
    config = BoxConfig(num_classes=2, min_score=threshold / 100, max_people=top)
    found = select_boxes(golden["logits"], golden["boxes"], (600, 900), config)
    name = f"thr{threshold}_top{top}"
    assert found.classes.tolist() == golden[f"{name}_classes"].tolist()
    torch.testing.assert_close(found.scores, golden[f"{name}_scores"], rtol=0, atol=1e-6)
    torch.testing.assert_close(found.boxes, golden[f"{name}_boxes"], rtol=0, atol=1e-4)


def test_rescaling_drops_empty_boxes(golden):
    boxes = clip_boxes(scale_boxes(golden["post_in_boxes"], (600, 900), (425, 640)), (425, 640))
    kept = boxes[non_empty(boxes)]
    torch.testing.assert_close(kept, golden["post_out_boxes_h425_w640"], rtol=0, atol=1e-3)


def test_small_people_are_left_out_before_they_count(golden):
    config = BoxConfig(num_classes=2, max_people=10_000)
    everybody = select_boxes(golden["logits"], golden["boxes"], (600, 900), config)
    sides = (everybody.boxes[:, 2:] - everybody.boxes[:, :2]).amax(1)
    large = sides >= 0.2 * 900
    assert 2 < large.sum() < len(sides)
    config = BoxConfig(num_classes=2, max_people=10_000, min_size=0.2)
    found = select_boxes(golden["logits"], golden["boxes"], (600, 900), config)
    assert torch.equal(found.boxes, everybody.boxes[large])
    config = BoxConfig(num_classes=2, min_size=0.2, max_people=2)
    found = select_boxes(golden["logits"], golden["boxes"], (600, 900), config)
    assert torch.equal(found.boxes, everybody.boxes[large][:2])


def test_nobody_above_the_threshold():
    found = select_boxes(torch.tensor([[0.0, 9.0]]), torch.ones(1, 4), (10, 10), BoxConfig())
    assert [len(part) for part in found] == [0, 0, 0]
