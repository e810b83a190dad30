"""Pictures and their ground truth agree with the geometry they were made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from capsules import capsule_person
from iuv.synth.backgrounds import View
from iuv.synth.camera import Camera, focal_of_view
from iuv.synth.effects import Effects, develop
from iuv.synth.lighting import Light, Lighting
from iuv.synth.materials import plain
from iuv.synth.mesh import ChartedMesh, SurfaceError
from iuv.synth.render import Frame, render
from iuv.synth.scene import Actor, Scene
from iuv.synth.shading import Thing

SIZE = 96
LIGHT = Lighting(lights=(), sky=(1.0, 1.0, 1.0), bounce=(1.0, 1.0, 1.0), occlusion=0.0)


class Green:
    """Nothing but green, which shines."""

    def paint(self, camera: Camera, pixels: np.ndarray) -> list[View]:
        colour = np.zeros((3, len(pixels)), np.float32)
        colour[1] = 1
        dark = np.zeros(len(pixels), np.float32)
        return [View(np.arange(len(pixels)), colour, np.zeros_like(colour), (0.0, 1.0, 0.0), dark)]


def camera(*, z: float = 4.0, y: float = 1.0, size: int = SIZE) -> Camera:
    """Level, looking along -z from (0, y, z)."""
    return Camera(size, size, focal_of_view(40, size), np.array([0, y, z]), np.diag([1.0, -1, -1]))


def quad(z: float, *, half: float = 1.0, tilt: float = 0.0, part: int = 2) -> ChartedMesh:
    """An upright square around (0, 1, z) whose right side is `tilt` further away.

    U is 0 at the left and 1 at the right, V is 0 at the bottom and 1 at the top.
    """
    corner = np.array(
        [[-half, 1 - half, z], [half, 1 - half, z], [half, 1 + half, z], [-half, 1 + half, z]]
    )
    corner[1:3, 2] -= tilt
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    return ChartedMesh(
        vertices=corner,
        faces=faces,
        face_part=np.full(2, part, np.uint8),
        corner_uv=uv[faces],
        rest=np.zeros((4, 3), np.float32),
        face_material=np.zeros(2, np.uint8),
    )


def actor(mesh: ChartedMesh, colour: tuple[float, float, float] = (1.0, 0.0, 0.0)) -> Actor:
    return Actor(mesh, {0: plain(colour)}, np.zeros((1, 3)), np.zeros((17, 3)))


def scene(*people: Actor, props: tuple[Thing, ...] = (), **changes: object) -> Scene:
    everything = Scene(
        camera=camera(),
        people=people,
        props=props,
        backdrop=Green(),
        lighting=LIGHT,
        effects=Effects(),
    )
    return replace(everything, **changes)


def standing(x: float = 0.0, z: float = 0.0, seed: int = 0) -> Actor:
    person = capsule_person(np.random.default_rng(seed))
    mesh = replace(person.mesh, vertices=person.mesh.vertices + np.array([x, 0, z]))
    return Actor(mesh, person.palette, person.joints, person.keypoints)


def check(frame: Frame, size: int = SIZE) -> None:
    """What is true of every frame."""
    assert frame.rgb.shape == (size, size, 3)
    assert frame.rgb.dtype == np.uint8
    for image in (frame.part, frame.instance, frame.depth, frame.uv[0], frame.uv[1]):
        assert image.shape == (size, size)
    assert frame.uv.dtype == frame.depth.dtype == np.float32
    assert frame.part.max() <= 24
    assert (frame.instance[frame.part > 0] > 0).all()
    assert (frame.uv[:, frame.part == 0] == 0).all()
    assert frame.uv.min() >= 0
    assert frame.uv.max() <= 1
    assert np.isfinite(frame.depth[frame.instance > 0]).all()


def test_uv_is_perspective_correct():
    frame = render(scene(actor(quad(0.0, tilt=2.0))))
    check(frame)
    rows, columns = np.nonzero(frame.part)
    focal, centre = focal_of_view(40, SIZE), (SIZE - 1) / 2
    # the ray of a pixel meets the plane z = -(x + 1): x = slope (4 + x + 1)
    slope = (columns - centre) / focal
    x = 5 * slope / (1 - slope)
    y = 1 - (rows - centre) / focal * (5 + x)
    np.testing.assert_allclose(frame.uv[0, rows, columns], (x + 1) / 2, atol=1e-5)
    np.testing.assert_allclose(frame.uv[1, rows, columns], y / 2, atol=1e-5)
    np.testing.assert_allclose(frame.depth[rows, columns], 5 + x, rtol=1e-6)
    assert len(rows) > 1000


def test_labels_end_where_the_surface_ends():
    frame = render(scene(actor(quad(0.0, half=0.5))))
    focal, centre = focal_of_view(40, SIZE), (SIZE - 1) / 2
    place = np.abs(np.arange(SIZE) - centre) < 0.5 * focal / 4
    np.testing.assert_array_equal(frame.part > 0, place[:, None] & place[None, :])


def test_edges_are_blended_and_nothing_else():
    frame = render(scene(actor(quad(0.0, half=0.5))))
    inside = frame.part > 0
    surrounded = inside.copy()
    surrounded[1:-1, 1:-1] &= (
        inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    )
    assert (frame.rgb[surrounded, 1] == 0).all()
    assert (frame.rgb[surrounded, 0] > 240).all()
    mixed = (frame.rgb[..., 0] > 40) & (frame.rgb[..., 1] > 40)
    assert mixed.any()
    assert not (mixed & surrounded).any()


def test_edges_have_the_light_of_what_they_cover():
    """A white square on black has the light of its area, give or take a quarter of a pixel."""

    class Black(Green):
        def paint(self, camera: Camera, pixels: np.ndarray) -> list[View]:
            return [replace(view, colour=0 * view.colour) for view in super().paint(camera, pixels)]

    shades = np.linspace(0, 1, 2001, dtype=np.float32)
    curve = develop(np.tile(shades, (3, 1, 1)), Effects())[0, :, 0]
    errors = []
    for half in np.linspace(0.5, 0.56, 23):
        rgb = render(scene(actor(quad(0.0, half=half), (1.0, 1.0, 1.0)), backdrop=Black())).rgb
        light = np.searchsorted(curve, rgb[..., 0]) / np.searchsorted(curve, rgb.max())
        errors.append(np.sqrt(light.sum()) - 2 * half * focal_of_view(40, SIZE) / 4)
    assert np.abs(errors).max() < 0.55  # there are two sides
    assert abs(np.mean(errors)) < 0.12


def test_the_nearer_person_is_seen():
    near, far = actor(quad(1.0, half=0.4, part=3)), actor(quad(0.0, part=7), (0.0, 0.0, 1.0))
    for people, order in (((near, far), (1, 2)), ((far, near), (2, 1))):
        frame = render(scene(*people))
        check(frame)
        middle = frame.part[SIZE // 2, SIZE // 2], frame.instance[SIZE // 2, SIZE // 2]
        assert middle == (3, order[0])
        assert frame.part[SIZE // 2, 20] == 7
        assert frame.instance[SIZE // 2, 20] == order[1]


def test_things_hide_people_but_are_nobody():
    thing = Thing(quad(1.0, half=0.4, part=0), {0: plain((0.0, 0.0, 1.0))})
    frame = render(scene(actor(quad(0.0)), props=(thing,)))
    check(frame)
    assert frame.part[SIZE // 2, SIZE // 2] == frame.instance[SIZE // 2, SIZE // 2] == 0
    assert frame.depth[SIZE // 2, SIZE // 2] == pytest.approx(3)
    assert frame.rgb[SIZE // 2, SIZE // 2, 2] > 200
    assert frame.part[SIZE // 2, 20] == 2


def test_what_a_person_wears_without_chart_is_theirs():
    frame = render(scene(actor(quad(0.0, part=0))))
    check(frame)
    assert (frame.instance == 1).sum() > 1000
    assert not frame.part.any()


def test_nobody():
    frame = render(scene())
    check(frame)
    assert not frame.instance.any()
    assert np.isinf(frame.depth).all()
    assert (frame.rgb[..., 1] > 240).all()


@pytest.mark.parametrize("x", [-1.5, 1.5])
def test_people_are_cut_at_the_border(x: float):
    whole = render(scene(standing()))
    frame = render(scene(standing(x)))
    check(frame)
    column = 0 if x < 0 else SIZE - 1
    assert (frame.instance[:, column] == 1).any()
    assert (whole.instance[:, column] == 0).all()
    # the same surface, seen from further to the side
    assert set(np.unique(frame.part)) < set(range(25))


def test_somebody_around_the_camera_does_no_harm():
    frame = render(scene(standing(0.0, 4.0), standing(seed=1)))
    check(frame)


def test_a_close_up_fills_the_picture():
    frame = render(scene(standing(0, 3.0)))
    check(frame)
    assert (frame.instance == 1).mean() > 0.5


def test_sides_of_the_body():
    """Whoever faces the camera has the left side at the right of the picture."""
    frame = render(scene(standing(), camera=camera(y=0.9)))
    columns = {part: np.nonzero(frame.part == part)[1].mean() for part in (9, 10, 2)}
    assert columns[9] < columns[2] < columns[10]
    assert not (frame.part == 1).sum() > (frame.part == 2).sum()


def test_a_shadow_falls_away_from_the_light():
    class Floor(Green):
        def paint(self, camera: Camera, pixels: np.ndarray) -> list[View]:
            rays = camera.rays_at(pixels)
            distance = camera.position[1] / np.maximum(-rays[1], 1e-3)
            points = (rays * distance + camera.position[:, None]).astype(np.float32)
            lit = (rays[1] < -0.02).astype(np.float32)
            which = np.arange(len(pixels))
            return [View(which, np.ones_like(rays), points, (0.0, 1.0, 0.0), lit)]

    sun = Light(direction=(0.6, 0.8, 0.0), colour=(1.0, 1.0, 1.0), softness=0.03)
    lighting = Lighting(lights=(sun,), sky=(0.2, 0.2, 0.2), bounce=(0.1, 0.1, 0.1))
    place = Camera(
        SIZE, SIZE, focal_of_view(60, SIZE), np.array([0, 1.2, 3.0]), np.diag([1.0, -1, -1])
    )
    frame = render(scene(standing(), camera=place, lighting=lighting, backdrop=Floor()))
    floor = np.where(frame.instance == 0, frame.rgb[..., 0].astype(float), np.nan)
    row = SIZE - 12  # just before the feet
    assert np.nanmean(floor[row - 4 : row + 4, : SIZE // 2]) < (
        np.nanmean(floor[row - 4 : row + 4, SIZE // 2 :]) - 5
    )


def test_a_palette_must_be_whole():
    with pytest.raises(
        SurfaceError, match=r"material 0 looks, but it has only \[5\]; add a Pattern"
    ):
        render(scene(Actor(quad(0.0), {5: plain((1, 1, 1))}, np.zeros((1, 3)), np.zeros((17, 3)))))
