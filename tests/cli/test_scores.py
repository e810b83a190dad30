"""How scores read."""

from __future__ import annotations

import math

import pytest

from iuv.cli.scores import find_published, plain_scores, print_scores


def document(scores, published=None, *, data="densepose_coco_2014_minival", scored="mine"):
    return {
        "data": data,
        "images": 3,
        "scored": scored,
        "scores": scores,
        "published": published,
    }


def rows(capsys):
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_undefined_is_none():
    given = {"bbox": {"AP": math.nan, "AP50": 0.0}, "densepose_gps": {"AP": -100.0, "AR": -1.0}}
    assert plain_scores(given) == {
        "bbox": {"AP": None, "AP50": 0.0},
        "densepose_gps": {"AP": None, "AR": None},
    }


def test_zero_undefined_not_scored_and_not_there_are_told_apart(capsys):
    print_scores(document({"bbox": {"AP": 0.0, "APs": None}, "densepose_gps": {"AP": 12.25}}))
    lines = rows(capsys)
    assert ["mine", "0.00", "-", "12.25", "-"] in lines
    assert ["bbox", "0.00", "-"] in lines
    assert ["gps", "12.25"] in lines  # GPS has no APs


def test_the_published_row(capsys):
    print_scores(document({}, find_published("R_50_FPN_s1x")))
    assert ["published", "61.2", "67.2", "63.7", "65.3"] in rows(capsys)
    print_scores(document({}, find_published("R_50_FPN_s1x"), data="mine"))
    assert "The published figures are for densepose_coco_2014_minival." in capsys.readouterr().out
    assert find_published("my_model.safetensors") is None
    assert find_published("synth-S") is None


def test_classes_have_a_table_of_their_own(capsys):
    names = [f"class{k}" for k in range(80)]
    scores = {"bbox": {"AP": 1.0, **{f"AP-{name}": 2.0 for name in names}}}
    scores["densepose_gps"] = {"AP": 3.0, **{f"AP-{name}": None for name in names}}
    print_scores(document(scores))
    lines = rows(capsys)
    assert ["AP", "bbox", "gps"] in lines
    for name in names:
        assert [name, "2.00", "-"] in lines


@pytest.mark.parametrize("length", [10, 95, 300])
def test_long_names_cost_no_figure(capsys, length):
    print_scores(document({"bbox": {"AP": 61.25}}, scored="x" * length))
    out = capsys.readouterr().out
    assert "61.25" in out
    assert out.count("x") >= length
