"""The mirror image of every surface point, for flipping pictures of synthetic people."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from iuv.bodyparts import NUM_PARTS, PART_MIRROR, PARTS
from iuv.data.symmetry import UVSymmetry
from iuv.synth.charts import mirrored_axis
from iuv.synth.mesh import ChartedMesh, Floats

__all__ = ["body_symmetry", "mesh_symmetry"]

_CELLS = 256
_SPLIT = 3  # into how many pieces each edge of a triangle is split


def body_symmetry() -> UVSymmetry:
    """Return the tables of our body, which is mirrored exactly.

    A cell holds the image of its middle, as tables are looked up with U and V cut to 1/255.
    """
    middle = np.minimum((np.arange(_CELLS) + 0.5) / (_CELLS - 1), 1).astype(np.float32)
    u = np.broadcast_to(middle[None, :], (NUM_PARTS, _CELLS, _CELLS)).copy()
    v = np.broadcast_to(middle[:, None], (NUM_PARTS, _CELLS, _CELLS)).copy()
    for part in PARTS:
        axis = mirrored_axis(part.index)
        table = {"u": u, "v": v}.get(axis)
        if table is not None:
            table[part.index - 1] = 1 - table[part.index - 1]
    return UVSymmetry(u, v)


def mesh_symmetry(mesh: ChartedMesh) -> UVSymmetry:
    """Return the tables of any mesh in a rest pose that is about its own mirror image in x.

    Each cell is the nearest place of its part's chart; its mirror image is the nearest place of
    the mirrored part. Parts that the mesh lacks stay as they are.
    """
    x = mesh.vertices[mesh.faces[mesh.face_part > 0], 0]  # without what is worn or held
    points = mesh.vertices - [(x.min() + x.max()) / 2, 0, 0]
    samples = [_samples(mesh, points, part.index) for part in PARTS]
    middle = np.minimum((np.arange(_CELLS) + 0.5) / (_CELLS - 1), 1)
    cells = np.stack(np.meshgrid(middle, middle), axis=2).reshape(-1, 2)  # V in rows, U in columns
    tables = np.empty((NUM_PARTS, _CELLS * _CELLS, 2), np.float32)
    for index, (uv, places) in enumerate(samples):
        other_uv, other_places = samples[PART_MIRROR[index + 1] - 1]
        tables[index] = cells
        if len(uv) and len(other_uv):
            images = np.asarray(cKDTree(other_places).query(places * (-1, 1, 1))[1])
            nearest = np.asarray(cKDTree(uv).query(cells)[1])
            tables[index] = other_uv[images[nearest]]
    shape = (NUM_PARTS, _CELLS, _CELLS)
    return UVSymmetry(
        np.ascontiguousarray(tables[..., 0]).reshape(shape),
        np.ascontiguousarray(tables[..., 1]).reshape(shape),
    )


def _samples(mesh: ChartedMesh, points: Floats, part: int) -> tuple[Floats, Floats]:
    """Return chart coordinates [n, 2] and positions [n, 3] all over a part's triangles."""
    own = mesh.face_part == part
    steps = np.arange(_SPLIT + 1) / _SPLIT
    a, b = (grid.ravel() for grid in np.meshgrid(steps, steps))
    inside = a + b <= 1 + 1e-9
    weights = np.stack([1 - a - b, a, b], axis=1)[inside]
    uv = np.einsum("sk,fkc->fsc", weights, mesh.corner_uv[own].astype(np.float64))
    places = np.einsum("sk,fkc->fsc", weights, points[mesh.faces[own]])
    return uv.reshape(-1, 2), places.reshape(-1, 3)
