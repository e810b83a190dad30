from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from golden_gradients import check_gradient
from hashing import GOLDEN, affine
from iuv.config import RPNConfig
from iuv.losses import detection
from iuv.losses.detection import (
    Samples,
    box_losses,
    dense_samples,
    match,
    rpn_losses,
    sample,
    sample_proposals,
)
from iuv.modeling.box_head import BOX_WEIGHTS
from iuv.modeling.rpn import STRIDES, cell_anchors, grid_anchors
from iuv.ops.boxes import encode_deltas
from iuv.targets import PersonPoints, Targets
from iuv.training_config import SamplingConfig

PROPOSALS = json.loads((GOLDEN / "training/proposals.json").read_text())
ARRAYS = dict(np.load(GOLDEN / "training/proposals.npz"))
SETUP = PROPOSALS["setup"]
IMAGES = range(3)


def targets_of(boxes: list, annotated: list[bool], classes: list[int] | None = None) -> Targets:
    count = len(boxes)
    return Targets(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        classes=torch.tensor(classes or [0] * count, dtype=torch.int64),
        annotated=torch.tensor(annotated, dtype=torch.bool),
        points=PersonPoints.none(),
        part_masks=torch.zeros((0, 256, 256), dtype=torch.uint8),
        part_mask_row=torch.full((count,), -1),
    )


def golden_targets() -> list[Targets]:
    people = [image["gt"] for image in SETUP["images"]]
    return [targets_of([p["gt_box_xyxy"] for p in gt], ["dp_x" in p for p in gt]) for gt in people]


def golden_anchors() -> torch.Tensor:
    config, levels = RPNConfig(), []
    for level, (height, width) in enumerate(SETUP["feature_sizes"]):
        cells = cell_anchors(config.anchor_sizes[level], config.aspect_ratios)
        index = torch.arange(height * width * len(cells))
        levels.append(grid_anchors(cells, index, width, STRIDES[level]))
    return torch.cat(levels)


def golden_proposals() -> list[torch.Tensor]:
    return [torch.from_numpy(ARRAYS[f"roi/proposal_boxes_{image}"]) for image in IMAGES]


def golden_samples(count: int) -> list[Samples]:
    config = SamplingConfig(boxes_per_image=count)
    return sample_proposals(golden_proposals(), golden_targets(), 1, config, torch.arange)


def matched(anchors: torch.Tensor, target: Targets) -> detection.Matches:
    return match(target.boxes, anchors, low=0.3, high=0.7, best_counts=True)


@pytest.mark.parametrize("block", [1, 2, 8])  # ties across blocks go to the first person, too
@pytest.mark.parametrize("rows", ["all4", "first3"])
@pytest.mark.parametrize("case", PROPOSALS["matcher_unit"]["results"])
def test_match_as_the_reference(monkeypatch, case: dict, rows: str, block: int):
    quality = torch.tensor(PROPOSALS["matcher_unit"]["quality_matrix"])[: int(rows[-1])]
    monkeypatch.setattr(detection, "_MATCH_BLOCK", block)
    monkeypatch.setattr(detection, "iou_matrix", lambda people, _: quality[people[:, 0].long()])
    people = torch.arange(len(quality)).float()[:, None].expand(-1, 4)
    low, high = case["thresholds"][0], case["thresholds"][-1]
    found = match(people, torch.zeros(7, 4), low=low, high=high, best_counts=case["low_quality"])
    assert found.person.tolist() == case[f"{rows}_matches"]
    assert found.label.tolist() == case[f"{rows}_labels"]


@pytest.mark.parametrize("image", IMAGES)
def test_anchors_match_as_in_the_reference(image: int):
    person, label = matched(golden_anchors(), golden_targets()[image])
    assert np.array_equal(person, ARRAYS[f"rpn/matched_idx_{image}"])
    assert np.array_equal(label, ARRAYS[f"rpn/label_before_sampling_{image}"])


def test_two_empty_boxes_do_not_overlap():
    nothing = torch.tensor([[5.0, 5.0, 5.0, 5.0]])
    assert match(nothing, nothing, low=0.5, high=0.5).label.tolist() == [0]


def test_without_people_all_is_background_whatever_the_threshold():
    found = match(torch.zeros(0, 4), torch.rand(3, 4), low=0.0, high=0.0, best_counts=True)
    assert found.label.tolist() == [0, 0, 0]


