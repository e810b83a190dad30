"""What a mesh file says, before it is checked.

V: vertices; F: triangles; K: joints of a rig.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from iuv.synth.mesh import Floats, Ints

__all__ = ["RawMesh"]


def _nothing() -> Floats:
    return np.zeros((0, 3))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawMesh:
    """Triangles as in a file; vertices may be double."""

    points: Floats
    """[V, 3]"""
    faces: Ints
    """[F, 3]"""
    corner_uv: Floats
    """[F, 3, 2], V upwards; NaN where the file has none."""
    face_names: list[str]
    """[F], of the material or the group of each."""
    joint_names: tuple[str, ...] = ()
    """[K]"""
    joint_parents: tuple[int, ...] = ()
    """[K], -1 for roots."""
    joints: Floats = field(default_factory=_nothing)
    """[K, 3], as the mesh was bound to them."""
    weights: Floats = field(default_factory=_nothing)
    """[V, K], rows sum to 1."""
