"""Motion of the picture, and maps averaged along it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clips import textured
from iuv.results import ChartOutputs
from iuv.video.motion import grey, measure_motion, moved_box, sample_motion
from iuv.video.smoothing import History, blend, carry, source_places
from sample_people import make_person

BOX = np.float32([20, 10, 60, 55])
SIDE = 16


def frames(*indices):
    return [grey(textured(index)) for index in indices]


def test_motion_of_a_moving_texture():
    """It goes right by 2 and down by 1 per frame: what is here now was there before."""
    now, before = frames(3, 2)
    motion = measure_motion(now, before, BOX)
    inside = sample_motion(motion, np.float32([30, 45]), np.float32([20, 40]))
    np.testing.assert_allclose(inside[..., 0], -2, atol=0.15)
    np.testing.assert_allclose(inside[..., 1], -1, atol=0.15)
    assert inside[..., 2].min() > 0.8


def test_other_pictures_are_not_trusted():
    (now,) = frames(3)
    other = np.random.default_rng(0).integers(0, 256, now.shape, dtype=np.uint8)
    assert measure_motion(now, other, BOX).trust.mean() < 0.5


@pytest.mark.parametrize("box", [(200, 10, 240, 50), (10, 10, 11, 11)])
def test_no_motion_outside_or_in_next_to_nothing(box):
    now, before = frames(3, 2)
    assert measure_motion(now, before, np.float32(box)) is None
    np.testing.assert_array_equal(moved_box(np.float32(box), None), np.float32(box))


def test_a_box_moves_with_what_it_holds():
    before, now = frames(2, 4)
    moved = moved_box(BOX, measure_motion(before, now, BOX))
    np.testing.assert_allclose(moved, BOX + np.float32([4, 2, 4, 2]), atol=0.7)


def test_a_box_moves_with_its_person_not_with_the_background():
    """All but the person's pixels stand still."""
    still, before, now = frames(0, 2, 4)
    height, width = still.shape
    left, top, right, bottom = 30, 15, 52, 50
    mask = np.zeros(still.shape, bool)
    mask[top:bottom, left:right] = True
    first = np.where(mask, before, still)
    second = np.where(np.roll(mask, (2, 4), (0, 1)), now, still)
    box = np.float32([15, 8, 67, 60])
    labels = np.zeros((52, 52), np.uint8)
    labels[top - 8 : bottom - 8, left - 15 : right - 15] = 2
    person = make_person((15, 8, 52, 52), image_size=(height, width), part=labels)
    moved = moved_box(box, measure_motion(first, second, box), person)
    np.testing.assert_allclose((moved - box)[[0, 2]].mean(), 4, atol=1.0)
    np.testing.assert_allclose((moved - box)[[1, 3]].mean(), 2, atol=1.0)


# Maps


def charts(value, side=SIDE):
    """Maps of one value; U runs along x from 0 to 1."""
    across = torch.linspace(0, 1, side).expand(25, side, side)
    flat = torch.full((25, side, side), float(value))
    return ChartOutputs(flat[:2], flat, across.clone(), flat.clone())


def places_and_trust(now, before, box, then):
    return source_places(box, then, measure_motion(now, before, box), SIDE)


def test_places_in_a_picture_at_rest():
    (still,) = frames(1)
    places, trust = places_and_trust(still, still, BOX, BOX)
    steps = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    np.testing.assert_allclose(places, np.dstack(np.meshgrid(steps, steps)), atol=0.02)
    assert trust.min() > 0.95


def test_places_follow_the_picture_whatever_the_boxes():
    """A box twice as large over a moved picture: the same things are found."""
    now, before = frames(3, 2)
    box = np.float32([10, 5, 70, 60])
    places, _ = places_and_trust(now, before, box, BOX)
    middle = places[SIDE // 2, SIDE // 2]
    x, y = 10 + 60 * 8.5 / 16 - 2, 5 + 55 * 8.5 / 16 - 1
    expected = ((x - 20) / 40 * 2 - 1, (y - 10) / 45 * 2 - 1)
    np.testing.assert_allclose(middle, expected, atol=0.02)


def test_carried_maps_are_the_same_function_of_the_picture():
    history = blend(None, charts(1), BOX, 0.7)
    half = np.float32([20, 10, 40, 32.5])  # the upper left quarter
    (still,) = frames(1)
    carried = carry(history, *places_and_trust(still, still, half, BOX), half)
    wanted = torch.linspace(0, 1, SIDE)[:8].repeat_interleave(2)
    np.testing.assert_allclose(carried.charts.u[3, 5], wanted, atol=0.06)
    np.testing.assert_array_equal(carried.box, half)


def test_what_was_outside_has_no_weight():
    history = blend(None, charts(1), BOX, 0.7)
    aside = BOX + np.float32([20, 0, 20, 0])
    (still,) = frames(1)
    carried = carry(history, *places_and_trust(still, still, aside, BOX), aside)
    assert carried.weight[8, 2] > 0.9
    assert carried.weight[8, 12] == 0


def test_first_frames_are_averaged_evenly_then_by_the_greatest_share():
    history, values = None, [0.0, 3.0, 6.0, 1.0, 9.0]
    means = []
    for value in values:
        history = blend(history, charts(value), BOX, 0.75)
        means.append(float(history.charts.fine_segm[4, 2, 2]))
    assert means[:4] == pytest.approx([0, 1.5, 3, 2.5])
    assert means[4] == pytest.approx(0.75 * 2.5 + 0.25 * 9)


def test_distrusted_pixels_take_the_present():
    past = History(charts(5), torch.zeros(SIDE, SIDE), BOX)
    mixed = blend(past, charts(1), BOX, 0.9)
    assert torch.equal(mixed.charts.fine_segm, charts(1).fine_segm)


def test_noise_shrinks_and_the_mean_stays():
    generator = torch.Generator().manual_seed(0)
    history, kept = None, []
    for _ in range(60):
        noise = torch.randn((25, SIDE, SIDE), generator=generator)
        history = blend(history, ChartOutputs(noise[:2], noise, noise, noise), BOX, 0.7)
        kept.append(history.charts.fine_segm)
    steady = torch.stack(kept[20:])
    assert steady.std() == pytest.approx((0.3 / 1.7) ** 0.5, rel=0.05)  # of an exponential mean
    assert abs(steady.mean()) < 0.02


def test_confidences_are_smoothed_too():
    maps = charts(1)._replace(sigma_2=torch.zeros(25, SIDE, SIDE))
    history = blend(None, maps, BOX, 0.5)
    (still,) = frames(1)
    history = carry(history, *places_and_trust(still, still, BOX, BOX), BOX)
    later = maps._replace(sigma_2=torch.ones(25, SIDE, SIDE))
    assert blend(history, later, BOX, 0.5).charts.sigma_2.mean() == pytest.approx(0.5, abs=0.03)
    assert history.charts.kappa_u is None
