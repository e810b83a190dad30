from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from stub_model import our_shapes, stub_model

import hashing
from iuv.checkpoint import (
    CheckpointError,
    guess_model_name,
    load_backbone,
    load_weights,
    read_state,
)
from iuv.checkpoint.caffe2 import from_caffe2
from iuv.checkpoint.keys import to_released


def rows(depth):
    """(blob, its shape, released key or None, its shape) of a DensePose-1 model."""
    lines = (hashing.GOLDEN / f"caffe2_blobs_{depth}.tsv").read_text().splitlines()[1:]
    for blob, shape, key, key_shape, *_ in (line.split("\t") for line in lines):
        matched = not key.startswith("(unmatched")
        yield blob, size(shape), key if matched else None, size(key_shape) if matched else None


def size(text):
    return tuple(map(int, text.split("x")))


def blobs(depth, limit=4):
    """Numbered stand-ins of a DensePose-1 file, small except for what is cut or turned."""
    rng = np.random.default_rng(0)
    for blob, shape, _, _ in rows(depth):
        keep = blob.startswith(("bbox_pred", "AnnIndex", "Index_UV", "U_", "V_"))
        small = tuple(d if keep and d < 30 else min(d, limit) for d in shape)
        yield blob, rng.standard_normal(small).astype(np.float32)


@pytest.mark.parametrize("depth", [50, 101])
def test_every_blob_gets_the_name_and_shape_it_had_in_the_reference(depth):
    weightless = {blob: torch.zeros(()).expand(shape) for blob, shape, _, _ in rows(depth)}
    state = from_caffe2(weightless)
    expected = {key: shape for _, _, key, shape in rows(depth) if key}
    stats = ("running_mean", "running_var")
    named = {to_released(name): tuple(t.shape) for name, t in state.items()}
    assert {k: s for k, s in named.items() if not k.endswith(stats)} == expected
    assert named == hashing.manifest(f"R_{depth}_FPN_s1x_legacy")


def test_values(tmp_path):
    source = dict(blobs(50))
    momenta = {f"{blob}_momentum": array for blob, array in source.items()}
    path = tmp_path / "any.name"
    # Protocol 2 is what Python 2 wrote.
    path.write_bytes(pickle.dumps({"blobs": source | momenta, "cfg": "MODEL: {}\n"}, 2))
    state = read_state(path)

    def same(name, array):
        np.testing.assert_array_equal(state[name].numpy(), array)

    same("box_head.deltas.weight", source["bbox_pred_w"][4:])
    same("box_head.deltas.bias", source["bbox_pred_b"][4:])
    same("box_head.cls.weight", source["cls_score_w"][[1, 0]])
    same("box_head.cls.bias", source["cls_score_b"][[1, 0]])
    same("dense.chart.coarse_segm.weight", source["AnnIndex_lowres_w"])
    same("trunk.resnet.res3.1.conv2.norm.weight", source["res3_1_branch2b_bn_s"])
    same("trunk.resnet.res3.1.conv2.norm.bias", source["res3_1_branch2b_bn_b"])
    same("trunk.resnet.res3.1.conv2.norm.running_mean", np.zeros(4))
    same("trunk.resnet.res3.1.conv2.norm.running_var", np.ones(4))
    assert state.keys() == our_shapes("R_50_FPN_s1x_legacy").keys()
    assert guess_model_name(state) == "R_50_FPN_s1x_legacy"


def test_loads_into_the_legacy_model_only(tmp_path):
    path = tmp_path / "DensePose_ResNet101_FPN_s1x-e2e.pkl"
    path.write_bytes(pickle.dumps({"blobs": dict(blobs(101))}, 2))
    shapes = {name: tuple(t.shape) for name, t in read_state(path).items()}
    model = stub_model(shapes)
    load_weights(model, path)
    assert model.get_buffer("trunk.resnet.stem.norm.running_var").eq(1).all()
    other = stub_model(our_shapes("R_50_FPN_s1x", limit=4))
    with pytest.raises(CheckpointError, match="try --model R_101_FPN_s1x_legacy"):
        load_weights(other, path)


