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

from iuv.synth.body import body_template
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
    """E edges between two triangles each."""

    faces: npt.NDArray[np.int64]
    """[E, 2]"""
    corners: npt.NDArray[np.int64]
    """[E, 2]: where the edge begins in each of them; it runs backwards in the second."""
    ends: npt.NDArray[np.int64]
    """[E, 2], vertices."""
    face_of: npt.NDArray[np.int64]
    """[V]: one of the triangles around each vertex."""


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
    face_of = np.zeros(count, np.int64)
    face_of[faces.ravel()] = np.repeat(np.arange(len(faces)), 3)
    return _Edges(pairs // 3, pairs % 3, there[first], face_of)


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
    pair = coat.layer[edges.faces]
    steps = np.nonzero(pair[:, 0] != pair[:, 1])[0]
    split, ends = np.unique(edges.ends[steps], return_inverse=True)  # the vertices on hems
    ends = ends.reshape(-1, 2)
    there = np.zeros((len(layers), len(split)), bool)  # which layers they have
    for side in range(2):
        for end in range(2):
            there[pair[steps, side], ends[:, end]] = True
    lowest = coat.layer[edges.face_of].astype(np.int64)
    lowest[split] = there.argmax(axis=0)
    there[lowest[split], np.arange(len(split))] = False
    level, which = np.nonzero(there)
    base = split[which]
    numbers = np.tile(split, (len(layers), 1))
    numbers[level, which] = len(points) + np.arange(len(base))
    place = np.full(len(points), -1)
    place[split] = np.arange(len(split))
    faces = template.faces.copy()
    face, corner = np.nonzero(place[faces] >= 0)
    faces[face, corner] = numbers[coat.layer[face], place[faces[face, corner]]]
    hems = _hems(edges, coat.layer, numbers, there, _Steps(steps, ends))
    uv = template.corner_uv[hems.source[:, None], hems.corners]
    body = _moved(points, soft, directions, layers, lowest, np.arange(len(points)))
    above = _moved(points[base], soft[base], directions[base], layers, level, base)
    return Dressed(
        points=np.concatenate([body, above]),
        base=np.concatenate([np.arange(len(points)), base]),
        faces=np.concatenate([faces, hems.faces]).astype(np.int32),
        source=np.concatenate([np.arange(len(faces)), hems.source]),
        corner_uv=np.concatenate([template.corner_uv, uv]),
    )


def _moved(
    points: Floats,
    soft: Floats,
    directions: Floats,
    layers: list[Layer],
    level: npt.NDArray[np.int64],
    base: npt.NDArray[np.int64],
) -> Floats:
    plain = [0.0 if isinstance(t, np.ndarray) else t for t, _ in layers]
    thickness = np.array(plain)[level]
    for number, layer in enumerate(layers):
        if isinstance(layer.thickness, np.ndarray):
            (own,) = np.nonzero(level == number)
            thickness[own] = layer.thickness[base[own]]
    loose = np.array([layer.loose for layer in layers])[level]
    return points + loose[:, None] * (soft - points) + thickness[:, None] * directions


class _Steps(NamedTuple):
    """Edges between different layers; h: vertices on them."""

    edges: npt.NDArray[np.int64]
    """[n]"""
    ends: npt.NDArray[np.int64]
    """[n, 2], 0..h-1."""


class _Hems(NamedTuple):
    """Triangles between layers."""

    faces: npt.NDArray[np.int64]
    """[H, 3]"""
    source: npt.NDArray[np.int64]
    """[H], the garment's triangle beside each."""
    corners: npt.NDArray[np.int64]
    """[H, 3], 0..2: which corner of that triangle each corner has its U and V from."""


def _hems(
    edges: _Edges,
    layer: _Bytes,
    numbers: npt.NDArray[np.int64],
    there: npt.NDArray[np.bool_],
    steps: _Steps,
) -> _Hems:
    """Return what closes the gap between layers at some edges.

    Args:
        edges: of the body.
        layer: [F]
        numbers: [L, h], the vertex of each layer.
        there: [L, h], whether a layer other than the lowest has this vertex.
        steps: where.
    """
    face, corner = edges.faces[steps.edges], edges.corners[steps.edges]
    outer = np.where(layer[face[:, 0]] > layer[face[:, 1]], 0, 1)
    row = np.arange(len(outer))
    source, start = face[row, outer], corner[row, outer]
    end = (start + 1) % 3
    high, low = layer[source], layer[face[row, 1 - outer]]
    a, b = np.where(outer == 0, steps.ends.T, steps.ends.T[::-1])
    above, below = (numbers[high, a], numbers[high, b]), (numbers[low, a], numbers[low, b])
    faces = [
        np.stack([above[1], above[0], below[0]], axis=1),
        np.stack([above[1], below[0], below[1]], axis=1),
    ]
    corners = [np.stack([end, start, start], axis=1), np.stack([end, start, end], axis=1)]
    sources = [source, source]
    # Where three layers meet, the gap between the outermost two has the third one on its side.
    for side, vertex in enumerate((a, b)):
        last = below[side].copy()
        for level in range(1, len(numbers)):
            (own,) = np.nonzero((low < level) & (level < high) & there[level, vertex])
            middle = numbers[level, vertex[own]]
            pair = [last[own], above[side][own]]
            faces.append(np.stack([*(pair[::-1] if side else pair), middle], axis=1))
            corners.append(np.repeat((start, end)[side][own, None], 3, axis=1))
            sources.append(source[own])
            last[own] = middle
    return _Hems(np.concatenate(faces), np.concatenate(sources), np.concatenate(corners))
