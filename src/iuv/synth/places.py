"""Random rooms, streets, fields and studios around a camera.

The camera looks along -z of the world; places are turned against it. Lengths are in metres.
"""

from __future__ import annotations

from math import cos, radians, sin

import numpy as np

from iuv.synth.backgrounds import Backdrop, Picture, Plane, Planes, Sky
from iuv.synth.camera import Camera
from iuv.synth.decor import Decor, DecorKind, Outline, collage
from iuv.synth.materials import Colour, sample_colour
from iuv.synth.noise import field, field_at
from iuv.synth.textures import Texture, mixed, sample_texture, shaded

__all__ = ["sample_indoors", "sample_outdoors", "sample_studio", "sample_wild"]

_Vector = tuple[float, float, float]

_HAZY: Colour = (0.72, 0.77, 0.82)
_SKY = Sky(zenith=(0.3, 0.3, 0.3), horizon=(0.5, 0.5, 0.5))


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(rng.random())


def _turned(vector: _Vector, yaw: float) -> _Vector:
    """A vector, turned about the upright axis: positive angles turn z towards x."""
    x, y, z = vector
    turn_cos, turn_sin = round(cos(radians(yaw)), 9), round(sin(radians(yaw)), 9)
    return x * turn_cos + z * turn_sin, y, z * turn_cos - x * turn_sin


def _wall(
    camera: Camera,
    yaw: float,
    distance: float,
    texture: Texture,
    decor: tuple[Decor, ...] = (),
    outline: Outline | None = None,
) -> Plane:
    """An upright plane at a distance from the camera; yaw 0 is opposite, 90 at its left."""
    normal = _turned((0.0, 0.0, 1.0), yaw)
    x, _, z = camera.position.tolist()
    return Plane(
        origin=(x - distance * normal[0], 0.0, z - distance * normal[2]),
        across=_turned((1.0, 0.0, 0.0), yaw),
        up=(0.0, 1.0, 0.0),
        texture=texture,
        decor=decor,
        outline=outline,
    )


def _level(
    camera: Camera, yaw: float, height: float, texture: Texture, decor: tuple[Decor, ...] = ()
) -> Plane:
    """A floor, or a ceiling if it is above the ground."""
    ahead = (0.0, 0.0, -1.0) if height <= 0 else (0.0, 0.0, 1.0)
    x, _, z = camera.position.tolist()
    return Plane(
        origin=(x, height, z),
        across=_turned((1.0, 0.0, 0.0), yaw),
        up=_turned(ahead, yaw),
        texture=texture,
        decor=decor,
    )


def _box(rng: np.random.Generator, spread: float, low: float, high: float) -> tuple[float, ...]:
    """Left, bottom, right, top of something on a wall whose bottom is between low and high."""
    left = _between(rng, -spread, spread)
    bottom = _between(rng, low, high)
    return left, bottom, left + _between(rng, 0.3, 1.8), bottom + _between(rng, 0.3, 1.4)


def _indoor_decor(rng: np.random.Generator, spread: float, ceiling: float) -> tuple[Decor, ...]:
    """Windows, doors, pictures, shelves and lamps of a wall."""
    kinds: tuple[DecorKind, ...] = (
        "window",
        "picture",
        "picture",
        "shelf",
        "area",
        "lines",
        "lamp",
    )
    decor: list[Decor] = []
    wainscot = rng.random()
    if wainscot < 0.5:
        top = _between(rng, 0.06, 0.15) if wainscot < 0.3 else _between(rng, 0.8, 1.2)
        decor.append(Decor(kind="area", box=(-99, 0, 99, top), colours=(sample_colour(rng),)))
    for _ in range(int(rng.integers(0, 12))):
        kind = kinds[int(rng.integers(len(kinds)))]
        left, low, right, high = _box(rng, spread, 0.5, 1.7)
        if kind in ("shelf", "area", "lines") and rng.random() < 0.6:
            low = 0.0  # doors, curtains and cupboards stand on the floor
        if kind == "shelf":
            high = low + _between(rng, 0.8, 2.2)
        if kind == "lamp":
            low, right = min(low + 1.0, ceiling - 0.3), left + 0.5 * (right - left)
            high = low + 0.3
        colours = [sample_colour(rng) for _ in range(6 if kind == "shelf" else 3)]
        if kind == "window":
            colours = [shaded((0.9, 0.9, 0.88), _between(rng, 0.3, 1.0)), *_outside(rng)]
        if kind == "lamp":
            colours = [(0.9, 0.85, 0.7), (1.0, 0.97, 0.88)]
        cells = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        if kind == "shelf":
            cells = cells[0], int(rng.integers(2, 6))
        decor.append(
            Decor(
                kind=kind,
                box=(left, low, right, min(high, ceiling - 0.1)),
                colours=tuple(colours),
                cells=cells,
                bar=_between(rng, 0.0 if kind == "area" else 0.02, 0.06),
                seed=int(rng.integers(65536)),
            )
        )
    return tuple(decor)


