import numpy as np
import pytest
import torch

from hashing import GOLDEN, sample_positions, uniform
from iuv.ops.roi_align import assign_levels, pool_pyramid, roi_align


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "ops" / "roi_align.npz") as data:
        return {name: data[name] for name in data}


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("pool_size", [7, 14, 28])
def test_equals_reference(golden, aligned, sampling_ratio, pool_size):
    features = torch.from_numpy(uniform("ops/roi_align/features", (2, 8, 50, 68)))
    rois = torch.from_numpy(golden["rois"])
    pooled = roi_align(
        features,
        rois[:, 1:],
        rois[:, 0].long(),
        scale=0.25,
        pool_size=pool_size,
        sampling_ratio=sampling_ratio,
        aligned=aligned,
    ).numpy()
    name = f"aligned{int(aligned)}_sr{sampling_ratio}_p{pool_size}"
    assert pooled.shape == tuple(golden[f"{name}_shape"])
    if name in golden:
        np.testing.assert_allclose(pooled, golden[name], atol=1e-5)
    else:
        samples = pooled.ravel()[sample_positions(pooled.size, 4096)]
        np.testing.assert_allclose(samples, golden[f"{name}_samples"], atol=1e-5)


@pytest.mark.parametrize(("name", "aligned"), [("ROIAlign", False), ("ROIAlignV2", True)])
def test_pyramid_equals_reference(golden, name, aligned):
    features = [
        torch.from_numpy(uniform(f"ops/pooler/p{k}", tuple(golden[f"pooler_p{k}_shape"])))
        for k in range(2, 6)
    ]
    boxes = torch.from_numpy(golden["pooler_boxes"])
    assert features[0].shape[0] == 1
    pooled = pool_pyramid(features, [boxes], pool_size=7, sampling_ratio=2, aligned=aligned)
    np.testing.assert_allclose(pooled.numpy(), golden[f"pooler_{name}_sr2_p7"], atol=1e-5)


def test_levels_equal_reference():
    with np.load(GOLDEN / "ops" / "levels.npz") as data:
        boxes = torch.from_numpy(data["boxes"])
        assert assign_levels(boxes, 4).tolist() == data["level_minus2_of_p2_p5"].tolist()
        assert assign_levels(boxes, 5).tolist() == data["level_minus2_of_p2_p6"].tolist()


@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_no_boxes(sampling_ratio):
    pooled = pool_pyramid(
        [torch.zeros(1, 3, 8, 8)],
        [torch.zeros(0, 4)],
        pool_size=7,
        sampling_ratio=sampling_ratio,
        aligned=False,
    )
    assert pooled.shape == (0, 3, 7, 7)


def test_boxes_of_several_images_keep_their_order():
    features = [torch.arange(2.0)[:, None, None, None].expand(2, 1, 64, 64) for _ in range(4)]
    small, large = [0.0, 0, 50, 50], [0.0, 0, 200, 200]
    boxes = [torch.tensor([large, small]), torch.tensor([small, large, small])]
    pooled = pool_pyramid(features, boxes, pool_size=2, sampling_ratio=2, aligned=False)
    assert pooled.mean(dim=(1, 2, 3)).tolist() == [0, 0, 1, 1, 1]


def test_gradient_reaches_the_features():
    features = torch.ones(1, 2, 8, 8, requires_grad=True)
    boxes = torch.tensor([[4.0, 4, 20, 20]])
    pooled = roi_align(
        features,
        boxes,
        torch.zeros(1).long(),
        scale=0.25,
        pool_size=2,
        sampling_ratio=2,
        aligned=True,
    )
    pooled.sum().backward()
    assert features.grad.sum().item() == pytest.approx(2 * 2 * 2)  # each bin is a mean


def test_pooled_boxes_of_several_levels_stay_channels_last():
    features = [
        torch.rand(1, 8, 32 >> level, 32 >> level).contiguous(memory_format=torch.channels_last)
        for level in range(4)
    ]
    boxes = torch.tensor([[0.0, 0, 20, 20], [0, 0, 120, 120], [5, 5, 30, 30]])
    pooled = pool_pyramid(features, [boxes], pool_size=7, sampling_ratio=2, aligned=False)
    assert pooled.is_contiguous(memory_format=torch.channels_last)
