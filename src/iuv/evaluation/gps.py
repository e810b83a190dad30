"""Geodesic point similarity (GPS): how near on the body predicted points are to annotated ones.

For an annotated point at the geodesic distance d from where the prediction puts it, the score is
exp(-d² / (2 κ²)), κ being the scale of the point's part; GPS is the mean over a person's points.
Source: DensePose: Dense Human Pose Estimation In The Wild (Güler, Neverova, Kokkinos 2018), section
2.3, with the per-part scales of the COCO challenges. Parity with Detectron2, in the pixel a point
falls on, too: positions are in 255ths of the annotated box, relative to the corner of the detected
one as it is, and truncated towards zero.

P: annotated points; D: detections, G: annotated people of one image and class.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from iuv.data.records import ImageRecord
from iuv.evaluation.geodesics import Ids
from iuv.evaluation.meshes import Floats, SurfaceMesh
from iuv.results import ByteArray

__all__ = ["ImagePoints", "Lookups", "Mode", "find_vertices", "locate_points"]

Mode = Literal["iuvdt", "iuvgt", "igtuvdt", "igtuv0", "idtuv0"]
"""What stands in for a prediction, for diagnosis: labels I and coordinates UV as detected (dt), as
annotated (gt) or zero (0)."""

_BATCH = 1 << 20  # points of a look-up


class ImagePoints(NamedTuple):
    """The annotated points of an image that lie on the surface, [P] each."""

    person: Ids
    """Index of the annotation in its image."""
    x: Floats
    """Pixels of the image."""
    y: Floats
    """Pixels of the image."""
    labels: Ids
    """1..24."""
    vertices: Ids
    """On the surface, 0..."""

    def of(self, persons: Ids) -> ImagePoints:
        """Return the points of some annotations, whose index is then the place among these."""
        place = np.full(max(self.person.max(initial=-1), persons.max(initial=-1)) + 1, -1)
        place[persons] = np.arange(len(persons))
        person = place[self.person]
        (kept,) = np.nonzero(person >= 0)
        return ImagePoints(
            person[kept], self.x[kept], self.y[kept], self.labels[kept], self.vertices[kept]
        )


def locate_points(records: Sequence[ImageRecord], mesh: SurfaceMesh) -> list[ImagePoints]:
    """Return the points of each image; those of parts that the surface lacks are left out."""
    columns = [_columns(record) for record in records]
    person, x, y, part, u, v = np.hstack([np.zeros((6, 0)), *columns])
    labels = part.astype(np.int64)
    vertices = mesh.nearest(labels, u, v)
    edges = np.cumsum([0, *(column.shape[1] for column in columns)])
    located = []
    for start, end in pairwise(edges):
        kept = start + np.flatnonzero(vertices[start:end] >= 0)
        whose = person[kept].astype(np.int64)
        located.append(ImagePoints(whose, x[kept], y[kept], labels[kept], vertices[kept]))
    return located


def _columns(record: ImageRecord) -> Floats:
    """Return [6, P]: annotation, x, y in pixels of the image, I, U, V."""
    columns = [np.zeros((6, 0))]
    for index, annotation in enumerate(record.annotations):
        points = annotation.points
        if points is not None:
            left, top, width, height = annotation.box_xywh
            # 255ths here, although training takes 256ths.
            x, y = points.x * width / 255 + left, points.y * height / 255 + top
            person = np.full(len(points), index)
            columns.append(np.stack([person, x, y, points.labels, points.u, points.v]))
    return np.hstack(columns)


def find_vertices(
    boxes_xywh: Floats,
    maps: Sequence[ByteArray],
    points: ImagePoints,
    table: npt.NDArray[np.int32],
    mode: Mode = "iuvdt",
) -> Ids:
    """Return [D, P]: where on the surface each detection puts each point; -1 for nowhere.

    Args:
        boxes_xywh: [D, 4].
        maps: D arrays [3, h, w], see `iuv.evaluation.detections.Detections`.
        points: what to look up.
        table: as `iuv.evaluation.byte_table.byte_table` returns it.
        mode: what to replace, see `Mode`.
    """
    x = (points.x - boxes_xywh[:, :1]).astype(np.int64)
    y = (points.y - boxes_xywh[:, 1:2]).astype(np.int64)
    width, height = boxes_xywh[:, 2:].astype(np.int64).T[..., None]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    if mode == "iuvgt":
        return np.where(inside, points.vertices, -1)
    found = np.full(inside.shape, -1, dtype=np.int64)
    d, p = np.nonzero(inside)
    pixels = np.split(y[d, p] * np.maximum(width[d, 0], 1) + x[d, p], inside.sum(axis=1).cumsum())
    seen = [own.reshape(3, -1)[:, at] for own, at in zip(maps, pixels[:-1], strict=True)]
    labels, u, v = np.hstack([np.zeros((3, 0), dtype=np.int64), *seen])
    if mode.startswith("igt"):
        labels = points.labels[p]
    if mode.endswith("uv0"):
        u = v = np.zeros_like(labels)
    found[d, p] = table[labels << 16 | u << 8 | v]
    return found


class Lookups:
    """Points whose distances are still to be looked up.

    One look-up of many distances is much cheaper than many of few: see `PackedGeodesics`.
    """

    def __init__(self, mesh: SurfaceMesh) -> None:
        self._mesh = mesh
        self._waiting: list[tuple[Floats, Ids, ImagePoints]] = []
        self._points = 0

    def add(self, gps: Floats, found: Ids, points: ImagePoints) -> None:
        """Have `gps` [D, G] filled in, sooner or later, at the latest by `settle`.

        Args:
            gps: changed in place.
            found: [D, P] as `find_vertices` returns it.
            points: of persons 0..G-1.
        """
        self._waiting.append((gps, found, points))
        self._points += found.size
        if self._points > _BATCH:
            self.settle()

    def settle(self) -> None:
        """Look up what is waiting."""
        waiting, self._waiting, self._points = self._waiting, [], 0
        if not waiting:
            return
        sizes = [gps.size for gps, *_ in waiting]
        firsts = np.cumsum([0, *sizes[:-1]])
        # A cell is a detection and a person; an entry, a detection and a point of the person.
        cells = [
            (first + np.arange(len(gps))[:, None] * gps.shape[1] + points.person).ravel()
            for first, (gps, _, points) in zip(firsts, waiting, strict=True)
        ]
        annotated = [np.tile(points.vertices, len(gps)) for gps, _, points in waiting]
        scales = [np.tile(self._mesh.scales[points.labels], len(gps)) for gps, _, points in waiting]
        means = self._means(
            np.concatenate(cells),
            np.concatenate(annotated),
            np.concatenate([found.ravel() for _, found, _ in waiting]),
            np.concatenate(scales),
        )
        means = np.append(means, np.zeros(sum(sizes) - len(means)))  # cells without entries
        for (gps, *_), own in zip(waiting, np.split(means, firsts[1:]), strict=True):
            gps[...] = own.reshape(gps.shape)

    def _means(self, cells: Ids, annotated: Ids, found: Ids, scales: Floats) -> Floats:
        similarity = np.zeros(len(cells))
        (some,) = np.nonzero(found >= 0)
        distances = self._mesh.geodesics.distances(annotated[some], found[some])
        similarity[some] = np.exp(-(distances**2) / (2 * scales[some] ** 2))
        return np.bincount(cells, similarity) / np.maximum(np.bincount(cells), 1)
