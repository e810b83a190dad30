"""From a scene to a picture and its ground truth.

Geometry is sampled on a grid of half a pixel. Labels are what is seen at the centre of a pixel:
they are never blended. The colour is that of the centre, too, except where different surfaces
meet: there, the nine samples in and around the pixel are averaged, those on its border by half, so
that edges are smooth as in a photo.

Shapes: H and W of the picture, M samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from iuv.synth.backgrounds import View
from iuv.synth.effects import blurred, develop
from iuv.synth.lighting import Lighting, ShadowMap, cast, irradiance
from iuv.synth.raster import NOTHING, Raster, rasterise
from iuv.synth.scene import Scene
from iuv.synth.shading import Samples, Surfaces, merge, shade

__all__ = ["Frame", "render"]

_Floats = npt.NDArray[np.float32]

_SKY_SOFTNESS = 0.12  # metres: how blurred the map is that says where the sky is hidden


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A picture and what is seen in it."""

    rgb: npt.NDArray[np.uint8]
    """[H, W, 3]."""
    part: npt.NDArray[np.uint8]
    """[H, W]: 1..24; 0 where no person's surface is seen, and on what people hold or wear that
    belongs to no chart."""
    uv: _Floats
    """[2, H, W]: U and V in 0..1; 0 where `part` is 0."""
    depth: _Floats
    """[H, W], metres along the optical axis; infinite where neither people nor things are."""
    instance: npt.NDArray[np.uint8]
    """[H, W]: k for the scene's k-th person, counted from 1, with all that they wear; else 0."""


def render(scene: Scene) -> Frame:
    """Draw a scene. The same scene gives the same bytes.

    Raises:
        SurfaceError: a palette lacks a material of its mesh.
    """
    camera = scene.camera
    surfaces = merge(scene.people, scene.props)
    x, y, z = camera.view(surfaces.vertices)
    centre_x, centre_y = camera.centre
    # sample 2 i + 1 is the centre of pixel i
    grid = np.stack(
        [
            2 * camera.focal * x + (2 * centre_x + 1) * z,
            2 * camera.focal * y + (2 * centre_y + 1) * z,
            z,
        ]
    )
    raster = rasterise(grid, surfaces.faces.T, 2 * camera.height + 1, 2 * camera.width + 1)
    maps = _shadow_maps(surfaces, scene.lighting)
    edge = _edges(surfaces, raster)
    light = _background(scene, maps, edge | (raster.slot[1::2, 1::2] == NOTHING))
    _draw(light, scene, surfaces, raster, maps, edge)
    rgb = develop(light, scene.effects)
    return _frame(rgb, surfaces, raster)


def _shadow_maps(surfaces: Surfaces, lighting: Lighting) -> list[ShadowMap | None]:
    sky = cast(surfaces.casters, (0.0, 1.0, 0.0), _SKY_SOFTNESS) if lighting.occlusion else None
    lamps = [
        None if light.softness is None else cast(surfaces.casters, light.direction, light.softness)
        for light in lighting.lights
    ]
    return [sky, *lamps]


def _edges(surfaces: Surfaces, raster: Raster) -> npt.NDArray[np.bool_]:
    """[H, W]: whether different surfaces, or none, are seen in and around a pixel."""
    kinds = surfaces.face_pattern[raster.face] * 32 + surfaces.face_part[raster.face]
    # NOTHING, which is -1, takes the last one
    kind = np.append(kinds, NOTHING).astype(np.int16)[raster.slot]
    # along rows, then along columns: the extremes of 3 x 3 samples around each centre
    left, middle, right = kind[:, 0:-1:2], kind[:, 1::2], kind[:, 2::2]
    low = np.minimum(np.minimum(left, middle), right)
    high = np.maximum(np.maximum(left, middle), right)
    low = np.minimum(np.minimum(low[0:-1:2], low[1::2]), low[2::2])
    high = np.maximum(np.maximum(high[0:-1:2], high[1::2]), high[2::2])
    different: npt.NDArray[np.bool_] = low != high
    return different


def _background(
    scene: Scene, maps: list[ShadowMap | None], wanted: npt.NDArray[np.bool_]
) -> _Floats:
    """Linear light of the backdrop: [3, H, W]; valid where wanted [H, W]."""
    defocus = scene.effects.defocus
    if defocus:  # a blur needs the neighbours, too
        around = np.ones((2 * int(3 * defocus + 1) + 1,) * 2, np.uint8)
        wanted = cv2.dilate(wanted.astype(np.uint8), around) > 0
    pixels = np.flatnonzero(wanted)
    view: View = scene.backdrop.paint(scene.camera, pixels)
    colour = view.colour * view.colour
    (lit,) = np.nonzero(view.lit > 0)
    if len(lit):
        points, normals = np.take(view.points, lit, axis=1), np.take(view.normals, lit, axis=1)
        arriving = irradiance(scene.lighting, maps, points, normals, 0.0)
        if view.relative:
            arriving /= irradiance(scene.lighting, [None] * len(maps), points, normals, 0.0)
        share = view.lit[lit]
        gain = arriving * share + (1 - share)
        for row, factor in zip(colour, gain, strict=True):
            row[lit] *= factor
    light = np.zeros((3, wanted.size), np.float32)
    for row, value in zip(light, colour, strict=True):
        row[pixels] = value
    light = light.reshape(3, *wanted.shape)
    return blurred(light, defocus) if defocus else light


