"""People made of capsules, for tests that need somebody but nobody in particular.

Parts and charts are only roughly where they belong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iuv.synth.materials import Pattern, sample_cloth, sample_hair, sample_skin
from iuv.synth.mesh import ChartedMesh, Material

# part in front, part behind, material, both ends and radii, in a body of height 1
_LIMBS = (
    (2, 1, Material.TOP, (0, 0.50, 0), (0, 0.78, 0), 0.085, 0.10),
    (23, 24, Material.SKIN, (0, 0.87, 0.01), (0, 0.94, 0.01), 0.055, 0.06),
    (23, 24, Material.HAIR, (0, 0.93, -0.01), (0, 0.95, -0.01), 0.06, 0.06),
    (15, 17, Material.TOP, (0.12, 0.80, 0), (0.25, 0.80, 0), 0.035, 0.03),
    (19, 21, Material.SKIN, (0.25, 0.80, 0), (0.40, 0.80, 0), 0.03, 0.02),
    (4, 4, Material.SKIN, (0.40, 0.80, 0), (0.48, 0.80, 0), 0.025, 0.02),
    (16, 18, Material.TOP, (-0.12, 0.80, 0), (-0.25, 0.80, 0), 0.035, 0.03),
    (20, 22, Material.SKIN, (-0.25, 0.80, 0), (-0.40, 0.80, 0), 0.03, 0.02),
    (3, 3, Material.SKIN, (-0.40, 0.80, 0), (-0.48, 0.80, 0), 0.025, 0.02),
    (10, 8, Material.BOTTOM, (0.06, 0.50, 0), (0.06, 0.27, 0), 0.065, 0.05),
    (14, 12, Material.BOTTOM, (0.06, 0.27, 0), (0.06, 0.06, 0), 0.045, 0.03),
    (5, 5, Material.SHOE, (0.06, 0.03, -0.03), (0.06, 0.03, 0.08), 0.03, 0.03),
    (9, 7, Material.BOTTOM, (-0.06, 0.50, 0), (-0.06, 0.27, 0), 0.065, 0.05),
    (13, 11, Material.BOTTOM, (-0.06, 0.27, 0), (-0.06, 0.06, 0), 0.045, 0.03),
    (6, 6, Material.SHOE, (-0.06, 0.03, -0.03), (-0.06, 0.03, 0.08), 0.03, 0.03),
)
_ARMS = {3, 4, *range(15, 23)}


@dataclass(frozen=True, slots=True)
class CapsulePerson:
    mesh: ChartedMesh
    joints: np.ndarray
    keypoints: np.ndarray
    palette: dict[int, Pattern]


def _capsule(start, end, radius_start, radius_end, rings, segments):
    start, end = np.array(start, float), np.array(end, float)
    axis = (end - start) / np.linalg.norm(end - start)
    side = np.cross(axis, [0, 0, 1] if abs(axis[2]) < 0.9 else [0, 1, 0])
    side /= np.linalg.norm(side)
    other = np.cross(axis, side)
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    circle = np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * other
    place = np.linspace(-np.pi / 2, np.pi / 2, rings)
    radius = np.where(place < 0, radius_start, radius_end)
    centre = np.where(place < 0, 0.0, 1.0)[:, None] * (end - start) + start
    centre = centre + (np.sin(place) * radius)[:, None] * axis
    return centre[:, None] + np.maximum(np.cos(place), 1e-3)[:, None, None] * (
        radius[:, None, None] * circle
    )


def capsule_person(
    rng: np.random.Generator, *, rings: int = 14, segments: int = 16, arms: float | None = None
) -> CapsulePerson:
    """Somebody with arms lifted by degrees (0: hanging), or at random."""
    height = 1.5 + 0.4 * rng.random()
    angle = np.radians(90 - (20 + 60 * rng.random() if arms is None else arms))
    parts, uv, material, points, rest, faces, start = [], [], [], [], [], [], 0
    grid = np.arange(rings * segments).reshape(rings, segments)
    after = np.roll(grid, -1, axis=1)
    for front, back, matter, low, high, radius_low, radius_high in _LIMBS:
        at = _capsule(low, high, radius_low, radius_high, rings, segments)
        rest.append(at.reshape(-1, 3))
        if front in _ARMS:  # turned down about the shoulder
            sign = 1 if low[0] > 0 else -1
            x, y = at[..., 0] - 0.12 * sign, at[..., 1] - 0.8
            c, s = np.cos(angle), np.sin(angle) * sign
            at = np.stack([x * c + y * s + 0.12 * sign, y * c - x * s + 0.8, at[..., 2]], axis=-1)
        points.append(at.reshape(-1, 3))
        quads = np.stack([grid[:-1], after[:-1], after[1:], grid[1:]], axis=-1).reshape(-1, 4)
        v, u = np.mgrid[0 : rings - 1, 0:segments].astype(float)
        square = np.stack([[u, v], [u + 1, v], [u + 1, v + 1], [u, v + 1]], axis=0)
        square = square.reshape(4, 2, -1) / np.array([segments, rings - 1])[:, None]
        for corners in ((0, 1, 2), (0, 2, 3)):
            faces.append(quads[:, corners] + start)
            uv.append(square[list(corners)].transpose(2, 0, 1))
            middle = rest[-1][quads[:, corners]].mean(axis=1)
            parts.append(np.where(middle[:, 2] > low[2], front, back))
            material.append(np.full(len(quads), matter))
        start += rings * segments
    mesh = ChartedMesh(
        vertices=np.round(np.concatenate(points) * height * 65536) / 65536,
        faces=np.concatenate(faces).astype(np.int32),
        face_part=np.concatenate(parts).astype(np.uint8),
        corner_uv=np.concatenate(uv).astype(np.float32),
        rest=np.concatenate(rest).astype(np.float32),
        face_material=np.concatenate(material).astype(np.uint8),
    )
    keypoints = np.zeros((17, 3))
    keypoints[:, 1] = [0.91, 0.93, 0.93, 0.92, 0.92, *[0.8] * 6, 0.5, 0.5, 0.27, 0.27, 0.05, 0.05]
    palette = {
        int(Material.SKIN): sample_skin(rng),
        int(Material.HAIR): sample_hair(rng),
        int(Material.TOP): sample_cloth(rng),
        int(Material.BOTTOM): sample_cloth(rng, legs=True),
        int(Material.SHOE): sample_cloth(rng),
    }
    return CapsulePerson(mesh, keypoints[:4] * height, keypoints * height, palette)
