from __future__ import annotations

import json
import re

import pytest

from hashing import GOLDEN, manifest
from iuv.config import DenseConfig, ModelConfig
from iuv.zoo import BACKBONE_URLS, EMBEDDED, ZOO, UnknownModelError, get_model, list_models

PUBLISHED = json.loads((GOLDEN / "zoo.json").read_text())
CHARTS = {model["name"]: model for model in PUBLISHED["models"]}
DENSEPOSE_1 = {model["name"]: model for model in PUBLISHED["densepose1_baselines"]}
MASKS = {
    # name: model id, file, s/iter, s/im, GB, box AP, segm AP, GPS, GPSm
    "R_50_FPN_WC1M_s1x": "217144516 model_final_48a9d9.pkl 0.381 0.066 4.8 60.6 66.7 64.0 65.4",
    "R_101_FPN_WC1M_s1x": "216453687 model_final_0a7287.pkl 0.423 0.079 5.9 62.0 67.3 64.8 66.0",
    "R_50_FPN_WC2M_s1x": "216245640 model_final_d79ada.pkl 0.342 0.068 5.0 60.7 66.9 64.2 65.5",
    "R_101_FPN_WC2M_s1x": "216245682 model_final_e354d9.pkl 0.436 0.080 5.9 62.5 67.4 64.5 66.0",
    "R_50_FPN_DL_WC1M_s1x": "216245703 model_final_61971e.pkl 0.371 0.068 6.0 60.7 68.0 65.2 66.7",
    "R_101_FPN_DL_WC1M_s1x": "216245771 model_final_0ebeb3.pkl 0.453 0.079 6.8 62.0 68.1 66.4 67.1",
    "R_50_FPN_DL_WC2M_s1x": "216245758 model_final_7bfb43.pkl 0.385 0.071 6.1 60.8 68.1 65.0 66.4",
    "R_101_FPN_DL_WC2M_s1x": "216245790 model_final_de6e7a.pkl 0.464 0.080 6.9 61.9 68.2 66.1 67.1",
}
SEGM_AP = {
    "R_50_FPN_s1x_legacy": 58.2,
    "R_101_FPN_s1x_legacy": 59.3,
    "R_50_FPN_s1x": 67.2,
    "R_101_FPN_s1x": 67.8,
    "R_50_FPN_DL_s1x": 68.3,
    "R_101_FPN_DL_s1x": 68.7,
    "R_50_FPN_WC1_s1x": 67.0,
    "R_101_FPN_WC1_s1x": 67.6,
    "R_50_FPN_WC2_s1x": 66.9,
    "R_101_FPN_WC2_s1x": 67.6,
    "R_50_FPN_DL_WC1_s1x": 68.1,
    "R_101_FPN_DL_WC1_s1x": 68.4,
    "R_50_FPN_DL_WC2_s1x": 67.9,
    "R_101_FPN_DL_WC2_s1x": 68.3,
}
FIGURES = (
    "train_s_per_iter",
    "inference_s_per_image",
    "train_memory_gb",
    "box_ap",
    "dp_ap_gps",
    "dp_ap_gpsm",
)
DENSEPOSE_1_FIGURES = ("box_ap", "ap", "ap50", "ap75", "ap_m", "ap_l")


def test_every_released_model_has_one_row():
    assert sorted(model.name for model in ZOO) == sorted([*CHARTS, *MASKS, *DENSEPOSE_1])
    assert len(ZOO) == 14 + 8 + 2
    assert list_models() == [*(model.name for model in ZOO), "synth-S"]


def test_the_embedded_model_has_no_published_figures():
    given = {name for name, value in vars(EMBEDDED).items() if value is not None}
    assert given == {"name", "config", "licence", "section"}


@pytest.mark.parametrize("name", CHARTS)
def test_chart_rows_are_as_published(name):
    ours, published = get_model(name), CHARTS[name]
    assert {figure: getattr(ours, figure) for figure in FIGURES} == {
        figure: published[figure] for figure in FIGURES
    }
    assert ours.lr_schedule == published["lr_sched"]
    assert ours.model_id == published["model_id"]
    assert ours.weights_url == published["weights_url"]
    assert ours.licence == PUBLISHED["license"]
    assert ours.section == published["section"].replace("Haad", "Head")
    assert ours.segm_ap == SEGM_AP[name]
    assert {getattr(ours, figure) for figure in DENSEPOSE_1_FIGURES[1:]} == {None}


