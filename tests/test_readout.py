"""The read-out on processors against its literal form: smooth maps, noise, ties, any layout."""

import pytest
import torch
import torch.nn.functional as F

from iuv import decode
from iuv.bench.plain import plain_read_out
from iuv.decode import read_out
from iuv.results import ChartOutputs

SIDE = 56
NEAR = 1e-5  # rounding, relative to the largest value: channels this near may change places


def charts(grain=7, *, coarse=2, side=SIDE, channels_last=True):
    """Random maps; the smaller the grain, the larger the parts. Confidences of both kinds."""
    channels = [coarse, 25, 25, 25, 25, 1]
    generator = torch.Generator().manual_seed(grain + coarse)
    rough = torch.randn(1, sum(channels), grain, grain, generator=generator)
    maps = F.interpolate(rough, size=(side, side), mode="bicubic", align_corners=False)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    fields = (m[0] for m in maps.contiguous(memory_format=layout).split(channels, dim=1))
    names = ("coarse_segm", "fine_segm", "u", "v", "sigma_2", "fine_segm_confidence")
    return ChartOutputs(**dict(zip(names, fields, strict=True)))


def check(maps, height, width):
    ours = read_out(maps, height=height, width=width)
    plain = plain_read_out(maps, height=height, width=width)
    assert list(ours) == list(plain)
    assert all(ours[name].dtype == plain[name].dtype for name in plain)
    same = ours["labels"] == plain["labels"]
    assert ours["labels"].eq(plain["labels"]).float().mean() > 0.999
    if not same.all():
        assert margin(maps, height, width)[~same].max() < NEAR
    for name in ours:
        difference = ((ours[name].float() - plain[name].float()) * same).abs().max()
        assert difference < NEAR * 5, name  # of values up to 5
    return ours["labels"]


def margin(maps, height, width):
    """How near the second best channel, fine or coarse, comes to the best, relative."""
    nearest = torch.full((height, width), torch.inf)
    for m in (maps.coarse_segm, maps.fine_segm):
        size = (height, width)
        scores = F.interpolate(m[None], size=size, mode="bilinear", align_corners=False)[0]
        best = scores.topk(2, dim=0).values
        nearest = torch.minimum(nearest, (best[0] - best[1]) / m.abs().max())
    return nearest


SIZES = [(1, 1), (2, 300), (300, 2), (24, 12), (28, 28), (56, 56), (57, 56), (112, 112), (331, 205)]


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("grain", [5, SIDE])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_equals_the_literal_form(height, width, grain, channels_last):
    check(charts(grain, channels_last=channels_last), height, width)


@pytest.mark.parametrize("many", [0, 1])  # all parts resampled; some blended, however many
@pytest.mark.parametrize("coarse", [2, 15])
def test_both_ways_to_labels_are_equal(monkeypatch, many, coarse):
    monkeypatch.setattr(decode, "_MANY", many)
    for grain in (6, SIDE):
        labels = check(charts(grain, coarse=coarse), 190, 140)
        assert len(labels.unique()) > 20


def test_bands_do_not_show(monkeypatch):
    maps = charts(6)
    whole = read_out(maps, height=200, width=150)
    monkeypatch.setattr(decode, "_BAND_PIXELS", 1000)
    banded = read_out(maps, height=200, width=150)
    for name, value in whole.items():
        assert (value == banded[name]).all()


def test_few_pixels_are_blended(monkeypatch):
    """Most labels are known from the corners of cells, or the read-out is not quick."""
    blended = []
    choose = decode._choose
    monkeypatch.setattr(
        decode, "_choose", lambda *args: blended.append(args[1].shape[1]) or choose(*args)
    )
    read_out(charts(5), height=300, width=200)
    assert 0 < sum(blended) < 0.2 * 300 * 200


def test_a_part_may_win_inside_a_cell_that_wins_at_no_corner():
    fine = torch.full((25, 8, 8), -9.0)
    fine[3, :, ::2] = fine[7, :, 1::2] = 1
    fine[3, :, 1::2] = fine[7, :, ::2] = -2
    fine[5] = 0.5  # between them, both are at -0.5
    coarse = torch.stack([torch.zeros(8, 8), torch.ones(8, 8)])
    maps = ChartOutputs(coarse, fine, torch.rand(25, 8, 8), torch.rand(25, 8, 8))
    assert check(maps, 97, 97).unique().tolist() == [3, 5, 7]


def test_the_first_of_equal_channels_wins():
    maps = charts(5)
    twice, once = maps.fine_segm.clone(), maps.fine_segm.clone()
    twice[13:], once[13:] = twice[:12], -9
    for size in ({"height": 150, "width": 131}, {"height": 20, "width": 20}):
        labels = read_out(maps._replace(fine_segm=twice), **size)["labels"]
        assert (labels == read_out(maps._replace(fine_segm=once), **size)["labels"]).all()
        assert labels.max() > 9


def test_maps_that_are_a_part_of_others():
    maps = charts(6, side=64)
    cut = ChartOutputs(*(m if m is None else m[:, 3:59, 5:61] for m in maps))
    check(cut, 123, 77)