@pytest.mark.parametrize("count", [256, 20])
@pytest.mark.parametrize("image", IMAGES)
def test_anchors_are_sampled_as_in_the_reference(image: int, count: int):
    label = matched(golden_anchors(), golden_targets()[image]).label
    people, background = sample(label, count, 0.5, torch.arange)
    chosen = torch.full_like(label, -1)
    chosen[people], chosen[background] = 1, 0
    assert np.array_equal(chosen, ARRAYS[f"rpn/sampled_label_bs{count}_{image}"])


def test_sampling_is_random_and_repeatable():
    label = torch.tensor([1, 0, -1] * 100)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(torch.cat(sample(label, 40, 0.25)).tolist())
    assert draws[0] == draws[1] != draws[2]
    assert len(set(draws[0])) == 40
    assert label[draws[0]].tolist() == [1] * 10 + [0] * 30


def test_background_fills_up_for_missing_people_only_as_far_as_it_reaches():
    people, background = sample(torch.tensor([1, 0, 0, -1]), 10, 0.5)
    assert people.tolist() == [0]
    assert sorted(background.tolist()) == [1, 2]


def golden_rpn_maps() -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Logits and deltas per level in the golden's layout: [3, anchors], [3, anchors, 4]."""
    counts = SETUP["anchors_per_level"]
    logits = [affine(f"rpn/logits/{k}", (3, n), 3) for k, n in enumerate(counts)]
    deltas = [affine(f"rpn/deltas/{k}", (3, n, 4), 0.5) for k, n in enumerate(counts)]
    return [m.requires_grad_() for m in logits], [m.requires_grad_() for m in deltas]


def as_head_outputs(maps: list[torch.Tensor]) -> list[torch.Tensor]:
    sizes = SETUP["feature_sizes"]
    return [
        m.reshape(3, *size, -1).permute(0, 3, 1, 2) for m, size in zip(maps, sizes, strict=True)
    ]


@pytest.mark.parametrize("count", [256, 20])
def test_rpn_losses_as_the_reference(count: int):
    golden = PROPOSALS["rpn_losses"][f"batch_size_per_image_{count}"]
    logits, deltas = golden_rpn_maps()
    losses = rpn_losses(
        as_head_outputs(logits),
        as_head_outputs(deltas),
        golden_anchors(),
        golden_targets(),
        SamplingConfig(anchors_per_image=count),
        torch.arange,
    )
    assert {k: v.item() for k, v in losses.items()} == pytest.approx(golden["losses"], rel=1e-5)
    sum(losses.values()).backward()
    check_gradient(logits[0].grad, golden["grad_logits_p2"])
    check_gradient(deltas[0].grad, golden["grad_deltas_p2"])
    check_gradient(deltas[3].grad, golden["grad_deltas_p5"])


def test_rpn_learns_from_images_without_people():
    logits, deltas = golden_rpn_maps()
    nobody = [targets_of([], [])] * 3
    losses = rpn_losses(
        as_head_outputs(logits), as_head_outputs(deltas), golden_anchors(), nobody, SamplingConfig()
    )
    sum(losses.values()).backward()
    assert losses["loss_rpn_loc"] == 0 < losses["loss_rpn_cls"]
    assert deltas[0].grad is not None
    assert sum(int(m.grad.count_nonzero()) for m in logits) == 3 * 256


@pytest.mark.parametrize("count", [512, 40, 8])
def test_proposals_are_sampled_as_in_the_reference(count: int):
    golden = PROPOSALS["roi_sampling"][f"batch_size_per_image_{count}"]
    chosen = golden_samples(count)
    assert [len(s.boxes) for s in chosen] == golden["n"]
    assert [int(s.is_person.sum()) for s in chosen] == golden["n_fg"]
    for image, (s, target) in enumerate(zip(chosen, golden_targets(), strict=True)):
        name = f"roi/sampled_bs{count}_{image}"
        assert np.array_equal(s.boxes, ARRAYS[f"{name}/boxes"])
        assert np.array_equal(s.classes, ARRAYS[f"{name}/classes"])
        assert np.array_equal(s.is_person, s.classes == 0)
        if len(target.boxes):
            wanted = torch.from_numpy(ARRAYS[f"{name}/gt_boxes"])[s.is_person]
            assert torch.equal(target.boxes[s.person[s.is_person]], wanted)


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("count", [512, 40, 8])
def test_box_losses_as_the_reference(count: int, classes: int):
    golden = PROPOSALS["roi_sampling"][f"batch_size_per_image_{count}"][f"fast_rcnn_K{classes}"]
    chosen = golden_samples(count)
    if classes == 3:  # the class of a person is its position modulo 3
        chosen = [
            s._replace(classes=torch.where(s.is_person, torch.arange(len(s.boxes)) % 3, 3))
            for s in chosen
        ]
    rows = sum(len(s.boxes) for s in chosen)
    scores = affine(f"roi/scores/{classes}", (rows, classes + 1), 2).requires_grad_()
    deltas = affine(f"roi/deltas/{classes}", (rows, classes * 4), 1).requires_grad_()
    losses = box_losses(scores, deltas, chosen, golden_targets(), BOX_WEIGHTS)
    assert {k: v.item() for k, v in losses.items()} == pytest.approx(golden["losses"], rel=1e-5)
    sum(losses.values()).backward()
    check_gradient(scores.grad, golden["grad_scores"])
    check_gradient(deltas.grad, golden["grad_deltas"])


