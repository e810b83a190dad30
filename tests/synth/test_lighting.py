"""Shadows fall where something is in the way, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from iuv.synth.lighting import Casters, Light, Lighting, cast, irradiance, sample_lighting, shine
from iuv.synth.person import rest_body
from iuv.synth.props import box

UP = (0.0, 1.0, 0.0)
SUN = Light(direction=(0.6, 0.8, 0.0), colour=(1.0, 1.0, 1.0), softness=0.03)


def cube(*, fine: bool) -> Casters:
    """A cube of 40 cm that floats a metre above the ground, as points or as triangles."""
    shape = box((0.4, 0.4, 0.4), (0.0, 1.2, 0.0))
    nothing = np.zeros((3, 0))
    if not fine:
        return Casters(points=nothing, corners=shape.vertices.T, faces=shape.faces)
    steps = np.linspace(-0.2, 0.2, 25)
    points = np.stack([axis.ravel() for axis in np.meshgrid(steps, steps + 1.2, steps)])
    return Casters(points=points, corners=nothing, faces=np.zeros((0, 3), np.int64))


def ground(*places: tuple[float, float]) -> np.ndarray:
    return np.array([(x, 0.0, z) for x, z in places], np.float32).T


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("direction", [UP, SUN.direction])
def test_shadows(direction: tuple[float, float, float], fine: bool):
    shadow = cast(cube(fine=fine), direction, 0.03)
    # the cube's middle is 1.2 m above the ground: its shadow is away from the light by
    away = -1.2 * direction[0] / direction[1]
    dark, *bright = shadow.visibility(
        ground((away, 0), (away + 0.7, 0), (away - 0.7, 0), (away, 0.6), (away, -0.6), (90, 0))
    )
    assert dark < 0.05
    assert min(bright) > 0.95
    above = np.array([[0.0], [1.5], [0.0]], np.float32)
    assert shadow.visibility(above) == 1


@pytest.mark.parametrize("direction", [UP, SUN.direction])
def test_bodies_cast_closed_shadows(direction: tuple[float, float, float]):
    """Their vertices alone let no more light through than their triangles would."""
    body = rest_body()
    vertices, nothing = body.vertices.T, np.zeros((3, 0))
    points = Casters(points=vertices, corners=nothing, faces=np.zeros((0, 3), np.int64))
    triangles = Casters(points=nothing, corners=vertices, faces=body.faces)
    x, z = np.meshgrid(np.linspace(-2, 1, 121), np.linspace(-0.5, 0.5, 41))
    places = ground(*zip(x.ravel(), z.ravel(), strict=True))
    dark = cast(triangles, direction, 0.03).visibility(places) < 0.02
    assert dark.sum() > 80
    assert cast(points, direction, 0.03).visibility(places)[dark].mean() < 0.05


def test_softness():
    row = ground(*((x, 0.0) for x in np.linspace(-0.6, 0.6, 121)))
    widths = []
    for softness in (0.03, 0.25):
        visible = cast(cube(fine=True), UP, softness).visibility(row)
        widths.append(((visible > 0.1) & (visible < 0.9)).sum())
    assert widths[1] > 2 * widths[0]


def test_open_ground_is_lit_everywhere():
    """A sloping light must not shade the ground it falls on."""
    low = (0.9, round(float(np.sqrt(1 - 0.81)), 6), 0.0)
    shadow = cast(cube(fine=True), low, 0.05)
    x, z = np.meshgrid(np.linspace(-4, 4, 60), np.linspace(0.5, 3, 20))
    visible = shadow.visibility(ground(*zip(x.ravel(), z.ravel(), strict=True)))
    assert visible.min() > 0.9


def test_nothing_casts_no_shadow():
    nothing = Casters(
        points=np.zeros((3, 0)), corners=np.zeros((3, 0)), faces=np.zeros((0, 3), int)
    )
    assert (cast(nothing, UP, 0.1).visibility(ground((0, 0), (1, 1))) == 1).all()


def test_irradiance():
    lighting = Lighting(lights=(SUN,), sky=(0.3, 0.3, 0.3), bounce=(0.1, 0.1, 0.1))
    normals = np.array([SUN.direction, UP, (-0.6, -0.8, 0.0), (0.0, -1.0, 0.0)], np.float32).T
    points = np.zeros((3, 4), np.float32)
    light = irradiance(lighting, [None, None], points, normals, 0.0)
    np.testing.assert_allclose(light[0], [1 + 0.28, 0.8 + 0.3, 0.12, 0.1], atol=0.01)
    wrapped = irradiance(lighting, [None, None], points, normals, 0.4)
    assert wrapped[0, 1] > light[0, 1]
    below = cast(cube(fine=True), UP, 0.05), cast(cube(fine=True), SUN.direction, 0.03)
    shaded = irradiance(
        lighting, below, points + np.array([[-0.9], [0], [0]], np.float32), normals, 0.0
    )
    assert shaded[0, 1] < 0.4


def test_highlights_are_where_light_is_mirrored():
    lighting = Lighting(lights=(SUN,), sky=(0.0, 0.0, 0.0), bounce=(0.0, 0.0, 0.0))
    normals = np.array([UP, UP], np.float32).T
    to_eye = np.array([(-0.6, 0.8, 0.0), (0.6, 0.8, 0.0)], np.float32).T
    light = shine(
        lighting, normals, to_eye, np.full(2, 0.5, np.float32), np.ones((3, 2), np.float32)
    )
    assert light[0, 0] > 0.2
    assert light[0, 1] < 0.05


def test_random_light():
    rng = np.random.Generator(np.random.PCG64(0))
    for number in range(100):
        lighting = sample_lighting(rng, outdoors=bool(number % 2))
        for light in lighting.lights:
            assert sum(value**2 for value in light.direction) == pytest.approx(1, abs=1e-4)
            assert light.direction[1] > 0
        normals = np.array([(0.0, 0.0, 1.0), UP], np.float32).T
        nothing = [None] * (1 + len(lighting.lights))
        arriving = irradiance(lighting, nothing, np.zeros((3, 2), np.float32), normals, 0.1)
        assert 0.03 < arriving.mean() < 3