STATISTICS = ("weight", "bias", "running_mean", "running_var")
MSRA = {
    "conv1_w": (4, 3, 7, 7),
    **{f"res_conv1_bn_{s}": (4,) for s in ("gamma", "beta", "running_mean", "running_var")},
    "res2_0_branch1_w": (8, 4, 1, 1),
    **{f"res2_0_branch1_bn_{s}": (8,) for s in ("gamma", "beta", "running_mean", "running_var")},
    "res2_0_branch2a_w": (4, 4, 1, 1),
    **{f"res2_0_branch2a_bn_{s}": (4,) for s in ("gamma", "beta", "running_mean", "running_var")},
    "fc1000_w": (1000, 8),
    "fc1000_b": (1000,),
    "pred_w": (1000, 8),
    "conv1_b": (4,),
}


@pytest.fixture
def msra(tmp_path):
    rng = np.random.default_rng(1)
    source = {blob: rng.standard_normal(shape).astype("f4") for blob, shape in MSRA.items()}
    path = tmp_path / "R-50.pkl"
    data = {"model": source, "__author__": "Caffe2", "matching_heuristics": True}
    path.write_bytes(pickle.dumps(data))
    return path, source


RESNET = {
    "stem.conv.weight": (4, 3, 7, 7),
    **{f"stem.norm.{s}": (4,) for s in STATISTICS},
    "res2.0.shortcut.conv.weight": (8, 4, 1, 1),
    **{f"res2.0.shortcut.norm.{s}": (8,) for s in STATISTICS},
    "res2.0.conv1.conv.weight": (4, 4, 1, 1),
    **{f"res2.0.conv1.norm.{s}": (4,) for s in STATISTICS},
}


def test_imagenet_backbone(msra):
    path, source = msra
    resnet = stub_model(RESNET)
    load_backbone(resnet, path)
    state = resnet.state_dict()
    np.testing.assert_array_equal(state["stem.norm.weight"], source["res_conv1_bn_gamma"])
    np.testing.assert_array_equal(
        state["stem.norm.running_var"], source["res_conv1_bn_running_var"]
    )
    np.testing.assert_array_equal(state["res2.0.conv1.conv.weight"], source["res2_0_branch2a_w"])
    np.testing.assert_array_equal(
        state["res2.0.shortcut.norm.running_mean"], source["res2_0_branch1_bn_running_mean"]
    )


def test_backbone_must_fit(msra):
    deeper = stub_model({**RESNET, "res2.1.conv1.conv.weight": (4, 8, 1, 1)})
    with pytest.raises(CheckpointError, match=r"missing: 1: res2\.1\.conv1\.conv\.weight"):
        load_backbone(deeper, msra[0])


def test_a_backbone_is_no_model(msra):
    model = stub_model(our_shapes("R_50_FPN_s1x", limit=4))
    with pytest.raises(CheckpointError, match="this is a backbone alone"):
        load_weights(model, msra[0])


def test_unknown_blobs_are_named(tmp_path, msra):
    path = tmp_path / "keypoints.pkl"
    extra = {"kps_score_lowres_w": np.zeros((2, 2), "f4")}
    path.write_bytes(pickle.dumps({"blobs": msra[1] | extra}, 2))
    with pytest.raises(CheckpointError, match="unexpected: 1: kps_score_lowres_w"):
        load_weights(stub_model({f"trunk.resnet.{k}": s for k, s in RESNET.items()}), path)


def test_bare_blobs(tmp_path, msra):
    path = tmp_path / "R-50-bare.pkl"
    path.write_bytes(pickle.dumps(msra[1], 2))
    resnet = stub_model(RESNET)
    load_backbone(resnet, path)
    np.testing.assert_array_equal(resnet.state_dict()["stem.conv.weight"], msra[1]["conv1_w"])
