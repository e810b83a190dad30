"""Writes meshes as users have them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

from iuv.synth.mesh import ChartedMesh


def write_obj(
    path: Path, mesh: ChartedMesh, *, named: str = "part_{}", charts: bool = True
) -> None:
    """Write a mesh with a material per part."""
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh.vertices.tolist()]
    uv = mesh.corner_uv.reshape(-1, 2).tolist()
    lines += [f"vt {u:.5f} {v:.5f}" for u, v in uv] if charts else []
    for part in np.unique(mesh.face_part).tolist():
        lines.append("usemtl " + named.format(part))
        for face in np.nonzero(mesh.face_part == part)[0].tolist():
            corners = mesh.faces[face].tolist()
            slots = [f"/{3 * face + k + 1}" if charts else "" for k in range(3)]
            lines.append(
                "f " + " ".join(f"{c + 1}{s}" for c, s in zip(corners, slots, strict=True))
            )
    path.write_text("\n".join(lines))


def write_glb(
    path: Path,
    mesh: ChartedMesh,
    rig: tuple[list[str], list[int], np.ndarray, np.ndarray] | None = None,
) -> None:
    """Write a mesh with a primitive per part.

    Args:
        path: the file.
        mesh: the mesh.
        rig: names, parents, positions [K, 3] of joints, and weights [V, K].
    """
    binary = bytearray()
    document: dict = {
        "asset": {"version": "2.0"}, "buffers": [{}], "bufferViews": [], "accessors": [],
        "materials": [], "nodes": [{"mesh": 0}], "meshes": [{"primitives": []}],
    }  # fmt: skip

    def add(array: np.ndarray, component: int, kind: str) -> int:
        start = len(binary)
        binary.extend(np.ascontiguousarray(array).tobytes())
        binary.extend(b"\0" * (-len(binary) % 4))
        view = {"buffer": 0, "byteOffset": start, "byteLength": array.nbytes}
        document["bufferViews"].append(view)
        accessor = {"bufferView": len(document["bufferViews"]) - 1, "componentType": component,
                    "count": len(array), "type": kind}  # fmt: skip
        document["accessors"].append(accessor)
        return len(document["accessors"]) - 1

    for part in np.unique(mesh.face_part).tolist():
        own = mesh.face_part == part
        corners = mesh.faces[own].ravel()
        uv = mesh.corner_uv[own].reshape(-1, 2) * (1, -1) + (0, 1)
        attributes = {
            "POSITION": add(mesh.vertices[corners].astype("<f4"), 5126, "VEC3"),
            "TEXCOORD_0": add(uv.astype("<f4"), 5126, "VEC2"),
        }
        if rig:
            best = np.argsort(-rig[3][corners], axis=1)[:, :4]
            share = np.take_along_axis(rig[3][corners], best, axis=1)
            attributes["JOINTS_0"] = add(best.astype("u1"), 5121, "VEC4")
            attributes["WEIGHTS_0"] = add(share.astype("<f4"), 5126, "VEC4")
        indices = add(np.arange(len(corners), dtype="<u4"), 5125, "SCALAR")
        document["materials"].append({"name": f"part_{part}"})
        primitive = {"attributes": attributes, "indices": indices,
                     "material": len(document["materials"]) - 1}  # fmt: skip
        document["meshes"][0]["primitives"].append(primitive)
    if rig:
        names, parents, places, _ = rig
        inverse = np.tile(np.eye(4), (len(names), 1, 1))
        inverse[:, :3, 3] = -places
        matrices = add(inverse.transpose(0, 2, 1).astype("<f4"), 5126, "MAT4")
        for k, name in enumerate(names):
            step = places[k] - (places[parents[k]] if parents[k] >= 0 else 0)
            children = [1 + j for j, parent in enumerate(parents) if parent == k]
            document["nodes"].append(
                {"name": name, "translation": step.tolist(), "children": children}
            )
        document["skins"] = [
            {"joints": [1 + k for k in range(len(names))], "inverseBindMatrices": matrices}
        ]
        document["nodes"][0]["skin"] = 0
    document["buffers"][0]["byteLength"] = len(binary)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    size = 12 + 8 + len(text) + 8 + len(binary)
    path.write_bytes(
        struct.pack("<III", 0x46546C67, 2, size)
        + struct.pack("<II", len(text), 0x4E4F534A) + text
        + struct.pack("<II", len(binary), 0x004E4942) + bytes(binary)
    )  # fmt: skip
