"""A prediction in three parts, `Predictor.look`, `find` and `charts_at`, is the same prediction."""

import numpy as np
import pytest
import torch

from iuv.decode import decode_people
from iuv.images import read_image


def test_three_parts_make_the_whole(tiny, photo):
    whole = tiny(photo)
    look = tiny.look(photo)
    found = tiny.find(look)
    assert look.image_size == (60, 80)
    people = decode_people(tiny.charts_at(look, found.boxes), *found, look.image_size)
    assert len(people) == len(whole) > 1
    np.testing.assert_allclose(people.boxes_xyxy, whole.boxes_xyxy, atol=1e-4)
    np.testing.assert_allclose(people.scores, whole.scores, atol=1e-6)
    same = people.iuv() == whole.iuv()  # boxes went to the photo and back: float rounding
    assert same.mean() > 0.995


def test_people_at_given_boxes(tiny, photo):
    """Boxes from elsewhere, without looking for people."""
    look = tiny.look(read_image(photo)[..., ::-1], channel_order="bgr")
    boxes = torch.tensor([[10.0, 5.0, 50.0, 55.0]])
    charts = tiny.charts_at(look, boxes)
    (person,) = decode_people(charts, boxes, torch.ones(1), torch.zeros(1).long(), look.image_size)
    assert person.box_xywh == (10, 5, 40, 50)
    assert person.labels.any()
    (again,) = decode_people(
        tiny.charts_at(tiny.look(photo), boxes),
        boxes,
        torch.ones(1),
        torch.zeros(1).long(),
        (60, 80),
    )
    np.testing.assert_array_equal(person.labels, again.labels)
    assert len(tiny.charts_at(look, boxes[:0]).u) == 0


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_many_looks_are_those_of_each(tiny, batch_size):
    noise = np.random.default_rng(0).integers(0, 256, (5, 64, 99, 3), dtype=np.uint8)
    images = [image[:, : (99, 97, 64)[i % 3]] for i, image in enumerate(noise)]
    for image, look in zip(images, tiny.looks(images, batch_size=batch_size), strict=True):
        alone = tiny.look(image)
        assert (look.image_size, look.size) == (alone.image_size, alone.size)
        for one, other in zip(look.outputs, alone.outputs, strict=True):
            for a, b in zip(one, other, strict=True):
                torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
        np.testing.assert_allclose(tiny.find(look).boxes, tiny.find(alone).boxes, atol=1e-2)
