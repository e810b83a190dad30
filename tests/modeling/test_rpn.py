import numpy as np
import pytest
import torch

from hashing import GOLDEN
from iuv.config import RPNConfig
from iuv.modeling.rpn import STRIDES, cell_anchors, grid_anchors, select_proposals


def test_anchors_equal_reference():
    config = RPNConfig()
    with np.load(GOLDEN / "ops" / "anchors.npz") as data:
        for level, (size, stride) in enumerate(zip(config.anchor_sizes, STRIDES, strict=True)):
            cells = cell_anchors(size, config.aspect_ratios)
            np.testing.assert_array_equal(cells.numpy(), data[f"cell_anchors_{level}"])
            height, width = data[f"p{level + 2}_feature_hw"].tolist()
            index = torch.arange(height * width * 3)
            anchors = grid_anchors(cells, index, width, stride)
            np.testing.assert_array_equal(anchors.numpy(), data[f"p{level + 2}_anchors"])


@pytest.mark.parametrize("keep", [1000, 60])
def test_selection_equals_reference(keep):
    """Non-finite and empty boxes are dropped, levels do not suppress each other."""
    with np.load(GOLDEN / "ops" / "proposal_selection.npz") as data:
        golden = {name: torch.from_numpy(data[name]) for name in data}
    boxes, logits = [], []
    for level in range(3):
        flat = golden[f"logits{level}"]
        best, index = flat.topk(min(100, len(flat)))
        boxes.append(golden[f"boxes{level}"][index][None])
        logits.append(best[None])
    ((ours, scores),) = select_proposals(boxes, logits, [(240, 320)], RPNConfig(post_nms_topk=keep))
    torch.testing.assert_close(ours, golden[f"proposals_post{keep}_boxes"], rtol=0, atol=1e-4)
    torch.testing.assert_close(scores, golden[f"proposals_post{keep}_logits"], rtol=0, atol=0)


def test_overflow_is_not_taken_for_an_empty_image():
    boxes, logits = [torch.full((2, 3, 4), torch.nan)], [torch.ones(2, 3)]
    boxes[0][0] = torch.tensor([0.0, 0, 9, 9])
    with pytest.raises(ValueError, match="the network computed no finite box; its weights are"):
        select_proposals(boxes, logits, [(10, 10), (10, 10)], RPNConfig())
