"""Binary glTF 2.0 (``.glb``), as far as a body with charts and a rig needs it.

Source: the glTF 2.0 specification of Khronos. V: vertices; F: triangles; K: joints of a rig.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from iuv.synth.mesh import Floats, SurfaceError
from iuv.synth.raw_mesh import RawMesh

__all__ = ["read_glb"]

_MAGIC, _JSON, _BINARY = 0x46546C67, 0x4E4F534A, 0x004E4942
_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_TRIANGLES = 4


class _Document:
    """The JSON of a file and its numbers."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        if len(data) < 20 or struct.unpack_from("<I", data)[0] != _MAGIC:
            raise SurfaceError("is no binary glTF file")
        self.json: dict[str, Any] = {}
        self._binary = b""
        place = 12
        while place + 8 <= len(data):
            length, kind = struct.unpack_from("<II", data, place)
            chunk = data[place + 8 : place + 8 + length]
            if kind == _JSON:
                self.json = json.loads(chunk)
            elif kind == _BINARY:
                self._binary = chunk
            place += 8 + length
        needed = self.json.get("extensionsRequired", [])
        if any("draco" in name or "meshopt" in name for name in needed):
            raise SurfaceError(f"is compressed ({', '.join(needed)}); save it without compression")

    def numbers(self, index: int) -> npt.NDArray[Any]:
        """Return the array of an accessor, [count, width]."""
        accessor = self.json["accessors"][index]
        if "sparse" in accessor or "bufferView" not in accessor:
            raise SurfaceError("has sparse arrays, which are not supported; save it without")
        view = self.json["bufferViews"][accessor["bufferView"]]
        if self.json["buffers"][view["buffer"]].get("uri"):
            raise SurfaceError("refers to another file; save it as one .glb file")
        dtype = np.dtype(_TYPES[accessor["componentType"]])
        width, count = _WIDTHS[accessor["type"]], accessor["count"]
        start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        stride = view.get("byteStride", width * dtype.itemsize)
        values = np.ndarray(
            (count, width), dtype, self._binary, start, (stride, dtype.itemsize)
        ).copy()
        if accessor.get("normalized"):
            return values.astype(np.float64) / np.iinfo(dtype).max
        return values


def read_glb(path: Path) -> RawMesh:
    """Return all triangles of a file, and the rig of its skinned mesh.

    Raises:
        SurfaceError: the file is of another format, or uses what is not supported.
        Exception: almost any other, as the file is damaged.
    """
    document = _Document(path)
    nodes = document.json.get("nodes", [])
    world = _world(nodes)
    skins = sorted({n["skin"] for n in nodes if "skin" in n and "mesh" in n})
    if len(skins) > 1:
        raise SurfaceError(f"has {len(skins)} rigs; join all meshes under one")
    skin = document.json["skins"][skins[0]] if skins else None
    joints = skin["joints"] if skin else []
    pieces = [
        _primitive(document, primitive, np.eye(4) if "skin" in node else world[i], len(joints))
        for i, node in enumerate(nodes)
        if "mesh" in node
        for primitive in document.json["meshes"][node["mesh"]]["primitives"]
    ]
    if not pieces:
        raise SurfaceError("there is no mesh in it")
    starts = np.cumsum([0, *(len(p.points) for p in pieces[:-1])])
    return RawMesh(
        points=np.concatenate([p.points for p in pieces]),
        faces=np.concatenate(
            [p.faces + np.int32(start) for p, start in zip(pieces, starts, strict=True)]
        ),
        corner_uv=np.concatenate([p.corner_uv for p in pieces]),
        face_names=[name for p in pieces for name in p.face_names],
        joint_names=tuple(_name(nodes[j]) for j in joints),
        joint_parents=_parents(nodes, joints),
        joints=_bound(document, skin, world) if skin else np.zeros((0, 3)),
        weights=np.concatenate([p.weights for p in pieces]),
    )


def _primitive(
    document: _Document, primitive: dict[str, Any], matrix: Floats, joints: int
) -> RawMesh:
    if primitive.get("mode", _TRIANGLES) != _TRIANGLES:
        raise SurfaceError("has lines, points or strips; save it as triangles")
    attributes = primitive["attributes"]
    points = document.numbers(attributes["POSITION"]).astype(np.float64)
    placed: Floats = points @ matrix[:3, :3].T + matrix[:3, 3]
    faces = np.arange(len(placed)).reshape(-1, 3)
    if "indices" in primitive:
        faces = document.numbers(primitive["indices"]).reshape(-1, 3)
    if np.linalg.det(matrix[:3, :3]) < 0:  # a mirror image, whose winding counts the other way
        faces = faces[:, ::-1]
    uv: Floats = np.full((len(points), 2), np.nan)
    if "TEXCOORD_0" in attributes:
        texture = document.numbers(attributes["TEXCOORD_0"]).astype(np.float64)
        uv = np.stack([texture[:, 0], 1 - texture[:, 1]], axis=1)
    weights: Floats = np.zeros((len(points), joints))
    if joints and "JOINTS_0" in attributes:
        which = document.numbers(attributes["JOINTS_0"]).astype(np.int64)
        share = document.numbers(attributes["WEIGHTS_0"]).astype(np.float64)
        for k in range(which.shape[1]):
            weights[np.arange(len(points)), which[:, k]] += share[:, k]
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
    name = ""
    if "material" in primitive:
        name = _name(document.json["materials"][primitive["material"]])
    return RawMesh(
        points=placed,
        faces=faces.astype(np.int32),
        corner_uv=uv[faces],
        face_names=[name] * len(faces),
        weights=weights,
    )


def _name(thing: dict[str, Any]) -> str:
    return str(thing.get("name") or "")


def _world(nodes: list[dict[str, Any]]) -> list[Floats]:
    """Return each node's matrix [4, 4] from its own space to the scene's."""
    local = [_matrix(node) for node in nodes]
    above = {child: i for i, node in enumerate(nodes) for child in node.get("children", [])}
    result = []
    for i in range(len(nodes)):
        matrix, at, steps = local[i], i, 0
        while at in above:
            at, steps = above[at], steps + 1
            matrix = local[at] @ matrix
            if steps > len(nodes):
                raise SurfaceError("has nodes that contain each other")
        result.append(matrix)
    return result


def _matrix(node: dict[str, Any]) -> Floats:
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    x, y, z, w = node.get("rotation", (0, 0, 0, 1))
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = turn * np.array(node.get("scale", (1, 1, 1)))
    matrix[:3, 3] = node.get("translation", (0, 0, 0))
    return matrix


def _parents(nodes: list[dict[str, Any]], joints: list[int]) -> tuple[int, ...]:
    above = {child: i for i, node in enumerate(nodes) for child in node.get("children", [])}
    found = []
    for joint in joints:
        at = above.get(joint, -1)
        while at >= 0 and at not in joints:
            at = above.get(at, -1)
        found.append(joints.index(at) if at >= 0 else -1)
    return tuple(found)


def _bound(document: _Document, skin: dict[str, Any], world: list[Floats]) -> Floats:
    """Return [K, 3]: where joints were when the mesh was bound to them."""
    if "inverseBindMatrices" not in skin:
        return np.array([world[j][:3, 3] for j in skin["joints"]])
    inverse = document.numbers(skin["inverseBindMatrices"]).astype(np.float64)
    matrices = inverse.reshape(-1, 4, 4).transpose(0, 2, 1)
    bound: Floats = np.linalg.inv(matrices)[:, :3, 3].astype(np.float64)
    return bound
