from __future__ import annotations

import json
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
from hashing import GOLDEN
from iuv.losses.chart import (
    chart_losses,
    mask_targets,
    part_mask_targets,
    uv_negative_log_likelihood,
)
from iuv.losses.detection import Samples
from iuv.losses.points import at_points, neighbours, pack
from iuv.results import ChartOutputs
from iuv.targets import PersonPoints, Targets
from iuv.training_config import LossConfig

CASES = {name: case for name, case in CHARTS["cases"].items() if "same_as" not in case}
SETTINGS = {"masks": CASES["masks"], **{name: CASES[name] for name in ("s1x", "WC1", "WC2M")}}
FIELDS = ["coarse_segm", "fine_segm", "u", "v", "sigma_2", "kappa_u", "kappa_v"]
SMALL_SCENE = json.loads((GOLDEN / "training/small_scene.json").read_text())
SMALL_IMAGES = [
    ([[10.0, 10, 90, 150], [20.0, 15, 80, 120]], [12.0, 14, 95, 140], 15, 60),
    ([[50.0, 60, 150, 190]], [40.5, 55.25, 160, 180], 25, 70),
]
"""Boxes, the person's box, number of points, seed of their numbers."""
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


def losses_of(outputs: ChartOutputs, images: Images, **config: float) -> dict[str, torch.Tensor]:
    samples, targets = [samples_of(i) for i in images], [targets_of(i) for i in images]
    return chart_losses(outputs, samples, targets, LossConfig(**config))


@pytest.mark.parametrize("segm_from_masks", [False, True])
def test_the_order_of_people_and_images_is_of_no_matter(segm_from_masks: bool):
    images = scene()
    outputs = ChartOutputs(**outputs_of(FIELDS, 6, 28))
    straight = losses_of(outputs, images, segm_from_masks=segm_from_masks)
    backwards = [image[::-1] for image in images[::-1]]
    turned = losses_of(
        outputs.at(torch.arange(5, -1, -1)), backwards, segm_from_masks=segm_from_masks
    )
    for name, loss in straight.items():
        assert turned[name].item() == pytest.approx(loss.item(), rel=1e-6)


def test_gradients_reach_annotated_people_only():
    maps = outputs_of(FIELDS, 6, 28)
    sum(losses_of(ChartOutputs(**maps), scene()).values()).backward()
    for name, values in maps.items():
        touched = (values.grad.flatten(1).count_nonzero(dim=1) > 0).nonzero().flatten()
        # number 1 has no annotation, number 4 has a part mask, but no point inside the box
        assert touched.tolist() == ([0, 2, 3, 4, 5] if name == "coarse_segm" else [0, 2, 3, 5])


def test_u_and_v_are_learned_on_the_channel_of_the_part_only():
    maps = outputs_of(["coarse_segm", "fine_segm", "u", "v"], 6, 28)
    images = scene()
    sum(losses_of(ChartOutputs(**maps), images).values()).backward()
    everyone = [i for image in images for i in image]
    for name in ("u", "v"):
        touched = maps[name].grad.flatten(2).count_nonzero(dim=2) > 0
        for person, instance in zip(touched, everyone, strict=True):
            parts = set(map(int, instance.get("dp_I", []))) - {0}
            assert set(person.nonzero().flatten().tolist()) <= parts


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_of_half_precision_are_computed_in_full(dtype: torch.dtype):
    maps = outputs_of(FIELDS, 6, 28)
    full = losses_of(ChartOutputs(**maps), scene())
    half = losses_of(ChartOutputs(**{k: m.to(dtype) for k, m in maps.items()}), scene())
    for name, loss in half.items():
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(full[name].item(), rel=1e-2)


def test_zero_losses_do_not_overflow_in_half_precision():
    maps = {
        k: torch.full_like(m, 6e4, dtype=torch.float16)
        for k, m in outputs_of(FIELDS, 6, 28).items()
    }
    losses = losses_of(ChartOutputs(**maps), degenerate("no_annotations"))
    assert [loss.item() for loss in losses.values()] == [0.0, 0.0, 0.0]


def test_people_without_an_instance_mask_are_left_out():
    images = scene()
    samples, targets = [samples_of(i) for i in images], [targets_of(i) for i in images]
    targets[0] = targets[0]._replace(has_mask=torch.tensor([True, False, True]))
    boxes, masks = mask_targets(samples, targets, 28)
    assert boxes.tolist() == [0, 2, 3, 4, 5]
    assert np.array_equal(masks, ARRAYS["mask_target28"][boxes])


def test_without_instance_masks_the_coarse_loss_is_zero_and_keeps_the_graph():
    images = scene()
    without(images, ["gt_mask_rle"])
    maps = outputs_of(FIELDS, 6, 28)
    losses = losses_of(ChartOutputs(**maps), images, segm_from_masks=True)
    sum(losses.values()).backward()
    assert losses["loss_densepose_S"] == 0 != losses["loss_densepose_I"]
    assert maps["coarse_segm"].grad.count_nonzero() == 0


def test_coordinates_with_confidences_are_gaussian():
    generator = torch.Generator().manual_seed(0)
    errors, kappa = torch.randn(2, 2, 50, generator=generator, dtype=torch.float64)
    sigma_2 = torch.randn(50, generator=generator, dtype=torch.float64)
    found = uv_negative_log_likelihood(*errors, sigma_2, tuple(kappa), 0.01)
    variance = torch.nn.functional.softplus(sigma_2) + 0.01
    covariance = variance[:, None, None] * torch.eye(2) + kappa.T[:, :, None] * kappa.T[:, None]
    gaussian = torch.distributions.MultivariateNormal(torch.zeros(50, 2).double(), covariance)
    wanted = -gaussian.log_prob(errors.T).sum() - 50 * 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(found, wanted)


