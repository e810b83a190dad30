"""Detectron2's settings, in literal tables: what `iuv.detectron2_yaml` does with each of them.

A setting becomes a field of ours (`FIELDS`), or it must have the one value that our networks
implement (`FIXED`), or it only matters elsewhere (`ELSEWHERE`). There is no fourth kind: what is in
no table is refused, since a model that silently differs from what its file says is worse than none.
Some of those elsewhere matter to training: they have tables of their own, which predictions do not
look at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from iuv.config import ConfigError

__all__ = [
    "BASE",
    "ELSEWHERE",
    "FIELDS",
    "FIXED",
    "FIXED_DEFAULTS",
    "HEAD_NAMES",
    "TRAINING_BASE",
    "TRAINING_FIELDS",
    "TRAINING_FIXED",
    "Field",
]

_DENSE = "MODEL.ROI_DENSEPOSE_HEAD"
_RES2_TO_5 = ["res2", "res3", "res4", "res5"]
_P2_TO_5 = ["p2", "p3", "p4", "p5"]
_POOLERS = {"ROIAlign": False, "ROIAlignV2": True}
_HEADS = {"DensePoseV1ConvXHead": "conv", "DensePoseDeepLabHead": "deeplab"}
_PREDICTORS = {"DensePoseChartWithConfidencePredictor": True, "DensePoseChartPredictor": False}
_SWITCH = {False: False, True: True}
_FLIPS = {"horizontal": 0.5, "none": 0.0}
_SCHEDULES = {"WarmupMultiStepLR": "steps", "WarmupCosineLR": "cosine"}

HEAD_NAMES: Mapping[str, str] = {ours: theirs for theirs, ours in _HEADS.items()}
"""Our name of a dense head → Detectron2's."""


def _same(value: Any) -> Any:
    return value


def _one_of(choices: Mapping[Any, Any]) -> Callable[[Any], Any]:
    """Return a converter that looks a value up among literal choices."""

    def convert(value: Any) -> Any:
        for name, ours in choices.items():
            if name == value:
                return ours
        supported = " or ".join(map(repr, choices))
        raise ConfigError(f"is {value!r}; supported: {supported}")

    return convert


def _sizes(value: Any) -> Any:
    """One anchor size per level, written as a list of one-element lists."""
    if isinstance(value, list) and all(isinstance(v, list) and len(v) == 1 for v in value):
        return [level[0] for level in value]
    raise ConfigError(f"is {value!r}; supported: one size per level, such as [[32], [64], ...]")


def _ratios(value: Any) -> Any:
    """The same aspect ratios on all levels, written once or once per level."""
    if isinstance(value, list) and value and all(level == value[0] for level in value):
        return value[0]
    raise ConfigError(f"is {value!r}; supported: the same ratios on all levels: [[0.5, 1.0, 2.0]]")


def _listed(value: Any) -> Any:
    """A number is as good as a list of one."""
    return value if isinstance(value, list) else [value]


def _only(value: Any) -> Any:
    """A list of one threshold."""
    if isinstance(value, list) and len(value) == 1:
        return value[0]
    raise ConfigError(f"is {value!r}; supported: one threshold, such as [0.5]")


class Field(NamedTuple):
    """A setting that becomes a field."""

    default: Any
    """Detectron2's."""
    field: str
    """Dotted field of `ModelConfig` or `TrainingConfig`; without a dot: what `iuv.detectron2_yaml`
    weighs itself."""
    convert: Callable[[Any], Any] = _same
    """Raises ConfigError with the rest of a sentence that begins with the key."""


