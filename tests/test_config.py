from __future__ import annotations

import dataclasses
import json

import pytest

from iuv.config import (
    BackboneConfig,
    BoxConfig,
    ConfigError,
    DenseConfig,
    InputConfig,
    ModelConfig,
    RPNConfig,
)


def message_of(function, *args, **kwargs):
    with pytest.raises(ConfigError) as error:
        function(*args, **kwargs)
    return str(error.value)


def test_configs_are_frozen_comparable_and_hashable():
    assert ModelConfig() == ModelConfig()
    assert hash(ModelConfig()) == hash(ModelConfig())
    with pytest.raises(dataclasses.FrozenInstanceError):
        ModelConfig().box.min_score = 0.5
    with pytest.raises(TypeError, match="positional"):
        BoxConfig(1)


def test_replace():
    config = ModelConfig()
    new = config.replace(**{"box.min_score": 0.3, "dense.uv_confidence": "iid_iso"})
    assert (new.box.min_score, new.dense.uv_confidence) == (0.3, "iid_iso")
    assert config == ModelConfig()
    assert new.replace(**{"box.min_score": 0.05, "dense.uv_confidence": None}) == config


def test_replace_casts_whole_numbers_and_lists():
    config = ModelConfig().replace(
        **{"rpn.nms_iou": 1, "input.pixel_mean_bgr": [1, 2.5, 3], "rpn.aspect_ratios": [1]}
    )
    assert isinstance(config.rpn.nms_iou, float)
    assert config.input.pixel_mean_bgr == (1.0, 2.5, 3.0)
    assert config.rpn.aspect_ratios == (1.0,)
    hash(config)


@pytest.mark.parametrize("sides", [(1500, 2000), (100, 200)])
def test_fields_that_constrain_each_other_change_together(sides):
    short, long = sides
    for changes in (
        {"input.short_side": short, "input.long_side": long},
        {"input.long_side": long, "input.short_side": short},
    ):
        config = ModelConfig().replace(**changes)
        assert (config.input.short_side, config.input.long_side) == sides
        assert ModelConfig.from_dict(config.to_dict()) == config
    config = ModelConfig().override("dense.nonlocal_block=True", "dense.head=deeplab")
    assert config.dense.nonlocal_block


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("box.min_score=0.3", 0.3),
        (" box.max_people = 7 ", 7),
        ("dense.head=deeplab", "deeplab"),
        ("dense.head='deeplab'", "deeplab"),
        ("dense.uv_confidence=None", None),
        ("dense.decoder=False", False),
        ("rpn.anchor_sizes=[16, 32, 64, 128, 256]", (16, 32, 64, 128, 256)),
        ("rpn.aspect_ratios=(0.5, 2)", (0.5, 2.0)),
    ],
)
def test_override(assignment, value):
    section, name = assignment.split("=")[0].strip().split(".")
    config = ModelConfig().override(assignment)
    assert getattr(getattr(config, section), name) == value


def test_override_without_assignment():
    assert message_of(ModelConfig().override, "box.min_score") == (
        "expected FIELD=VALUE, e.g. box.min_score=0.3, got 'box.min_score'"
    )


def test_override_with_what_is_no_literal():
    assert message_of(ModelConfig().override, "box.max_people={[]: 1}") == (
        "box.max_people must be int, got '{[]: 1}'"
    )


@pytest.mark.parametrize(
    ("field", "near"),
    [
        ("box.min_scor", "box.min_score"),
        ("min_score", "box.min_score"),
        ("box.nms", "box.nms_iou, "),
        ("dense", "dense.head?"),
        ("dense.head.x", "dense.head"),
        ("zzz", "backbone.depth, backbone.fpn_channels, backbone.fpn_norm, backbone.norm"),
    ],
)
def test_unknown_field_lists_the_near_ones(field, near):
    message = message_of(ModelConfig().replace, **{field: 1})
    assert message.startswith(f"unknown config field {field!r}; did you mean {near}")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("backbone.depth", 34, "backbone.depth must be one of (18, 50, 101), got 34"),
        ("backbone.depth", 50.0, "backbone.depth must be one of (18, 50, 101), got 50.0"),
        ("box.max_people", 1.5, "box.max_people must be int, got 1.5"),
        ("box.max_people", True, "box.max_people must be int, got True"),
        ("box.min_score", "high", "box.min_score must be float, got 'high'"),
        ("box.min_score", False, "box.min_score must be float, got False"),
        ("input.pixel_mean_bgr", [1, 2], "input.pixel_mean_bgr needs 3 values, got [1, 2]"),
        ("input.pixel_mean_bgr", 7, "input.pixel_mean_bgr must be a list, got 7"),
        ("input.pixel_mean_bgr", [1, 2, "x"], "input.pixel_mean_bgr must be float, got 'x'"),
        (
            "input.pixel_mean_bgr",
            [1, 2, float("nan")],
            "input.pixel_mean_bgr must be finite, got nan",
        ),
        ("dense.decoder", 1, "dense.decoder must be bool, got 1"),
        ("dense.head", None, "dense.head must be one of ('conv', 'deeplab'), got None"),
        (
            "dense.uv_confidence",
            "iso",
            "dense.uv_confidence must be one of ('iid_iso', 'indep_aniso'), got 'iso'",
        ),
    ],
)
def test_wrong_types(field, value, message):
    assert message_of(ModelConfig().replace, **{field: value}) == message


