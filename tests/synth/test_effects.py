"""What cameras do to light."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from iuv.synth.effects import CODE_OF_WHITE, Effects, blur_codes, develop, sample_effects


def grey(value: float = 0.2, size: int = 48) -> np.ndarray:
    return np.full((3, size, size), value, np.float32)


def edge(size: int = 48) -> np.ndarray:
    light = grey(0.05, size)
    light[:, :, size // 2 :] = 0.6
    return light


def test_more_light_is_brighter():
    values = [
        int(develop(grey(light), Effects())[0, 0, 0]) for light in (0, 0.05, 0.2, 0.5, 1, 4, 50)
    ]
    assert values == sorted(values)
    assert values[0] == 0
    assert 100 < values[2] < 125  # light of 0.2 is mid-grey
    assert values[-1] == 255


@pytest.mark.parametrize(
    "effects", [Effects(blur=1.5), Effects(motion=(5, 2)), Effects(motion=(-4, 0))]
)
def test_blurs_widen_edges_and_keep_the_mean(effects: Effects):
    sharp, soft = (develop(edge(), e)[..., 0].astype(float) for e in (Effects(), effects))
    assert np.count_nonzero(np.diff(sharp[24])) == 1
    assert np.count_nonzero(np.diff(soft[24])) >= 4
    assert soft.mean() == pytest.approx(sharp.mean(), abs=1)
    middle = np.interp(sharp.mean(), soft[24], np.arange(48))
    assert middle == pytest.approx(23.5, abs=0.6)  # edges stay where the labels are


def test_codes_are_blurred():
    codes = (edge()[0] * CODE_OF_WHITE).astype(np.uint16)
    soft = blur_codes(codes, 2.0)
    assert soft.shape == (48, 48)
    assert soft.mean() == pytest.approx(codes.mean(), rel=2e-3)
    assert 0.1 < soft[24, 23] / CODE_OF_WHITE < 0.55


def test_noise():
    rgb = develop(grey(), Effects(noise=0.04, seed=3)).astype(float)
    assert rgb.std() / 255 == pytest.approx(0.04, rel=0.25)
    assert rgb.mean() == pytest.approx(develop(grey(), Effects()).mean(), abs=1)
    np.testing.assert_array_equal(rgb, develop(grey(), Effects(noise=0.04, seed=3)))
    assert (rgb != develop(grey(), Effects(noise=0.04, seed=4))).mean() > 0.8


def test_noise_of_large_pictures():
    """More numbers than there are: they are repeated."""
    rgb = develop(np.full((3, 620, 600), 0.2, np.float32), Effects(noise=0.04, seed=3)).astype(int)
    assert rgb.std() / 255 == pytest.approx(0.04, rel=0.25)
    for part in (rgb[:, 1:] - rgb[:, :-1], rgb[..., 1:] - rgb[..., :-1], rgb[1:] - rgb[:-1]):
        assert part.std() > rgb.std()  # neighbours and colours differ


def test_jpeg():
    light = np.random.default_rng(0).random((3, 48, 48), dtype=np.float32)
    clean = develop(light, Effects()).astype(float)
    loss = [np.abs(develop(light, Effects(jpeg=q)) - clean).mean() for q in (95, 50, 10)]
    assert 0 < loss[0] < loss[1] < loss[2]
    colour = grey()
    colour[0] = 0.5
    red = develop(colour, Effects(jpeg=90))[24, 24].astype(int)
    assert red[0] > red[1] + 40
    assert abs(red[1] - red[2]) < 6


def test_colour_and_tone():
    light = grey()
    light[0] = 0.4
    assert np.ptp(develop(light, Effects(saturation=0.0))[0, 0]) <= 1
    warm = develop(grey(), Effects(cast=(1.2, 1.0, 0.8)))[0, 0].astype(int)
    assert warm[0] > warm[1] > warm[2]
    dark, bright = (develop(grey(v), Effects(contrast=0.8))[0, 0, 0] for v in (0.05, 0.6))
    assert dark < develop(grey(0.05), Effects())[0, 0, 0]
    assert bright > develop(grey(0.6), Effects())[0, 0, 0]
    assert develop(grey(0.0), Effects(haze=0.2)).min() > 60
    corners = develop(grey(), Effects(vignette=0.5))[..., 0]
    assert corners[0, 0] < corners[24, 24] - 20
    assert abs(int(corners[0, 0]) - int(corners[-1, -1])) < 3
    assert np.ptp(develop(edge(), Effects(sharpen=1.0)).astype(int)) > np.ptp(
        develop(edge(), Effects()).astype(int)
    )


def test_metering():
    for value in (0.05, 0.2, 0.45):
        plain = develop(grey(value), Effects())[0, 0, 0]
        half, full = (develop(grey(value), Effects(metering=m))[0, 0, 0] for m in (0.5, 1.0))
        assert 108 < full < 122
        assert min(plain, full) <= half <= max(plain, full)
    assert develop(grey(0.0001), Effects(metering=1.0)).max() < 20  # night stays dark


def test_random_effects():
    rng = np.random.Generator(np.random.PCG64(0))
    many = [sample_effects(rng, outdoors=bool(i % 2)) for i in range(200)]
    for name in ("blur", "noise", "sharpen", "vignette", "haze"):
        assert 0 < np.mean([getattr(effects, name) > 0 for effects in many]) < 1, name
    assert 0 < np.mean([effects.motion != (0, 0) for effects in many]) < 0.3
    for effects in many[:12]:
        rgb = develop(edge(), effects)
        assert rgb.shape == (48, 48, 3)
        assert 4 < rgb.mean() < 250


def test_no_jpeg_writer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cv2, "imencode", lambda *_: (False, None))
    with pytest.raises(RuntimeError, match="OpenCV cannot write JPEG; install"):
        develop(grey(), Effects(jpeg=50))
