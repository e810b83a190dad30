"""From a scene to a picture and its ground truth.

Geometry is sampled at the centres and at the corners of pixels, like the fives on dice. Labels are
what is seen at the centre of a pixel: they are never blended. The colour is that of the centre,
too, except where different surfaces meet: there, every surface that is seen at the centre, which
counts for half of the pixel, or at one of the corners, which count for an eighth each, has its
share, so that edges are smooth as in a photo.

Shapes: H and W of the picture, K triangles in it, M samples, E pixels with edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from iuv.bodyparts import NUM_PARTS
from iuv.synth.backgrounds import View
from iuv.synth.camera import Camera
from iuv.synth.effects import CODE_OF_WHITE, blur_codes, develop
from iuv.synth.lighting import Lighting, ShadowMap, cast, irradiance
from iuv.synth.raster import NOTHING, Raster, rasterise
from iuv.synth.scene import Scene
from iuv.synth.shading import Samples, Surfaces, merge, shade, vertex_normals

__all__ = ["Frame", "render"]

_Floats = npt.NDArray[np.float32]
_Doubles = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]

_SKY_SOFTNESS = 0.12  # metres: how blurred the map is that says where the sky is hidden
_AT_ONCE = 16_384  # samples: the processor's cache has room for what they need
_CENTRE, _CORNER = np.float32(0.5), np.float32(0.125)  # of a pixel


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


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """Samples of surfaces: the centres of pixels in their order, then corners beside edges."""

    centres: int
    """How many are centres."""
    pixel: _Ints
    """[M]: row x W + column."""
    share: _Floats
    """[M], of the pixel."""
    face: _Ints
    """[M]"""
    weights: _Floats
    """[3, M], of the triangle's corners."""
    depth: _Doubles
    """[M], metres."""
    place: _Doubles
    """[2, M]: columns and rows of the picture; 0 is the centre of the first pixel."""
    backdrop: _Floats
    """[H * W]: the share of the pixel that none of them has."""


def render(scene: Scene) -> Frame:
    """Draw a scene. The same scene gives the same bytes.

    Raises:
        SurfaceError: a palette lacks a material of its mesh.
    """
    surfaces = merge(scene.people, scene.props)
    raster = _rasterised(surfaces, scene.camera)
    seen = _look(surfaces, raster)
    maps = _shadow_maps(surfaces, scene.lighting)
    light = _background(scene, maps, seen.backdrop)
    _draw(light, scene, surfaces, seen, maps)
    shape = scene.camera.height, scene.camera.width
    rgb = develop(light.reshape(3, *shape), scene.effects)
    return _frame(rgb, surfaces, seen)


def _rasterised(surfaces: Surfaces, camera: Camera) -> Raster:
    """Rows of corners and rows of centres in turns: [2 H + 1, W + 1]."""
    x, y, z = camera.view(surfaces.vertices)
    centre_x, centre_y = camera.centre
    grid = np.stack(
        [
            camera.focal * x + (centre_x + 0.5) * z,
            2 * camera.focal * y + (2 * centre_y + 1) * z,
            z,
        ]
    )
    size = 2 * camera.height + 1, camera.width + 1
    return rasterise(grid, surfaces.faces.T, *size, shift=0.5)


