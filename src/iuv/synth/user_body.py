"""People made of a user's own mesh: as it stands in the file, or posed if it has a rig.

J: joints of `iuv.synth.skeleton`; K: joints of the user's rig; V: vertices.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from iuv.bodyparts import PART_MIRROR
from iuv.synth.actions import sample_pose
from iuv.synth.mesh import ChartedMesh, Floats, SurfaceError
from iuv.synth.mesh_files import MeshFile, read_mesh
from iuv.synth.person import Person3D, sample_palette
from iuv.synth.poses import rotations
from iuv.synth.rounding import on_grid
from iuv.synth.skeleton import JOINT_NAMES, PARENTS, REST_JOINTS, pose

__all__ = ["UserBody"]

_SHORTEST_ARM, _LONGEST_ARM = 0.02, 1.0  # upper arms of whatever is a person, in heights
_NEEDED = ("pelvis", *(f"{side}_{name}" for side in ("left", "right")
                       for name in ("shoulder", "elbow", "hip", "knee")))  # fmt: skip
_LIMBS = {
    "shoulder": "clavicle", "clavicle": "clavicle", "arm": "shoulder", "upperarm": "shoulder",
    "forearm": "elbow", "lowerarm": "elbow", "hand": "wrist", "wrist": "wrist",
    "upleg": "hip", "upperleg": "hip", "thigh": "hip", "leg": "knee", "lowerleg": "knee",
    "calf": "knee", "shin": "knee", "foot": "ankle", "toebase": "toes", "toes": "toes",
    "toe": "toes",
}  # fmt: skip
_TRUNK = {
    "hips": "pelvis", "hip": "pelvis", "pelvis": "pelvis", "spine": "spine", "spine1": "spine",
    "spine2": "chest", "spine3": "chest", "chest": "chest", "upperchest": "chest", "neck": "neck",
    "head": "head",
}  # fmt: skip
# Nose, eyes and ears: part, U and V.
_FACE = ((24, 0.0, 0.49), (24, 0.19, 0.59), (23, 0.81, 0.59), (24, 0.61, 0.48), (23, 0.39, 0.48))
# Other keypoints, left then right: parts on either side of the joint.
_RINGS = (
    ((1, 2), (15, 17)), ((15, 17), (19, 21)), ((19, 21), (4,)), ((1, 2), (8, 10)),
    ((8, 10), (12, 14)), ((12, 14), (5,)),
)  # fmt: skip


class UserBody:
    """Makes people of one mesh, in ever new colours, and in new poses if it has a rig.

    Raises:
        SurfaceError: the file cannot be used; the message says why.
    """

    def __init__(self, path: Path) -> None:
        file = read_mesh(path)
        self._file = file
        self._rig = _rigged(file, path) if file.joint_names else None

    @property
    def mesh(self) -> ChartedMesh:
        """The mesh as it is in the file: the surface to measure distances on."""
        return self._file.mesh

    @property
    def has_rig(self) -> bool:
        """Whether people are posed."""
        return self._rig is not None

    @property
    def rig(self) -> list[npt.NDArray[Any]]:
        """What poses depend on: vertices, joints and weights in a T; empty without a rig."""
        if self._rig is None:
            return []
        points, joints, weights = self._rig
        return [points, joints, weights.toarray()]

    def __call__(self, rng: np.random.Generator) -> Person3D:
        """Return a random person; see `iuv.synth.person.sample_person`."""
        palette = sample_palette(rng)
        mesh = self.mesh
        if self._rig is None:
            middle = (mesh.vertices.min(axis=0) + mesh.vertices.max(axis=0)) / 2
            moved = replace(mesh, vertices=on_grid(mesh.vertices - middle * (1, 0, 1)))
            keypoints = _keypoints(moved)
            return Person3D(moved, keypoints[5:], keypoints, palette)
        points, joints, weights = self._rig
        stance = sample_pose(rng)
        posed = pose(points, weights, joints, rotations(stance))
        ground = np.array([posed.joints[0, 0], posed.vertices[:, 1].min(), posed.joints[0, 2]])
        moved = replace(mesh, vertices=on_grid(posed.vertices - ground))
        places = on_grid(posed.joints - ground)
        keypoints = _keypoints(moved)
        for row, name in enumerate(("shoulder", "elbow", "wrist", "hip", "knee", "ankle")):
            for side, word in enumerate(("left", "right")):
                keypoints[5 + 2 * row + side] = places[JOINT_NAMES.index(f"{word}_{name}")]
        return Person3D(moved, places, keypoints, palette, pose=stance)


def _meaning(name: str) -> str | None:
    """Return which of our joints a joint's name means; None for none."""
    if name in JOINT_NAMES:
        return name
    plain = re.sub(r"[^a-z0-9]", "", name.lower().rpartition(":")[2])
    if plain in _TRUNK:
        return _TRUNK[plain]
    for side in ("left", "right"):
        short = plain.replace(side, "", 1)
        if short == plain:
            continue
        finger = re.fullmatch(r"(?:hand)?(thumb|index|middle|ring|pinky|little)([12])", short)
        if finger:
            return f"{side}_{finger[1].replace('pinky', 'little')}{finger[2]}"
        if short in _LIMBS:
            return f"{side}_{_LIMBS[short]}"
    return None