@pytest.mark.parametrize(
    ("section", "fields", "message"),
    [
        (InputConfig, {"short_side": 0}, "input.short_side must be positive, got 0"),
        (
            InputConfig,
            {"short_side": 900, "long_side": 800},
            "input.long_side (800) must not be below input.short_side (900)",
        ),
        (InputConfig, {"pixel_std_bgr": (1.0, 0.0, 1.0)}, "input.pixel_std_bgr must be positive"),
        (BackboneConfig, {"depth": 34}, "backbone.depth must be one of (18, 50, 101), got 34"),
        (BackboneConfig, {"fpn_channels": 0}, "backbone.fpn_channels must be positive, got 0"),
        (BackboneConfig, {"width": 0}, "backbone.width must be positive, got 0"),
        (
            RPNConfig,
            {"anchor_sizes": (32, 64)},
            "rpn.anchor_sizes needs one size per pyramid level (5), got (32, 64)",
        ),
        (RPNConfig, {"anchor_sizes": (0, 1, 2, 3, 4)}, "rpn.anchor_sizes must be positive"),
        (RPNConfig, {"aspect_ratios": ()}, "rpn.aspect_ratios must not be empty"),
        (RPNConfig, {"aspect_ratios": (-1.0,)}, "rpn.aspect_ratios must be positive"),
        (RPNConfig, {"pre_nms_topk": 0}, "rpn.pre_nms_topk must be positive"),
        (RPNConfig, {"post_nms_topk": 0}, "rpn.post_nms_topk must be positive"),
        (RPNConfig, {"nms_iou": 1.1}, "rpn.nms_iou must be in (0, 1], got 1.1"),
        (BoxConfig, {"num_classes": 0}, "box.num_classes must be positive, got 0"),
        (BoxConfig, {"pool_size": -1}, "box.pool_size must be positive, got -1"),
        (BoxConfig, {"fc_dim": 0}, "box.fc_dim must be positive, got 0"),
        (BoxConfig, {"max_people": 0}, "box.max_people must be positive, got 0"),
        (BoxConfig, {"sampling_ratio": -1}, "box.sampling_ratio must not be negative"),
        (BoxConfig, {"min_score": 1.5}, "box.min_score must be in [0, 1], got 1.5"),
        (BoxConfig, {"nms_iou": 0.0}, "box.nms_iou must be in (0, 1], got 0.0"),
        (DenseConfig, {"head": "fcn"}, "dense.head must be 'conv' or 'deeplab', got 'fcn'"),
        (DenseConfig, {"pool_size": 0}, "dense.pool_size must be positive, got 0"),
        (DenseConfig, {"num_convs": 0}, "dense.num_convs must be positive, got 0"),
        (DenseConfig, {"conv_dim": 0}, "dense.conv_dim must be positive, got 0"),
        (DenseConfig, {"sampling_ratio": -1}, "dense.sampling_ratio must not be negative"),
        (DenseConfig, {"coarse_channels": 3}, "dense.coarse_channels must be 2 or 15, got 3"),
        (
            DenseConfig,
            {"uv_confidence": "iso"},
            "dense.uv_confidence must be None, 'iid_iso' or 'indep_aniso', got 'iso'",
        ),
        (
            DenseConfig,
            {"segm_confidence_epsilon": -0.1},
            "dense.segm_confidence_epsilon must be >= 0",
        ),
        (
            DenseConfig,
            {"nonlocal_block": True},
            "dense.nonlocal_block needs dense.head='deeplab'",
        ),
        (
            DenseConfig,
            {"head": "deeplab", "conv_dim": 100},
            "dense.conv_dim must be a multiple of 32, the number of groups of the DeepLab head's "
            "group norm, got 100",
        ),
    ],
)
def test_values_out_of_range(section, fields, message):
    assert message_of(section, **fields) == message


def test_conv_dim_is_free_without_group_norm():
    assert DenseConfig(conv_dim=100).conv_dim == 100
    assert DenseConfig(head="deeplab", group_norm=False, conv_dim=100).conv_dim == 100


def test_dict_round_trip_through_json():
    config = ModelConfig().replace(
        **{"dense.uv_confidence": "indep_aniso", "rpn.aspect_ratios": [1.0, 2.0]}
    )
    data = json.loads(json.dumps(config.to_dict()))
    assert data["rpn"]["aspect_ratios"] == [1.0, 2.0]
    assert ModelConfig.from_dict(data) == config
    assert ModelConfig.from_dict({}) == ModelConfig()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "a config must be a mapping, got []"),
        ({"box": 3}, "config section 'box' must be a mapping, got int"),
        (
            {"bix": {}},
            "unknown config section 'bix'; the sections are input, backbone, rpn, box, dense",
        ),
        ({"box": {"max_people": "x"}}, "box.max_people must be int, got 'x'"),
    ],
)
def test_from_dict_refuses(data, message):
    assert message_of(ModelConfig.from_dict, data) == message


def test_heatmap_size():
    assert DenseConfig().heatmap_size == 112
    assert DenseConfig(pool_size=14).heatmap_size == 56


@pytest.mark.parametrize("channels", [32, 48])
def test_the_deeplab_head_needs_channels_in_groups(channels):
    message = "backbone.fpn_channels must be a multiple of 32 above 32 .* got"
    with pytest.raises(ConfigError, match=message):
        ModelConfig().replace(**{"backbone.fpn_channels": channels, "dense.head": "deeplab"})
    ModelConfig().replace(**{"backbone.fpn_channels": channels})


@pytest.mark.parametrize(
    ("path", "value"),
    [("box.fc_dim", 10**12), ("dense.num_convs", 20_000), ("box.sampling_ratio", 10**6)],
)
def test_sizes_are_bounded(path, value):
    with pytest.raises(ConfigError, match=rf"{path} must be at most \d+, got {value}"):
        ModelConfig().replace(**{path: value})


def test_anchor_sizes_are_bounded():
    with pytest.raises(ConfigError, match=r"rpn\.anchor_sizes must be at most 16384, got 1000000"):
        ModelConfig().replace(**{"rpn.anchor_sizes": [32, 64, 128, 256, 10**6]})
