"""Patterns stick to the surface and look as their fields say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from iuv.synth import materials
from iuv.synth.materials import (
    Pattern,
    plain,
    sample_cloth,
    sample_colour,
    sample_hair,
    sample_skin,
    wrinkled,
)

BLACK, WHITE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
KINDS = ("plain", "stripes", "checks", "dots", "camouflage", "heather", "blocks", "print")
TRUNK = np.uint8(2)


def body(count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    low, high = np.array([[-0.1], [0.5], [-0.06]]), np.array([[0.1], [0.85], [0.1]])
    rest = (low + (high - low) * rng.random((3, count))).astype(np.float32)
    return rest, np.full(count, TRUNK)


def evaluate(pattern: Pattern, rest: np.ndarray, part: np.ndarray) -> np.ndarray:
    """The colour of points of one pattern."""
    return materials.evaluate((pattern,), np.zeros(len(part), np.int16), rest, part)


def quiet(**fields: object) -> Pattern:
    return replace(Pattern(colours=(BLACK, WHITE), grain=0.0, mottle=0.0), **fields)


def test_plain_is_one_colour():
    rest, part = body()
    colour = evaluate(plain((0.2, 0.4, 0.6)), rest, part)
    assert colour.dtype == np.float32
    np.testing.assert_allclose(colour, np.array([[0.2], [0.4], [0.6]]) + 0 * rest, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_patterns_have_both_colours(kind: str):
    rest, part = body()
    colour = evaluate(quiet(kind=kind, offset=(0.3, 0.3, 0.3), period=0.1), rest, part)
    assert 0.02 < colour.mean() < 0.98
    assert (colour[0] == colour[1]).all()
    np.testing.assert_array_equal(
        colour, evaluate(quiet(kind=kind, offset=(0.3, 0.3, 0.3), period=0.1), rest, part)
    )


def test_stripes():
    rest = np.zeros((3, 100), np.float32)
    rest[1] = np.linspace(0.5, 0.7, 100, endpoint=False) + 0.0005
    colour = evaluate(quiet(kind="stripes", period=0.05, share=0.4), rest, np.full(100, TRUNK))[0]
    changes = np.count_nonzero(np.diff(colour))
    assert changes == 7  # four periods
    assert colour.mean() == pytest.approx(0.4, abs=0.03)
    turned = quiet(kind="stripes", period=0.05, turned=True)
    assert len(np.unique(evaluate(turned, rest, np.full(100, TRUNK)))) == 1


def test_stripes_run_around_arms():
    """In the rest pose arms point sideways: their stripes are along x there."""
    rest = np.zeros((3, 100), np.float32)
    rest[0], rest[1] = np.linspace(0.12, 0.32, 100), 0.79
    pattern = quiet(kind="stripes", period=0.05)
    assert np.count_nonzero(np.diff(evaluate(pattern, rest, np.full(100, np.uint8(15)))[0])) > 5
    assert np.count_nonzero(np.diff(evaluate(pattern, rest, np.full(100, TRUNK))[0])) == 0


def test_grain_and_mottle_change_brightness_a_little():
    rest, part = body()
    grey = Pattern(colours=((0.5, 0.5, 0.5),), grain=0.1, mottle=0.2)
    colour = evaluate(grey, rest, part)[0]
    assert 0.34 < colour.min() < 0.45
    assert 0.55 < colour.max() < 0.66
    assert abs(colour.mean() - 0.5) < 0.03
    moved = evaluate(replace(grey, offset=(0.5, 0.5, 0.5)), rest, part)[0]
    assert np.abs(moved - colour).max() > 0.05


def test_many_patterns_at_once_are_as_each_alone():
    rest, part = body(3000)
    patterns = [replace(quiet(kind=kind, period=0.05), mottle=0.1, grain=0.1) for kind in KINDS]
    patterns[0] = plain((0.2, 0.4, 0.6))
    which = (np.arange(3000) % len(patterns)).astype(np.int16)
    colour = materials.evaluate(patterns, which, rest, part)
    for number, pattern in enumerate(patterns):
        own = which == number
        np.testing.assert_array_equal(colour[:, own], evaluate(pattern, rest[:, own], part[own]))


def test_folds_tilt_normals_of_what_has_folds():
    rest, _ = body(500)
    which = (np.arange(500) % 2).astype(np.int16)
    normals = np.zeros((3, 500), np.float32)
    wrinkled([quiet(), quiet(folds=0.5)], which, rest, normals)
    assert not normals[:, which == 0].any()
    assert 0.03 < np.abs(normals[:, which == 1]).mean() < 0.5


def test_grey_hair_is_rare_and_of_adults():
    rng = np.random.Generator(np.random.PCG64(0))

    def share(grey: float) -> float:
        colours = np.array([sample_hair(rng, grey=grey).colours[0] for _ in range(600)])
        dull = np.ptp(colours, axis=1) < 0.12 * colours.max(axis=1) + 0.02
        return float((dull & (colours.mean(axis=1) > 0.3)).mean())

    assert share(0.0) < 0.03  # some dyes are grey
    assert 0.2 < share(0.3) < 0.4


def test_samples_are_valid_and_differ():
    rng = np.random.Generator(np.random.PCG64(0))
    rest, part = body(50)
    kinds = set()
    for _ in range(150):
        for pattern in (
            sample_cloth(rng),
            sample_cloth(rng, legs=True),
            sample_skin(rng),
            sample_hair(rng),
        ):
            colour = evaluate(pattern, rest, part)
            assert 0 <= colour.min() <= colour.max() <= 1
            kinds.add(pattern.kind)
        assert all(0 <= value <= 1 for value in sample_colour(rng))
    assert kinds == set(KINDS)


def test_skin_covers_the_whole_range():
    rng = np.random.Generator(np.random.PCG64(0))
    tones = np.array([sample_skin(rng).colours[0] for _ in range(300)])
    brightness = tones.mean(axis=1)
    assert np.histogram(brightness, bins=4, range=(0.14, 0.9))[0].min() > 30
    assert (tones[:, 0] > tones[:, 2]).mean() > 0.97


def test_bad_patterns():
    with pytest.raises(ValueError, match="at least one colour, got none"):
        Pattern(colours=())
    with pytest.raises(ValueError, match=r"period must be positive, got 0\.0"):
        Pattern(colours=(BLACK,), period=0.0)
