"""The rasteriser against one that asks every triangle about every sample, one ray at a time."""

from __future__ import annotations

import numpy as np
import pytest

from iuv.synth.raster import NOTHING, rasterise

HEIGHT, WIDTH = 24, 32


def reference(points: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Möller and Trumbore's intersection of every ray with each triangle: face and depth."""
    nearest = np.full((HEIGHT, WIDTH), np.inf)
    seen = np.full((HEIGHT, WIDTH), NOTHING)
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    rays = np.stack([columns, rows, np.ones_like(rows)], axis=-1).astype(float)
    for number, (a, b, c) in enumerate(points[faces]):
        across = np.cross(rays, c - a)
        determinant = across @ (b - a)
        front = determinant > 0
        determinant[~front] = 1
        up = np.cross(-a, b - a)
        u, v, depth = across @ -a / determinant, rays @ up / determinant, (c - a) @ up / determinant
        inside = front & (u >= 0) & (v >= 0) & (u + v <= 1) & (depth > 0.05) & (depth < nearest)
        nearest[inside], seen[inside] = depth[inside], number
    return seen, nearest


def drawn(points: np.ndarray, faces: np.ndarray, **options: float) -> np.ndarray:
    raster = rasterise(points, faces, HEIGHT, WIDTH, **options)
    return np.append(raster.face, NOTHING)[raster.slot]


def homogeneous(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.stack([x * z, y * z, z])


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_random_triangles(seed: int, behind: bool):
    rng = np.random.default_rng(seed)
    points = rng.uniform([-10, -10, 0.5], [WIDTH + 10, HEIGHT + 10, 5], (60, 3)).T
    corners = homogeneous(*points)
    if behind:  # some corners lie behind the eye, or next to it
        corners[2, ::4] = rng.uniform(-2, 0.1, 15)
    faces = rng.permutation(60).reshape(20, 3)
    raster = rasterise(corners, faces, HEIGHT, WIDTH)
    seen, nearest = reference(corners.T, faces)
    drawn = np.append(raster.face, NOTHING)[raster.slot]
    np.testing.assert_array_equal(drawn, seen)
    assert (seen >= 0).sum() > 50
    rows, columns = np.nonzero(seen >= 0)
    weights, depth = raster.weights(raster.slot[rows, columns], columns, rows)
    np.testing.assert_allclose(depth, nearest[rows, columns], rtol=1e-9)
    # the weights give the point on the ray, which only perspective-correct ones do
    point = (corners[:, faces[seen[rows, columns]]] * weights.T[None]).sum(axis=2)
    np.testing.assert_allclose(point[0] / point[2], columns, atol=1e-8)
    np.testing.assert_allclose(point[1] / point[2], rows, atol=1e-8)


def grid(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A net of n × n bent squares that covers the picture, two triangles each."""
    y, x = np.mgrid[0:n, 0:n].astype(float)
    shift = rng.uniform(-0.2, 0.2, (2, n, n))
    x = (x + shift[0]) / (n - 1) * (WIDTH + 20) - 10
    y = (y + shift[1]) / (n - 1) * (HEIGHT + 20) - 10
    z = rng.uniform(2, 3, (n, n))
    at = np.arange(n * n).reshape(n, n)
    a, b, c, d = (part.ravel() for part in (at[:-1, :-1], at[:-1, 1:], at[1:, :-1], at[1:, 1:]))
    faces = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])
    return homogeneous(x.ravel(), y.ravel(), z.ravel()), faces


@pytest.mark.parametrize("n", [3, 12, 60])
def test_a_closed_surface_has_no_holes(n: int):
    corners, faces = grid(n, np.random.default_rng(n))
    raster = rasterise(corners, faces, HEIGHT, WIDTH)
    assert (raster.slot != NOTHING).all()
    # from behind there is nothing to be seen
    assert (rasterise(corners, faces[:, ::-1], HEIGHT, WIDTH).slot == NOTHING).all()


def test_corners_on_samples_leave_no_holes():
    at = np.array([[x, y] for y in range(0, HEIGHT + 8, 4) for x in range(0, WIDTH + 8, 4)])
    columns = WIDTH // 4 + 2
    start = [i for i in range(len(at) - columns - 1) if (i + 1) % columns]
    faces = [[i, i + columns, i + 1] for i in start]
    faces += [[i + 1, i + columns, i + columns + 1] for i in start]
    corners = homogeneous(*at.T.astype(float), np.full(len(at), 3.0))
    assert (rasterise(corners, np.array(faces), HEIGHT, WIDTH).slot != NOTHING).all()


def test_level_edges_that_pass_the_eye():
    """A floor from behind the eye to before it: only the rows below the horizon see it."""
    corners = np.array([[-40.0, 40, 40, -40], [30, 30, 30, 30], [-3, -3, 9, 9]])
    centre = np.array([[WIDTH / 2], [HEIGHT / 2], [0]])
    corners[:2] += centre[:2] * corners[2]
    wall = np.array([[0.0, 40, 40, 0], [-8, -8, 8, 8], [-3, 9, 9, -3]])
    wall[:2] += centre[:2] * wall[2]
    shown = 0
    for points, front in ((corners, [[0, 2, 1], [0, 3, 2]]), (wall, [[0, 1, 2], [0, 2, 3]])):
        for faces in (np.array(front), np.array(front)[:, ::-1]):
            raster = rasterise(points, faces, HEIGHT, WIDTH)
            drawn = np.append(raster.face, NOTHING)[raster.slot]
            seen, _ = reference(points.T, faces)
            np.testing.assert_array_equal(drawn >= 0, seen >= 0)
            shown += (seen >= 0).sum()
    assert shown > 200


def test_nothing_to_draw():
    for corners in (
        np.zeros((3, 0)),
        homogeneous(*np.array([[90.0, 91, 92], [0, 9, 0], [1, 1, 1]])),
    ):
        faces = np.arange(corners.shape[1]).reshape(-1, 3)
        assert (rasterise(corners, faces, HEIGHT, WIDTH).slot == NOTHING).all()


def test_equal_depth_goes_to_the_first():
    corners = homogeneous(*np.array([[0.0, 0, 30], [0, 20, 0], [2, 2, 2]]))
    raster = rasterise(corners, np.array([[0, 1, 2], [0, 1, 2]]), HEIGHT, WIDTH)
    assert set(raster.face[raster.slot[raster.slot >= 0]]) == {0}


@pytest.mark.parametrize("seed", range(3))
def test_odd_rows_can_lie_half_a_column_further_right(seed: int):
    rng = np.random.default_rng(seed)
    points = rng.uniform([-10, -10, 0.5], [WIDTH + 10, HEIGHT + 10, 5], (60, 3)).T
    corners, faces = homogeneous(*points), rng.permutation(60).reshape(20, 3)
    shifted = drawn(corners, faces, shift=0.5)
    moved = corners.copy()
    moved[0] -= 0.5 * moved[2]
    np.testing.assert_array_equal(shifted[0::2], drawn(corners, faces)[0::2])
    # a row's last sample would lie beyond the grid
    np.testing.assert_array_equal(shifted[1::2, :-1], drawn(moved, faces)[1::2, :-1])
    assert (shifted[1::2, -1] == NOTHING).all()


def test_more_triangles_than_are_filled_at_a_time():
    corners, faces = grid(140, np.random.default_rng(1))
    every = drawn(corners, faces)
    assert (every != NOTHING).all()
    assert len(np.unique(every)) > 0.5 * HEIGHT * WIDTH
    half = len(faces) // 2
    first, second = drawn(corners, faces[:half]), drawn(corners, faces[half:])
    np.testing.assert_array_equal(every, np.where(first != NOTHING, first, second + half))
