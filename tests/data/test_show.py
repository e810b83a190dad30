from __future__ import annotations

import numpy as np
import pytest

from golden_data import ANNOTATIONS
from iuv.bodyparts import PART_TO_MASK
from iuv.data.datasets import load_dataset
from iuv.data.records import Annotation, DataError, ImageRecord, Points
from iuv.data.show import KINDS, draw_annotations
from iuv.images import read_image
from iuv.visualize.colors import PART_COLORS, colorize

BOX = (100.0, 50.0, 256.0, 128.0)
SIZE = (300, 400)


def points(*rows):
    x, y, labels, u, v = np.array(rows, dtype=float).T
    return Points(x=x, y=y, labels=labels.astype(int), u=u, v=v)


def draw(kind, *people, grey=100):
    image = np.full((*SIZE, 3), grey, np.uint8)
    height, width = SIZE
    record = ImageRecord(id=1, path="a.png", height=height, width=width, annotations=people)
    return draw_annotations(image, record, kind)


def person(box=BOX, **fields):
    return Annotation(id=1, category=0, box_xywh=box, area=1.0, **fields)


TWO = points((10, 20, 5, 0.0, 1.0), (200, 100, 24, 1.0, 0.5))


@pytest.mark.parametrize(
    ("kind", "colors"),
    [
        ("points_i", PART_COLORS[[5, 24]]),
        ("points_u", colorize(np.array([[0, 255]], np.uint8), "parula")[0]),
        ("points_v", colorize(np.array([[255, 128]], np.uint8), "parula")[0]),
    ],
)
def test_points_are_where_they_belong(kind, colors):
    picture = draw(kind, person(points=TWO))
    for (x, y), color in zip([(110, 60), (300, 100)], colors, strict=True):
        # A place on the edge of two pixels belongs to both.
        assert np.array_equal(picture[y - 1 : y + 1, x - 1 : x + 1], np.tile(color, (2, 2, 1)))
    changed = (picture != 100).any(axis=2)
    _, xs = np.nonzero(changed)
    assert xs.min() > 103
    assert xs.max() < 307
    assert 50 < changed.sum() < 160
    spread = np.unique(picture[changed], axis=0)
    assert len(spread) > 6  # smooth edges


def test_boxes():
    plain, crowd = person(), person(is_crowd=True)
    colors = [draw("boxes", one)[60, 100] for one in (person(points=TWO), plain, crowd)]
    assert [int(color.argmax()) for color in colors] == [1, 0, 0]  # green, yellow, red
    assert colors[1][1] > 130 > colors[2][1]
    picture = draw("boxes", plain)
    ys, xs = np.nonzero((picture != 100).any(axis=2))
    edges = np.array([xs.min(), xs.max(), ys.min(), ys.max()])
    assert np.abs(edges - [100, 355, 50, 177]).max() <= 3  # half a line
    assert (picture[100, 200] == 100).all()


def test_part_masks_cover_their_part_of_the_box():
    counts = [64 * 256, 128 * 256, 64 * 256]  # the middle half, from left to right
    mask = {"size": [256, 256], "counts": counts}
    picture = draw("parts", person(part_masks=(None, None, mask)))
    ys, xs = np.nonzero((picture != 100).any(axis=2))
    edges = np.array([xs.min(), xs.max(), ys.min(), ys.max()])
    assert np.abs(edges - [164, 291, 50, 177]).max() <= 2
    inside = picture[60:170, 170:285].reshape(-1, 3)
    assert (inside == inside[0]).all()
    expected = 0.3 * 100 + 0.7 * PART_COLORS[PART_TO_MASK.index(3)]
    assert np.abs(inside[0] - expected).max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_odd_annotations_are_no_errors(kind):
    mask = {"size": [256, 256], "counts": [0, 65536]}
    boxes = [(0, 0, 0, 0), (-1e9, 0, 3e9, 4), (390, 290, 50, 50), (1e7, 1e7, 1, 1), (5, 5, 0.4, 90)]
    everybody = [person(box, points=TWO, part_masks=mask) for box in boxes]
    picture = draw(kind, person(), *everybody)
    assert picture.shape == (*SIZE, 3)


def test_kinds_are_drawn_in_order():
    one = person(points=TWO, part_masks={"size": [256, 256], "counts": [0, 65536]})
    below, above = draw("points_i+parts", one), draw("parts+points_i", one)
    assert (above[60, 110] == PART_COLORS[5]).all()
    assert (below[60, 110] != PART_COLORS[5]).any()


def test_the_golden_images_can_be_drawn():
    for record in load_dataset(ANNOTATIONS).images:
        image = read_image(record.path)
        before = image.copy()
        drawn = draw_annotations(image, record, "+".join(KINDS))
        assert (drawn.shape, drawn.dtype) == (image.shape, np.uint8)
        assert np.array_equal(image, before)


def test_errors():
    with pytest.raises(DataError, match="unknown drawing 'masks'; the kinds are boxes, points_i"):
        draw("boxes+masks")
    record = ImageRecord(id=1, path="a.png", height=9, width=8)
    image = np.zeros((8, 9, 3), np.uint8)
    with pytest.raises(DataError, match=r"a.png: the annotations expect 8 x 9 pixels .* got 9 x 8"):
        draw_annotations(image, record)
