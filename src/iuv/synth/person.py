"""Whole people: a body of some shape, in clothes, in a pose, with everything a scene needs.

V: vertices; J: joints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from iuv.synth.actions import sample_pose
from iuv.synth.body import body_template, vertex_normals
from iuv.synth.clothes import Outfit, sample_outfit
from iuv.synth.garments import Dressed, dress
from iuv.synth.materials import Pattern, plain, sample_cloth, sample_hair, sample_skin
from iuv.synth.mesh import ChartedMesh, Floats, Material
from iuv.synth.poses import Pose, rotations
from iuv.synth.rounding import on_grid
from iuv.synth.shapes import AVERAGE, Shape, sample_shape
from iuv.synth.skeleton import JOINT_NAMES, blended, stretched, turn

__all__ = ["Person3D", "make_person", "rest_body", "sample_palette", "sample_person"]

_SMOOTHINGS = 6
_GREY = 0.07  # of adults have grey or white hair
_FACE = ((0.0, 0.9145, 0.080), (0.018, 0.9345, 0.058), (-0.018, 0.9345, 0.058),
         (0.052, 0.9225, 0.0), (-0.052, 0.9225, 0.0))  # fmt: skip
"""Nose, left eye, right eye, left ear, right ear in the rest pose."""
_KEYPOINT_JOINTS = tuple(
    JOINT_NAMES.index(f"{side}_{name}")
    for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    for side in ("left", "right")
)


@dataclass(frozen=True, slots=True, eq=False)
class Person3D:
    """Somebody in a pose, on the ground y = 0, the pelvis above the origin, facing +z."""

    mesh: ChartedMesh
    joints: Floats
    """[J, 3], metres; names are `iuv.synth.skeleton.JOINT_NAMES`. Of a mesh without a rig, the last
    12 of `keypoints`."""
    keypoints: Floats
    """[17, 3], metres: COCO's, nose to right ankle."""
    palette: Mapping[int, Pattern]
    """How each `Material` looks."""
    shape: Shape | None = None
    """None for a user's own mesh."""
    pose: Pose | None = None
    """None for a mesh that cannot be posed."""


@dataclass(frozen=True, slots=True, eq=False)
class _Forms:
    """The body and its figures as they are mixed: itself, without details, and its normals."""

    names: tuple[str, ...]
    points: Floats
    """[1 + figures, 6, V]: position, and position of the smooth body."""
    directions: Floats
    """[3, V]"""
    landmarks: npt.NDArray[np.int64]
    """[5] vertices of `_FACE`."""


@lru_cache(maxsize=1)
def _forms() -> _Forms:
    template = body_template()

    directions = vertex_normals(template.rest, template.faces)
    for _ in range(_SMOOTHINGS // 3):
        directions = template.smoother @ directions
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)

    def with_smooth(points: Floats) -> Floats:
        soft = points
        for _ in range(_SMOOTHINGS):
            soft = template.smoother @ soft
        # Only in and out: along the surface, smoothing would pull hems out of line.
        depth = ((soft - points) * directions).sum(axis=1, keepdims=True)
        return np.concatenate([points, points + depth * directions], axis=1).T

    forms = [with_smooth(template.rest), *(with_smooth(d) for d in template.deltas.values())]
    far = np.linalg.norm(template.rest[:, None] - np.array(_FACE), axis=2)
    return _Forms(
        tuple(template.deltas),
        on_grid(np.stack(forms)),
        np.ascontiguousarray(on_grid(directions).T),
        far.argmin(axis=0),
    )


def _shaped(shape: Shape) -> Floats:
    """Return [6, V]: the figure and its smooth form, in body heights of average proportions."""
    forms, shares = _forms(), shape.figures()
    mixed: Floats = forms.points[0].copy()
    for form, name in zip(forms.points[1:], forms.names, strict=True):
        if shares[name]:
            mixed += shares[name] * form
    return mixed


def rest_body(shape: Shape = AVERAGE) -> ChartedMesh:
    """Return a bare body in the rest pose: the surface to measure distances on."""
    template = body_template()
    points = shape.scaling().apply(_shaped(shape)[:3].T, template.weights)
    points[:, 1] -= points[:, 1].min()
    return ChartedMesh(
        vertices=on_grid(points),
        faces=template.faces,
        face_part=template.part,
        corner_uv=template.corner_uv,
        rest=template.rest.astype(np.float32),
        face_material=np.full(len(template.faces), Material.SKIN, np.uint8),
    )


def sample_person(rng: np.random.Generator) -> Person3D:
    """Return a random person: shape, clothes, hair, colours and pose."""
    shape = sample_shape(rng)
    outfit = sample_outfit(rng, female=shape.female, child=shape.child)
    palette = sample_palette(rng, outfit.materials(), grey=_GREY if shape.child == 0 else 0.0)
    stance = sample_pose(rng, width=max(shape.heavy, 0))
    return make_person(shape, outfit, palette, stance)


