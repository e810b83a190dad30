import itertools

import pytest

from golden_data import golden
from iuv.data.samplers import group, inference_share, shuffled

SAMPLERS = golden("samplers")


@pytest.mark.parametrize("case", SAMPLERS["training_sampler"], ids=lambda c: f"seed{c['seed']}")
def test_the_stream_equals_the_reference(case):
    stream = case["stream"]
    assert list(itertools.islice(shuffled(case["size"], case["seed"]), len(stream))) == stream


@pytest.mark.parametrize("case", SAMPLERS["training_sampler"], ids=lambda c: f"seed{c['seed']}")
@pytest.mark.parametrize("world", [2, 3])
def test_shares_of_processes_equal_the_reference(case, world):
    for rank, expected in enumerate(case[f"world{world}_first12_per_rank"]):
        share = itertools.islice(shuffled(case["size"], case["seed"]), rank, None, world)
        assert list(itertools.islice(share, len(expected))) == expected


@pytest.mark.parametrize("case", SAMPLERS["aspect_ratio_grouping"]["results"], ids=lambda c: "x")
def test_groups_equal_the_reference(case):
    sizes = SAMPLERS["aspect_ratio_grouping"]["width_height"]
    stream = shuffled(len(sizes), case["sampler_seed"])
    batches = group(stream, case["batch_size"], lambda index: sizes[index][0] > sizes[index][1])
    assert list(itertools.islice(batches, len(case["batches"]))) == case["batches"]


def test_one_kind_gives_plain_batches():
    assert list(group(range(7), 3, lambda _: None)) == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("case", SAMPLERS["inference_sampler"], ids=lambda c: str(c["world"]))
def test_inference_shares_equal_the_reference(case):
    shares = [inference_share(case["total"], rank, case["world"]) for rank in range(case["world"])]
    assert list(map(list, shares)) == case["ranks"]
