from __future__ import annotations

import pytest
from stub_model import MODELS

import hashing
from iuv.checkpoint import CheckpointError, keys


def test_there_are_22_models():
    assert len(MODELS) == 22


@pytest.mark.parametrize("model", MODELS)
def test_every_released_key_has_one_name_and_comes_back(model):
    released = list(hashing.manifest(model))
    ours = [keys.from_released(key) for key in released]
    assert len(set(ours)) == len(released)
    assert [keys.to_released(name) for name in ours] == released


def test_whole_table_is_one_to_one():
    assert len(keys._RELEASED) == len(keys._OURS)
    assert not set(keys._RELEASED) & set(keys._OURS)


@pytest.mark.parametrize(
    ("ours", "released"),
    [
        ("trunk.resnet.stem.norm.running_var", "backbone.bottom_up.stem.conv1.norm.running_var"),
        ("trunk.resnet.res4.22.conv2.conv.weight", "backbone.bottom_up.res4.22.conv2.weight"),
        ("trunk.fpn.lateral3.bias", "backbone.fpn_lateral3.bias"),
        ("trunk.rpn.deltas.bias", "proposal_generator.rpn_head.anchor_deltas.bias"),
        ("box_head.fc2.weight", "roi_heads.box_head.fc2.weight"),
        ("box_head.cls.weight", "roi_heads.box_predictor.cls_score.weight"),
        ("decoder.p5.2.bias", "roi_heads.decoder.p5.4.bias"),
        ("decoder.project.weight", "roi_heads.decoder.predictor.weight"),
        ("dense.head.convs.7.norm.bias", "roi_heads.densepose_head.body_conv_fcn8.norm.bias"),
        ("dense.head.aspp.pooled.norm.bias", "roi_heads.densepose_head.ASPP.convs.4.2.bias"),
        ("dense.head.attention.query.bias", "roi_heads.densepose_head.NLBlock.theta.bias"),
        ("dense.head.attention.value.bias", "roi_heads.densepose_head.NLBlock.g.0.bias"),
        ("dense.head.attention.key.weight", "roi_heads.densepose_head.NLBlock.phi.0.weight"),
        ("dense.head.attention.project.bias", "roi_heads.densepose_head.NLBlock.W.0.bias"),
        ("dense.head.attention.norm.weight", "roi_heads.densepose_head.NLBlock.W.1.weight"),
        ("dense.chart.fine_segm.weight", "roi_heads.densepose_predictor.index_uv_lowres.weight"),
    ],
)
def test_examples(ours, released):
    assert keys.to_released(ours) == released
    assert keys.from_released(released) == ours


def test_unknown_names_are_named():
    with pytest.raises(CheckpointError, match=r"'trunk\.resnet\.res4\.23\.conv1\.conv\.weight'"):
        keys.to_released("trunk.resnet.res4.23.conv1.conv.weight")
    with pytest.raises(CheckpointError, match=r"'roi_heads\.mask_head\.weight'"):
        keys.from_released("roi_heads.mask_head.weight")