def _draw(
    light: _Floats,
    scene: Scene,
    surfaces: Surfaces,
    raster: Raster,
    maps: list[ShadowMap | None],
    edge: npt.NDArray[np.bool_],
) -> None:
    """Draw surfaces over a background [3, H, W], in place."""
    wanted = np.zeros(raster.slot.shape, bool)
    wanted[1::2, 1::2] = True
    for row in range(3):
        for column in range(3):
            part = wanted[
                row : row + 2 * len(edge) - 1 : 2, column : column + 2 * edge.shape[1] - 1 : 2
            ]
            part |= edge
    seen = np.flatnonzero(wanted & (raster.slot != NOTHING))
    if not len(seen):
        return
    slot = raster.slot.reshape(-1)[seen]
    order = np.argsort(surfaces.face_pattern[raster.face[slot]], kind="stable")
    seen, slot = seen[order], slot[order]
    rows, columns = np.divmod(seen, raster.slot.shape[1])
    weights, depth = raster.weights(slot, columns, rows)
    camera = scene.camera
    centre_x, centre_y = camera.centre
    place = np.stack(
        [
            (0.5 * (columns - 1) - centre_x) * (depth / camera.focal),
            (0.5 * (rows - 1) - centre_y) * (depth / camera.focal),
            depth,
        ]
    )
    samples = Samples(
        face=raster.face[slot],
        weights=weights.astype(np.float32),
        points=camera.to_world(place).astype(np.float32),
    )
    shaded = shade(surfaces, samples, scene.lighting, maps, camera.position)
    # the fourth layer is how much of a sample is covered
    layers = np.zeros((4, raster.slot.size), np.float32)
    for layer, value in zip(layers, [*shaded, 1], strict=True):
        layer[seen] = value
    _blend(light, layers.reshape(4, *raster.slot.shape), edge)


def _blend(light: _Floats, layers: _Floats, edge: npt.NDArray[np.bool_]) -> None:
    """Reduce samples [4, 2 H + 1, 2 W + 1] to pixels [3, H, W], over what is there."""
    width = edge.shape[1]
    flat, samples = light.reshape(3, -1), layers.reshape(4, -1)
    plain = np.flatnonzero((layers[3, 1::2, 1::2] > 0) & ~edge)
    rows, columns = np.divmod(plain, width)
    at = (2 * rows + 1) * (2 * width + 1) + 2 * columns + 1
    for into, layer in zip(flat, samples, strict=False):
        into[plain] = layer[at]
    pixels = np.flatnonzero(edge)
    rows, columns = np.divmod(pixels, width)
    total = np.zeros((4, len(pixels)), np.float32)
    for row in range(3):
        for column in range(3):
            weight = np.float32((2 - abs(row - 1)) * (2 - abs(column - 1)) / 16)
            at = (2 * rows + row) * (2 * width + 1) + 2 * columns + column
            total += weight * np.take(samples, at, axis=1)
    for into, value in zip(flat, total, strict=False):
        into[pixels] = value + (1 - total[3]) * into[pixels]


def _frame(rgb: npt.NDArray[np.uint8], surfaces: Surfaces, raster: Raster) -> Frame:
    """The ground truth: what is seen at the centres of pixels."""
    slot = raster.slot[1::2, 1::2]
    height, width = slot.shape
    seen = np.flatnonzero(slot != NOTHING)
    rows, columns = np.divmod(seen, width)
    slots = slot.ravel()[seen]
    weights, distance = raster.weights(slots, 2 * columns + 1, 2 * rows + 1)
    face = raster.face[slots]
    part, instance = np.zeros(slot.size, np.uint8), np.zeros(slot.size, np.uint8)
    depth = np.full(slot.size, np.inf, np.float32)
    uv = np.zeros((2, slot.size), np.float32)
    parts = surfaces.face_part[face]
    part[seen] = parts
    instance[seen] = surfaces.face_instance[face]
    depth[seen] = distance
    corner_uv = surfaces.face_uv[face]
    for axis in range(2):
        value = sum(corner_uv[:, corner, axis] * weights[corner] for corner in range(3))
        uv[axis, seen] = np.where(parts > 0, np.clip(value, 0, 1), 0)
    shape = (height, width)
    return Frame(
        rgb=rgb,
        part=part.reshape(shape),
        uv=uv.reshape(2, *shape),
        depth=depth.reshape(shape),
        instance=instance.reshape(shape),
    )
