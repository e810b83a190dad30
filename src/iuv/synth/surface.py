"""The left half of the body's surface: the net, refined and laid on the solid.

N: vertices of the half. Body heights; the rest pose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from iuv.synth.anatomy import Figure, body_solid
from iuv.synth.cage import Cage, Patch
from iuv.synth.mesh import Floats, Ints
from iuv.synth.net import body_net, grow_hand
from iuv.synth.solids import Solid, cast, project

__all__ = ["HalfSurface", "fit_figure", "half_surface"]

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
    cage.halve(_is_face)
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


def _is_face(label: str, centre: Floats) -> bool:
    x, y, z = centre
    ear = abs(z) < 0.026 and 0.890 < y < 0.955 and x > 0.028
    return label == "head" and bool((z > 0.018 and y < 0.965) or ear)


def _is_fine(label: str, centre: Floats) -> bool:
    x, y, z = centre
    if label != "head" or z < 0.025:
        return False
    eye = 0.006 < x < 0.030 and 0.925 < y < 0.945
    middle = x < 0.016 and 0.886 < y < 0.925  # nose and mouth
    return bool(eye or middle)


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
    one, other = np.array(cage.edges()).T
    rows, columns = np.concatenate([one, other]), np.concatenate([other, one])
    middle = np.array(cage.points)[:, 0] == 0
    weights = np.where(middle[rows] & ~middle[columns], 2.0, 1.0)
    total = np.bincount(rows, weights, len(middle))
    shape = (len(middle), len(middle))
    return csr_matrix((weights / total[rows], (rows, columns)), shape=shape)


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
        there = points[left]
        across = np.roll(there, 1, axis=0) - np.roll(there, -1, axis=0)
        # the tolerance makes the choice the same wherever rounding differs
        i = int(np.argmin(np.round(np.sqrt((across**2).sum(axis=1)), 7)))
        result.append((left[i - 1], left[i], left[(i + 1) % len(left)]))
        del left[i]
    result.append((left[0], left[1], left[2]))
    return result
