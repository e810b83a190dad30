"""The left half of the body's surface: the net, refined and laid on the solid.

N: vertices of the half. Body heights; the rest pose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from iuv.synth.anatomy import Figure, body_solid
from iuv.synth.cage import Cage, Patch
from iuv.synth.mesh import Floats, Ints
from iuv.synth.net import body_net, grow_hand
from iuv.synth.solids import Solid, cast, project

__all__ = ["HalfSurface", "fit_figure", "half_surface"]

_COARSE = {"hand", "index", "middle", "ring", "little", "thumb"}
_FACE_FROM, _EAR_TO = 0.866, 0.06  # y and x of the vertices that a face may move
_RELIEF = 0.02  # how far it may


@dataclass(frozen=True, slots=True, eq=False)
class HalfSurface:
    """Triangles of the left half of the body, open where x = 0."""

    plain: Floats
    """[N, 3], of the average figure without a face."""
    faces: Ints
    """[F, 3]"""
    labels: tuple[str, ...]
    """[F], the limb that each triangle was grown with."""
    smoother: csr_matrix
    """[N, N]: the mean of each vertex's neighbours."""


def half_surface() -> HalfSurface:
    """Return the average body's left half, fine at hands and face."""
    solid = body_solid(Figure(), face=False)
    cage, wrist = body_net()
    _settle(cage, solid, rounds=3)
    parents = cage.halve(lambda _label, _centre: True)
    grow_hand(cage, _halved(cage, wrist, parents))
    _settle(cage, solid, rounds=4)
    cage.halve(lambda label, _centre: label not in _COARSE)
    _settle(cage, solid, rounds=4)
    cage.halve(_is_fine)
    _settle(cage, solid, rounds=3)
    points = np.array(cage.points)
    corners, labels = _triangles(cage, points)
    used, faces = np.unique(corners, return_inverse=True)  # what was pulled out left some behind
    smoother = _smoother(cage)[used][:, used]
    return HalfSurface(points[used], faces.reshape(-1, 3).astype(np.int32), labels, smoother)


def fit_figure(surface: HalfSurface, figure: Figure) -> Floats:
    """Return [N, 3]: the surface's vertices on a figure of average proportions."""
    points = surface.plain
    middle = points[:, 0] == 0
    if figure != Figure():
        solid = body_solid(figure, face=False)
        points = project(solid, points, steps=4)
        points = _relaxed(points, surface.smoother, 0.25)
        points = project(solid, points, steps=2)
        points[middle, 0] = 0
    (head,) = np.nonzero((points[:, 1] > _FACE_FROM) & (points[:, 0] < _EAR_TO))
    normals = _normals(points, surface.faces)[head]
    points[head] = cast(body_solid(figure, face=True), points[head], normals, reach=_RELIEF)
    points[middle, 0] = 0
    return points


def _normals(points: Floats, faces: Ints) -> Floats:
    """Return [N, 3] unit vectors; in the middle of the body they have no x."""
    a, b, c = (points[faces[:, k]] for k in range(3))
    across = np.cross(b - a, c - a)
    normals = np.stack(
        [np.bincount(faces.ravel(), np.repeat(across[:, k], 3), len(points)) for k in range(3)], 1
    )
    normals[points[:, 0] == 0, 0] = 0
    unit: Floats = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    return unit


def _is_fine(label: str, centre: Floats) -> bool:
    x, y, z = centre
    if label != "head":
        return False
    face = z > 0.025 and 0.868 < y < 0.956 and x < 0.034
    ear = abs(z) < 0.020 and 0.897 < y < 0.948 and x > 0.03
    return bool(face or ear)


def _halved(cage: Cage, patch: Patch, parents: dict[int, tuple[int, ...]]) -> Patch:
    square = dict(patch.square)
    for corner, above in parents.items():
        if all(p in patch.square for p in above):
            u, v = np.mean([patch.square[p] for p in above], axis=0)
            square[corner] = (float(u), float(v))
    faces = [f for f, corners in cage.faces.items() if all(c in square for c in corners)]
    return Patch(faces, square)


def _settle(cage: Cage, solid: Solid, *, rounds: int) -> None:
    points = np.array(cage.points)
    middle = points[:, 0] == 0
    smoother = _smoother(cage)
    points = project(solid, points)
    for _ in range(rounds):
        points = _relaxed(points, smoother, 0.5)
        points[middle, 0] = 0
        points = project(solid, points, steps=2)
        points[middle, 0] = 0
    cage.points = list(points)


def _relaxed(points: Floats, smoother: csr_matrix, share: float) -> Floats:
    relaxed: Floats = points + share * (smoother @ points - points)
    return relaxed


def _smoother(cage: Cage) -> csr_matrix:
    """Return the mean over neighbours; those in the middle have mirror images, too."""
    rows, columns, weights = [], [], []
    points = cage.points
    for i, near in enumerate(cage.neighbours()):
        twice = np.array([2.0 if points[i][0] == 0 and points[j][0] else 1.0 for j in near])
        if len(near):
            rows += [i] * len(near)
            columns += near
            weights += list(twice / twice.sum())
    return csr_matrix((weights, (rows, columns)), shape=(len(points), len(points)))


def _triangles(cage: Cage, points: Floats) -> tuple[Ints, tuple[str, ...]]:
    triangles: list[tuple[int, int, int]] = []
    labels: list[str] = []
    for face, corners in cage.faces.items():
        pieces = _split(corners, points)
        triangles += pieces
        labels += [cage.labels[face]] * len(pieces)
    return np.array(triangles, np.int32), tuple(labels)


def _split(corners: tuple[int, ...], points: Floats) -> list[tuple[int, int, int]]:
    """Return the triangles of a polygon, cutting off the smallest ear first."""
    left = list(corners)
    result = []
    while len(left) > 3:
        lengths = [
            _length(points[left[i - 1]], points[left[(i + 1) % len(left)]])
            for i in range(len(left))
        ]
        # the tolerance makes the choice the same wherever rounding differs
        i = int(np.argmin(np.round(lengths, 7)))
        result.append((left[i - 1], left[i], left[(i + 1) % len(left)]))
        del left[i]
    result.append((left[0], left[1], left[2]))
    return result


def _length(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    return float(np.linalg.norm(a - b))