def _outside(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """What is seen through a window, below and above."""
    light = _between(rng, 0.5, 1.15)
    return shaded((0.5, 0.6, 0.45), light * _between(rng, 0.6, 1.2)), shaded((0.85, 0.92, 1), light)


def sample_indoors(
    rng: np.random.Generator, camera: Camera, reach: float, spread: float
) -> Backdrop:
    """A room, its walls behind and beside everybody.

    Args:
        rng: random numbers.
        camera: where it is seen from.
        reach: how far ahead of the camera the farthest person is.
        spread: how far to the side of the camera people are.
    """
    yaw = _between(rng, -40, 40) if rng.random() < 0.5 else _between(rng, -4, 4)
    ahead, aside = round(cos(radians(yaw)), 9), abs(round(sin(radians(yaw)), 9))  # by `rounding`
    wide = 1.0 / max(ahead, 0.5)
    behind = (reach + _between(rng, 0.4, 2.2) ** 2) * wide + 0.3
    ceiling = max(_between(rng, 2.3, 3.6), float(camera.position[1]) + 0.4)
    texture = sample_texture(rng, "wall")
    planes = [_level(camera, yaw, 0.0, sample_texture(rng, "floor"), _rugs(rng, reach))]
    if rng.random() < 0.7:
        paint = shaded((0.95, 0.94, 0.92), _between(rng, 0.6, 1.0))
        lamps = _ceiling_lamps(rng) if rng.random() < 0.5 else ()
        planes.append(_level(camera, yaw, ceiling, _plaster(paint), lamps))
    sides = max(spread + 0.6, reach * aside + spread)
    for angle, distance in (
        (0, behind),
        (90, sides + _between(rng, 0.3, 5)),
        (-90, sides + _between(rng, 0.3, 5)),
        (180, 9.0),
    ):
        decor = _indoor_decor(rng, 2 + 0.35 * distance, ceiling)
        other = sample_texture(rng, "wall") if rng.random() < 0.2 else texture
        planes.append(_wall(camera, yaw + angle, distance, other, decor))
    return Planes(planes=tuple(planes), sky=_SKY)


def _plaster(paint: Colour) -> Texture:
    return Texture(colours=(paint, paint), mottle=0.02, grain=0.02)


def _rugs(rng: np.random.Generator, reach: float) -> tuple[Decor, ...]:
    if rng.random() < 0.6:
        return ()
    left, ahead = _between(rng, -2.5, 0.0), reach * _between(rng, 0.3, 0.9)
    return (
        Decor(
            kind="picture" if rng.random() < 0.5 else "area",
            box=(left, ahead, left + _between(rng, 1, 4), ahead + _between(rng, 1, 3)),
            colours=(sample_colour(rng), sample_colour(rng)),
            seed=int(rng.integers(65536)),
        ),
    )


def _ceiling_lamps(rng: np.random.Generator) -> tuple[Decor, ...]:
    distance = _between(rng, 1.5, 3)
    return tuple(
        Decor(
            kind="lamp",
            box=(left, -2 - distance * row, left + 0.6, -1.6 - distance * row),
            colours=((1.0, 0.98, 0.92), (1.0, 1.0, 0.97)),
        )
        for row in range(4)
        for left in (-1.5, 1.0)
    )


def _sample_sky(rng: np.random.Generator) -> Sky:
    mood = rng.random()
    seed = int(rng.integers(65536))
    if mood < 0.45:  # clear, or with clouds
        blue: Colour = (0.25 + 0.2 * rng.random(), 0.45 + 0.2 * rng.random(), 0.8)
        horizon = mixed(blue, (0.9, 0.93, 0.96), _between(rng, 0.5, 0.95))
        return Sky(zenith=blue, horizon=horizon, cloudiness=0.8 * rng.random(), seed=seed)
    if mood < 0.8:  # overcast
        grey = shaded((0.86, 0.88, 0.91), _between(rng, 0.7, 1.1))
        return Sky(
            zenith=shaded(grey, _between(rng, 0.75, 1.0)),
            horizon=grey,
            cloud=shaded(grey, _between(rng, 0.8, 1.1)),
            cloudiness=0.7,
            seed=seed,
        )
    if mood < 0.92:  # a low sun
        warm: Colour = (0.95, 0.65 + 0.2 * rng.random(), 0.45 + 0.2 * rng.random())
        return Sky(zenith=(0.4, 0.5, 0.68), horizon=warm, cloud=warm, cloudiness=0.5, seed=seed)
    dark = shaded((0.2, 0.22, 0.3), _between(rng, 0.3, 1.5))
    return Sky(zenith=shaded(dark, 0.5), horizon=dark, seed=seed)


def _far_plane(rng: np.random.Generator, camera: Camera, distance: float) -> Plane:
    """Trees, a hedge, houses, a fence, a wall or hills, as its distance suggests."""
    yaw = _between(rng, -35, 35)
    # turned, it must not come nearer than where people are
    away = distance * (1 if abs(yaw) < 10 else 1.3)
    seed = int(rng.integers(65536))
    pick = rng.random()
    if pick < 0.4 or distance > 60:
        texture = sample_texture(rng, "foliage")
        haze = min(distance / 300, 0.7)
        first, second = (mixed(colour, _HAZY, haze) for colour in texture.colours)
        size = max(texture.size[0], distance / 25)
        texture = Texture(
            colours=(first, second), kind="organic", size=(size, size), variation=0.4, seed=seed
        )
        high = _between(rng, 0.8, 6) if distance < 30 else distance * _between(rng, 0.08, 0.35)
        outline = Outline(
            kind="trees",
            height=high,
            rough=_between(rng, 0.1, 0.7),
            period=high * _between(rng, 0.5, 2),
            seed=seed,
        )
        return _wall(camera, yaw, away, texture, outline=outline)
    if pick < 0.8:
        high = _between(rng, 4, 20)
        outline = Outline(
            kind="houses", height=high, rough=0.6 * rng.random(), period=high, seed=seed
        )
        texture = sample_texture(rng, "facade" if rng.random() < 0.6 else "wall")
        return _wall(camera, yaw, away, texture, _facade(rng, seed), outline)
    high = _between(rng, 0.7, 2.5)
    bars = rng.random() < 0.6
    outline = Outline(
        kind="bars" if bars else "level",
        height=high,
        rough=_between(rng, 0.2, 0.8),
        period=_between(rng, 0.1, 0.4),
    )
    return _wall(camera, yaw, away, sample_texture(rng, "facade"), outline=outline)


def _facade(rng: np.random.Generator, seed: int) -> tuple[Decor, ...]:
    """Rows of windows and, on the ground, doors and shop windows."""
    rows, cell = int(rng.integers(2, 8)), _between(rng, 1.5, 3.5)
    glass = shaded((0.25, 0.3, 0.35), _between(rng, 0.4, 1.6))
    start = _between(rng, 0.8, 4)
    windows = Decor(
        kind="facade",
        box=(-20 * cell, start, 20 * cell, start + rows * 3),
        colours=(glass, glass, shaded(glass, _between(rng, 0.5, 2.5))),
        cells=(40, rows),
        bar=cell * _between(rng, 0.1, 0.35),
        seed=seed,
    )
    ground = Decor(
        kind="shelf" if rng.random() < 0.3 else "facade",
        box=(-20 * cell, 0.1, 20 * cell, start),
        colours=tuple(sample_colour(rng) for _ in range(5)),
        cells=(20, 1),
        bar=_between(rng, 0.1, 0.6),
        seed=seed + 1,
    )
    return (windows, ground) if rng.random() < 0.6 and start > 2 else (windows,)


def _ground_decor(rng: np.random.Generator, reach: float) -> tuple[Decor, ...]:
    """Paths, roads and lines on the ground."""
    decor: list[Decor] = []
    for _ in range(int(rng.integers(0, 4))):
        colour = sample_texture(rng, "ground").colours[0]
        start, width = _between(rng, -4, 4), _between(rng, 0.08, 0.2)
        if rng.random() < 0.5:
            width = _between(rng, 0.8, 5)
        else:
            colour = (0.9, 0.9, 0.86)
        along = rng.random() < 0.5
        ahead = reach * _between(rng, 0.3, 2)
        box = (
            (start, -50.0, start + width, 500.0) if along else (-500.0, ahead, 500.0, ahead + width)
        )
        decor.append(Decor(kind="area", box=box, colours=(colour,), bar=0.0))
    return tuple(decor)


def sample_outdoors(
    rng: np.random.Generator, camera: Camera, reach: float, spread: float
) -> Backdrop:
    """A street, a garden, a field, a beach; see `sample_indoors` for the arguments."""
    yaw = _between(rng, -50, 50)
    ground = sample_texture(rng, "ground")
    planes = [_level(camera, yaw, 0.0, ground, _ground_decor(rng, reach))]
    distance = (reach + spread) * _between(rng, 1.05, 1.6) + _between(rng, 0.5, 6)
    for _ in range(int(rng.integers(1, 4))):
        planes.append(_far_plane(rng, camera, distance))
        distance *= _between(rng, 1.5, 5)
    return Planes(planes=tuple(planes), sky=_sample_sky(rng))


def sample_studio(
    rng: np.random.Generator, camera: Camera, reach: float, spread: float
) -> Backdrop:
    """A backdrop of one colour that runs on into the floor; see `sample_indoors`."""
    colour = mixed((0.85, 0.85, 0.86), sample_colour(rng), rng.random() ** 2)
    texture = Texture(colours=(colour, colour), mottle=0.1 * rng.random(), grain=0.01)
    floor = _level(camera, 0.0, 0.0, texture)
    wall = _wall(camera, 0.0, reach + spread + _between(rng, 0.3, 2), texture)
    return Planes(planes=(floor, wall), sky=_SKY)


def sample_wild(rng: np.random.Generator, camera: Camera) -> Backdrop:
    """No place at all: overlapping shapes, so that a detector trusts no kind of background."""
    shape = (camera.height, camera.width)
    image = collage(rng, *shape, int(rng.integers(20, 250)))
    rows = np.arange(shape[0], dtype=np.float32)[:, None]
    columns = np.arange(shape[1], dtype=np.float32)
    fine, coarse = (0.3 + 4 * rng.random(2)).tolist()
    spots = field_at(field(int(rng.integers(4)), 0.85), columns * fine, rows * fine)
    spots += field_at(field(int(rng.integers(4)), 0.55), rows * coarse / 4, columns * coarse / 4)
    gain = 256 + (spots * np.float32(rng.random() * 256) - np.float32(128)).astype(np.int32)
    image = np.clip((image * gain[:, :, None]) >> 8, 0, 255).astype(np.uint8)
    return Picture(image=image, crop=(1.0, 0.5, 0.5))