FIELDS: Mapping[str, Field] = {
    "INPUT.MIN_SIZE_TEST": Field(800, "input.short_side"),
    "INPUT.MAX_SIZE_TEST": Field(1333, "input.long_side"),
    "MODEL.PIXEL_MEAN": Field([103.530, 116.280, 123.675], "input.pixel_mean_bgr"),
    "MODEL.PIXEL_STD": Field([1.0, 1.0, 1.0], "input.pixel_std_bgr"),
    "MODEL.RESNETS.DEPTH": Field(50, "backbone.depth"),
    "MODEL.RESNETS.RES2_OUT_CHANNELS": Field(256, "res2_channels"),
    "MODEL.FPN.OUT_CHANNELS": Field(256, "backbone.fpn_channels"),
    f"{_DENSE}.DECODER_CONV_DIMS": Field(256, "decoder_width"),
    f"{_DENSE}.DECODER_NUM_CLASSES": Field(256, "decoder_channels"),
    "MODEL.ANCHOR_GENERATOR.SIZES": Field([[32, 64, 128, 256, 512]], "rpn.anchor_sizes", _sizes),
    "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": Field([[0.5, 1.0, 2.0]], "rpn.aspect_ratios", _ratios),
    "MODEL.RPN.PRE_NMS_TOPK_TEST": Field(6000, "rpn.pre_nms_topk"),
    "MODEL.RPN.POST_NMS_TOPK_TEST": Field(1000, "rpn.post_nms_topk"),
    "MODEL.RPN.NMS_THRESH": Field(0.7, "rpn.nms_iou"),
    "MODEL.ROI_HEADS.NUM_CLASSES": Field(80, "box.num_classes"),
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": Field(0.05, "box.min_score"),
    "MODEL.ROI_HEADS.NMS_THRESH_TEST": Field(0.5, "box.nms_iou"),
    "MODEL.ROI_BOX_HEAD.FC_DIM": Field(1024, "box.fc_dim"),
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": Field(14, "box.pool_size"),
    "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": Field(0, "box.sampling_ratio"),
    "MODEL.ROI_BOX_HEAD.POOLER_TYPE": Field("ROIAlignV2", "box.aligned", _one_of(_POOLERS)),
    "TEST.DETECTIONS_PER_IMAGE": Field(100, "box.max_people"),
    f"{_DENSE}.NAME": Field("", "dense.head", _one_of(_HEADS)),
    f"{_DENSE}.DECODER_ON": Field(True, "dense.decoder"),
    f"{_DENSE}.POOLER_RESOLUTION": Field(28, "dense.pool_size"),
    f"{_DENSE}.POOLER_SAMPLING_RATIO": Field(2, "dense.sampling_ratio"),
    f"{_DENSE}.POOLER_TYPE": Field("ROIAlignV2", "dense.aligned", _one_of(_POOLERS)),
    f"{_DENSE}.NUM_STACKED_CONVS": Field(8, "dense.num_convs"),
    f"{_DENSE}.CONV_HEAD_DIM": Field(512, "dense.conv_dim"),
    f"{_DENSE}.DEEPLAB.NORM": Field("GN", "dense.group_norm", _one_of({"GN": True, "": False})),
    f"{_DENSE}.DEEPLAB.NONLOCAL_ON": Field(0, "dense.nonlocal_block", _one_of(_SWITCH)),
    f"{_DENSE}.NUM_COARSE_SEGM_CHANNELS": Field(2, "dense.coarse_channels"),
    f"{_DENSE}.PREDICTOR_NAME": Field(
        "DensePoseChartWithConfidencePredictor",
        "with_confidence",
        _one_of(_PREDICTORS),
    ),
    f"{_DENSE}.HEATMAP_SIZE": Field(112, "heatmap_size"),
    f"{_DENSE}.UV_CONFIDENCE.ENABLED": Field(False, "with_uv_confidence", _one_of(_SWITCH)),
    f"{_DENSE}.UV_CONFIDENCE.TYPE": Field("iid_iso", "dense.uv_confidence"),
    f"{_DENSE}.SEGM_CONFIDENCE.ENABLED": Field(False, "dense.segm_confidence"),
    f"{_DENSE}.SEGM_CONFIDENCE.EPSILON": Field(0.01, "dense.segm_confidence_epsilon"),
}
"""Settings that become a field of `ModelConfig`, or a part of one where the name has no dot."""


