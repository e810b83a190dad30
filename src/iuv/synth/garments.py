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
    """[3, W]: those of the body in their order, then what hems need besides."""
    base: npt.NDArray[np.int64]
    """[W - V]: the vertex of the bare body below each of the latter."""
    faces: Ints
    """The body's F triangles in their order, then the hems of garments."""
    source: npt.NDArray[np.int64]
    """Per triangle: the body's triangle that it belongs to."""
    corner_uv: npt.NDArray[np.float32]
    """[.., 3, 2] per triangle."""


class _Edges(NamedTuple):
    """E edges between two triangles each."""

    faces: npt.NDArray[np.int64]
    """[2, E]"""
    corners: npt.NDArray[np.int64]
    """[2, E]: where the edge begins in each of them; it runs backwards in the second."""
    ends: npt.NDArray[np.int64]
    """[2, E], vertices."""
    around: npt.NDArray[np.int64]
    """[3 F]: the corners of triangles, 3 x triangle + 0..2, vertex by vertex."""
    start: npt.NDArray[np.int64]
    """[V + 1]: where those of each vertex begin."""


@lru_cache(maxsize=1)
def _edges() -> _Edges:
    faces = body_template().faces.astype(np.int64)
    there = np.stack([faces, np.roll(faces, -1, axis=1)], axis=2).reshape(-1, 2)
    count = int(faces.max()) + 1
    forth, back = there[:, 0] * count + there[:, 1], there[:, 1] * count + there[:, 0]
    order = np.argsort(forth)
    partner = order[np.searchsorted(forth[order], back)]
    first = np.nonzero(there[:, 0] < there[:, 1])[0]
    pairs = np.stack([first, partner[first]])
    around = np.argsort(faces.ravel(), kind="stable")
    start = np.searchsorted(faces.ravel()[around], np.arange(count + 1))
    return _Edges(pairs // 3, pairs % 3, np.ascontiguousarray(there[first].T), around, start)


def dress(
    points: Floats, soft: Floats, directions: Floats, coat: Coat, layers: list[Layer]
) -> Dressed:
    """Return the body with every layer moved off it.

    Args:
        points: [3, V], the bare body in the rest pose.
        soft: [3, V], the same without its details, for loose layers.
        directions: [3, V], unit vectors to the outside.
        coat: which layer covers what.
        layers: by number; the first is the skin.
    """
    template, edges = body_template(), _edges()
    count = points.shape[1]
    first, second = (coat.layer.take(face) for face in edges.faces)
    (steps,) = np.nonzero(first != second)
    ends = edges.ends.take(steps, axis=1)
    on_hem = np.zeros(count, bool)
    on_hem[ends] = True
    (split,) = np.nonzero(on_hem)
    place = np.zeros(count, np.int64)
    place[split] = np.arange(len(split))
    ends = place.take(ends)
    there = np.zeros((len(layers), len(split)), bool)  # which layers vertices on hems have
    for side in (first, second):
        there[side.take(steps), ends] = True
    lowest = coat.layer.take(edges.around.take(edges.start[:-1]) // 3).astype(np.int64)
    lowest[split] = there.argmax(axis=0)
    there[lowest[split], np.arange(len(split))] = False
    level, which = np.nonzero(there)
    base = split[which]
    numbers = np.tile(split, (len(layers), 1))
    numbers[level, which] = count + np.arange(len(base))
    faces = template.faces.copy()
    corners, owner = _corners(edges, split)
    faces.reshape(-1)[corners] = numbers[coat.layer.take(corners // 3), owner]
    hems = _hems(edges, coat.layer, numbers, there, _Steps(steps, ends))
    uv = template.corner_uv[hems.source[:, None], hems.corners]
    body = _moved(points, soft, directions, _thickness(layers, lowest, None), layers, lowest)
    points, soft, directions = (part.take(base, axis=1) for part in (points, soft, directions))
    above = _moved(points, soft, directions, _thickness(layers, level, base), layers, level)
    return Dressed(
        points=np.concatenate([body, above], axis=1),
        base=base,
        faces=np.concatenate([faces, hems.faces.astype(np.int32)]),
        source=np.concatenate([np.arange(len(faces)), hems.source]),
        corner_uv=np.concatenate([template.corner_uv, uv]),
    )


def _corners(
    edges: _Edges, vertices: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return all corners of triangles at some vertices, and the index of the vertex of each."""
    start = edges.start.take(vertices)
    counts = edges.start.take(vertices + 1) - start
    owner = np.repeat(np.arange(len(vertices)), counts)
    shift = np.repeat(start - np.cumsum(counts) + counts, counts)
    return edges.around.take(shift + np.arange(len(owner))), owner


def _thickness(
    layers: list[Layer],
    level: npt.NDArray[np.int64],
    base: npt.NDArray[np.int64] | None,
) -> Floats:
    """Return how far off the body vertices of some layers lie; base None: all vertices."""
    plain = [0.0 if isinstance(t, np.ndarray) else t for t, _ in layers]
    thickness: Floats = np.array(plain).take(level)
    for number, layer in enumerate(layers):
        if isinstance(layer.thickness, np.ndarray):
            (own,) = np.nonzero(level == number)
            thickness[own] = layer.thickness.take(own if base is None else base[own])
    return thickness


def _moved(
    points: Floats,
    soft: Floats,
    directions: Floats,
    thickness: Floats,
    layers: list[Layer],
    level: npt.NDArray[np.int64],
) -> Floats:
    loose = np.array([layer.loose for layer in layers]).take(level)
    moved: Floats = soft - points
    moved *= loose
    moved += points
    moved += thickness * directions
    return moved


class _Steps(NamedTuple):
    """Edges between different layers; h: vertices on them."""

    edges: npt.NDArray[np.int64]
    """[n]"""
    ends: npt.NDArray[np.int64]
    """[2, n], 0..h-1."""


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
    face = edges.faces.take(steps.edges, axis=1)
    corner = edges.corners.take(steps.edges, axis=1)
    first = layer.take(face[0]) > layer.take(face[1])  # whether the first one is above the other
    source, other = np.where(first, face, face[::-1])
    start = np.where(first, corner[0], corner[1])
    end = (start + 1) % 3
    high, low = layer.take(source), layer.take(other)
    a, b = np.where(first, steps.ends, steps.ends[::-1])
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
            if not there[level].any():
                continue
            (own,) = np.nonzero((low < level) & (level < high) & there[level, vertex])
            middle = numbers[level, vertex[own]]
            pair = [last[own], above[side][own]]
            faces.append(np.stack([*(pair[::-1] if side else pair), middle], axis=1))
            corners.append(np.repeat((start, end)[side][own, None], 3, axis=1))
            sources.append(source[own])
            last[own] = middle
    return _Hems(np.concatenate(faces), np.concatenate(sources), np.concatenate(corners))
