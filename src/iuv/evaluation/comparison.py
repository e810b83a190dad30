"""Comparing what was found in an image with who was annotated: an image becomes a few numbers.

D: detections, G: annotated people of one image and class. H x W: the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from iuv.data.masks import decode_rle
from iuv.data.records import Dataset, ImageRecord
from iuv.evaluation.byte_table import byte_table
from iuv.evaluation.detections import Detections
from iuv.evaluation.gps import Lookups, Mode, find_vertices, locate_points
from iuv.evaluation.mask_iou import (
    Mask,
    annotated_mask,
    mask_iou,
    outside_regions,
    paste,
    region_mask,
    unite_parts,
)
from iuv.evaluation.meshes import SurfaceMesh

__all__ = ["Comparison", "Group"]

_MAX_DETECTIONS = 20  # of an image and class
_PREPARED = 64  # images at a time


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The detections and annotated people of one class in one image, compared with one another."""

    category: int
    """Class index."""
    detections: npt.NDArray[np.int64]
    """[D], their indices in the image, best score first, at most 20."""
    people: npt.NDArray[np.int64]
    """[G], indices of the image's annotations."""
    box_iou: npt.NDArray[np.float64]
    """[D, G]."""
    mask_iou: npt.NDArray[np.float64]
    """[D, G]; zeros if masks are not compared."""
    gps: npt.NDArray[np.float64]
    """[D, G]; zeros without a mesh, and until `Comparison.settle`."""


class Comparison:
    """Compares images of a data set.

    Args:
        dataset: the annotations.
        mesh: the surface; None to leave GPS out.
        with_masks: whether to compare masks.
        mode: what is replaced for diagnosis, see `iuv.evaluation.gps.Mode`.
    """

    def __init__(
        self, dataset: Dataset, mesh: SurfaceMesh | None, *, with_masks: bool, mode: Mode
    ) -> None:
        self._records = dataset.images
        self._with_masks = with_masks
        self._parts: dict[int, list[npt.NDArray[np.int64] | None]] = {}
        self._mode: Mode = mode
        self._lookups = None
        if mesh is not None:
            self._points = locate_points(dataset.images, mesh)
            self._table = byte_table(mesh)
            self._lookups = Lookups(mesh)

    def compare(self, place: int, detections: Detections) -> tuple[Group, ...]:
        """Return a group per class that occurs; GPS may be filled in later.

        Args:
            place: index of the image in the data set.
            detections: what was found in it.
        """
        record = self._records[place]
        found, people = _outside_regions(record, detections)
        classes = np.array([annotation.category for annotation in record.annotations], np.int64)
        groups = []
        for category in sorted({*detections.classes[found].tolist(), *classes[people].tolist()}):
            own = found[detections.classes[found] == category]
            best = np.argsort(-detections.scores[own], kind="stable")[:_MAX_DETECTIONS]
            persons = people[classes[people] == category]
            groups.append(self._compare(place, detections, category, own[best], persons))
        self._parts.pop(place, None)
        return tuple(groups)

    def settle(self) -> None:
        """Fill in the GPS of all groups so far."""
        if self._lookups is not None:
            self._lookups.settle()

    def _compare(
        self,
        place: int,
        detections: Detections,
        category: int,
        found: npt.NDArray[np.int64],
        people: npt.NDArray[np.int64],
    ) -> Group:
        record = self._records[place]
        box_iou, masks, gps = np.zeros((3, len(found), len(people)))
        if box_iou.size:
            annotations = [record.annotations[index] for index in people.tolist()]
            crowd = np.array([annotation.is_crowd for annotation in annotations])
            boxes = np.array([annotation.box_xywh for annotation in annotations], np.float64)
            box_iou = coco_mask.iou(detections.boxes_xywh[found], boxes, crowd)
            if self._with_masks:
                size = (record.height, record.width)
                detected = [_detected_mask(detections, index, size) for index in found.tolist()]
                parts = self._parts_of(place)
                annotated = [
                    annotated_mask(record.annotations[index], parts[index], size)
                    for index in people.tolist()
                ]
                masks = mask_iou(detected, annotated, crowd)
            if self._lookups is not None and detections.maps is not None:
                points = self._points[place].of(people)
                maps = [detections.maps[index] for index in found]
                vertices = find_vertices(
                    detections.boxes_xywh[found], maps, points, self._table, self._mode
                )
                self._lookups.add(gps, vertices, points)
        return Group(category, found, people, box_iou, masks, gps)

    def _parts_of(self, place: int) -> list[npt.NDArray[np.int64] | None]:
        """Return the part masks of an image's people; prepares those of its neighbours, too."""
        if place not in self._parts:
            start = place - place % _PREPARED
            block = self._records[start : start + _PREPARED]
            united = iter(unite_parts([a for record in block for a in record.annotations]))
            for index, record in enumerate(block, start=start):
                self._parts[index] = [next(united) for _ in record.annotations]
        return self._parts[place]


def _outside_regions(
    record: ImageRecord, detections: Detections
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the indices of the detections and people that count."""
    found, people = np.arange(len(detections)), np.arange(len(record.annotations))
    # Parity with Detectron2: regions of an image without annotations do not count.
    if not record.ignore_regions or not record.annotations:
        return found, people
    region = region_mask(record.ignore_regions, (record.height, record.width))
    labels = [m[0] for m in detections.maps] if detections.maps else [None] * len(detections)
    boxes = detections.boxes_xywh
    annotated = [annotation.box_xywh for annotation in record.annotations]
    kept = [outside_regions(region, box, own) for box, own in zip(boxes, labels, strict=True)]
    kept_people = [outside_regions(region, box) for box in annotated]
    return found[np.array(kept, dtype=np.bool_)], people[np.array(kept_people, dtype=np.bool_)]


def _detected_mask(detections: Detections, index: int, image_size: tuple[int, int]) -> Mask:
    if detections.masks is not None:
        return Mask(0, 0, decode_rle(detections.masks[index]) > 0)
    if detections.maps is None:
        return Mask(0, 0, np.zeros((0, 0), dtype=np.bool_))
    return paste(detections.maps[index][0] > 0, detections.boxes_xywh[index], image_size)