FIXED: Mapping[str, Any] = {
    "VERSION": 2,
    "INPUT.FORMAT": "BGR",
    "MODEL.META_ARCHITECTURE": "GeneralizedRCNN",
    "MODEL.DENSEPOSE_ON": True,
    "MODEL.MASK_ON": False,
    "MODEL.KEYPOINT_ON": False,
    "MODEL.LOAD_PROPOSALS": False,
    "MODEL.BACKBONE.NAME": "build_resnet_fpn_backbone",
    "MODEL.RESNETS.OUT_FEATURES": _RES2_TO_5,
    "MODEL.RESNETS.NORM": "FrozenBN",
    "MODEL.RESNETS.NUM_GROUPS": 1,
    "MODEL.RESNETS.WIDTH_PER_GROUP": 64,
    "MODEL.RESNETS.STRIDE_IN_1X1": True,
    "MODEL.RESNETS.STEM_OUT_CHANNELS": 64,
    "MODEL.RESNETS.RES5_DILATION": 1,
    "MODEL.RESNETS.DEFORM_ON_PER_STAGE": [False] * 4,
    "MODEL.FPN.IN_FEATURES": _RES2_TO_5,
    "MODEL.FPN.NORM": "",
    "MODEL.FPN.FUSE_TYPE": "sum",
    "MODEL.PROPOSAL_GENERATOR.NAME": "RPN",
    "MODEL.PROPOSAL_GENERATOR.MIN_SIZE": 0,
    "MODEL.ANCHOR_GENERATOR.NAME": "DefaultAnchorGenerator",
    "MODEL.ANCHOR_GENERATOR.OFFSET": 0.0,
    "MODEL.RPN.HEAD_NAME": "StandardRPNHead",
    "MODEL.RPN.CONV_DIMS": [-1],
    "MODEL.RPN.IN_FEATURES": [*_P2_TO_5, "p6"],
    "MODEL.RPN.BBOX_REG_WEIGHTS": [1.0] * 4,
    "MODEL.ROI_HEADS.NAME": "DensePoseROIHeads",
    "MODEL.ROI_HEADS.IN_FEATURES": _P2_TO_5,
    "MODEL.ROI_BOX_HEAD.NAME": "FastRCNNConvFCHead",
    "MODEL.ROI_BOX_HEAD.NUM_CONV": 0,
    "MODEL.ROI_BOX_HEAD.NUM_FC": 2,
    "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS": [10.0, 10.0, 5.0, 5.0],
    "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": False,
    "MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE": False,
    f"{_DENSE}.NUM_PATCHES": 24,
    f"{_DENSE}.CONV_HEAD_KERNEL": 3,
    f"{_DENSE}.DECONV_KERNEL": 4,
    f"{_DENSE}.UP_SCALE": 2,
    f"{_DENSE}.DECODER_NORM": "",
    f"{_DENSE}.DECODER_COMMON_STRIDE": 4,
}
"""Settings of which our networks implement one value."""

FIXED_DEFAULTS: Mapping[str, Any] = {
    "MODEL.BACKBONE.NAME": "build_resnet_backbone",
    "MODEL.RESNETS.OUT_FEATURES": ["res4"],
    "MODEL.FPN.IN_FEATURES": [],
    "MODEL.RPN.IN_FEATURES": ["res4"],
    "MODEL.ROI_HEADS.NAME": "Res5ROIHeads",
    "MODEL.ROI_HEADS.IN_FEATURES": ["res4"],
    "MODEL.ROI_BOX_HEAD.NAME": "",
    "MODEL.ROI_BOX_HEAD.NUM_FC": 0,
}
"""Detectron2's default of a fixed setting, where it is not the value we support."""

BASE: Mapping[str, Any] = {
    **{key: FIXED[key] for key in FIXED_DEFAULTS},
    "MODEL.ANCHOR_GENERATOR.SIZES": [[32], [64], [128], [256], [512]],
    "MODEL.RPN.PRE_NMS_TOPK_TEST": 1000,
    "MODEL.ROI_HEADS.NUM_CLASSES": 1,
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 7,
    "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": 2,
    "MODEL.ROI_BOX_HEAD.POOLER_TYPE": "ROIAlign",
    f"{_DENSE}.NAME": "DensePoseV1ConvXHead",
    f"{_DENSE}.POOLER_TYPE": "ROIAlign",
}
"""What Base-DensePose-RCNN-FPN.yaml, the parent of all chart models, sets of the above."""