def sine_hash(shape: tuple[int, ...], seed: int, low: float = 0, high: float = 1) -> np.ndarray:
    """The numbers of the small scene, float32."""
    x = np.sin(np.arange(math.prod(shape)) * 12.9898 + seed * 78.233) * 43758.5453
    return (low + (high - low) * (x - np.floor(x))).reshape(shape).astype(np.float32)


def small_scene() -> tuple[list[Samples], list[Targets]]:
    """Three boxes of two people, in two images."""
    part_masks = np.zeros((1, 256, 256), np.uint8)
    for part in range(14):
        part_masks[0, 16 * part + 10 : 16 * part + 40, 20 + 5 * part : 200] = part + 1
    samples, targets = [], []
    for boxes, person, count, seed in SMALL_IMAGES:
        fields = [sine_hash((count,), seed + k) for k in range(5)]
        x, y, labels, u, v = map(torch.from_numpy, fields)
        labels = 1 + (24 * labels.double()).floor().long()
        whose = torch.zeros(count, dtype=torch.int64)
        points = PersonPoints(whose, 5 + 245 * x, 5 + 245 * y, labels, u, v)
        row = torch.zeros(1, dtype=torch.int64)
        targets.append(
            Targets(
                torch.tensor([person]), row, row == 0, points, torch.from_numpy(part_masks), row
            )
        )
        rows = torch.zeros(len(boxes), dtype=torch.int64)
        samples.append(Samples(torch.tensor(boxes), rows, rows, rows == 0))
    return samples, targets


def small_outputs(coarse_channels: int, confidences: int) -> ChartOutputs:
    shape = (3, 25, 16, 16)
    coarse = np.arange(3 * coarse_channels * 16 * 16)
    maps = {
        "coarse_segm": 2 * np.sin(0.37 * coarse + 0.11).reshape(3, -1, 16, 16),
        "fine_segm": sine_hash(shape, 2, -2, 2),
        "u": sine_hash(shape, 3, -0.2, 1.2),
        "v": sine_hash(shape, 4, -0.2, 1.2),
        "sigma_2": sine_hash(shape, 5, -3, 3),
        "kappa_u": sine_hash(shape, 6, -1, 1),
        "kappa_v": sine_hash(shape, 7, -1, 1),
    }
    names = list(maps)[: 4 + confidences]
    return ChartOutputs(**{k: torch.from_numpy(maps[k].astype(np.float32)) for k in names})


@pytest.mark.parametrize(
    ("name", "coarse_channels", "confidences", "weights"),
    [
        ("loss_chart_s1x", 2, 0, (5.0, 1.0, 0.01)),
        ("loss_chart_legacy", 15, 0, (2.0, 0.3, 0.1)),
        ("loss_WC1", 2, 1, (5.0, 1.0, 0.0005)),
        ("loss_WC2", 2, 3, (5.0, 1.0, 0.0005)),
    ],
)
def test_losses_of_the_small_scene(
    name: str, coarse_channels: int, confidences: int, weights: tuple[float, float, float]
):
    config = LossConfig(
        **dict(zip(("segm_weight", "part_weight", "points_weight"), weights, strict=True))
    )
    losses = chart_losses(small_outputs(coarse_channels, confidences), *small_scene(), config)
    found = {key: loss.item() for key, loss in losses.items()}
    assert found == pytest.approx(SMALL_SCENE[name], rel=1e-5)


def test_points_of_the_small_scene():
    golden, packed = SMALL_SCENE["point_interpolation"], pack(*small_scene())
    near, points = neighbours(packed, 16), packed.points
    assert near.valid.tolist() == list(map(bool, golden["valid"]))
    assert near.y[:, 0].tolist() == golden["y_lo"]
    assert near.x[:, 0].tolist() == golden["x_lo"]
    assert points.labels.tolist() == golden["labels"]
    (u,) = at_points([small_outputs(2, 0).u], points.box, near, points.labels)
    np.testing.assert_allclose(u, golden["u_at_points"], rtol=1e-5, atol=1e-5)


def test_part_masks_of_the_small_scene():
    _, parts = part_mask_targets(pack(*small_scene()), 16)
    golden = SMALL_SCENE["coarse_gt_resampled"]
    assert parts.sum(dim=(1, 2)).tolist() == golden["out_sum"]
    assert parts[2].tolist() == golden["roi2"]


@pytest.mark.parametrize("name", ["iid_iso", "indep_aniso"])
def test_coordinates_with_confidences_as_the_reference(name: str):
    spans = [(0, 1), (0, 1), (-2, 2), (-1, 1), (-1, 1), (0, 1), (0, 1)]
    numbers = [sine_hash((6,), k, *span) for k, span in enumerate(spans, start=1)]
    u, v, sigma_2, kappa_u, kappa_v, u_gt, v_gt = map(torch.from_numpy, numbers)
    kappa = (kappa_u, kappa_v) if name == "indep_aniso" else (0 * kappa_u, 0 * kappa_v)
    loss = uv_negative_log_likelihood(u - u_gt, v - v_gt, sigma_2, kappa, 0.01)
    assert loss.item() == pytest.approx(SMALL_SCENE["uv_nll_terms"][name], rel=1e-5)
