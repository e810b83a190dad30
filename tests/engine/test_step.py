from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hashing import GOLDEN, affine
from iuv.config import ModelConfig
from iuv.engine.step import TrainingStep, all_anchors
from iuv.modeling.initialise import initialise
from iuv.modeling.rcnn import RCNN
from iuv.recipes import recipe
from iuv.targets import Batch, PersonPoints, Targets
from iuv.training_config import TrainingConfig
from tiny import TINY

CONFIG = recipe(TINY.replace(**{"backbone.depth": 18})).replace(**{"sampling.post_nms_topk": 30})


def person(box, count=40):
    """One person in an image, with points all over."""
    generator = torch.Generator().manual_seed(1)
    x, y, u, v = torch.rand((4, count), generator=generator)
    labels = torch.randint(1, 25, (count,), generator=generator)
    points = PersonPoints(torch.zeros(count).long(), x * 256, y * 256, labels, u, v)
    return Targets(
        boxes=torch.tensor([box]),
        classes=torch.tensor([0]),
        annotated=torch.tensor([True]),
        points=points,
        part_masks=torch.ones((1, 256, 256), dtype=torch.uint8),
        part_mask_row=torch.tensor([0]),
    )


NOBODY = Targets(
    boxes=torch.zeros((0, 4)),
    classes=torch.zeros(0).long(),
    annotated=torch.zeros(0).bool(),
    points=PersonPoints.none(),
    part_masks=torch.zeros((0, 256, 256), dtype=torch.uint8),
    part_mask_row=torch.zeros(0).long(),
)


def image(height=70, width=100):
    generator = torch.Generator().manual_seed(height)
    return torch.randint(0, 256, (height, width, 3), generator=generator, dtype=torch.uint8)


@pytest.fixture
def model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = RCNN(CONFIG.model)
        initialise(model)
    return model


def losses_of(model, targets, config=CONFIG):
    batch = Batch([image(70 + i) for i in range(len(targets))], targets, list(range(len(targets))))
    return TrainingStep(model, config, torch.arange)(batch)


def test_every_parameter_learns(model):
    sum(losses_of(model, [person([10.0, 5.0, 80.0, 65.0])]).values()).backward()
    still = [name for name, p in model.named_parameters() if not p.grad.abs().max() > 0]
    # the frozen norms' scale lets little through to the first layers, but never nothing
    assert not still


def test_every_parameter_has_a_gradient_with_nobody_there(model):
    losses = losses_of(model, [NOBODY, NOBODY])
    sum(losses.values()).backward()
    assert {name for name, loss in losses.items() if loss.item() == 0} == {
        *(f"loss_densepose_{kind}" for kind in "UVIS"),
        "loss_box_reg",
        "loss_rpn_loc",
    }
    assert all(p.grad is not None for p in model.parameters())


def test_sums_are_for_two_images_however_many_there_are(model):
    """The same person in one, two or four images weighs the same."""
    one = person([10.0, 5.0, 80.0, 65.0])
    alone = {name: value.item() for name, value in losses_of(model, [one] * 2).items()}
    batch = Batch([image(70), image(71)] * 2, [one] * 4, [0] * 4)
    four = TrainingStep(model, CONFIG, torch.arange)(batch)
    for name, value in four.items():
        assert value.item() == pytest.approx(alone[name], rel=1e-4), name


def test_anchors_are_in_the_order_of_the_maps():
    features = [torch.zeros(1, 1, h, w) for h, w in ((8, 12), (4, 6), (2, 3), (1, 2), (1, 1))]
    anchors = all_anchors(features, CONFIG.model.rpn)
    assert anchors.shape == (3 * (96 + 24 + 6 + 2 + 1), 4)
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    assert centres[:7].tolist() == [[0, 0]] * 3 + [[4, 0]] * 3 + [[8, 0]]  # row, column, anchor
    assert centres[3 * 96 + 3].tolist() == [8, 0]  # the next level
    sides = anchors[3 * 96 : 3 * 96 + 3, 2:] - anchors[3 * 96 : 3 * 96 + 3, :2]
    assert sides.prod(dim=1).tolist() == pytest.approx([64.0**2] * 3)


def test_weights_that_overflow_are_named(model):
    with torch.no_grad():
        model.trunk.rpn.deltas.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="no finite box"):
        losses_of(model, [person([10.0, 5.0, 80.0, 65.0])])


def test_proposals_as_the_reference():
    """The first 300 of each image."""
    setup = json.loads((GOLDEN / "training" / "proposals.json").read_text())["setup"]
    maps = {"logits": [], "deltas": []}
    for level, (height, width) in enumerate(setup["feature_sizes"]):
        for (name, found), (size, scale) in zip(maps.items(), ((1, 3), (4, 0.5)), strict=True):
            values = affine(f"rpn/{name}/{level}", (3, height, width, 3 * size), scale)
            found.append(values.permute(0, 3, 1, 2))
    step = TrainingStep(SimpleNamespace(config=ModelConfig()), TrainingConfig())
    sizes = [(image["height"], image["width"]) for image in setup["images"]]
    found = step.propose(SimpleNamespace(**maps), sizes)
    with np.load(GOLDEN / "training" / "rpn_proposals.npz") as golden:
        for number, boxes in enumerate(found):
            assert len(boxes) == 1000
            np.testing.assert_allclose(boxes[:300], golden[f"boxes_{number}"], rtol=0, atol=1e-4)
