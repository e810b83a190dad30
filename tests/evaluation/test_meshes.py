"""Nearest vertices exactly as comparing all gives; any mesh as a surface; what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from iuv.bodyparts import PARTS
from iuv.evaluation.geodesics import MatrixGeodesics
from iuv.evaluation.meshes import PART_SCALES, MeshError, SurfaceMesh, mesh_surface, read_mesh

# A tetrahedron, all of whose corners are in chart 2, the last in chart 5, too.
TETRAHEDRON = {
    "points": np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float),
    "faces": np.array([[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]]),
    "parts": np.array([2, 2, 2, 2, 5]),
    "u": np.array([0, 1, 0, 1, 0.5]),
    "v": np.array([0, 0, 1, 1, 0.5]),
    "vertices": np.array([0, 1, 2, 3, 3]),
}


def test_nearest_on_a_grid_with_ties():
    """Points half-way between vertices: the first of equals, as in a comparison of all."""
    u, v = (values.ravel() / 4 for values in np.mgrid[:5, :5])
    rng = np.random.default_rng(0)
    order = rng.permutation(25)
    mesh = SurfaceMesh(
        parts=np.full(25, 7),
        u=u[order],
        v=v[order],
        vertices=np.arange(25),
        geodesics=MatrixGeodesics(np.zeros((25, 25))),
    )
    x, y = (values.ravel() / 16 for values in np.mgrid[-2:20, -2:20])
    expected = cdist(np.stack([x, y], 1), np.stack([mesh.u, mesh.v], 1)).argmin(axis=1)
    np.testing.assert_array_equal(mesh.nearest(np.full(len(x), 7), x, y), expected)


def test_nearest_of_the_same_part():
    mesh = mesh_surface(**TETRAHEDRON)
    parts = np.array([2, 5, 2, 1, 0, 25])
    u, v = np.array([0.9, 0.9, 0.1, 0.5, 0.5, 0.5]), np.array([0.2, 0.2, 0.9, 0.5, 0.5, 0.5])
    assert mesh.nearest(parts, u, v).tolist() == [1, 3, 2, -1, -1, -1]


def test_distances_are_computed_if_not_given():
    mesh = mesh_surface(**TETRAHEDRON)
    found = mesh.geodesics.distances(np.array([0, 1]), np.array([1, 2]))
    assert found == pytest.approx([1, 2**0.5])
    matrix = MatrixGeodesics(np.full((4, 4), 7.0))
    mesh = mesh_surface(**TETRAHEDRON, geodesics=matrix)
    assert mesh.geodesics.distances(np.array([0]), np.array([1])).tolist() == [7]


def test_charts_without_seams_need_no_second_numbering():
    fields = {name: TETRAHEDRON[name][:4] for name in ("parts", "u", "v")}
    mesh = mesh_surface(TETRAHEDRON["points"], TETRAHEDRON["faces"], **fields)
    assert mesh.vertices.tolist() == [0, 1, 2, 3]


def test_scales_are_equal_on_both_sides():
    by_name = {part.name: PART_SCALES[part.index] for part in PARTS}
    for name, scale in by_name.items():
        assert by_name[name.replace("left", "right")] == scale
    assert PART_SCALES.shape == (25,)
    assert (by_name["left_hand"], by_name["torso_back"]) == (0.107, 0.351)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"u": np.zeros(4)}, r"u must have shape \(5,\), as parts, got \(4,\)"),
        ({"parts": np.array([2, 2, 2, 2, 25])}, r"parts of a mesh lie in 1\.\.24"),
        ({"parts": np.array([2, 2, 2, 2, 0])}, r"parts of a mesh lie in 1\.\.24"),
        ({"v": np.full(5, np.nan)}, "U and V of a mesh must be finite"),
        ({"vertices": np.array([0, 1, 2, 3, 4])}, r"vertices are 0\.\.4, .* 4 vertices, 0\.\.3"),
        ({"vertices": np.array([0, 1, 2, -3, 3])}, r"vertices are -3\.\.3"),
        ({"faces": np.array([[0, 1, 9]])}, r"faces must name vertices 0\.\.3"),
    ],
)
def test_unfit_surfaces(changes, message):
    with pytest.raises(MeshError, match=message):
        mesh_surface(**TETRAHEDRON | changes)


def test_a_mesh_from_a_file(tmp_path):
    path = tmp_path / "mesh.npz"
    np.savez(path, **TETRAHEDRON)
    found, expected = read_mesh(path), mesh_surface(**TETRAHEDRON)
    for name in ("parts", "u", "v", "vertices", "scales"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert found.geodesics.distances(np.array([0]), np.array([1])).tolist() == [1]
    np.savez(path, **{name: TETRAHEDRON[name][:4] for name in TETRAHEDRON if name != "vertices"})
    assert read_mesh(path).vertices.tolist() == [0, 1, 2, 3]


def test_files_that_are_no_mesh(tmp_path):
    path = tmp_path / "mesh.npz"
    with pytest.raises(FileNotFoundError, match=r"mesh\.npz: there is no such mesh"):
        read_mesh(path)
    path.write_bytes(b"text")
    with pytest.raises(MeshError, match=r"expected an \.npz with the arrays points, faces, parts"):
        read_mesh(path)
    np.savez(path, points=TETRAHEDRON["points"])
    with pytest.raises(MeshError, match=r"'faces is not a file in the archive'.*iuv synth writes"):
        read_mesh(path)
    np.savez(path, **TETRAHEDRON | {"parts": np.full(5, 99)})
    with pytest.raises(MeshError, match=r"mesh\.npz: the parts of a mesh lie in 1\.\.24"):
        read_mesh(path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "parts",
            np.array(["a"] * 5),
            r"parts must be whole numbers in 1 dimension, got <U1 \[5\]",
        ),
        ("parts", np.int64(3), r"parts must be whole numbers in 1 dimension, got int64 \[\]"),
        ("u", np.zeros((5, 1)), r"u must be numbers in 1 dimension, got float64 \[5, 1\]"),
        ("faces", np.full((1, 3), np.nan), "faces must be whole numbers in 2 dimensions"),
        ("points", np.full((4, 3), np.nan), "points must be finite, but some are not"),
    ],
)
def test_files_with_other_arrays(tmp_path, name, value, message):
    np.savez(tmp_path / "mesh.npz", **TETRAHEDRON | {name: value})
    with pytest.raises(MeshError, match=message):
        read_mesh(tmp_path / "mesh.npz")
