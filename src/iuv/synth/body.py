"""The body in its rest pose: triangles with charts, the same for all shapes.

V: vertices of the whole body; F: its triangles; N, f: those of its left half, which are cut along
the borders of parts, clothes and face features, and then mirrored.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix, csr_matrix, diags

from iuv.bodyparts import PART_MIRROR
from iuv.synth.anatomy import Figure
from iuv.synth.charts import LEFT_PARTS, left_part, left_uv, right_uv
from iuv.synth.cutting import Cuts
from iuv.synth.lines import LINES, Line, Sides
from iuv.synth.mesh import Floats, Ints
from iuv.synth.rounding import on_grid
from iuv.synth.skinning import skin_weights
from iuv.synth.surface import fit_figure, half_surface

__all__ = ["FIGURES", "Template", "body_template", "vertex_normals"]

# How figures are mixed: each is reached by moving all vertices along straight lines.
FIGURES: dict[str, Figure] = {
    "man": Figure(female=-1),
    "woman": Figure(female=1),
    "thin": Figure(heavy=-1),
    "fat": Figure(heavy=1),
    "athletic": Figure(muscle=1),
}


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """The average body, standing in a T, and what other figures differ by."""

    rest: Floats
    """[V, 3], in body heights."""
    faces: Ints
    """[F, 3]: the left half's triangles, then their mirror images in the same order."""
    part: npt.NDArray[np.uint8]
    """[F], 1..24."""
    corner_uv: npt.NDArray[np.float32]
    """[F, 3, 2]"""
    deltas: dict[str, Floats]
    """[V, 3] by name of a figure: how far vertices move to it."""
    mirror: npt.NDArray[np.int64]
    """[V]: the mirror image of each vertex."""
    weights: csr_matrix
    """[V, J]: how much each vertex follows each joint of `iuv.synth.skeleton`."""
    smoother: csr_matrix
    """[V, V]: the mean of each vertex and its neighbours."""
    sides: dict[str, npt.NDArray[np.bool_]]
    """[F] by name of a line of `iuv.synth.lines`: which triangles lie on its positive side."""

    @property
    def half(self) -> int:
        """How many triangles the left half has; they come first."""
        return len(self.faces) // 2


@lru_cache(maxsize=1)
def body_template() -> Template:
    """Return the body; it takes some seconds to make, once."""
    surface = half_surface()
    uncut = on_grid(fit_figure(surface, Figure()))
    cuts = Cuts(uncut, surface.faces, np.arange(len(surface.faces)))
    labels = np.array(surface.labels)
    for line in LINES.values():
        _cut(cuts, line, labels)
    rest = cuts.points
    deltas = {
        name: cuts.extend(on_grid(fit_figure(surface, figure)) - uncut)
        for name, figure in FIGURES.items()
    }
    normals = _half_normals(rest, cuts.faces)
    limb = labels[cuts.origin]
    sides = {name: _side(line, rest, cuts.faces, normals) for name, line in LINES.items()}
    part = left_part(_centres(rest, cuts.faces), limb)
    uv = _corner_uv(rest, cuts.faces, part, sides)
    return _whole(rest, cuts.faces, part, uv, limb, deltas, sides)


def _cut(cuts: Cuts, line: Line, labels: npt.NDArray[np.str_]) -> None:
    points = cuts.points
    normals = _half_normals(points, cuts.faces) if line.turned else points
    inside = np.isin(labels[cuts.origin], line.limbs)
    if line.where is not None:
        inside &= line.where(_centres(points, cuts.faces))
    cuts.cut(line.level(points, normals), inside, limit=line.limit)


def _side(line: Line, points: Floats, faces: Ints, normals: Floats) -> Sides:
    centres = _centres(points, faces)
    positive: Sides = line.level(centres, normals[faces].mean(axis=1)) > 0
    return positive


def _corner_uv(
    points: Floats, faces: Ints, part: npt.NDArray[np.uint8], sides: dict[str, Sides]
) -> npt.NDArray[np.float32]:
    uv = np.zeros((len(faces), 3, 2), np.float32)
    second = np.where(part == 4, ~sides["palm"], ~sides["sole sheet"])
    for number in LEFT_PARTS:
        (own,) = np.nonzero(part == number)
        corners = points[faces[own]].reshape(-1, 3)
        flat = on_grid(left_uv(corners, number, np.repeat(second[own], 3)))
        uv[own] = flat.reshape(-1, 3, 2)
    return uv


def _whole(
    points: Floats,
    faces: Ints,
    part: npt.NDArray[np.uint8],
    uv: npt.NDArray[np.float32],
    limb: npt.NDArray[np.str_],
    deltas: dict[str, Floats],
    sides: dict[str, Sides],
) -> Template:
    count = len(points)
    (outer,) = np.nonzero(points[:, 0] != 0)
    image = np.arange(count)
    image[outer] = count + np.arange(len(outer))
    mirror = np.concatenate([image, outer])
    flip = np.array([-1.0, 1.0, 1.0])
    right = np.empty_like(uv)
    for number in LEFT_PARTS:
        right[part == number] = right_uv(uv[part == number], number)
    rest = np.concatenate([points, points[outer] * flip])
    whole = np.concatenate([faces, image[faces][:, ::-1]]).astype(np.int32)
    vertex_limb = np.empty(len(rest), limb.dtype)
    for name in np.unique(limb):  # fingers come after the hand: they win where they meet
        vertex_limb[whole[np.concatenate([limb, limb]) == name]] = name
    return Template(
        rest=rest,
        faces=whole,
        part=np.concatenate([part, np.array(PART_MIRROR, np.uint8)[part]]),
        corner_uv=np.concatenate([uv, right[:, ::-1]]),
        deltas={k: np.concatenate([d, d[outer] * flip]) for k, d in deltas.items()},
        mirror=mirror,
        weights=csr_matrix(on_grid(skin_weights(rest, vertex_limb))),
        smoother=_smoother(whole, len(rest)),
        sides={k: np.concatenate([s, s]) for k, s in sides.items()},
    )


def _smoother(faces: Ints, count: int) -> csr_matrix:
    a, b = faces[:, [0, 1, 2]].ravel(), faces[:, [1, 2, 0]].ravel()
    own = np.arange(count)
    rows, columns = np.concatenate([a, own]), np.concatenate([b, own])
    near = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(count, count)).tocsr()
    return csr_matrix(diags(1 / np.asarray(near.sum(axis=1)).ravel()) @ near)


def _centres(points: Floats, faces: Ints) -> Floats:
    centres: Floats = points[faces].mean(axis=1)
    return centres


def _half_normals(points: Floats, faces: Ints) -> Floats:
    """Return [N, 3]; those in the middle of the body have no x, as if both halves were there."""
    normals = vertex_normals(points, faces)
    normals[points[:, 0] == 0, 0] = 0
    unit: Floats = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return unit


def vertex_normals(points: Floats, faces: Ints) -> Floats:
    """Return [V, 3] unit vectors to the outside."""
    a, b, c = (points[faces[:, k]] for k in range(3))
    across = np.cross(b - a, c - a)
    sums = [np.bincount(faces.ravel(), np.repeat(across[:, k], 3), len(points)) for k in range(3)]
    normals = np.stack(sums, axis=1)
    unit: Floats = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return unit
