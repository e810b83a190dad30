"""The models that have names: what each one is, where its weights are, its published figures.

`ZOO` has the released models, which are downloaded; `EMBEDDED` is ours, in the package.

The name of a chart model states its configuration on four axes: the depth of the ResNet, the dense
head (DL: DeepLab), the confidences (WC1: one variance for U and V, WC2: an anisotropic one; M: also
of the segmentations) and whether it has the legacy architecture, that of DensePose-1.

Trained on COCO train2014 + valminusminival2014, evaluated on COCO minival2014; average precisions
(AP) are percentages. Source: the two tables of released models that Detectron2's DensePose has
published. The figures of the DensePose-1 weights, too, were measured by Detectron2, with its legacy
configuration; so that is what these rows use, Detectron2's pixel means included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from iuv.config import (
    BackboneConfig,
    BoxConfig,
    DenseConfig,
    InputConfig,
    ModelConfig,
    RPNConfig,
    UVConfidence,
)

__all__ = [
    "BACKBONE_URLS",
    "EMBEDDED",
    "ZOO",
    "UnknownModelError",
    "ZooModel",
    "get_model",
    "list_models",
]

_RELEASES = "https://dl.fbaipublicfiles.com/densepose"

BACKBONE_URLS: Mapping[int, str] = {
    50: "https://dl.fbaipublicfiles.com/detectron2/ImageNetPretrained/MSRA/R-50.pkl",
    101: "https://dl.fbaipublicfiles.com/detectron2/ImageNetPretrained/MSRA/R-101.pkl",
}
"""Depth of a ResNet → its ImageNet weights, from which training starts."""


class UnknownModelError(ValueError):
    """No model has this name."""


@dataclass(frozen=True, kw_only=True)
class ZooModel:
    """One model with a name. A figure that was not published is None."""

    name: str
    config: ModelConfig
    weights_url: str | None
    """None: the weights are in the package, see `iuv.checkpoint.find_weights`."""
    model_id: str | None = None
    """The publisher's number of the training run."""
    licence: str
    """Of the weights."""
    section: str
    """Heading under which the model was published, or is listed."""
    lr_schedule: str | None = None
    train_s_per_iter: float | None = None
    """Seconds per training iteration of 16 images on 8 GPUs."""
    inference_s_per_image: float | None = None
    """Seconds per image on a GPU."""
    train_memory_gb: float | None = None
    """Per GPU."""
    box_ap: float | None = None
    segm_ap: float | None = None
    dp_ap_gps: float | None = None
    """DensePose AP by geodesic point similarity."""
    dp_ap_gpsm: float | None = None
    """The same by masked GPS, which also counts the mask's overlap."""
    ap: float | None = None
    """DensePose AP as reported for the DensePose-1 weights, here and below: over all thresholds, at
    0.5, at 0.75, of medium and of large people."""
    ap50: float | None = None
    ap75: float | None = None
    ap_m: float | None = None
    ap_l: float | None = None


# The page that links the DensePose-1 weights next to the others puts every model it links under
# this licence. DensePose-1's own model page states none.
_LICENCE = "CC BY-SA 3.0"

# Name, model id, first hex digits of the weights' digest, then the figures: training s/iter,
# inference s/image, training GB, box AP, segm AP, GPS, GPSm.
_ChartRow = tuple[str, str, str, float, float, float, float, float, float, float]
# Name, depth, then the figures: box AP, AP, AP50, AP75, APm, APl.
_DensePose1Row = tuple[str, Literal[50, 101], float, float, float, float, float, float]

