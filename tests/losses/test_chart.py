from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from golden_gradients import check_gradient
from golden_scene import (
    ARRAYS,
    CHARTS,
    Images,
    chart_outputs,
    outputs_of,
    samples_of,
    scene,
    targets_of,
)
from iuv.losses.chart import chart_losses, mask_targets, part_mask_targets
from iuv.losses.points import pack
from iuv.training_config import LossConfig

CASES = {name: case for name, case in CHARTS["cases"].items() if "same_as" not in case}
SETTINGS = {"masks": CASES["masks"], **{name: CASES[name] for name in ("s1x", "WC1", "WC2M")}}
UNKNOWN = ["dp_x", "dp_y", "dp_I", "dp_U", "dp_V", "dp_masks"]


def run(
    case: dict, size: int, images: Images, maps: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    weights = case["weights"]
    config = LossConfig(
        segm_weight=weights["segm"],
        part_weight=weights["part"],
        points_weight=weights["points"],
        uv_epsilon=case["uv_epsilon"],
        segm_from_masks=case["trained_by_masks"],
    )
    samples, targets = [samples_of(i) for i in images], [targets_of(i) for i in images]
    return chart_losses(chart_outputs(maps), samples, targets, config)


def check(losses: dict[str, torch.Tensor], maps: dict[str, torch.Tensor], golden: dict) -> None:
    wanted = {name: float(value) for name, value in golden["losses"].items()}
    found = {name: loss.item() for name, loss in losses.items()}
    assert found == pytest.approx(wanted, rel=1e-5, nan_ok=True)
    assert list(found) == list(wanted)
    sum(losses.values()).backward()
    assert set(golden["grad"]) == set(maps)
    for name, gradient in golden["grad"].items():
        check_gradient(maps[name].grad, gradient)


@pytest.mark.parametrize("name", CASES)
def test_losses_and_gradients_as_the_reference(name: str):
    golden = CASES[name]
    setting = CASES[name.removesuffix("_S28")]
    coarse_channels = setting["coarse_channels"]
    maps = outputs_of(list(golden["grad"]), 6, golden["S"], coarse_channels)
    check(run(setting, golden["S"], scene(), maps), maps, golden)


def without(images: Images, names: list[str]) -> None:
    for instance in (i for image in images for i in image):
        for name in names:
            instance.pop(name, None)


def degenerate(case: str) -> Images:
    """The scene as the golden file's ``what`` says."""
    images = scene()
    first = images[1][0]
    everyone = [i for image in images for i in image]
    if case in ("no_annotations", "no_gt_densepose_field", "nan_output_no_annotations"):
        without(images, UNKNOWN)
    elif case == "all_points_outside":
        for instance in everyone:
            instance["proposal_box_xyxy"] = [v + 500 for v in instance["gt_box_xyxy"]]
    elif case == "all_labels_zero":
        for instance in everyone:
            instance["dp_I"] = [0] * len(instance.get("dp_I", []))
    elif case == "one_instance_outside":
        first["proposal_box_xyxy"] = [v + 500 for v in first["gt_box_xyxy"]]
    elif case == "one_without_dp_masks":
        del first["dp_masks"]
    elif case == "one_with_zero_points":
        first.update({f"dp_{name}": [] for name in "xyIUV"})
    elif case == "image_without_instances":
        images[0] = []
    elif case == "image_without_annotations":
        without(images[:1], UNKNOWN)
    elif case in ("no_rois", "empty_list"):
        images = [[], []]
    return images


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", CHARTS["degenerate"])
def test_degenerate_batches_as_the_reference(name: str, setting: str):
    group = CHARTS["degenerate"][name]
    golden, images = group[setting], degenerate(name)
    count = 2 if name == "empty_list" else sum(map(len, images))
    maps = outputs_of(list(golden["grad"]), count, group["S"])
    if name == "nan_output_no_annotations":
        with torch.no_grad():
            maps["u"][0, 3, 0, 0] = math.nan
    check(run(SETTINGS[setting], group["S"], images, maps), maps, golden)


@pytest.mark.parametrize("size", [28, 56, 112])
def test_part_mask_targets_as_the_reference(size: int):
    images = scene()
    packed = pack([samples_of(i) for i in images], [targets_of(i) for i in images])
    boxes, parts = part_mask_targets(packed, size)
    assert boxes.tolist() == [0, 2, 3, 4, 5]
    assert np.array_equal(parts, ARRAYS[f"coarse_target{size}"])


@pytest.mark.parametrize("size", [28, 56, 112])
def test_mask_targets_as_the_reference(size: int):
    images = scene()
    boxes, masks = mask_targets(
        [samples_of(i) for i in images], [targets_of(i) for i in images], size
    )
    assert boxes.tolist() == list(range(6))
    assert np.array_equal(masks, ARRAYS[f"mask_target{size}"])
