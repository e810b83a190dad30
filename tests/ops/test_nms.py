import numpy as np
import pytest
import torch

from hashing import GOLDEN
from iuv.ops import boxes as boxes_module
from iuv.ops.boxes import iou_matrix, nms


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "ops" / "nms.npz") as data:
        return {name: torch.from_numpy(data[name]) for name in data}


@pytest.mark.parametrize("count", [500, 1500])
@pytest.mark.parametrize("percent", [50, 70])
@pytest.mark.parametrize("block", [2048, 100])
def test_equals_reference(golden, monkeypatch, count, percent, block):
    monkeypatch.setattr(boxes_module, "_NMS_BLOCK", block)
    boxes, scores, classes = (
        golden[f"nms{count}_{name}"] for name in ("boxes", "scores", "classes")
    )
    kept = nms(boxes, scores, percent / 100)
    assert torch.equal(kept, golden[f"nms{count}_keep_{percent}"].long())
    kept = nms(boxes, scores, percent / 100, classes.long())
    assert torch.equal(kept, golden[f"nms{count}_batched_keep_{percent}"].long())


def test_equals_greedy_loop_on_long_suppression_chains():
    """Boxes in a row that overlap their neighbours: every other one survives."""
    x = torch.arange(200.0)
    boxes = torch.stack([x, 0 * x, x + 2, 0 * x + 1], dim=1)
    scores = 1 - x / 1000
    kept = nms(boxes, scores, 0.3)
    assert kept.tolist() == list(range(0, 200, 2))


def test_equals_greedy_loop_on_random_boxes():
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(300, 2, generator=generator) * 50
    boxes = torch.cat([corner, corner + torch.rand(300, 2, generator=generator) * 30], dim=1)
    scores = (torch.rand(300, generator=generator) * 20).floor()  # with many ties
    alive, expected = torch.sort(scores, descending=True, stable=True).indices.tolist(), []
    while alive:
        best = alive.pop(0)
        expected.append(best)
        overlap = iou_matrix(boxes[[best]], boxes)[0]
        alive = [i for i in alive if not overlap[i] > 0.4]
    assert nms(boxes, scores, 0.4).tolist() == expected


def test_nothing_in_nothing_out():
    none = torch.zeros((0, 4))
    assert nms(none, torch.zeros(0), 0.5).shape == (0,)
    assert nms(none, torch.zeros(0), 0.5, torch.zeros(0).long()).shape == (0,)