# GPSm of the models without mask confidence is from the first of the two published tables; the
# second, which added segm AP, gives a little less for most of them.
# Both tables are laid out by hand, to be read down their columns.
# fmt: off
_CHART_MODELS: Mapping[str, tuple[_ChartRow, ...]] = {
    "Legacy Models": (
        ("R_50_FPN_s1x_legacy",   "164832157", "d366fa", 0.307, 0.051, 3.2, 58.1, 58.2, 52.1, 54.9),
        ("R_101_FPN_s1x_legacy",  "164832182", "10af0e", 0.390, 0.063, 4.3, 59.5, 59.3, 53.2, 56.1),
    ),
    "Improved Baselines, Original Fully Convolutional Head": (
        ("R_50_FPN_s1x",          "165712039", "162be9", 0.359, 0.066, 4.5, 61.2, 67.2, 63.7, 65.3),
        ("R_101_FPN_s1x",         "165712084", "c6ab63", 0.428, 0.079, 5.8, 62.3, 67.8, 64.5, 66.4),
    ),
    "Improved Baselines, DeepLabV3 Head": (
        ("R_50_FPN_DL_s1x",       "165712097", "0ed407", 0.392, 0.070, 6.7, 61.1, 68.3, 65.6, 66.8),
        ("R_101_FPN_DL_s1x",      "165712116", "844d15", 0.478, 0.083, 7.0, 62.3, 68.7, 66.3, 67.7),
    ),
    "Baselines with Confidence Estimation": (
        ("R_50_FPN_WC1_s1x",      "173862049", "289019", 0.353, 0.064, 4.6, 60.5, 67.0, 64.2, 65.6),
        ("R_50_FPN_WC2_s1x",      "173861455", "3abe14", 0.364, 0.066, 4.8, 60.7, 66.9, 64.2, 65.7),
        ("R_50_FPN_DL_WC1_s1x",   "173067973", "b1e525", 0.397, 0.068, 6.7, 61.1, 68.1, 65.8, 67.1),
        ("R_50_FPN_DL_WC2_s1x",   "173859335", "60fed4", 0.410, 0.070, 6.8, 60.8, 67.9, 65.6, 66.7),
        ("R_101_FPN_WC1_s1x",     "171402969", "9e47f0", 0.435, 0.076, 5.7, 62.5, 67.6, 64.9, 66.5),
        ("R_101_FPN_WC2_s1x",     "173860702", "5ea023", 0.450, 0.078, 5.7, 62.3, 67.6, 64.8, 66.6),
        ("R_101_FPN_DL_WC1_s1x",  "173858525", "f359f3", 0.479, 0.081, 7.9, 62.0, 68.4, 66.2, 67.4),
        ("R_101_FPN_DL_WC2_s1x",  "173294801", "6e1ed1", 0.491, 0.082, 7.6, 61.7, 68.3, 65.9, 67.3),
    ),
    "Baselines with Mask Confidence Estimation": (
        ("R_50_FPN_WC1M_s1x",     "217144516", "48a9d9", 0.381, 0.066, 4.8, 60.6, 66.7, 64.0, 65.4),
        ("R_50_FPN_WC2M_s1x",     "216245640", "d79ada", 0.342, 0.068, 5.0, 60.7, 66.9, 64.2, 65.5),
        ("R_50_FPN_DL_WC1M_s1x",  "216245703", "61971e", 0.371, 0.068, 6.0, 60.7, 68.0, 65.2, 66.7),
        ("R_50_FPN_DL_WC2M_s1x",  "216245758", "7bfb43", 0.385, 0.071, 6.1, 60.8, 68.1, 65.0, 66.4),
        ("R_101_FPN_WC1M_s1x",    "216453687", "0a7287", 0.423, 0.079, 5.9, 62.0, 67.3, 64.8, 66.0),
        ("R_101_FPN_WC2M_s1x",    "216245682", "e354d9", 0.436, 0.080, 5.9, 62.5, 67.4, 64.5, 66.0),
        ("R_101_FPN_DL_WC1M_s1x", "216245771", "0ebeb3", 0.453, 0.079, 6.8, 62.0, 68.1, 66.4, 67.1),
        ("R_101_FPN_DL_WC2M_s1x", "216245790", "de6e7a", 0.464, 0.080, 6.9, 61.9, 68.2, 66.1, 67.1),
    ),
}

_DENSEPOSE_1_MODELS: tuple[_DensePose1Row, ...] = (
    ("DensePose_ResNet50_FPN_s1x-e2e",  50,  54.673, 48.894, 84.963, 50.717, 43.132, 50.433),
    ("DensePose_ResNet101_FPN_s1x-e2e", 101, 56.032, 51.088, 86.250, 55.057, 46.542, 52.563),
)
# fmt: on

_CHART_NAME = re.compile(
    r"R_(?P<depth>50|101)_FPN(?P<deeplab>_DL)?(?P<uv>_WC[12])?(?P<segm>M)?_s1x(?P<legacy>_legacy)?"
)
_UV_CONFIDENCE: Mapping[str | None, UVConfidence | None] = {
    None: None,
    "_WC1": "iid_iso",
    "_WC2": "indep_aniso",
}
# The legacy architecture pools from the pyramid itself, at half the size, and tells 14 parts apart.
_LEGACY_DENSE = DenseConfig(decoder=False, pool_size=14, coarse_channels=15)


