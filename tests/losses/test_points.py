from __future__ import annotations

import numpy as np
import pytest
import torch

from golden_scene import ARRAYS, outputs_of, samples_of, scene, targets_of
from iuv.losses.detection import Samples
from iuv.losses.points import Neighbours, PackedPoints, Points, at_points, neighbours, pack

SIZES = [28, 56, 112]


def packed_scene() -> PackedPoints:
    images = scene()
    return pack([samples_of(i) for i in images], [targets_of(i) for i in images])


def test_points_are_packed_as_in_the_reference():
    packed = packed_scene()
    points = packed.points
    golden = {
        "fine_segm_labels_gt": points.labels,
        "x_gt": points.x,
        "y_gt": points.y,
        "u_gt": points.u,
        "v_gt": points.v,
        "bbox_xywh_gt": packed.person_xywh,
        "bbox_xywh_est": packed.box_xywh,
        "point_bbox_with_dp_indices": points.annotated,
        "point_bbox_indices": points.box,
        "bbox_indices": packed.boxes,
        "coarse_segm_gt_u8": packed.part_masks[packed.part_mask_row],
    }
    for name, value in golden.items():
        assert np.array_equal(value, ARRAYS[f"packed/{name}"]), name


def test_every_box_of_a_person_has_all_their_points():
    instances = scene()[1]
    person = torch.tensor([2, 0, 2, 1])
    boxes = torch.arange(16.0).reshape(4, 4)
    samples = Samples(boxes, torch.zeros_like(person), person, person >= 0)
    packed = pack([samples_of([]), samples], [targets_of([]), targets_of(instances)])
    wanted = [value for p in person for value in instances[p]["dp_x"]]
    assert packed.points.x.tolist() == torch.tensor(wanted).tolist()
    assert packed.points.box.bincount().tolist() == [30, 25, 30, 1]
    assert packed.part_mask_row.tolist() == person.tolist()
    assert torch.equal(packed.box_xywh[:, :2], boxes[:, :2])


def test_people_without_a_single_point_are_left_out():
    instances = scene()[1]
    for name in "xyIUV":
        instances[0][f"dp_{name}"] = []
    packed = pack([samples_of(instances)], [targets_of(instances)])
    assert packed.boxes.tolist() == [1, 2]
    assert packed.part_mask_row.tolist() == [1, 2]
    assert packed.points.box.unique().tolist() == [1, 2]
    assert packed.points.annotated.unique().tolist() == [0, 1]


@pytest.mark.parametrize("size", SIZES)
def test_neighbours_as_the_reference(size: int):
    near = neighbours(packed_scene(), size)
    golden = {k.split("/")[1]: v for k, v in ARRAYS.items() if k.startswith(f"interp{size}/")}
    corners = [("lo", "lo"), ("lo", "hi"), ("hi", "lo"), ("hi", "hi")]
    assert np.array_equal(near.valid, golden["j_valid"])
    for column, (y, x) in enumerate(corners):
        assert np.array_equal(near.y[:, column], golden[f"y_{y}"])
        assert np.array_equal(near.x[:, column], golden[f"x_{x}"])
        np.testing.assert_allclose(near.weight[:, column], golden[f"w_y{y}_x{x}"], 1e-5, 1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_maps_are_read_at_points_as_in_the_reference(size: int):
    packed = packed_scene()
    near, points = neighbours(packed, size), packed.points
    names = ["u", "v", "sigma_2", "kappa_u"]
    maps = outputs_of([*names, "fine_segm"], 6, size)
    found = at_points([maps[name] for name in names], points.box, near, points.labels)
    found += at_points([maps["fine_segm"]], points.box, near)
    for name, values in zip([*names, "fine_segm"], found, strict=True):
        golden = ARRAYS[f"interp{size}/{name}_at_points"]
        limit = 1e-5 * np.abs(golden).max()
        np.testing.assert_allclose(values.detach(), golden, rtol=0, atol=limit)


def test_gradients_reach_the_neighbours_of_the_points_only():
    packed = packed_scene()
    near, points = neighbours(packed, 28), packed.points
    u = outputs_of(["u"], 6, 28)["u"]
    (values,) = at_points([u], points.box, near, points.labels)
    values.sum().backward()
    wanted = torch.zeros_like(u)
    place = points.box[:, None], points.labels[:, None], near.y, near.x
    wanted.index_put_(place, near.weight, accumulate=True)
    torch.testing.assert_close(u.grad, wanted)


def test_gradients_are_the_same_every_time():
    threads = torch.get_num_threads()
    generator = torch.Generator().manual_seed(0)
    place = torch.randint(0, 6, (2, 3000, 4), generator=generator)  # many share a cell
    near = Neighbours(place[0, :, 0] >= 0, *place, torch.rand(3000, 4, generator=generator))
    factor = torch.randn(3000, 25, generator=generator)
    gradients = []
    try:
        torch.set_num_threads(2)
        for _ in range(8):
            maps = torch.zeros(1, 25, 7, 7, requires_grad=True)
            (values,) = at_points([maps], torch.zeros(3000, dtype=torch.int64), near)
            (values * factor).sum().backward()
            gradients.append(maps.grad)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)


def test_values_between_cells_are_blended():
    columns = torch.arange(4.0).expand(1, 1, 4, 4)
    person = torch.tensor([[0.0, 0, 256, 256]])
    k = torch.zeros(4, dtype=torch.int64)
    x, y = torch.tensor([0.0, 96, 200, 255]), torch.full((4,), 128.0)
    points = Points(k, k, x, y, k, x, y)
    packed = PackedPoints(points, k[:1], person, person, torch.zeros(0), k[:1] - 1)
    near = neighbours(packed, 4)
    (values,) = at_points([columns], k, near)
    assert near.valid.all()
    # a cell's value is at its left edge, and the last cell has no neighbour to blend with
    assert values.squeeze(1).tolist() == [0.0, 1.5, 3.0, 3.0]


def test_points_on_the_right_edge_are_outside():
    person, box = torch.tensor([[0.0, 0, 256, 256]]), torch.tensor([[64.0, 0, 128, 256]])
    k = torch.zeros(4, dtype=torch.int64)
    x, y = torch.tensor([63.5, 64, 191.5, 192]), torch.full((4,), 128.0)
    packed = PackedPoints(Points(k, k, x, y, k, x, y), k[:1], box, person, torch.zeros(0), k[:1])
    assert neighbours(packed, 8).valid.tolist() == [False, True, True, False]