@pytest.mark.parametrize("name", MASKS)
def test_mask_confidence_rows_are_as_published(name):
    ours = get_model(name)
    model_id, file, *figures = MASKS[name].split()
    assert ours.model_id == model_id
    assert ours.weights_url == (
        f"https://dl.fbaipublicfiles.com/densepose/densepose_rcnn_{name}/{model_id}/{file}"
    )
    names = (*FIGURES[:4], "segm_ap", *FIGURES[4:])
    assert [getattr(ours, figure) for figure in names] == list(map(float, figures))
    assert (ours.lr_schedule, ours.licence) == ("s1x", "CC BY-SA 3.0")


@pytest.mark.parametrize("name", DENSEPOSE_1)
def test_densepose_1_rows_are_as_published(name):
    ours, published = get_model(name), DENSEPOSE_1[name]
    for figure in DENSEPOSE_1_FIGURES:
        assert getattr(ours, figure) == published[figure]
    assert ours.weights_url == published["weights_url"]
    assert ours.licence == PUBLISHED["license"]
    assert (ours.model_id, ours.lr_schedule, ours.dp_ap_gps, ours.segm_ap) == (None,) * 4


@pytest.mark.parametrize(
    ("name", "legacy"),
    [
        ("DensePose_ResNet50_FPN_s1x-e2e", "R_50_FPN_s1x_legacy"),
        ("DensePose_ResNet101_FPN_s1x-e2e", "R_101_FPN_s1x_legacy"),
    ],
)
def test_densepose_1_has_the_legacy_architecture(name, legacy):
    assert get_model(name).config == get_model(legacy).config


@pytest.mark.parametrize("name", [*CHARTS, *MASKS])
def test_configs_agree_with_the_released_parameters(name):
    dense, keys = get_model(name).config.dense, manifest(name)
    predictor = "roi_heads.densepose_predictor."
    depth = 101 if "backbone.bottom_up.res4.22.conv1.weight" in keys else 50
    assert get_model(name).config.backbone.depth == depth
    assert dense.coarse_channels == keys[f"{predictor}ann_index_lowres.weight"][1]
    assert dense.decoder == any(key.startswith("roi_heads.decoder.") for key in keys)
    assert (dense.head == "deeplab") == any(".ASPP." in key for key in keys)
    uv = {
        (False, False): None,
        (True, False): "iid_iso",
        (True, True): "indep_aniso",
    }[f"{predictor}sigma_2_lowres.weight" in keys, f"{predictor}kappa_u_lowres.weight" in keys]
    assert dense.uv_confidence == uv
    assert dense.segm_confidence == (f"{predictor}fine_segm_confidence_lowres.weight" in keys)


def test_default_config_is_the_plain_model():
    assert get_model("R_50_FPN_s1x").config == ModelConfig()
    assert get_model("R_101_FPN_s1x_legacy").config.dense == DenseConfig(
        decoder=False, pool_size=14, coarse_channels=15
    )


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("densepose_rcnn_R_50_FPN_s1x", "R_50_FPN_s1x"),
        ("densepose_rcnn_R_101_FPN_DL_WC2M_s1x.yaml", "R_101_FPN_DL_WC2M_s1x"),
        ("r_50_fpn_s1x_LEGACY", "R_50_FPN_s1x_legacy"),
        (" R_50_FPN_DL_s1x.yaml ", "R_50_FPN_DL_s1x"),
        ("SYNTH-s", "synth-S"),
        ("ResNet50_FPN_s1x-e2e", "DensePose_ResNet50_FPN_s1x-e2e"),
        ("densepose_resnet101_fpn_s1x-e2e", "DensePose_ResNet101_FPN_s1x-e2e"),
    ],
)
def test_names_may_be_written_as_published(written, name):
    assert get_model(written).name == name


def test_a_near_miss_suggests_the_right_names():
    with pytest.raises(UnknownModelError) as error:
        get_model("R_50_FPN_WC1M")
    assert str(error.value).startswith(
        "unknown model 'R_50_FPN_WC1M'; did you mean R_50_FPN_WC1M_s1x, "
    )
    with pytest.raises(UnknownModelError, match=r"did you mean .*R_101_FPN_DL_s1x"):
        get_model("densepose_rcnn_R101_FPN_DL_s1x.yaml")


def test_a_name_like_no_other_points_at_the_list():
    with pytest.raises(UnknownModelError, match=r"^unknown model 'yolo'; `iuv models` lists all$"):
        get_model("yolo")


def test_backbones():
    assert set(BACKBONE_URLS) == {model.config.backbone.depth for model in ZOO}
    for depth, url in BACKBONE_URLS.items():
        assert re.fullmatch(rf"https://\S+/ImageNetPretrained/MSRA/R-{depth}\.pkl", url)