def _chart_config(name: str) -> ModelConfig:
    """Turn the four axes that a chart model's name states into its configuration."""
    axes = _CHART_NAME.fullmatch(name)
    if axes is None:
        raise ValueError(f"{name!r} is not the name of a chart model")
    backbone = BackboneConfig(depth=101 if axes["depth"] == "101" else 50)
    if axes["legacy"]:
        return ModelConfig(backbone=backbone, dense=_LEGACY_DENSE)
    dense = DenseConfig(
        head="deeplab" if axes["deeplab"] else "conv",
        uv_confidence=_UV_CONFIDENCE[axes["uv"]],
        segm_confidence=axes["segm"] is not None,
    )
    return ModelConfig(backbone=backbone, dense=dense)


def _chart_model(section: str, row: _ChartRow) -> ZooModel:
    name, model_id, digest, train_s, inference_s, memory_gb, box_ap, segm_ap, gps, gpsm = row
    return ZooModel(
        name=name,
        config=_chart_config(name),
        weights_url=f"{_RELEASES}/densepose_rcnn_{name}/{model_id}/model_final_{digest}.pkl",
        model_id=model_id,
        licence=_LICENCE,
        section=section,
        lr_schedule="s1x",
        train_s_per_iter=train_s,
        inference_s_per_image=inference_s,
        train_memory_gb=memory_gb,
        box_ap=box_ap,
        segm_ap=segm_ap,
        dp_ap_gps=gps,
        dp_ap_gpsm=gpsm,
    )


def _densepose_1_model(row: _DensePose1Row) -> ZooModel:
    name, depth, box_ap, ap, ap50, ap75, ap_m, ap_l = row
    return ZooModel(
        name=name,
        config=ModelConfig(
            backbone=BackboneConfig(depth=depth),
            dense=_LEGACY_DENSE,
        ),
        weights_url=f"{_RELEASES}/{name}.pkl",
        licence=_LICENCE,
        section="DensePose-1 Baselines",
        box_ap=box_ap,
        ap=ap,
        ap50=ap50,
        ap75=ap75,
        ap_m=ap_m,
        ap_l=ap_l,
    )


ZOO: tuple[ZooModel, ...] = (
    *(_chart_model(section, row) for section, rows in _CHART_MODELS.items() for row in rows),
    *(_densepose_1_model(row) for row in _DENSEPOSE_1_MODELS),
)
"""Every released model, in the order of publication."""

EMBEDDED = ZooModel(
    name="synth-S",
    config=ModelConfig(
        input=InputConfig(short_side=320, long_side=640),
        backbone=BackboneConfig(
            depth=18, norm="batch_norm", width=32, fpn_channels=96, fpn_norm=True
        ),
        rpn=RPNConfig(anchor_sizes=(16, 32, 64, 128, 256), pre_nms_topk=300, post_nms_topk=300),
        box=BoxConfig(fc_dim=128),
        dense=DenseConfig(pool_size=14, num_convs=4, conv_dim=96, batch_norm=True),
    ),
    weights_url=None,
    licence="Apache-2.0",
    section="Embedded in the Package, Trained on Synthetic People Only",
)
"""The one model that needs no download. It has never seen a photo, nor been scored on COCO;
docs/zoo/synth-S.md has how it was trained and what it scores on synthetic people."""


def list_models() -> list[str]:
    """Return the names of all models that `iuv.load` takes: the released ones, the embedded one."""
    return [model.name for model in (*ZOO, EMBEDDED)]


def get_model(name: str) -> ZooModel:
    """Return the model of this name.

    Upper and lower case are the same, and names may be written as their publishers do, with the
    prefix ``densepose_rcnn_`` or the suffix ``.yaml``.

    Raises:
        UnknownModelError: there is no such model; the message suggests the nearest names.
    """
    models = {_key(model.name): model for model in (*ZOO, EMBEDDED)}
    key = _key(name)
    if key in models:
        return models[key]
    near = [models[k].name for k in get_close_matches(key, models, n=3, cutoff=0.5)]
    hint = f"did you mean {', '.join(near)}?" if near else "`iuv models` lists all"
    raise UnknownModelError(f"unknown model {name!r}; {hint}")


def _key(name: str) -> str:
    key = name.strip().lower().removesuffix(".yaml")
    return key.removeprefix("densepose_rcnn_").removeprefix("densepose_")
