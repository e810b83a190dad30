"""Meshes with charts from files: Wavefront OBJ and binary glTF.

A triangle's part is told by the name of its material (in .obj, also its group): a number 1..24,
``part_7``, or the part's name as in `iuv.bodyparts`; anything else belongs to no chart. U and V are
the texture coordinates as a modelling program shows them, V upwards.

V: vertices; F: triangles; K: joints of a rig.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from iuv.bodyparts import NUM_PARTS, PARTS
from iuv.synth.gltf import read_glb
from iuv.synth.mesh import ChartedMesh, Floats, Ints, Material, SurfaceError, open_edges
from iuv.synth.raw_mesh import RawMesh

__all__ = ["MeshFile", "part_named", "read_mesh"]

_HEIGHTS = (0.4, 3.0)  # metres: what else can a person be tall
_WIDEST = 3.0  # body heights from side to side, or front to back, with all that is held
_WELD = 6  # decimals, in metres: corners nearer than this are one vertex
_NUMBERED = re.compile(r"part_?(\d+)")
_NAMES = {part.name: part.index for part in PARTS}


@dataclass(frozen=True, slots=True, eq=False)
class MeshFile:
    """A watertight mesh with charts, and perhaps a rig."""

    mesh: ChartedMesh
    """In metres, as in the file; `rest` is in body heights."""
    joint_names: tuple[str, ...]
    """[K]; empty without a rig."""
    joint_parents: tuple[int, ...]
    """[K], -1 for roots."""
    joints: Floats
    """[K, 3], metres."""
    weights: Floats
    """[V, K], rows sum to 1."""


def part_named(name: str) -> int:
    """Return the part (1..24) that a material or a group is named after; 0 if none."""
    plain = _plain(name)
    if plain in _NAMES:
        return _NAMES[plain]
    match = re.fullmatch(r"(?:part_?)?0*(\d{1,2})", plain)
    number = int(match[1]) if match else 0
    return number if number <= NUM_PARTS else 0


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def read_mesh(path: Path) -> MeshFile:
    """Read a mesh: y up, the person facing z, in metres.

    Args:
        path: an ``.obj`` or ``.glb`` file.

    Raises:
        SurfaceError: the file cannot be read, has no charts, or is not watertight.
    """
    readers = {".obj": _read_obj, ".glb": read_glb}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise SurfaceError(f"{path}: expected a mesh in a file .obj or .glb, got {path.suffix!r}")
    if not path.is_file():
        raise SurfaceError(f"{path}: there is no such file")
    try:
        with np.errstate(all="ignore"):  # what is not finite is looked for below
            return _checked(reader(path))
    except SurfaceError as error:
        raise SurfaceError(f"{path}: {error}") from None
    except Exception as error:  # on damaged files the readers raise almost anything
        raise SurfaceError(
            f"{path}: the file is damaged or of another format ({type(error).__name__}: {error}); "
            "open it in a modelling program and save it again"
        ) from error


def _checked(raw: RawMesh) -> MeshFile:
    if not np.isfinite(raw.points).all():
        raise SurfaceError("a vertex has a coordinate that is not finite")
    points, faces, first = _welded(raw.points, raw.faces)
    if raw.joint_names:
        _check_rig(raw, raw.weights[first])
    part = np.array([part_named(name) for name in raw.face_names], np.uint8)
    real = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    faces, part, uv = faces[real], part[real], raw.corner_uv[real]
    if not len(faces):
        raise SurfaceError("there is no triangle in it")
    _check_charts(raw.face_names, part, uv)
    low, height = _check_size(points)
    gaps = open_edges(faces)
    if len(gaps):
        places = ", ".join(str(points[i].round(3).tolist()) for i in gaps[:3, 0])
        raise SurfaceError(
            f"the surface must be watertight, with all triangles counter-clockwise seen from "
            f"outside, but {len(gaps)} edges have not exactly one triangle on each side, e.g. at "
            f"{places}; merge double vertices, fill holes and recalculate normals"
        )
    if np.linalg.det(points[faces]).sum() <= 0:  # six times the volume
        raise SurfaceError("the surface is inside out; flip its normals to point outwards")
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    points = points - (middle[0], low, middle[2])
    joints = raw.joints - (middle[0], low, middle[2]) if len(raw.joints) else raw.joints
    mesh = ChartedMesh(
        vertices=points,
        faces=faces,
        face_part=part,
        corner_uv=np.where(part[:, None, None] > 0, np.clip(uv, 0, 1), 0).astype(np.float32),
        rest=(points / height).astype(np.float32),
        face_material=_materials(part),
    )
    weights = raw.weights[first] if len(raw.joints) else np.zeros((len(points), 0))
    return MeshFile(mesh, raw.joint_names, raw.joint_parents, joints, weights)


def _welded(points: Floats, faces: Ints) -> tuple[Floats, Ints, npt.NDArray[np.int64]]:
    """Return the points of faces without doubles, faces on them, and a vertex that each was."""
    used, corners = np.unique(faces, return_inverse=True)
    _, first, place = np.unique(
        np.round(points[used], _WELD), axis=0, return_index=True, return_inverse=True
    )
    welded: Ints = place.ravel()[corners.ravel()].reshape(faces.shape).astype(np.int32)
    return points[used[first]], welded, used[first].astype(np.int64)


def _check_size(points: Floats) -> tuple[float, float]:
    """Return the height of the ground, and that of the person above it."""
    low, high = points.min(axis=0), points.max(axis=0)
    height = float(high[1] - low[1])
    sides = "x, y, z: " + " x ".join(f"{side:.3g}" for side in high - low)
    if not _HEIGHTS[0] <= height <= _HEIGHTS[1]:
        raise SurfaceError(
            f"the person must be {_HEIGHTS[0]:g}..{_HEIGHTS[1]:g} m tall along y, got {height:.4g} "
            f"({sides}); save it in metres, y up, facing z"
        )
    if max(high - low) > _WIDEST * height:
        raise SurfaceError(
            f"the surface must be that of one person, but is {_WIDEST:g} times as wide or deep as "
            f"it is high, or more ({sides}); remove what lies around"
        )
    return float(low[1]), height


def _check_rig(raw: RawMesh, weights: Floats) -> None:
    if raw.joints.shape != (len(raw.joint_names), 3) or not np.isfinite(raw.joints).all():
        raise SurfaceError(
            f"the rig must say where each of its {len(raw.joint_names)} joints is, but does not; "
            "bind the mesh to it again"
        )
    if not (weights >= 0).all() or not np.isfinite(weights).all():
        raise SurfaceError("a vertex has a weight that is negative or not finite; bind it again")
    loose = int((weights.sum(axis=1) == 0).sum())
    if loose:
        raise SurfaceError(
            f"{loose} of {len(weights)} vertices are not bound to any joint of the rig, so nobody "
            "could pose them; give them weights, or save the mesh without the rig"
        )


def _check_charts(names: list[str], part: npt.NDArray[np.uint8], uv: Floats) -> None:
    if not part.any():
        known = ", ".join(repr(name) for name in sorted(set(names))[:5])
        raise SurfaceError(
            f"charts are missing: no material or group is named after a part (1..{NUM_PARTS}, "
            f"part_7, or like {PARTS[6].name}); there are {known}"
        )
    for name in sorted(set(names)):
        numbered = _NUMBERED.fullmatch(_plain(name))
        if numbered and int(numbered[1]) > NUM_PARTS:
            raise SurfaceError(f"{name!r} is no part: they are numbered 1..{NUM_PARTS}")
    own = uv[part > 0]
    if not np.isfinite(own).all():
        raise SurfaceError(
            f"charts are missing: {int((~np.isfinite(own)).any(axis=(1, 2)).sum())} triangles of "
            "parts have no texture coordinates, or not finite ones, which are to hold U and V"
        )
    if own.min() < -1e-3 or own.max() > 1 + 1e-3:
        raise SurfaceError(
            f"U and V must lie in 0..1, but texture coordinates go from {own.min():g} to "
            f"{own.max():g}"
        )
    for number in np.unique(part[part > 0]).tolist():
        if not np.ptp(uv[part == number], axis=(0, 1)).any():
            raise SurfaceError(
                f"charts are missing: U and V of part {number} are the same everywhere; unwrap it, "
                "so that its texture coordinates go from 0 to 1"
            )


def _materials(part: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    table = np.full(NUM_PARTS + 1, Material.SKIN, np.uint8)
    table[0] = Material.PROP
    for parts, material in (
        ((1, 2, *range(15, 19)), Material.TOP),
        (tuple(range(7, 15)), Material.BOTTOM),
        ((5, 6), Material.SHOE),
    ):
        table[list(parts)] = material
    chosen: npt.NDArray[np.uint8] = table[part]
    return chosen


def _read_obj(path: Path) -> RawMesh:
    points: list[list[float]] = []
    textures: list[list[float]] = []
    faces: list[tuple[int, int, int]] = []
    uvs: list[list[list[float]]] = []
    names: list[str] = []
    material = group = ""
    nowhere = [float("nan")] * 2
    text = path.read_text(encoding="utf-8-sig", errors="replace").replace("\\\n", " ")
    for line in text.splitlines():
        kind, *words = line.split() or [""]
        if kind == "v":
            points.append(_numbers(line, words, 3))
        elif kind == "vt":
            textures.append(_numbers(line, words, 2))
        elif kind == "usemtl":
            material = " ".join(words)
        elif kind in ("g", "o"):
            group = " ".join(words)
        elif kind == "f":
            corners = [_corner(word, len(points), len(textures)) for word in words]
            for b, c in pairwise(corners[1:]):
                piece = (corners[0], b, c)
                faces.append((piece[0][0], piece[1][0], piece[2][0]))
                uvs.append([nowhere if t < 0 else textures[t] for _, t in piece])
                names.append(
                    group if part_named(group) and not part_named(material) else material or group
                )
    return RawMesh(
        points=np.array(points, np.float64).reshape(-1, 3),
        faces=np.array(faces, np.int32).reshape(-1, 3),
        corner_uv=np.array(uvs, np.float64).reshape(-1, 3, 2),
        face_names=names,
    )


def _numbers(line: str, words: list[str], count: int) -> list[float]:
    if len(words) < count:
        raise SurfaceError(f"expected {count} numbers in the line {line!r}; save the file again")
    return [float(word) for word in words[:count]]


def _corner(word: str, points: int, textures: int) -> tuple[int, int]:
    """Return vertex and texture coordinate (-1: none) of ``v``, ``v/vt`` or ``v/vt/vn``."""
    fields = [*word.split("/"), ""]
    vertex = int(fields[0])
    texture = int(fields[1]) if fields[1] else 0
    vertex = vertex - 1 if vertex > 0 else points + vertex
    texture = texture - 1 if texture >= 0 else textures + texture
    if not 0 <= vertex < points or texture >= textures:
        raise SurfaceError(f"a face names {word!r}, which is not there")
    return vertex, texture
