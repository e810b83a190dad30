"""Clothes and hair as offset surfaces: the body's triangles, moved outwards layer by layer.

V: vertices of the bare body; F: its triangles; W: vertices with clothes; L: layers. A garment takes
the place of the body below it, so nothing is hidden twice, and the surface stays watertight.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from iuv.synth.body import Template, body_template
from iuv.synth.mesh import Floats, Ints

__all__ = ["Coat", "Dressed", "Layer", "dress"]

_Bytes = npt.NDArray[np.uint8]


class Layer(NamedTuple):
    """How far a layer lies off the body."""

    thickness: float | Floats
    """In body heights; one number, or one per vertex [V]."""
    loose: float = 0.0
    """0: follows every muscle; 1: hangs straight."""


class Coat(NamedTuple):
    """What covers each triangle of the body."""

    layer: _Bytes
    """[F], 0 is skin; triangles of higher layers cover the edges of lower ones."""
    material: _Bytes
    """[F], `Material`."""


@dataclass(frozen=True, slots=True, eq=False)
class Dressed:
    """A body with clothes on, in the rest pose."""

    points: Floats
    """[W, 3]"""
    base: npt.NDArray[np.int64]
    """[W], the vertex of the bare body below."""
    faces: Ints
    """The body's F triangles in their order, then the hems of garments."""
    source: npt.NDArray[np.int64]
    """Per triangle: the body's triangle that it belongs to."""
    corner_uv: npt.NDArray[np.float32]
    """[.., 3, 2] per triangle."""


class _Edges(NamedTuple):
    """E edges between two triangles each, and the triangles around each vertex."""

    faces: npt.NDArray[np.int64]
    """[E, 2]"""
    corners: npt.NDArray[np.int64]
    """[E, 2]: where the edge begins in each of them; it runs backwards in the second."""
    around: npt.NDArray[np.int64]
    """[3F]: the triangles around vertex 0, then around vertex 1, ..."""
    starts: npt.NDArray[np.int64]
    """[V]: where those of each vertex start."""


@lru_cache(maxsize=1)
def _edges() -> _Edges:
    faces = body_template().faces.astype(np.int64)
    there = np.stack([faces, np.roll(faces, -1, axis=1)], axis=2).reshape(-1, 2)
    count = int(faces.max()) + 1
    forth, back = there[:, 0] * count + there[:, 1], there[:, 1] * count + there[:, 0]
    order = np.argsort(forth)
    partner = order[np.searchsorted(forth[order], back)]
    first = np.nonzero(there[:, 0] < there[:, 1])[0]
    pairs = np.stack([first, partner[first]], axis=1)
    by_vertex = np.argsort(faces.ravel(), kind="stable")
    starts = np.searchsorted(faces.ravel()[by_vertex], np.arange(count))
    return _Edges(pairs // 3, pairs % 3, by_vertex // 3, starts)


def dress(
    points: Floats, soft: Floats, directions: Floats, coat: Coat, layers: list[Layer]
) -> Dressed:
    """Return the body with every layer moved off it.

    Args:
        points: [V, 3], the bare body in the rest pose.
        soft: [V, 3], the same without its details, for loose layers.
        directions: [V, 3], unit vectors to the outside.
        coat: which layer covers what.
        layers: by number; the first is the skin.
    """
    template, edges = body_template(), _edges()
    around = coat.layer[edges.around]
    lowest = np.minimum.reduceat(around, edges.starts)
    highest = np.maximum.reduceat(around, edges.starts)
    numbers = np.tile(np.arange(len(points)), (len(layers), 1))  # [L, V]
    bases, levels = [np.arange(len(points))], [lowest]
    count = len(points)
    (split,) = np.nonzero(lowest < highest)
    for level in range(1, len(layers)):
        there = np.maximum.reduceat(around == level, edges.starts)[split]
        new = split[there & (lowest[split] < level)]
        numbers[level, new] = count + np.arange(len(new))
        bases.append(new)
        levels.append(np.full(len(new), level, np.uint8))
        count += len(new)
    base, level_of = np.concatenate(bases), np.concatenate(levels)
    faces = numbers[coat.layer[:, None], template.faces]
    hems, source, uv = _hems(template, edges, coat.layer, faces)
    return Dressed(
        points=_moved(points, soft, directions, layers, base, level_of),
        base=base,
        faces=np.concatenate([faces, hems]).astype(np.int32),
        source=np.concatenate([np.arange(len(faces)), source]),
        corner_uv=np.concatenate([template.corner_uv, uv]),
    )


def _moved(
    points: Floats,
    soft: Floats,
    directions: Floats,
    layers: list[Layer],
    base: npt.NDArray[np.int64],
    level_of: _Bytes,
) -> Floats:
    moved = points[base]
    for level, layer in enumerate(layers):
        (own,) = np.nonzero(level_of == level)
        below = base[own]
        thickness = np.broadcast_to(layer.thickness, len(points))[below, None]
        if layer.loose:
            moved[own] += layer.loose * (soft[below] - moved[own])
        moved[own] += thickness * directions[below]
    return moved


def _hems(
    template: Template, edges: _Edges, layer: _Bytes, faces: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return triangles between layers, the garment's triangle beside each, and their U and V."""
    pair = layer[edges.faces]
    step = pair[:, 0] != pair[:, 1]
    outer = np.where(pair[step, 0] > pair[step, 1], 0, 1)
    row = np.arange(len(outer))
    face, corner = edges.faces[step], edges.corners[step]
    high, low = face[row, outer], face[row, 1 - outer]
    start, back = corner[row, outer], corner[row, 1 - outer]
    end, forth = (start + 1) % 3, (back + 1) % 3
    a, b = faces[high, start], faces[high, end]
    below_a, below_b = faces[low, forth], faces[low, back]
    hems = np.concatenate([np.stack([b, a, below_a], 1), np.stack([b, below_a, below_b], 1)])
    uv_a, uv_b = template.corner_uv[high, start], template.corner_uv[high, end]
    uv = np.concatenate([np.stack([uv_b, uv_a, uv_a], 1), np.stack([uv_b, uv_a, uv_b], 1)])
    return hems, np.concatenate([high, high]), uv
