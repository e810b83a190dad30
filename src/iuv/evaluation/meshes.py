"""The surface that predictions and annotations are compared on.

M: vertices in the charts (I, U, V); G: vertices of the surface. Seams of charts share vertices of
the surface, so M > G. P: points.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from iuv.bodyparts import NUM_PARTS
from iuv.evaluation.geodesics import Geodesics, Ids, MeshGeodesics

__all__ = ["PART_SCALES", "MeshError", "SurfaceMesh", "mesh_surface", "read_mesh"]

Floats = npt.NDArray[np.float64]

_CHUNK = 4096
_ARRAYS = ("points", "faces", "parts", "u", "v")
_SHAPES = {"points": 2, "faces": 2}  # how many dimensions; of the others: 1
_WHOLE = ("faces", "parts", "vertices")
_VERTICES = "vertices"

# fmt: off
PART_SCALES = np.array([
    np.nan,
    0.351, 0.351,                # torso
    0.107, 0.107,                # hands
    0.126, 0.126,                # feet
    0.237, 0.237, 0.237, 0.237,  # thighs
    0.173, 0.173, 0.173, 0.173,  # lower legs
    0.142, 0.142, 0.142, 0.142,  # upper arms
    0.128, 0.128, 0.128, 0.128,  # lower arms
    0.150, 0.150,                # head
])
# fmt: on
"""[25], metres by part I: how far off a point may be. Parity with the DensePose challenges since
2018 (the paper has 0.255 for all)."""


class MeshError(ValueError):
    """A mesh, or a file that describes it, is not what it should be."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SurfaceMesh:
    """A surface with charts and distances.

    Raises:
        MeshError: lengths disagree, a part is none of 1..24, or a vertex is not on the surface.
    """

    parts: Ids
    """[M], the chart I of each vertex, 1..24."""
    u: Floats
    """[M], 0..1."""
    v: Floats
    """[M], 0..1."""
    vertices: Ids
    """[M], the vertex 0..G-1 of the surface."""
    geodesics: Geodesics
    """The distances between these, in metres."""
    scales: Floats = field(default_factory=PART_SCALES.copy)
    """[25], metres by part, see `PART_SCALES`."""

    def __post_init__(self) -> None:
        count = len(self.parts)
        for name in ("parts", "u", "v", "vertices"):
            value = getattr(self, name)
            if value.shape != (count,):
                raise MeshError(f"{name} must have shape {(count,)}, as parts, got {value.shape}")
        if not count or self.parts.min() < 1 or self.parts.max() > NUM_PARTS:
            raise MeshError(f"the parts of a mesh lie in 1..{NUM_PARTS}, and there must be any")
        if not (np.isfinite(self.u).all() and np.isfinite(self.v).all()):
            raise MeshError("U and V of a mesh must be finite")
        known = self.geodesics.num_vertices
        if self.vertices.min() < 0 or self.vertices.max() >= known:
            raise MeshError(
                f"the vertices are {self.vertices.min()}..{self.vertices.max()}, but there are "
                f"distances between {known} vertices, 0..{known - 1}"
            )

    def nearest(self, parts: Ids, u: Floats, v: Floats) -> Ids:
        """Return [P]: the vertex 0..G-1 of the surface that each point (I, U, V) lies next to.

        It is the nearest of the part's vertices in the plane of U and V, the first of equals; -1
        for a part that has no vertex.
        """
        result = np.full(len(parts), -1, dtype=np.int64)
        for part in np.unique(parts):
            (own,) = np.nonzero(self.parts == part)
            if len(own):
                (asked,) = np.nonzero(parts == part)
                chart = np.stack([self.u[own], self.v[own]], axis=1)
                points = np.stack([u[asked], v[asked]], axis=1)
                result[asked] = self.vertices[own[_nearest(chart, points)]]
        return result


def _nearest(chart: Floats, points: Floats) -> Ids:
    """Return [P] indices into `chart` [m, 2], as comparing all distances would give."""
    if len(chart) == 1:
        return np.zeros(len(points), dtype=np.int64)
    distances, indices = map(np.asarray, cKDTree(chart).query(points, k=2))
    result = indices[:, 0].astype(np.int64)
    # The tree takes any of several that are equally near, or equal but for rounding.
    (doubtful,) = np.nonzero(distances[:, 1] <= distances[:, 0] * (1 + 1e-9))
    for start in range(0, len(doubtful), _CHUNK):
        chunk = doubtful[start : start + _CHUNK]
        result[chunk] = cdist(points[chunk], chart).argmin(axis=1)
    return result


def mesh_surface(
    points: npt.NDArray[np.floating[Any]],
    faces: npt.NDArray[Any],
    *,
    parts: npt.NDArray[Any],
    u: Floats,
    v: Floats,
    vertices: npt.NDArray[Any] | None = None,
    geodesics: Geodesics | None = None,
) -> SurfaceMesh:
    """Return any triangle mesh with charts as a surface to evaluate on.

    Args:
        points: [G, 3], in metres.
        faces: [F, 3], ids 0..G-1 of their corners.
        parts: [M], the chart of each chart vertex, 1..24.
        u: [M], 0..1.
        v: [M], 0..1.
        vertices: [M], the vertex 0..G-1 of each chart vertex; left out if M = G, in this order.
        geodesics: distances in metres; left out, they are computed along the mesh by need.

    Raises:
        MeshError: lengths disagree, or a number is out of its range.
    """
    try:
        geodesics = geodesics or MeshGeodesics(points, faces)
    except ValueError as error:
        raise MeshError(str(error)) from error
    if vertices is None:
        vertices = np.arange(len(points))
    return SurfaceMesh(
        parts=parts.astype(np.int64),
        u=u.astype(np.float64),
        v=v.astype(np.float64),
        vertices=vertices.astype(np.int64),
        geodesics=geodesics,
    )


def read_mesh(path: Path) -> SurfaceMesh:
    """Return the surface in an ``.npz`` file, such as the ``mesh.npz`` of `iuv synth`.

    It has the arrays that `mesh_surface` takes: ``points``, ``faces``, ``parts``, ``u``, ``v``, and
    ``vertices`` if they are not the points in their order. Distances are computed by need.

    Raises:
        FileNotFoundError: there is no such file.
        MeshError: it holds something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such mesh; check the path")
    try:
        with np.load(path, allow_pickle=False) as file:
            names = [*_ARRAYS, *({_VERTICES} & set(file.files))]
            arrays = {name: file[name] for name in names}
    except Exception as error:  # on damaged files the decoders raise almost anything
        raise MeshError(
            f"{path}: expected an .npz with the arrays {', '.join(_ARRAYS)} and, perhaps, "
            f"{_VERTICES} ({error}); iuv synth writes one"
        ) from error
    try:
        for name, array in arrays.items():
            _check_numbers(name, array)
        return mesh_surface(arrays.pop("points"), arrays.pop("faces"), **arrays)
    except MeshError as error:
        raise MeshError(f"{path}: {error}") from None


def _check_numbers(name: str, array: npt.NDArray[Any]) -> None:
    kinds, meaning = ("iu", "whole numbers") if name in _WHOLE else ("iuf", "numbers")
    dimensions = _SHAPES.get(name, 1)
    if array.dtype.kind not in kinds or array.ndim != dimensions:
        raise MeshError(
            f"{name} must be {meaning} in {dimensions} dimension{'s' * (dimensions > 1)}, got "
            f"{array.dtype} {list(array.shape)}"
        )
    if not np.isfinite(array).all():
        raise MeshError(f"{name} must be finite, but some are not")
