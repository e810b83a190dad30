"""People far apart: the decoder runs in several small windows, and nothing else changes."""

import pytest
import torch

from iuv.ops.roi_align import far_apart, pool_pyramid
from iuv.runtime.eager import prepare_eager
from iuv.runtime.parts import join, split
from tiny import tiny_model

NEAR, FAR = [0.0, 0.0, 60.0, 90.0], [500.0, 300.0, 560.0, 380.0]
BESIDE_NEAR = [50.0, 10.0, 110.0, 95.0]


def groups(*boxes, margin=8):
    return far_apart(torch.tensor(boxes), scale=0.25, margin=margin)


def test_people_side_by_side_share_a_window():
    assert groups(NEAR, FAR, BESIDE_NEAR) == [[0, 2], [1]]
    assert groups(FAR, NEAR) == [[0], [1]]
    assert groups(FAR, NEAR, margin=1000) == [[0, 1]]
    assert groups(NEAR, NEAR) == [[0, 1]]
    assert groups(NEAR, FAR, NEAR, BESIDE_NEAR, FAR) == [[0, 2, 3], [1, 4]]
    assert groups(NEAR, BESIDE_NEAR, NEAR) == [[0, 1, 2]]  # the first and the last are joined first
    assert far_apart(torch.tensor([NEAR, FAR] * 51), scale=1, margin=0) == [list(range(102))]
    assert groups(NEAR) == [[0]]
    assert far_apart(torch.zeros(0, 4), scale=0.25, margin=8) == []


def test_groups_never_cost_more_than_one_window():
    generator = torch.Generator().manual_seed(0)
    for count in range(2, 30, 3):
        corner = torch.rand(count, 2, generator=generator) * 900
        boxes = torch.cat([corner, corner + torch.rand(count, 2, generator=generator) * 200], 1)
        found = far_apart(boxes, scale=0.25, margin=8)
        assert sorted(row for rows in found for row in rows) == list(range(count))
        costs = []
        for rows in [*found, list(range(count))]:
            low, high = boxes[rows, :2].amin(0), boxes[rows, 2:].amax(0)
            costs.append(float(((high - low) / 4 + 8).prod()))
        assert sum(costs[:-1]) <= costs[-1] * (1 + 1e-5)


@pytest.fixture(scope="module")
def model():
    return prepare_eager(tiny_model(), torch.device("cpu"))


@pytest.mark.parametrize("engine", ["eager", "parts"])
@pytest.mark.parametrize("apart", [True, False])
@torch.inference_mode()
def test_charts_are_those_of_the_whole_map(model, engine, apart):
    cells, heights = [0], []
    network = model
    if engine == "parts":

        def runner(part):
            return lambda inputs: list(part.module(*inputs))

        network = join(model.config, {part.name: runner(part) for part in split(model)})
    hook = network.decoder.register_forward_hook(
        lambda _, inputs, output: cells.append(output[0, 0].numel()) or heights.append(len(output))
    )
    generator = torch.Generator().manual_seed(1)
    sizes = [(96 >> level, 160 >> level) for level in range(4)]
    features = [torch.randn(3, 32, *size, generator=generator) for size in sizes]
    features = [level.contiguous(memory_format=torch.channels_last) for level in features]
    first = [FAR, NEAR, BESIDE_NEAR, FAR] if apart else [NEAR, BESIDE_NEAR, NEAR]
    people = [torch.tensor(first), torch.zeros(0, 4), torch.tensor([FAR])]
    charts = network.read_charts(features, people)
    hook.remove()
    settings = {"pool_size": 28, "sampling_ratio": 2, "aligned": False}
    whole = model.dense(pool_pyramid([model.decoder(features)], people, **settings))
    assert [len(image.u) for image in charts] == [len(first), 0, 1]
    for name in ("coarse_segm", "fine_segm", "u", "v"):
        found = torch.cat([getattr(image, name) for image in charts])
        torch.testing.assert_close(found, getattr(whole, name), rtol=1e-4, atol=1e-4)
    assert heights == [1] * (3 if apart else 2)  # windows: one or two of the first image, one
    assert sum(cells) < 0.1 * 3 * 96 * 160
