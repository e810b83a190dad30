"""Distances from a file, a matrix and a mesh."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from iuv.evaluation.geodesics import MatrixGeodesics, MeshGeodesics, PackedGeodesics


def pairs(count):
    return np.array(list(itertools.product(range(count), repeat=2))).T


@pytest.fixture(params=["memory", "file"])
def packed(request, tmp_path, monkeypatch):
    """Distances of 40 vertices, and the same as a matrix."""
    rng = np.random.default_rng(0)
    values = rng.uniform(size=780).astype(np.float32)
    matrix = np.zeros((40, 40))
    matrix[np.tril_indices(40, -1)] = values
    if request.param == "file":
        path = tmp_path / "distances.bin"
        path.write_bytes(b"header" + values.tobytes())
        values = np.memmap(path, np.float32, mode="r", offset=6, shape=(780,))
        monkeypatch.setattr("iuv.evaluation.geodesics._WINDOW", 400)  # eight windows
    return PackedGeodesics(values), matrix + matrix.T


def test_packed(packed):
    geodesics, matrix = packed
    a, b = pairs(40)
    order = np.random.default_rng(1).permutation(len(a))
    assert geodesics.num_vertices == 40
    np.testing.assert_array_equal(geodesics.distances(a[order], b[order]), matrix[a, b][order])
    assert geodesics.distances(a[:0], b[:0]).shape == (0,)


def test_packed_of_the_official_size(tmp_path):
    """Nothing is read but what is asked for: the file is a hole of 1.5 GB."""
    path = tmp_path / "distances.bin"
    with path.open("wb") as file:
        file.truncate(379_597_681 * 4 - 4)
        file.seek(0, 2)
        file.write(np.float32(1.25).tobytes())
    values = np.memmap(path, np.float32, mode="r")
    geodesics = PackedGeodesics(values)
    assert geodesics.num_vertices == 27_554
    a, b = np.array([27_553, 5, 0]), np.array([27_552, 5, 1])
    assert geodesics.distances(a, b).tolist() == [1.25, 0, 0]
    assert geodesics.distances(b, a).tolist() == [1.25, 0, 0]


def test_packed_refuses_other_numbers():
    with pytest.raises(ValueError, match=r"G\(G-1\)/2 numbers, got 5, which no G gives"):
        PackedGeodesics(np.zeros(5))


def test_matrix():
    matrix = np.random.default_rng(0).uniform(size=(7, 7)).astype(np.float32)
    geodesics = MatrixGeodesics(matrix)
    a, b = pairs(7)
    assert geodesics.num_vertices == 7
    np.testing.assert_array_equal(geodesics.distances(a, b), matrix.ravel())
    with pytest.raises(ValueError, match=r"square matrix .*, got shape \(2, 3\)"):
        MatrixGeodesics(np.zeros((2, 3)))


# Meshes


def grid(n):
    """A flat square of n x n vertices, one unit apart, and its triangles."""
    y, x = np.divmod(np.arange(n * n), n)
    corner = np.flatnonzero((x < n - 1) & (y < n - 1))
    lower = np.stack([corner, corner + 1, corner + n], axis=1)
    upper = np.stack([corner + 1, corner + n + 1, corner + n], axis=1)
    return np.stack([x, y, 0 * x], axis=1).astype(float), np.concatenate([lower, upper])


def icosphere(times):
    """A sphere of radius 1, whose triangles are nearly equal."""
    golden = (1 + 5**0.5) / 2
    points = [(0, s, t * golden) for s in (1, -1) for t in (1, -1)]
    points = [np.roll(p, k) for k in range(3) for p in points]
    points = [p / np.linalg.norm(p) for p in points]
    side = min(np.linalg.norm(p - points[0]) for p in points[1:]) * 1.01
    near = [
        t
        for t in itertools.combinations(range(12), 3)
        if all(
            np.linalg.norm(points[a] - points[b]) < side for a, b in itertools.combinations(t, 2)
        )
    ]
    for _ in range(times):
        middle, finer = {}, []
        for face in near:
            ids = []
            for a, b in ((0, 1), (1, 2), (2, 0)):
                edge = tuple(sorted((face[a], face[b])))
                if edge not in middle:
                    middle[edge] = len(points)
                    centre = points[edge[0]] + points[edge[1]]
                    points.append(centre / np.linalg.norm(centre))
                ids.append(middle[edge])
            a, b, c = ids
            finer += [(face[0], a, c), (face[1], b, a), (face[2], c, b), (a, b, c)]
        near = finer
    return np.array(points), np.array(near)


def test_straight_and_diagonal_paths():
    points, faces = grid(4)
    geodesics = MeshGeodesics(points, faces)
    assert geodesics.num_vertices == 16
    # Along edges; along the triangles' diagonals; across them, from tip to tip.
    found = geodesics.distances(np.array([0, 3, 0, 0]), np.array([3, 12, 15, 0]))
    np.testing.assert_allclose(found, [3, 3 * 2**0.5, 3 * 2**0.5, 0], rtol=1e-6)


def test_bent_paths_are_unfolded():
    """Two triangles at a right angle: the tips are 2 apart over the fold, 1.41 through the air."""
    points = np.array([[0, -1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]], float)
    faces = np.array([[0, 1, 2], [0, 1, 3]])
    assert MeshGeodesics(points, faces).distances(np.array([2]), np.array([3])) == pytest.approx(2)


def test_tips_that_do_not_see_each_other():
    """The straight line would leave the two triangles; the path goes around the corner."""
    points = np.array([[0, 0, 0], [0, 1, 0], [1, -1, 0], [-1, -1, 0]], float)
    faces = np.array([[0, 1, 2], [0, 1, 3]])
    found = MeshGeodesics(points, faces).distances(np.array([2]), np.array([3]))
    assert found == pytest.approx(2 * 2**0.5)


def test_sphere():
    points, faces = icosphere(4)
    a, b = np.random.default_rng(0).integers(0, len(points), (2, 500))
    exact = np.arccos(np.clip((points[a] * points[b]).sum(axis=1), -1, 1))
    apart = a != b
    ratio = MeshGeodesics(points, faces).distances(a, b)[apart] / exact[apart]
    assert ratio.min() > 0.99
    assert ratio.max() < 1.04
    assert ratio.mean() < 1.02


def test_unconnected_parts_are_infinitely_far_apart():
    points, faces = grid(2)
    points, faces = np.concatenate([points, points + 9]), np.concatenate([faces, faces + 4])
    found = MeshGeodesics(points, faces).distances(np.array([0, 0]), np.array([3, 7]))
    assert found.tolist() == [pytest.approx(2**0.5), np.inf]


def test_few_distances_are_remembered(monkeypatch):
    points, faces = icosphere(1)
    a, b = pairs(len(points))
    expected = MeshGeodesics(points, faces).distances(a, b)
    monkeypatch.setattr("iuv.evaluation.geodesics._KEPT", 5 * len(points) * 4)
    monkeypatch.setattr("iuv.evaluation.geodesics._SOURCES", 3)
    frugal = MeshGeodesics(points, faces)
    np.testing.assert_array_equal(frugal.distances(a, b), expected)
    np.testing.assert_array_equal(frugal.distances(a[::-1], b[::-1]), expected[::-1])
    assert len(frugal._rows) == 5


@pytest.mark.parametrize(
    ("points", "faces", "message"),
    [
        (
            np.zeros((4, 2)),
            np.zeros((1, 3), int),
            r"points \[G, 3\] and faces \[F, 3\], got \(4, 2\)",
        ),
        (np.zeros((4, 3)), np.zeros((1, 4), int), r"and \(1, 4\)"),
        (np.zeros((4, 3)), np.full((1, 3), 4), r"faces must name vertices 0\.\.3"),
        (np.zeros((4, 3)), np.zeros((0, 3), int), "there must be any"),
    ],
)
def test_unfit_meshes(points, faces, message):
    with pytest.raises(ValueError, match=message):
        MeshGeodesics(points, faces)
