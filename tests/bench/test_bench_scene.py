"""What measurements look at: people in a row, a photo, made-up weights."""

from __future__ import annotations

import pytest
import torch

from iuv.bench.scene import default_size, people_in_a_row, write_photo
from iuv.bench.weights import write_made_up_weights
from iuv.checkpoint import load_weights
from iuv.images import read_image
from iuv.modeling.rcnn import RCNN
from iuv.zoo import EMBEDDED, get_model
from tiny import TINY


def test_people_are_those_of_the_published_figures():
    boxes = people_in_a_row(5, (717, 1333))
    assert boxes[0].tolist() == [0, 100, 240, 580]
    assert boxes[-1].tolist() == [1093, 100, 1333, 580]


@pytest.mark.parametrize("size", [(480, 640), (64, 128), (1333, 300), (32, 32)])
def test_people_are_inside_any_input_and_as_many_as_wanted(size):
    boxes = people_in_a_row(50, size)
    assert boxes.shape == (50, 4)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= torch.tensor([size[1], size[0]])).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_the_photo_is_smaller_than_the_input_that_is_made_of_it(tmp_path, photo):
    size = default_size(get_model("R_50_FPN_s1x").config.input)
    assert size == (717, 1333)
    write_photo(tmp_path / "made.jpg", size)
    assert read_image(tmp_path / "made.jpg").shape == (600, 1116, 3)
    assert default_size(TINY.input, photo) == (64, 85)


def test_made_up_weights_are_the_same_again_and_stay_within_16_bits(tmp_path):
    paths = [tmp_path / f"{name}.safetensors" for name in "ab"]
    for path in paths:
        write_made_up_weights(EMBEDDED.config, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    model = RCNN(EMBEDDED.config).eval()
    load_weights(model, paths[0])
    with torch.inference_mode():
        features, logits, _ = model.trunk((torch.rand(1, 3, 64, 64) - 0.5) * 300)
        charts = model.dense(model.pool_people(features, [torch.tensor([[0.0, 0, 60, 60]])]))
        scores, _ = model.box_head(torch.randn(9, 96, 7, 7))
    for maps in (*features, *logits, *charts[:4]):
        assert 1e-4 < maps.abs().max() < 6e4
    assert (scores.argmax(1) == 1).all()  # background
    for segmentation, most in ((charts.fine_segm, 0.3), (charts.coarse_segm, 0.15)):
        labels = segmentation[0].argmax(0)
        assert 0 < (labels[:, 1:] != labels[:, :-1]).float().mean() < most  # noise: 0.46, 0.23