def make_person(
    shape: Shape, outfit: Outfit, palette: Mapping[int, Pattern], stance: Pose
) -> Person3D:
    """Return a person of a shape, in clothes, in a pose."""
    forms, template = _forms(), body_template()
    mixed = _shaped(shape)
    dressed = dress(mixed[:3], mixed[3:], forms.directions, outfit.coat, outfit.layers)
    sheets = [sheet for sheet, _ in outfit.sheets]
    scaling = shape.scaling()
    turned = turn(scaling.joints(), rotations(stance))
    # how points are stretched and moved: all at once, hems as the body below them
    table = np.concatenate([scaling.table(), turned.table], axis=1)
    follow = np.ascontiguousarray((template.weights @ table).T)
    follow = np.concatenate(
        [follow, follow.take(dressed.base, axis=1), *((s.weights @ table).T for s in sheets)],
        axis=1,
    )
    points = np.concatenate([dressed.points, *(_fitted(s.points, shape).T for s in sheets)], axis=1)
    vertices = blended(stretched(points, follow[:6]), follow[6:])
    ground = np.array([turned.joints[0, 0], vertices[1].min(), turned.joints[0, 2]])
    face = vertices.take(forms.landmarks, axis=1).T
    keypoints = np.concatenate([face, turned.joints[list(_KEYPOINT_JOINTS)]])
    rest = np.concatenate(
        [template.rest, template.rest.take(dressed.base, axis=0), *(s.points for s in sheets)]
    )
    vertices -= ground[:, None]
    return Person3D(
        mesh=_mesh(np.ascontiguousarray(on_grid(vertices).T), rest, dressed, outfit),
        joints=on_grid(turned.joints - ground),
        keypoints=on_grid(keypoints - ground),
        palette=palette,
        shape=shape,
        pose=stance,
    )


def _fitted(points: Floats, shape: Shape) -> Floats:
    """Return the points of a sheet, wider around fat hips."""
    low = np.clip((0.70 - points[:, 1:2]) / 0.05, 0, 1)
    heavy, female = shape.heavy, shape.female
    wide = 1 + low * (0.16 * max(heavy, 0) - 0.06 * max(-heavy, 0) + 0.03 * max(female, 0))
    deep = 1 + low * (0.28 * max(heavy, 0) - 0.06 * max(-heavy, 0))
    fitted: Floats = points * np.concatenate([wide, np.ones_like(wide), deep], axis=1)
    return fitted


def _mesh(vertices: Floats, rest: Floats, dressed: Dressed, outfit: Outfit) -> ChartedMesh:
    template = body_template()
    start = dressed.points.shape[1]
    faces, parts = [dressed.faces], [template.part.take(dressed.source)]
    uvs, materials = [dressed.corner_uv], [outfit.coat.material.take(dressed.source)]
    for sheet, material in outfit.sheets:
        faces.append(sheet.faces + np.int32(start))
        parts.append(sheet.part)
        uvs.append(sheet.corner_uv)
        materials.append(np.full(len(sheet.faces), material, np.uint8))
        start += len(sheet.points)
    return ChartedMesh(
        vertices=vertices,
        faces=np.concatenate(faces),
        face_part=np.concatenate(parts),
        corner_uv=np.concatenate(uvs),
        rest=rest.astype(np.float32),
        face_material=np.concatenate(materials),
    )


def sample_palette(
    rng: np.random.Generator, materials: Iterable[Material] = Material, *, grey: float = 0.0
) -> dict[int, Pattern]:
    """Return how materials of a person look.

    Args:
        rng: where chance comes from.
        materials: which of them.
        grey: how often hair is grey or white.
    """
    skin, hair = sample_skin(rng), sample_hair(rng, grey=grey)
    (r, g, b), (hr, hg, hb) = skin.colours[0], hair.colours[0]
    iris = ((0.25, 0.15, 0.08), (0.35, 0.45, 0.55), (0.30, 0.38, 0.22))[int(rng.integers(3))]
    body = {
        Material.SKIN: skin,
        Material.HAIR: hair,
        Material.BEARD: hair,
        Material.BROW: plain((0.75 * hr, 0.75 * hg, 0.75 * hb)),
        Material.LIPS: plain((min(r * 0.92, 1), g * 0.68, b * 0.68)),
        Material.EYE_WHITE: plain((0.90, 0.89, 0.87)),
        Material.IRIS: plain(iris),
        Material.PUPIL: plain((0.02, 0.02, 0.02)),
        Material.GLASSES: plain((0.05, 0.05, 0.06)),
    }
    return {
        int(material): body[material]
        if material in body
        else sample_cloth(rng, legs=material in _ON_LEGS)
        for material in materials
    }


_ON_LEGS = (Material.BOTTOM, Material.BELT)
