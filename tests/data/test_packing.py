import pytest
import torch

from iuv.data.packing import PackedBatch
from iuv.targets import Batch, PersonPoints, Targets


def targets(people, masks):
    points = PersonPoints(
        torch.zeros(3, dtype=torch.int64),
        torch.rand(3),
        torch.rand(3),
        torch.tensor([1, 24, 0]),
        torch.rand(3),
        torch.rand(3),
    )
    return Targets(
        boxes=torch.rand(people, 4),
        classes=torch.arange(people),
        annotated=torch.arange(people) == 0,
        points=points if people else PersonPoints.none(),
        part_masks=torch.randint(0, 15, (people, 256, 256), dtype=torch.uint8),
        part_mask_row=torch.arange(people),
        masks=torch.ones((people, 5, 7), dtype=torch.uint8) if masks else None,
        has_mask=torch.ones(people, dtype=torch.bool) if masks else None,
    )


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert torch.equal(a, b)
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("people", [0, 1, 3])
def test_what_is_packed_comes_out_again(people, masks):
    images = [torch.randint(0, 256, (5, 7, 3), dtype=torch.uint8) for _ in range(2)]
    batch = Batch(images, [targets(people, masks), targets(2, masks)], [7, 12])
    packed = PackedBatch.of(batch)
    assert_same(packed.unpack(), batch)
    assert packed.unpack().images[0].data_ptr() == packed.memory.data_ptr()  # no copy


def test_a_batch_of_nothing():
    assert PackedBatch.of(Batch([], [], [])).unpack() == Batch([], [], [])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="page-locked memory needs CUDA")
def test_pinned():
    packed = PackedBatch.of(Batch([torch.ones(2, 2, 3)], [targets(1, True)], [1])).pin_memory()
    batch = packed.unpack()
    assert batch.images[0].is_pinned()
    assert batch.targets[0].boxes.is_pinned()