TRAINING_FIELDS: Mapping[str, Field] = {
    "INPUT.MIN_SIZE_TRAIN": Field([800], "augment.short_sides", _listed),
    "INPUT.MAX_SIZE_TRAIN": Field(1333, "augment.long_side"),
    "INPUT.RANDOM_FLIP": Field("horizontal", "augment.flip_probability", _one_of(_FLIPS)),
    "INPUT.ROTATION_ANGLES": Field([0], "augment.rotation_angles"),
    "DATALOADER.NUM_WORKERS": Field(4, "loader.workers"),
    "DATALOADER.ASPECT_RATIO_GROUPING": Field(True, "loader.aspect_ratio_grouping"),
    "MODEL.BACKBONE.FREEZE_AT": Field(2, "solver.freeze_at"),
    "MODEL.RPN.PRE_NMS_TOPK_TRAIN": Field(12000, "sampling.pre_nms_topk"),
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": Field(2000, "sampling.post_nms_topk"),
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE": Field(256, "sampling.anchors_per_image"),
    "MODEL.RPN.POSITIVE_FRACTION": Field(0.5, "sampling.anchor_person_fraction"),
    "MODEL.RPN.IOU_THRESHOLDS": Field([0.3, 0.7], "anchor_thresholds"),
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": Field(512, "sampling.boxes_per_image"),
    "MODEL.ROI_HEADS.POSITIVE_FRACTION": Field(0.25, "sampling.box_person_fraction"),
    "MODEL.ROI_HEADS.IOU_THRESHOLDS": Field([0.5], "sampling.box_min_person_iou", _only),
    f"{_DENSE}.FG_IOU_THRESHOLD": Field(0.7, "sampling.dense_min_iou"),
    f"{_DENSE}.INDEX_WEIGHTS": Field(5.0, "losses.segm_weight"),
    f"{_DENSE}.PART_WEIGHTS": Field(1.0, "losses.part_weight"),
    f"{_DENSE}.POINT_REGRESSION_WEIGHTS": Field(0.01, "losses.points_weight"),
    f"{_DENSE}.UV_CONFIDENCE.EPSILON": Field(0.01, "losses.uv_epsilon"),
    f"{_DENSE}.COARSE_SEGM_TRAINED_BY_MASKS": Field(
        False, "losses.segm_from_masks", _one_of(_SWITCH)
    ),
    "SOLVER.IMS_PER_BATCH": Field(16, "loader.batch_size"),
    "SOLVER.BASE_LR": Field(0.001, "solver.base_lr"),
    "SOLVER.MOMENTUM": Field(0.9, "solver.momentum"),
    "SOLVER.WEIGHT_DECAY": Field(1e-4, "solver.weight_decay"),
    "SOLVER.WEIGHT_DECAY_NORM": Field(0.0, "solver.weight_decay_norm"),
    "SOLVER.MAX_ITER": Field(40000, "solver.max_iter"),
    "SOLVER.LR_SCHEDULER_NAME": Field("WarmupMultiStepLR", "solver.schedule", _one_of(_SCHEDULES)),
    "SOLVER.STEPS": Field([30000], "solver.steps"),
    "SOLVER.GAMMA": Field(0.1, "solver.gamma"),
    "SOLVER.WARMUP_ITERS": Field(1000, "solver.warmup_iters"),
    "SOLVER.WARMUP_FACTOR": Field(0.001, "solver.warmup_factor"),
    "SOLVER.CLIP_GRADIENTS.ENABLED": Field(False, "clipped", _one_of(_SWITCH)),
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": Field("value", "solver.clip"),
    "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": Field(1.0, "solver.clip_limit"),
    "SOLVER.AMP.ENABLED": Field(False, "solver.precision", _one_of({False: "fp32", True: "fp16"})),
    "SOLVER.CHECKPOINT_PERIOD": Field(5000, "run.checkpoint_period"),
    "TEST.EVAL_PERIOD": Field(0, "run.eval_period"),
    "SEED": Field(-1, "seed"),
}
"""Settings that become a field of `TrainingConfig`, or a part of one where the name has no dot."""

TRAINING_FIXED: Mapping[str, Any] = {
    "BOOTSTRAP_DATASETS": [],
    "DATALOADER.SAMPLER_TRAIN": "TrainingSampler",
    "INPUT.CROP.ENABLED": False,
    "INPUT.MIN_SIZE_TRAIN_SAMPLING": "choice",
    "MODEL.RPN.BBOX_REG_LOSS_TYPE": "smooth_l1",
    "MODEL.RPN.BBOX_REG_LOSS_WEIGHT": 1.0,
    "MODEL.RPN.BOUNDARY_THRESH": -1,
    "MODEL.RPN.IOU_LABELS": [0, -1, 1],
    "MODEL.RPN.LOSS_WEIGHT": 1.0,
    "MODEL.RPN.SMOOTH_L1_BETA": 0.0,
    "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE": "smooth_l1",
    "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_WEIGHT": 1.0,
    "MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA": 0.0,
    "MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES": False,
    "MODEL.ROI_BOX_HEAD.USE_FED_LOSS": False,
    "MODEL.ROI_HEADS.IOU_LABELS": [0, 1],
    "MODEL.ROI_HEADS.PROPOSAL_APPEND_GT": True,
    f"{_DENSE}.LOSS_NAME": "DensePoseChartWithConfidenceLoss",
    "SOLVER.BASE_LR_END": 0.0,
    "SOLVER.BIAS_LR_FACTOR": 1.0,
    "SOLVER.CLIP_GRADIENTS.NORM_TYPE": 2.0,
    "SOLVER.NESTEROV": False,
    "SOLVER.REFERENCE_WORLD_SIZE": 0,
    "SOLVER.RESCALE_INTERVAL": False,
    "SOLVER.WARMUP_METHOD": "linear",
    "SOLVER.WEIGHT_DECAY_BIAS": None,
    "TEST.PRECISE_BN.ENABLED": False,
}
"""Settings of which our trainer implements one value, Detectron2's default."""

