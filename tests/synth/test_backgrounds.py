"""Planes in perspective, pictures, and folders of pictures."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from capsules import capsule_person
from iuv.synth.backgrounds import Backdrop, Backgrounds, Picture, Plane, Planes, Sky
from iuv.synth.camera import Camera, focal_of_view, rotation
from iuv.synth.decor import Decor, Outline, collage, outlined
from iuv.synth.places import sample_indoors, sample_outdoors, sample_studio, sample_wild
from iuv.synth.scene import sample_scene
from iuv.synth.textures import Texture, colour_at

H, W = 40, 60
CAMERA = Camera(H, W, focal_of_view(50, H), np.array([0.5, 1.5, 4.0]), np.diag([1.0, -1, -1]))
SKY = Sky(zenith=(0, 0, 1), horizon=(0, 0, 1))


class Painted(NamedTuple):
    """All views of a background, as pictures."""

    colour: np.ndarray
    points: np.ndarray
    normals: np.ndarray
    lit: np.ndarray
    relative: bool


def paint(backdrop: Backdrop, pixels: np.ndarray | None = None) -> Painted:
    """Some pixels, or all of them as pictures."""
    shape = (H, W) if pixels is None else (len(pixels),)
    pixels = np.arange(H * W) if pixels is None else pixels
    views = backdrop.paint(CAMERA, pixels)
    every = np.concatenate([view.which for view in views])
    np.testing.assert_array_equal(np.sort(every), np.arange(len(pixels)))
    colour, points, normals = (np.empty((3, len(pixels)), np.float32) for _ in range(3))
    lit = np.ones(len(pixels), np.float32)
    for view in views:
        colour[:, view.which], points[:, view.which] = view.colour, view.points
        normals[:, view.which] = np.array(view.normal)[:, None]
        if view.lit is not None:
            lit[view.which] = view.lit
    colour, points, normals = (part.reshape(3, *shape) for part in (colour, points, normals))
    return Painted(colour, points, normals, lit.reshape(shape), views[0].relative)


def flat(*colour: float) -> Texture:
    return Texture(colours=(colour, colour), mottle=0, grain=0)


FLOOR = Plane(origin=(0, 0, 0), across=(1, 0, 0), up=(0, 0, -1), texture=flat(1, 0, 0))
WALL = Plane(origin=(0, 0, -3), across=(1, 0, 0), up=(0, 1, 0), texture=flat(0, 1, 0))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["tiles", "planks", "organic"])
def test_nothing_is_too_far_away_for_its_texture(kind):
    """A row of pixels looks along the ground and all but meets it."""
    texture = Texture(colours=((0, 0, 0), (1, 1, 1)), kind=kind, size=(0.1, 0.03))
    height, ground = 1.5, replace(FLOOR, texture=texture)
    for distance, is_seen in ((9e3, True), (1.1e4, False), (3e5, False), (9e5, False)):
        pitch = np.degrees(np.arctan(height / distance))
        level = rotation(0, pitch) @ np.diag([1.0, -1, -1])
        camera = Camera(1, W, focal_of_view(50, W), np.array([0, height, 0]), level)
        (view,) = Planes(planes=(ground,), sky=SKY).paint(camera, np.arange(W))
        assert bool((view.points[2] < -1000).all()) == is_seen  # the sky's are directions


def test_floor_and_sky_meet_at_the_horizon():
    view = paint(Planes(planes=(FLOOR,), sky=SKY))
    below = np.arange(H) > (H - 1) / 2
    assert (view.colour[0][below] == 1).all()
    assert (view.colour[2][~below] == 1).all()
    assert (view.lit == below[:, None]).all()
    assert np.abs(view.points[1][below]).max() < 1e-3
    assert (view.normals[:, below] == np.array([0, 1, 0])[:, None, None]).all()
    projected = CAMERA.project(view.points[:, below].reshape(3, -1).astype(float))
    rows, columns = np.indices((H, W))
    np.testing.assert_allclose(projected[0], columns[below].ravel(), atol=0.02)
    np.testing.assert_allclose(projected[1], rows[below].ravel(), atol=0.02)


def test_the_nearest_plane_is_seen_from_its_front_only():
    view = paint(Planes(planes=(FLOOR, WALL), sky=SKY))
    wall = view.colour[1] == 1
    assert wall[: H // 2].all()
    bottom = CAMERA.project(np.array([[0.0], [0.0], [-3.0]]))[1, 0]
    assert wall[int(bottom) - 1].all()
    assert not wall[int(bottom) + 2].any()
    back = Plane(origin=(0, 0, -3), across=(-1, 0, 0), up=(0, 1, 0), texture=flat(0, 1, 0))
    assert not (paint(Planes(planes=(back,), sky=SKY)).colour[1] == 1).any()


def test_some_pixels_are_as_all_of_them():
    planes = Planes(planes=(FLOOR, WALL), sky=SKY)
    some = np.array([3, 700, 2000, 2399])
    few, every = paint(planes, some), paint(planes)
    np.testing.assert_array_equal(few.colour, every.colour.reshape(3, -1)[:, some])
    np.testing.assert_array_equal(few.points, every.points.reshape(3, -1)[:, some])


def test_what_shines_takes_no_light():
    window = Decor(kind="lamp", box=(0, 1, 1, 2), colours=((1, 1, 1), (1, 1, 1)))
    plane = Plane(
        origin=(0, 0, -3), across=(1, 0, 0), up=(0, 1, 0), texture=flat(0, 1, 0), decor=(window,)
    )
    view = paint(Planes(planes=(plane,), sky=SKY))
    left, top, _ = CAMERA.project(np.array([[0.0], [2.0], [-3.0]]))[:, 0]
    right, low, _ = CAMERA.project(np.array([[1.0], [1.0], [-3.0]]))[:, 0]
    rows, columns = np.indices((H, W))
    inside = (rows > top) & (rows < low) & (columns > left) & (columns < right)
    np.testing.assert_array_equal(view.lit == 0, inside)
    assert inside.sum() > 20
    assert (view.colour[:, inside] == 1).all()


def test_outlines():
    u, v = np.meshgrid(
        np.linspace(0, 50, 400, dtype=np.float32), np.linspace(0, 5, 50, dtype=np.float32)
    )
    for kind in ("level", "trees", "houses", "bars"):
        covered = outlined(Outline(kind=kind, height=3, period=4), u.ravel(), v.ravel())
        share = covered.reshape(u.shape).mean(axis=1)
        assert share[0] > 0.3
        assert share[-1] < 0.2, kind


@pytest.mark.parametrize("kind", ["tiles", "planks", "checks", "stripes", "organic"])
def test_textures_fade_far_away(kind: str):
    texture = Texture(colours=((0.2, 0.2, 0.2), (0.8, 0.8, 0.8)), kind=kind, joint=0.3, mottle=0)
    rng = np.random.default_rng(0)
    u, v = rng.uniform(0, 50, (2, 4000)).astype(np.float32)
    near, far = (colour_at(texture, u, v, np.full(4000, size, np.float32)) for size in (0.001, 3.0))
    assert near.std() > 0.1
    assert far.std() < 0.05
    assert abs(near.mean() - far.mean()) < 0.08


def test_a_picture_fills_the_frame():
    image = np.zeros((80, 80, 3), np.uint8)
    image[:, :40, 0] = 255
    view = paint(Picture(image=image, crop=(1.0, 0.5, 0.5)))
    assert view.colour.shape == (3, H, W)
    assert (view.colour[0, :, : W // 2 - 2] == 1).all()
    assert (view.colour[0, :, W // 2 + 2 :] == 0).all()
    mirrored = paint(Picture(image=image, crop=(1.0, 0.5, 0.5), flip=True))
    np.testing.assert_array_equal(mirrored.colour, view.colour[:, :, ::-1])
    assert view.relative
    assert not view.lit[: H // 2].any()
    assert view.lit[H // 2 + 2 :].all()


def test_places():
    for seed in range(6):
        rng = np.random.Generator(np.random.PCG64(seed))
        for place in (sample_indoors, sample_outdoors, sample_studio):
            view = paint(place(rng, CAMERA, 4.0, 1.0))
            assert np.isfinite(view.colour).all()
            assert view.colour.min() >= 0
            # nobody stands behind a wall: what is behind them is at least as far away
            depth = CAMERA.project(view.points[:, view.lit > 0].astype(float))[2]
            middle = CAMERA.project(view.points[:, H // 2 - 1, W // 2][:, None].astype(float))[2, 0]
            assert depth.min() > 0
            assert view.lit[H // 2 - 1, W // 2] == 0 or middle > 4.0
        assert paint(sample_wild(rng, CAMERA)).colour.std() > 0.02


def test_a_collage_covers_its_ground():
    image = collage(np.random.default_rng(0), 64, 64)
    _, counts = np.unique(image.reshape(-1, 3), axis=0, return_counts=True)
    assert len(counts) > 20
    assert counts.max() < 0.6 * 64 * 64


def folder(path: Path, *names: str) -> Path:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48), (255, 0, 255)).save(path / name)
    return path


def test_the_users_backgrounds(tmp_path: Path):
    backgrounds = Backgrounds(folder(tmp_path, "a.png", "b/c.JPG"))
    assert [path.name for path in backgrounds.paths] == ["a.png", "c.JPG"]
    rng = np.random.Generator(np.random.PCG64(0))
    scenes = [sample_scene(rng, capsule_person, (32, 32), backgrounds) for _ in range(12)]
    used = [
        isinstance(scene.backdrop, Picture) and scene.backdrop.image.shape == (48, 64, 3)
        for scene in scenes
    ]
    assert 2 < sum(used) < 11


def test_folders_without_pictures(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(
        ValueError, match=r"no picture \(a file .* subfolders; give a folder of photos"
    ):
        Backgrounds(tmp_path)
    with pytest.raises(ValueError, match=r"must be a folder of pictures, but .* is a file"):
        Backgrounds(tmp_path / "notes.txt")
    with pytest.raises(ValueError, match=r"must be a folder of pictures, but .* does not exist"):
        Backgrounds(tmp_path / "nowhere")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(
        ValueError, match=r"broken.png cannot be read \(.*\); mend it or take it away"
    ):
        Backgrounds(tmp_path)


def test_a_picture_that_ends_too_soon(tmp_path: Path):
    """Its beginning is well, so that it is only found when it is needed."""
    folder(tmp_path, "half.png")
    content = (tmp_path / "half.png").read_bytes()
    (tmp_path / "half.png").write_bytes(content[:60])
    backgrounds = Backgrounds(tmp_path)
    with pytest.raises(ValueError, match=r"half.png cannot be read \(.*\); mend it or take it"):
        backgrounds.sample(np.random.default_rng(0))


def test_what_only_looks_like_a_picture(tmp_path: Path):
    """Apple's shadow files, folders named like pictures, links to nowhere and in a circle."""
    folder(tmp_path, "album.jpg/a.png", "b.png")
    (tmp_path / "._b.png").write_bytes(b"Mac OS X")
    if sys.platform != "win32":
        (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
        (tmp_path / "album.jpg" / "circle").symlink_to(tmp_path)
    assert [path.name for path in Backgrounds(tmp_path).paths] == ["a.png", "b.png"]


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "I;16", "1"])
def test_pictures_of_all_kinds(tmp_path: Path, mode: str):
    name = "a.jpg" if mode == "CMYK" else "a.png"
    Image.new(mode, (3, 2)).save(tmp_path / name)
    picture = Backgrounds(tmp_path).sample(np.random.default_rng(0))
    assert picture.image.shape == (2, 3, 3)
    assert np.isfinite(paint(picture).colour).all()


def test_pictures_are_upright(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 48)).save(tmp_path / "a.jpg", exif=exif)
    assert Backgrounds(tmp_path).sample(np.random.default_rng(0)).image.shape == (64, 48, 3)
