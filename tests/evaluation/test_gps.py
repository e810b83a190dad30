"""The pixel a point falls on, and what comes of points; the golden numbers are elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from iuv.data.records import Annotation, ImageRecord, Points
from iuv.evaluation.geodesics import MatrixGeodesics
from iuv.evaluation.gps import ImagePoints, Lookups, find_vertices, locate_points
from iuv.evaluation.meshes import MeshError, SurfaceMesh

# Parts 1 (torso) and 3 (hand) have two vertices each, at U = 0 and 1; 0.1 m between neighbours.
MESH = SurfaceMesh(
    parts=np.array([1, 1, 3, 3]),
    u=np.array([0.0, 1, 0, 1]),
    v=np.zeros(4),
    vertices=np.arange(4),
    geodesics=MatrixGeodesics(0.1 * abs(np.subtract.outer(np.arange(4), np.arange(4)))),
)


def record(*people, box=(10.0, 20.0, 51.0, 102.0)):
    annotations = tuple(
        Annotation(id=k, category=0, box_xywh=box, area=1, points=points)
        for k, points in enumerate(people)
    )
    return ImageRecord(id=1, path=Path("1.jpg"), height=99, width=99, annotations=annotations)


def points(x, y, labels, u):
    x, y, u = (np.array(values, np.float64) for values in (x, y, u))
    return Points(x, y, np.array(labels), u, np.zeros_like(u))


def test_points_are_located():
    first = points([0, 255, 100], [0, 255, 50], [1, 3, 2], [0.2, 0.8, 0.5])
    second = points([25.5], [25.5], [0], [0.0])
    third = points([25.5], [25.5], [3], [0.4])
    empty, found = locate_points([record(), record(first, None, second, third)], MESH)
    assert [len(column) for column in empty] == [0] * 5
    # Part 2 has no vertex here, and label 0 has none anywhere.
    assert found.person.tolist() == [0, 0, 3]
    assert found.x.tolist() == pytest.approx([10, 61, 15.1])
    assert found.y.tolist() == pytest.approx([20, 122, 30.2])
    assert found.labels.tolist() == [1, 3, 3]
    assert found.vertices.tolist() == [0, 3, 2]


def test_points_of_some():
    located = ImagePoints(np.array([0, 0, 2]), *np.arange(12.0).reshape(4, 3))
    assert located.of(np.array([2, 1])).person.tolist() == [0]
    assert located.of(np.array([2, 1])).x.tolist() == [2]
    assert located.of(np.array([1, 0])).person.tolist() == [1, 1]
    assert located.of(np.array([], np.int64)).person.tolist() == []


TABLE = np.full(25 << 16, -1, np.int32)
TABLE[1 << 16 | 200 << 8 | 7] = 42


def at(x, y, box=(10.5, 20.5, 5.9, 4.9)):
    """The vertex that a detection with one labelled pixel, at (2, 1), gives a point."""
    found = np.zeros((3, 4, 5), np.uint8)
    found[:, 1, 2] = 1, 200, 7
    located = ImagePoints(*(np.array([value]) for value in (0, x, y, 1, 9)))
    return find_vertices(np.array([box]), [found], located, TABLE)[0, 0]


@pytest.mark.parametrize(
    ("x", "y", "vertex"),
    [
        (12.5, 21.5, 42),  # the float corner is subtracted, then truncated
        (13.49, 22.49, 42),
        (12.49, 21.5, -1),
        (13.5, 21.5, -1),
        (12.5, 22.5, -1),
        (16.4, 21.5, -1),  # 5.9: beyond the truncated width
    ],
)
def test_pixel_of_a_point(x, y, vertex):
    assert at(x, y) == vertex


def test_truncation_towards_zero():
    """Up to a pixel left of the box or above it, points count as inside."""
    found = np.zeros((3, 4, 5), np.uint8)
    found[:, 0, 0] = 1, 200, 7
    x, y = np.array([10.5, 9.51, 9.5, 10.5]), np.array([19.51, 20.5, 20.5, 19.5])
    located = ImagePoints(np.zeros(4, int), x, y, np.ones(4, int), np.zeros(4, int))
    vertices = find_vertices(np.array([[10.5, 20.5, 5.9, 4.9]]), [found], located, TABLE)
    assert vertices.tolist() == [[42, 42, -1, -1]]


def test_box_without_a_whole_pixel():
    """Its map has one pixel, but no point is inside."""
    found = np.array([1, 200, 7], np.uint8)[:, None, None]
    located = ImagePoints(*(np.array([value]) for value in (0, 10.5, 20.5, 1, 9)))
    assert find_vertices(np.array([[10.5, 20.5, 0.9, 4]]), [found], located, TABLE) == -1


def score(found, located, people=1):
    gps = np.full((len(found), people), 9.0)
    lookups = Lookups(MESH)
    lookups.add(gps, np.array(found), located)
    lookups.settle()
    return gps


def test_mean_over_all_points():
    """A point found exactly, one 0.1 m off, one not at all; scales of torso and hand."""
    zeros = np.zeros(3)
    located = ImagePoints(np.zeros(3, int), zeros, zeros, np.array([1, 1, 3]), np.array([0, 1, 2]))
    far = np.exp(-(0.1**2) / (2 * 0.351**2))
    assert score([[0, 2, -1], [0, 1, 2], [-1, -1, -1]], located).ravel() == pytest.approx(
        [(1 + far) / 3, 1, 0]
    )
    hand = np.exp(-(0.1**2) / (2 * 0.107**2))
    assert score([[-1, -1, 3]], located) == pytest.approx(hand / 3)


def test_people_without_points():
    empty = ImagePoints(*np.zeros((5, 0), int))
    assert score(np.zeros((2, 0), int), empty, people=3).tolist() == [[0, 0, 0], [0, 0, 0]]
    one = ImagePoints(*(np.array([value]) for value in (1, 0, 0, 1, 0)))
    assert score([[0]], one, people=3).tolist() == [[0, 1, 0]]


def test_unreachable_vertices_score_nothing():
    matrix = MatrixGeodesics(np.where(np.eye(4), 0, np.inf))
    gps = np.zeros((1, 1))
    lookups = Lookups(replace(MESH, geodesics=matrix))
    lookups.add(gps, np.array([[1]]), ImagePoints(*(np.array([v]) for v in (0, 0, 0, 1, 0))))
    lookups.settle()
    assert gps == 0


@pytest.mark.parametrize("value", [-0.1, np.nan])
def test_distances_that_are_none(value):
    matrix = MatrixGeodesics(np.full((4, 4), value))
    lookups = Lookups(replace(MESH, geodesics=matrix))
    one = ImagePoints(*(np.array([v]) for v in (0, 0, 0, 1, 0)))
    lookups.add(np.zeros((1, 1)), np.array([[1]]), one)
    with pytest.raises(MeshError, match="must be 0 or more, but there are negative ones or NaN"):
        lookups.settle()