def _look(surfaces: Surfaces, raster: Raster) -> _Seen:
    centre, corner = raster.slot[1::2, :-1], raster.slot[0::2]
    height, width = centre.shape
    (pixel,) = np.nonzero(centre.ravel() != NOTHING)
    share = np.ones(centre.size, np.float32)
    backdrop = np.ones(centre.size, np.float32)
    backdrop[pixel] = 0
    # NOTHING, which is -1, takes the last one
    kinds = surfaces.face_pattern[raster.face] * (NUM_PARTS + 1) + surfaces.face_part[raster.face]
    kind = np.append(kinds, NOTHING).astype(np.int16).take(raster.slot)
    of_centre, of_corner = kind[1::2, :-1], kind[0::2]
    around = ((0, 0), (0, 1), (1, 0), (1, 1))
    edge = np.zeros(centre.shape, bool)
    for row, column in around:
        edge |= of_corner[row : row + height, column : column + width] != of_centre
    edges = np.flatnonzero(edge)
    rows, columns = _split(edges, width)
    places = [(rows + row) * (width + 1) + columns + column for row, column in around]
    sample_kinds = [of_centre.ravel()[edges], *(of_corner.ravel()[at] for at in places)]
    shares = _shares(sample_kinds)
    share[edges] = shares[0]
    backdrop[edges] = sum(s * (k == NOTHING) for s, k in zip(shares, sample_kinds, strict=True))
    # rows of the grid are half a pixel high
    down, right = _split(pixel, width)
    x, y = right + 0.5, 2.0 * down + 1
    found = [(pixel, share.take(pixel), centre.ravel().take(pixel), x, y)]
    for (row, column), at, own, of in zip(
        around, places, shares[1:], sample_kinds[1:], strict=True
    ):
        (some,) = np.nonzero((own > 0) & (of != NOTHING))
        x, y = columns[some] + float(column), 2.0 * (rows[some] + row)
        found.append((edges[some], own[some], corner.ravel().take(at[some]), x, y))
    pixels, own_shares, slots, xs, ys = (
        np.concatenate(parts) for parts in zip(*found, strict=True)
    )
    weights, depth = raster.weights(slots, xs, ys)
    return _Seen(
        centres=len(pixel),
        pixel=pixels,
        share=own_shares,
        face=raster.face.take(slots),
        weights=weights.astype(np.float32),
        depth=depth,
        place=np.stack([xs - 0.5, 0.5 * (ys - 1)]),
        backdrop=backdrop,
    )


def _split(pixels: _Ints, width: int) -> tuple[_Ints, _Ints]:
    """Rows and columns; twice as fast as NumPy's divmod."""
    rows = pixels // width
    return rows, pixels - rows * width


def _shares(kinds: list[npt.NDArray[np.int16]]) -> list[_Floats]:
    """How much of a pixel each sample stands for: of those that see the same, the first has all.

    Args:
        kinds: [E] of the centre, and of each corner.
    """
    shares = [np.full(len(kinds[0]), _CORNER if k else _CENTRE) for k in range(len(kinds))]
    for later in range(1, len(kinds)):
        for earlier in range(later):
            same = kinds[later] == kinds[earlier]
            shares[earlier] += same * shares[later]
            shares[later] *= ~same
    return shares


def _shadow_maps(surfaces: Surfaces, lighting: Lighting) -> list[ShadowMap | None]:
    sky = cast(surfaces.casters, (0.0, 1.0, 0.0), _SKY_SOFTNESS) if lighting.occlusion else None
    lamps = [
        None if light.softness is None else cast(surfaces.casters, light.direction, light.softness)
        for light in lighting.lights
    ]
    return [sky, *lamps]


def _background(scene: Scene, maps: list[ShadowMap | None], share: _Floats) -> _Floats:
    """Linear light of the backdrop, as far as it is seen: [3, H * W].

    Args:
        scene: what is drawn.
        maps: of shadows.
        share: [H * W], of each pixel.
    """
    defocus = scene.effects.defocus
    shape = scene.camera.height, scene.camera.width
    wanted = share > 0
    if defocus:  # a blur needs the neighbours, too
        around = np.ones((2 * int(3 * defocus + 1) + 1,) * 2, np.uint8)
        wanted = cv2.dilate(wanted.astype(np.uint8).reshape(shape), around).ravel() > 0
    pixels = np.flatnonzero(wanted)
    codes = np.zeros((3, wanted.size), np.uint16)
    for start in range(0, len(pixels), _AT_ONCE):
        some = pixels[start : start + _AT_ONCE]
        for view in scene.backdrop.paint(scene.camera, some):
            colour = _lit(view, scene.lighting, maps)
            colour *= np.float32(CODE_OF_WHITE)
            colour += np.float32(0.5)
            np.minimum(colour, np.float32(65535), out=colour)
            there = some.take(view.which)
            for code, value in zip(codes, colour, strict=True):
                code[there] = value
    light = np.empty(codes.shape, np.float32)
    share = share * np.float32(1 / CODE_OF_WHITE)
    for row, code in zip(light, codes, strict=True):
        if defocus:
            code[:] = blur_codes(code.reshape(shape), defocus).ravel()
        np.multiply(code, share, out=row)
    return light