def test_box_losses_of_nothing_are_zero_and_keep_the_graph():
    nobody = targets_of([], [])
    empty = sample_proposals([torch.zeros(0, 4)], [nobody], 1, SamplingConfig())
    logits, deltas = (torch.zeros(0, n, requires_grad=True) for n in (2, 4))
    losses = box_losses(logits, deltas, empty, [nobody], BOX_WEIGHTS)
    sum(losses.values()).backward()
    assert [v.item() for v in losses.values()] == [0, 0]
    assert logits.grad is not None
    assert deltas.grad is not None


def test_classes_of_samples_are_those_of_their_people():
    target = targets_of([[0, 0, 50, 50], [60, 0, 90, 90]], [True, True], classes=[2, 1])
    proposals = torch.tensor([[61.0, 0, 90, 90], [0, 60, 40, 90]])
    (chosen,) = sample_proposals([proposals], [target], 3, SamplingConfig(), torch.arange)
    people = chosen.at(chosen.is_person)
    assert people.classes.tolist() == [1, 2, 1]
    assert people.person.tolist() == [1, 0, 1]
    assert chosen.classes[~chosen.is_person].tolist() == [3]


@pytest.mark.parametrize("name", sorted(PROPOSALS["roi_sampling"]["densepose_filter"]))
def test_dense_samples_as_the_reference(name: str):
    golden, targets = PROPOSALS["roi_sampling"]["densepose_filter"][name], golden_targets()
    count = int(name.removeprefix("bs").partition("_")[0])
    by_masks = name.endswith("trained_by_masks_True")
    if "gt_masks_True" in name:
        targets = [t._replace(has_mask=torch.ones(len(t.boxes), dtype=torch.bool)) for t in targets]
    if name.endswith("image0_without_gt_densepose"):
        targets[0] = targets[0]._replace(annotated=torch.zeros(3, dtype=torch.bool))
    numbered = [s._replace(classes=torch.arange(len(s.classes))) for s in golden_samples(count)]
    kept = dense_samples(numbered, targets, 0.7, by_masks=by_masks)
    wanted = golden["kept_sample_numbers"]  # without the images that the reference skips
    wanted = [wanted[-1] if image == 2 else [] for image in IMAGES]
    if golden["number_of_images_after_filter"] == 2:
        wanted[0] = golden["kept_sample_numbers"][0]
    assert [s.classes.tolist() for s in kept] == wanted


def test_dense_samples_overlap_by_more_than_the_threshold():
    golden = PROPOSALS["roi_sampling"]["densepose_filter_threshold"]
    boxes = torch.tensor(golden["proposals"])
    rows = torch.zeros(3, dtype=torch.int64)
    samples = Samples(boxes, rows, rows, rows == 0)
    (kept,) = dense_samples([samples], [targets_of([golden["gt_box"]], [True])], 0.7, by_masks=True)
    assert torch.equal(kept.boxes, torch.tensor(golden["kept_boxes"]))


@pytest.mark.parametrize(("weights", "name"), [(BOX_WEIGHTS, "10_10_5_5"), ((1.0,) * 4, "1_1_1_1")])
def test_encoding_as_the_reference(weights: tuple[float, float, float, float], name: str):
    sources, targets = (golden_proposals()[image][:12] for image in (0, 2))
    deltas = encode_deltas(sources, targets, weights)
    np.testing.assert_allclose(deltas, ARRAYS[f"encode/deltas_{name}"], rtol=1e-5, atol=1e-6)