TRAINING_BASE: Mapping[str, Any] = {
    "INPUT.MIN_SIZE_TRAIN": [640, 672, 704, 736, 768, 800],
    "MODEL.RPN.PRE_NMS_TOPK_TRAIN": 2000,
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": 1000,
    "SOLVER.BASE_LR": 0.01,
    "SOLVER.MAX_ITER": 90000,
    "SOLVER.STEPS": [60000, 80000],
    "SOLVER.WARMUP_FACTOR": 0.1,
}
"""What Base-DensePose-RCNN-FPN.yaml sets of the training's settings."""

ELSEWHERE = (
    # Training, data, evaluation, output
    "BOOTSTRAP_DATASETS",
    "BOOTSTRAP_MODEL.",
    "CUDNN_BENCHMARK",
    "DATALOADER.",
    "DATASETS.",
    "DENSEPOSE_EVALUATION.",
    "FLOAT32_PRECISION",
    "GLOBAL.",
    "INPUT.CROP.",
    "INPUT.MASK_FORMAT",
    "INPUT.MAX_SIZE_TRAIN",
    "INPUT.MIN_SIZE_TRAIN",
    "INPUT.MIN_SIZE_TRAIN_SAMPLING",
    "INPUT.RANDOM_FLIP",
    "INPUT.ROTATION_ANGLES",
    "OUTPUT_DIR",
    "SEED",
    "SOLVER.",
    "TEST.AUG.",
    "TEST.EVAL_PERIOD",
    "TEST.EXPECTED_RESULTS",
    "TEST.KEYPOINT_OKS_SIGMAS",
    "TEST.PRECISE_BN.",
    "VIS_PERIOD",
    # Weights and device are arguments of their own
    "MODEL.DEVICE",
    "MODEL.WEIGHTS",
    # Sampling and losses in training
    "MODEL.BACKBONE.FREEZE_AT",
    "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE",
    "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_WEIGHT",
    "MODEL.ROI_BOX_HEAD.FED_LOSS_FREQ_WEIGHT_POWER",
    "MODEL.ROI_BOX_HEAD.FED_LOSS_NUM_CLASSES",
    "MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA",
    "MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES",
    "MODEL.ROI_BOX_HEAD.USE_FED_LOSS",
    f"{_DENSE}.COARSE_SEGM_TRAINED_BY_MASKS",
    f"{_DENSE}.FG_IOU_THRESHOLD",
    f"{_DENSE}.INDEX_WEIGHTS",
    f"{_DENSE}.LOSS_NAME",
    f"{_DENSE}.PART_WEIGHTS",
    f"{_DENSE}.POINT_REGRESSION_WEIGHTS",
    f"{_DENSE}.UV_CONFIDENCE.EPSILON",
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE",
    "MODEL.ROI_HEADS.IOU_LABELS",
    "MODEL.ROI_HEADS.IOU_THRESHOLDS",
    "MODEL.ROI_HEADS.POSITIVE_FRACTION",
    "MODEL.ROI_HEADS.PROPOSAL_APPEND_GT",
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE",
    "MODEL.RPN.BBOX_REG_LOSS_TYPE",
    "MODEL.RPN.BBOX_REG_LOSS_WEIGHT",
    "MODEL.RPN.BOUNDARY_THRESH",
    "MODEL.RPN.IOU_LABELS",
    "MODEL.RPN.IOU_THRESHOLDS",
    "MODEL.RPN.LOSS_WEIGHT",
    "MODEL.RPN.POSITIVE_FRACTION",
    "MODEL.RPN.POST_NMS_TOPK_TRAIN",
    "MODEL.RPN.PRE_NMS_TOPK_TRAIN",
    "MODEL.RPN.SMOOTH_L1_BETA",
    # Parts that the settings above keep from being built
    "MODEL.ANCHOR_GENERATOR.ANGLES",
    "MODEL.HRNET.",
    "MODEL.PANOPTIC_FPN.",
    "MODEL.RESNETS.DEFORM_MODULATED",
    "MODEL.RESNETS.DEFORM_NUM_GROUPS",
    "MODEL.RETINANET.",
    "MODEL.ROI_BOX_CASCADE_HEAD.",
    "MODEL.ROI_BOX_HEAD.CONV_DIM",
    "MODEL.ROI_BOX_HEAD.NORM",
    f"{_DENSE}.CSE.",
    "MODEL.ROI_KEYPOINT_HEAD.",
    "MODEL.ROI_MASK_HEAD.",
    "MODEL.SEM_SEG_HEAD.",
)
"""Settings that do not change a prediction; an entry that ends with a dot is a whole section."""