def _lit(view: View, lighting: Lighting, maps: list[ShadowMap | None]) -> _Floats:
    """Linear light of a part of the backdrop: [3, M]."""
    colour = view.colour * view.colour
    normal = np.array(view.normal, np.float32)[:, None]
    if view.lit is None:
        colour *= irradiance(lighting, maps, view.points, normal, 0.0)
        return colour
    (lit,) = np.nonzero(view.lit > 0)
    if len(lit):
        points, share = view.points.take(lit, axis=1), view.lit.take(lit)
        gain = irradiance(lighting, maps, points, normal, 0.0)
        if view.relative:
            gain /= irradiance(lighting, [None] * len(maps), points[:, :1], normal, 0.0)
        gain *= share
        gain += 1 - share
        for row, factor in zip(colour, gain, strict=True):
            row[lit] *= factor
    return colour


def _draw(
    light: _Floats,
    scene: Scene,
    surfaces: Surfaces,
    seen: _Seen,
    maps: list[ShadowMap | None],
) -> None:
    """Add the light of surfaces to that of the backdrop [3, H * W], in place."""
    if not len(seen.pixel):
        return
    camera = scene.camera
    normals = vertex_normals(surfaces, seen.face)
    # a pixel has one centre, but up to four of its corners are shaded
    cuts = [*range(0, seen.centres, _AT_ONCE), *range(seen.centres, len(seen.pixel), _AT_ONCE)]
    for start, end in zip(cuts, [*cuts[1:], len(seen.pixel)], strict=True):
        some = slice(start, end)
        depth, (columns, rows) = seen.depth[some], seen.place[:, some]
        place = np.stack(
            [
                (columns - camera.centre[0]) * (depth / camera.focal),
                (rows - camera.centre[1]) * (depth / camera.focal),
                depth,
            ]
        )
        samples = Samples(
            face=seen.face[some],
            weights=seen.weights[:, some],
            points=camera.to_world(place).astype(np.float32),
        )
        shaded = shade(surfaces, normals, samples, scene.lighting, maps, camera.position)
        shaded *= seen.share[some]
        pixel = seen.pixel[some]
        for row, value in zip(light, shaded, strict=True):
            if start < seen.centres:
                row[pixel] += value
            else:
                np.add.at(row, pixel, value)


def _frame(rgb: npt.NDArray[np.uint8], surfaces: Surfaces, seen: _Seen) -> Frame:
    """The ground truth: what is seen at the centres of pixels."""
    shape = rgb.shape[:2]
    pixel, face = seen.pixel[: seen.centres], seen.face[: seen.centres]
    weights = seen.weights[:, : seen.centres]
    part, instance = np.zeros(rgb[..., 0].size, np.uint8), np.zeros(rgb[..., 0].size, np.uint8)
    depth = np.full(part.size, np.inf, np.float32)
    uv = np.zeros((2, part.size), np.float32)
    parts = surfaces.face_part[face]
    part[pixel] = parts
    instance[pixel] = surfaces.face_instance[face]
    depth[pixel] = seen.depth[: seen.centres]
    corner_uv = surfaces.face_uv.take(face, axis=0)
    for axis in range(2):
        value = corner_uv[:, 0, axis] * weights[0]
        for corner in (1, 2):
            value += corner_uv[:, corner, axis] * weights[corner]
        uv[axis, pixel] = np.where(parts > 0, np.clip(value, 0, 1), 0)
    return Frame(
        rgb=rgb,
        part=part.reshape(shape),
        uv=uv.reshape(2, *shape),
        depth=depth.reshape(shape),
        instance=instance.reshape(shape),
    )