def _check_joints(vertices: Floats, joints: dict[str, Floats], path: Path) -> None:
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    reach = high[1] - low[1]
    for name, joint in joints.items():
        if not ((joint >= low - reach) & (joint <= high + reach)).all():
            raise SurfaceError(
                f"{path}: the {name} of the rig is at {joint.round(2).tolist()}, far from the "
                "body; bind the mesh to a rig of its own size"
            )


def _rigged(file: MeshFile, path: Path) -> tuple[Floats, Floats, csr_matrix]:
    """Return the mesh in a T [V, 3], our joints in it [J, 3], and weights [V, J]."""
    meanings = [_meaning(name) for name in file.joint_names]
    missing = [name for name in _NEEDED if name not in meanings]
    if missing:
        raise SurfaceError(
            f"{path}: the rig has no joint for {', '.join(missing)}; name joints like "
            f"{', '.join(JOINT_NAMES[:5])}, left_shoulder, left_elbow, ... or as Mixamo does; "
            f"it has {', '.join(file.joint_names[:8])}"
        )
    weights = np.zeros((len(file.mesh.vertices), len(JOINT_NAMES)))
    for k in range(len(meanings)):
        at = k
        while meanings[at] is None and file.joint_parents[at] >= 0:
            at = file.joint_parents[at]
        joint = JOINT_NAMES.index(meanings[at] or "pelvis")
        weights[:, joint] += file.weights[:, k]
    weights[weights.sum(axis=1) == 0, 0] = 1
    height = float(np.ptp(file.mesh.vertices[:, 1]))
    joints = REST_JOINTS * height
    for j, name in enumerate(JOINT_NAMES):
        if name in meanings:
            joints[j] = file.joints[meanings.index(name)]
        elif PARENTS[j] >= 0:
            joints[j] = joints[PARENTS[j]] + height * (REST_JOINTS[j] - REST_JOINTS[PARENTS[j]])
    local = np.tile(np.eye(3), (len(JOINT_NAMES), 1, 1))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        start, end = (JOINT_NAMES.index(f"{side}_{name}") for name in ("shoulder", "elbow"))
        upper_arm = joints[end] - joints[start]
        length = float(np.linalg.norm(upper_arm))
        if not _SHORTEST_ARM < length / height < _LONGEST_ARM:
            raise SurfaceError(
                f"{path}: the {side} shoulder and elbow of the rig are {length:.3g} m apart, of a "
                f"person of {height:.3g} m; bind the mesh to a rig of its own size"
            )
        local[start] = _between(upper_arm, np.array([sign, 0.0, 0.0]))
    _check_joints(file.mesh.vertices, dict(zip(JOINT_NAMES, joints, strict=True)), path)
    straight = pose(file.mesh.vertices, csr_matrix(weights), joints, local)
    return straight.vertices, straight.joints, csr_matrix(weights)


def _between(start: Floats, end: Floats) -> Floats:
    """Return the smallest rotation [3, 3] from one direction to another (Rodrigues)."""
    a, b = start / np.linalg.norm(start), end / np.linalg.norm(end)
    axis, cosine = np.cross(a, b), float(a @ b)
    x, y, z = axis
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turned: Floats = np.eye(3) + skew + skew @ skew / max(1 + cosine, 1e-6)
    return turned


def _keypoints(mesh: ChartedMesh) -> Floats:
    """Return [17, 3]: where COCO's keypoints are, told from the charts."""
    points = np.zeros((17, 3))
    middle = mesh.vertices.mean(axis=0)
    for row, (part, u, v) in enumerate(_FACE):
        (own,) = np.nonzero(mesh.face_part == part)
        points[row] = middle
        if len(own):
            far = np.linalg.norm(mesh.corner_uv[own] - (u, v), axis=2)
            face, corner = np.unravel_index(far.argmin(), far.shape)
            points[row] = mesh.vertices[mesh.faces[own[face], corner]]
    for row, (above, below) in enumerate(_RINGS):
        for side in range(2):
            pair = [[PART_MIRROR[p] if side else p for p in parts] for parts in (above, below)]
            inner, outer = (np.unique(mesh.faces[np.isin(mesh.face_part, parts)]) for parts in pair)
            ring = np.intersect1d(inner, outer)
            points[5 + 2 * row + side] = mesh.vertices[ring].mean(axis=0) if len(ring) else middle
    return points
