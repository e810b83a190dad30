"""What a camera does to light: blur, exposure, colour, noise, sharpening, JPEG.

Blurs work on integers, where every machine gets the same sums.

Shapes: H and W of the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["CODE_OF_WHITE", "Effects", "blur_codes", "develop", "encode_jpeg", "sample_effects"]

_Floats = npt.NDArray[np.float32]
_Codes = npt.NDArray[np.uint16]

_MID_GREY = 0.2  # in linear light
_ROWS = 32  # of a picture, at a time: the processor's cache has room for them
_GRAINS = 1 << 20
_GRAIN_DEVIATION = 36.95  # a quarter of the standard deviation of four bytes' sum

CODE_OF_WHITE = 16384.0
"""The code of 1 in linear light: it may be four times brighter before it clips."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """How a picture is taken. The defaults leave it as it is."""

    exposure: float = 1.0
    """What light is multiplied by."""
    metering: float = 0.0
    """How much the camera makes up for dark and bright scenes, 0..1, before `exposure`."""
    cast: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """What red, green and blue light are multiplied by."""
    saturation: float = 1.0
    """0 grey, 1 as it is."""
    contrast: float = 0.0
    """0 as it is, 1 a strong S-curve; negative: flatter."""
    haze: float = 0.0
    """How much white light lies over everything, 0..1."""
    vignette: float = 0.0
    """How much darker corners are, 0..1."""
    defocus: float = 0.0
    """Sigma, in pixels, of the blur of what is behind people and things."""
    blur: float = 0.0
    """Sigma, in pixels, of the blur of everything."""
    motion: tuple[int, int] = (0, 0)
    """How far the camera moved while the picture was taken, in pixels to the right and down."""
    sharpen: float = 0.0
    """How much of what a blur takes away is added: 1 is strong."""
    noise: float = 0.0
    """Standard deviation at mid-grey, 0..1."""
    jpeg: int | None = None
    """Quality in 1..100; None: not compressed."""
    seed: int = 0
    """Of the noise."""


def blur_codes(codes: npt.NDArray[np.uint16], sigma: float) -> npt.NDArray[np.uint16]:
    """Codes [H, W] or [H, W, 3], blurred by a Gaussian of `sigma` pixels."""
    result: _Codes = np.asarray(
        cv2.GaussianBlur(codes, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    )
    return result


def develop(light: _Floats, effects: Effects) -> npt.NDArray[np.uint8]:
    """Turn linear light [3, H, W], 1 being white, into a picture, [H, W, 3] sRGB."""
    codes = _tone(light, effects)
    if effects.blur:
        codes = blur_codes(codes, effects.blur)
    if effects.motion != (0, 0):
        codes = _moved(codes, effects.motion)
    if effects.sharpen:
        soft = blur_codes(codes, 1.0).astype(np.int32)
        sharper = codes + (codes - soft) * int(effects.sharpen * 256) // 256
        codes = np.clip(sharper, 0, 65535).astype(np.uint16)
    if effects.noise:
        codes = _noisy(codes, effects)
    rgb = (codes >> 8).astype(np.uint8)
    if effects.jpeg is not None:
        data = np.frombuffer(encode_jpeg(rgb, effects.jpeg), np.uint8)
        bgr = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
        rgb = np.ascontiguousarray(bgr[:, :, ::-1])
    return rgb


@cache
def _curve() -> _Floats:
    """What light becomes, by its code: [65536] in 0..1.

    The shoulder of film: highlights are compressed, not cut; then gamma 2, which is a root.
    """
    light = np.arange(65536, dtype=np.float32) / np.float32(CODE_OF_WHITE)
    film = np.sqrt(light * (1 + light * np.float32(0.16)) / (1 + light * np.float32(0.4)))
    curve: _Floats = np.minimum(film * np.float32(1.05), 1)
    return curve


def _tone(light: _Floats, effects: Effects) -> _Codes:
    """Exposure, colour and the curve from light to sRGB: [H, W, 3]."""
    gain = np.array(effects.cast, np.float32) * np.float32(effects.exposure)
    if effects.metering:
        gain *= np.float32(_metered(light, effects.metering))
    gain = (gain * np.float32(CODE_OF_WHITE))[:, None, None]
    _, height, width = light.shape
    codes = np.empty((3, height, width), np.uint16)
    falloff = _falloff(height, width, effects.vignette) if effects.vignette else None
    for start in range(0, height, _ROWS):
        rows = slice(start, start + _ROWS)
        image = light[:, rows] * gain
        if falloff is not None:
            image *= falloff[rows]
        if effects.haze:
            image += np.float32(effects.haze) * (np.float32(0.7 * CODE_OF_WHITE) - image)
        if effects.saturation != 1:
            red, green, blue = image
            grey = red * np.float32(0.25) + green * np.float32(0.6) + blue * np.float32(0.15)
            image -= grey
            image *= np.float32(effects.saturation)
            image += grey
        np.clip(image, 0, 65535, out=image)
        image = _curve().take(image.astype(np.uint16))
        if effects.contrast:
            curve = image * image * (3 - 2 * image)
            image += np.float32(effects.contrast) * (curve - image)
        image *= np.float32(65535)
        codes[:, rows] = image
    return np.asarray(cv2.merge(list(codes)), np.uint16)


def _metered(light: _Floats, metering: float) -> float:
    """What makes the mean of the light mid-grey, or a part of it."""
    # integers: the order in which floats are added would show
    codes = np.minimum(light[1] * np.float32(4096), np.float32(65535)).astype(np.int64)
    mean = max(int(codes.sum()) / (4096 * codes.size), 1e-3)
    gain: float = 1 + metering * (min(max(_MID_GREY / mean, 0.4), 5.0) - 1)
    return gain


def _falloff(height: int, width: int, strength: float) -> _Floats:
    """[H, W]: 1 in the middle, 1 - strength in the corners."""
    y = (np.arange(height, dtype=np.float32) - np.float32((height - 1) / 2)) / np.float32(
        height / 2
    )
    x = (np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2)) / np.float32(width / 2)
    share: _Floats = 1 - np.float32(strength / 2) * ((x * x)[None, :] + (y * y)[:, None])
    return share


def _moved(codes: _Codes, motion: tuple[int, int]) -> _Codes:
    """The mean of the picture on its way, as far forwards as backwards."""
    reach = (max(abs(motion[0]), abs(motion[1])) + 1) // 2
    padded = np.pad(codes, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    height, width = codes.shape[:2]
    total = np.zeros(codes.shape, np.uint32)
    for step in range(-reach, reach + 1):
        right, down = (_nearest(axis * step, 2 * reach) + reach for axis in motion)
        total += padded[down : down + height, right : right + width]
    mean: _Codes = (total // np.uint32(2 * reach + 1)).astype(np.uint16)
    return mean


def _nearest(value: int, divisor: int) -> int:
    """The quotient, rounded, halves away from zero: the same to both sides."""
    quotient = (2 * abs(value) + divisor) // (2 * divisor)
    return quotient if value >= 0 else -quotient


@cache
def _grain() -> npt.NDArray[np.int8]:
    """Numbers that are nearly normal, of which any picture takes some; shared: not written to."""
    rng = np.random.Generator(np.random.PCG64(15485863))
    # four bytes' sum is nearly normal, and much faster than a normal number
    sums = rng.integers(0, 256, (4, _GRAINS), np.uint8).sum(axis=0, dtype=np.int16)
    grain: npt.NDArray[np.int8] = ((sums - 510) >> 2).astype(np.int8)
    return grain


def _grains(rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.int8]:
    """A stretch of them that begins anywhere; repeated if there are too few."""
    count = math.prod(shape)
    start = int(rng.integers(max(_GRAINS - count, 0) + 1))
    return np.resize(_grain()[start : start + count], shape)


def _noisy(codes: _Codes, effects: Effects) -> _Codes:
    """Noise that grows with the root of the light, a little of it common to the three colours."""
    rng = np.random.Generator(np.random.PCG64(effects.seed))
    own, common = _grains(rng, codes.shape), _grains(rng, (*codes.shape[:2], 1))
    strength = np.float32(effects.noise * 0.7 * 65535 / _GRAIN_DEVIATION)
    noisy = np.empty_like(codes)
    for start in range(0, len(codes), _ROWS):
        rows = slice(start, start + _ROWS)
        value = codes[rows].astype(np.float32)
        noise = np.add(own[rows], common[rows], dtype=np.int16).astype(np.float32)
        # in sRGB, the noise of photons is nearly the same everywhere; black has the sensor's alone
        noise *= strength * (np.float32(0.6) + value * np.float32(0.8 / 65535))
        value += noise
        noisy[rows] = np.clip(value, 0, 65535, out=value)
    return noisy


def encode_jpeg(rgb: npt.NDArray[np.uint8], quality: int) -> bytes:
    """Return the JPEG file of a picture, [H, W, 3], at a quality in 1..100.

    Raises:
        RuntimeError: this OpenCV was built without JPEG.
    """
    done, data = cv2.imencode(".jpg", rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError("OpenCV cannot write JPEG; install opencv-python-headless with JPEG")
    return data.tobytes()


def sample_effects(rng: np.random.Generator, *, outdoors: bool) -> Effects:
    """How a random picture is taken, from clean to poor.

    Args:
        rng: random numbers.
        outdoors: more light: less noise and less movement.
    """
    warmth, green = 0.16 * (2 * rng.random() - 1), 0.05 * (2 * rng.random() - 1)
    chance = rng.random(9)
    sigma = 0.4 + 1.3 * rng.random() ** 2
    length = 2 + int(5 * rng.random())
    angle = rng.integers(-length, length + 1, 2).tolist()
    return Effects(
        exposure=round(0.65 + 0.75 * rng.random(), 4),
        metering=round(0.5 + 0.5 * rng.random(), 4),
        cast=(round(1 + warmth, 4), round(1 + green, 4), round(1 - warmth, 4)),
        saturation=0.0 if chance[0] < 0.04 else round(0.6 + 0.6 * rng.random(), 4),
        contrast=round(-0.15 + 0.8 * rng.random(), 4),
        haze=round(0.2 * rng.random(), 4) if chance[1] < 0.15 else 0.0,
        vignette=round(0.5 * rng.random(), 4) if chance[2] < 0.4 else 0.0,
        # a little always: what lies behind is sampled once per pixel, without smooth edges
        defocus=round(0.45 + (4 * rng.random() ** 2 if chance[3] < 0.45 else 0.0), 3),
        blur=round(sigma, 3) if chance[4] < 0.5 else 0.0,
        motion=(angle[0], angle[1]) if chance[5] < (0.06 if outdoors else 0.12) else (0, 0),
        sharpen=round(rng.random(), 3) if chance[6] < 0.3 else 0.0,
        noise=round((0.02 if outdoors else 0.04) * rng.random() ** 2, 5)
        if chance[7] < 0.7
        else 0.0,
        jpeg=int(rng.integers(35, 98)) if chance[8] < 0.8 else None,
        seed=int(rng.integers(2**31)),
    )
