from __future__ import annotations

import ast
import json

import pytest
import yaml

from hashing import GOLDEN
from iuv.config import ConfigError
from iuv.detectron2_keys import (
    BASE,
    ELSEWHERE,
    FIELDS,
    FIXED,
    FIXED_DEFAULTS,
    TRAINING_BASE,
    TRAINING_FIELDS,
    TRAINING_FIXED,
)
from iuv.detectron2_yaml import read_detectron2_training, read_detectron2_yaml
from iuv.recipes import recipe
from iuv.zoo import get_model, list_models

DENSE = "MODEL.ROI_DENSEPOSE_HEAD"
CHILDREN = json.loads((GOLDEN / "configs" / "children.json").read_text())


def literal(text):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def base_rows():
    """(key, effective value, differs from Detectron2's default) of the official base file."""
    for line in (GOLDEN / "configs" / "base.tsv").read_text().splitlines()[1:]:
        key, value, differs = line.split("\t")
        yield key, literal(value), differs == "yes"


def listed(value):
    return [listed(v) for v in value] if isinstance(value, list | tuple) else value


def write(path, settings, base=None):
    """Write dotted settings as the tree that Detectron2 files are; tuples stay text in there."""
    tree = {} if base is None else {"_BASE_": base}
    for key, value in settings.items():
        *sections, name = key.split(".")
        node = tree
        for section in sections:
            node = node.setdefault(section, {})
        node[name] = str(value) if isinstance(value, tuple) else value
    path.write_text(yaml.safe_dump(tree))
    return path


@pytest.fixture
def official(tmp_path):
    """Write one of the official files, with the base beside it."""
    settings = {key: value for key, value, differs in base_rows() if differs}
    write(tmp_path / "Base-DensePose-RCNN-FPN.yaml", {"VERSION": 2, **settings})

    def child(name, **changes):
        settings = {key: literal(value) for key, value in CHILDREN[name].items()} | changes
        path = tmp_path / f"densepose_rcnn_{name}.yaml"
        return write(path, settings, base="Base-DensePose-RCNN-FPN.yaml")

    return child


def on_base(tmp_path, **settings):
    """A file of a user's own whose base is not on disk."""
    return write(tmp_path / "mine.yaml", settings, base="Base-DensePose-RCNN-FPN.yaml")


def error_of(path):
    with pytest.raises(ConfigError) as error:
        read_detectron2_yaml(path)
    return str(error.value)


def test_all_chart_models_are_covered():
    assert sorted(CHILDREN) == sorted(n for n in list_models() if n.startswith("R_"))


@pytest.mark.parametrize("name", CHILDREN)
def test_official_files_give_the_zoo_config(official, name):
    assert read_detectron2_yaml(official(name)) == get_model(name).config


@pytest.mark.parametrize("name", CHILDREN)
def test_full_dumps_give_the_zoo_config(tmp_path, name):
    settings = {key: value for key, value, _ in base_rows()}
    settings |= {key: literal(value) for key, value in CHILDREN[name].items()}
    assert read_detectron2_yaml(write(tmp_path / "config.yaml", settings)) == get_model(name).config


@pytest.mark.parametrize("name", CHILDREN)
def test_official_bases_need_not_be_on_disk(tmp_path, name):
    parent = f"../densepose_rcnn_{name}.yaml"
    file = write(tmp_path / "mine.yaml", {"MODEL.ROI_HEADS.NMS_THRESH_TEST": 0.4}, base=parent)
    assert read_detectron2_yaml(file) == get_model(name).config.replace(**{"box.nms_iou": 0.4})


def test_tables_agree_with_the_reference():
    defaults = FIXED | FIXED_DEFAULTS | {key: field.default for key, field in FIELDS.items()}
    base = {}
    for key, value, differs in base_rows():
        elsewhere = any(key == e or (e.endswith(".") and key.startswith(e)) for e in ELSEWHERE)
        assert elsewhere != (key in defaults), key
        if differs and not elsewhere:
            base[key] = listed(value)
        elif not elsewhere:
            assert defaults[key] == listed(value), key
    assert base == BASE
    assert len({*FIXED, *FIELDS, *ELSEWHERE}) == len(FIXED) + len(FIELDS) + len(ELSEWHERE)


def test_every_field_can_be_set(tmp_path):
    config = read_detectron2_yaml(
        on_base(
            tmp_path,
            **{
                "INPUT.MIN_SIZE_TEST": 1400,
                "INPUT.MAX_SIZE_TEST": 2000,
                "MODEL.PIXEL_MEAN": (1.0, 2, 3.5),
                "MODEL.PIXEL_STD": [57.0, 58.0, 59.0],
                "MODEL.RESNETS.DEPTH": 101,
                "MODEL.ANCHOR_GENERATOR.SIZES": [[16], [32], [64], [128], [256]],
                "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": [[0.5, 2.0]] * 5,
                "MODEL.RPN.PRE_NMS_TOPK_TEST": 900,
                "MODEL.RPN.POST_NMS_TOPK_TEST": 300,
                "MODEL.RPN.NMS_THRESH": 0.6,
                "MODEL.ROI_HEADS.NUM_CLASSES": 9,
                "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.1,
                "MODEL.ROI_HEADS.NMS_THRESH_TEST": 0.3,
                "MODEL.ROI_BOX_HEAD.FC_DIM": 512,
                "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 9,
                "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": 0,
                "MODEL.ROI_BOX_HEAD.POOLER_TYPE": "ROIAlignV2",
                "TEST.DETECTIONS_PER_IMAGE": 20,
                f"{DENSE}.NAME": "DensePoseDeepLabHead",
                f"{DENSE}.DECODER_ON": False,
                f"{DENSE}.POOLER_RESOLUTION": 20,
                f"{DENSE}.HEATMAP_SIZE": 80,
                f"{DENSE}.POOLER_SAMPLING_RATIO": 1,
                f"{DENSE}.POOLER_TYPE": "ROIAlignV2",
                f"{DENSE}.NUM_STACKED_CONVS": 4,
                f"{DENSE}.CONV_HEAD_DIM": 256,
                f"{DENSE}.DEEPLAB.NORM": "",
                f"{DENSE}.DEEPLAB.NONLOCAL_ON": 1,
                f"{DENSE}.NUM_COARSE_SEGM_CHANNELS": 15,
                f"{DENSE}.UV_CONFIDENCE.ENABLED": True,
                f"{DENSE}.UV_CONFIDENCE.TYPE": "indep_aniso",
                f"{DENSE}.SEGM_CONFIDENCE.ENABLED": True,
                f"{DENSE}.SEGM_CONFIDENCE.EPSILON": 0.02,
            },
        )
    )
    assert config.to_dict() == {
        "input": {
            "short_side": 1400,
            "long_side": 2000,
            "pixel_mean_bgr": [1.0, 2.0, 3.5],
            "pixel_std_bgr": [57.0, 58.0, 59.0],
        },
        "backbone": {
            "depth": 101,
            "norm": "frozen_batch_norm",
            "width": 64,
            "fpn_channels": 256,
            "fpn_norm": False,
        },
        "rpn": {
            "anchor_sizes": [16, 32, 64, 128, 256],
            "aspect_ratios": [0.5, 2.0],
            "pre_nms_topk": 900,
            "post_nms_topk": 300,
            "nms_iou": 0.6,
        },
        "box": {
            "num_classes": 9,
            "pool_size": 9,
            "sampling_ratio": 0,
            "aligned": True,
            "fc_dim": 512,
            "min_score": 0.1,
            "nms_iou": 0.3,
            "max_people": 20,
            "min_size": 0.0,  # ours
        },
        "dense": {
            "decoder": False,
            "head": "deeplab",
            "pool_size": 20,
            "sampling_ratio": 1,
            "aligned": True,
            "num_convs": 4,
            "conv_dim": 256,
            "group_norm": False,
            "batch_norm": False,
            "nonlocal_block": True,
            "coarse_channels": 15,
            "uv_confidence": "indep_aniso",
            "segm_confidence": True,
            "segm_confidence_epsilon": 0.02,
        },
    }


def test_bases_are_merged_in_order_relative_to_their_file(tmp_path):
    (tmp_path / "deep").mkdir()
    write(
        tmp_path / "deep" / "a.yaml",
        {"TEST.DETECTIONS_PER_IMAGE": 1, "MODEL.RPN.NMS_THRESH": 0.1, "MODEL.RESNETS.DEPTH": 101},
        base="../Base-DensePose-RCNN-FPN.yaml",
    )
    write(tmp_path / "b.yaml", {"TEST.DETECTIONS_PER_IMAGE": 2, "MODEL.RPN.POST_NMS_TOPK_TEST": 7})
    file = write(tmp_path / "c.yaml", {"MODEL.RPN.NMS_THRESH": 0.3}, base=["deep/a.yaml", "b.yaml"])
    config = read_detectron2_yaml(file)
    assert (config.box.max_people, config.rpn.nms_iou) == (2, 0.3)
    assert (config.backbone.depth, config.rpn.post_nms_topk) == (101, 7)


def test_bases_may_be_absolute_or_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    parent = on_base(tmp_path, **{"MODEL.RPN.NMS_THRESH": 0.2})
    (tmp_path / "far").mkdir()
    for base in (str(parent), "~/mine.yaml"):
        file = write(tmp_path / "far" / "child.yaml", {}, base=base)
        assert read_detectron2_yaml(file).rpn.nms_iou == 0.2
        assert read_detectron2_yaml("~/far/child.yaml").rpn.nms_iou == 0.2


def test_two_children_may_share_a_base(tmp_path):
    on_base(tmp_path)
    for name in ("left", "right"):
        write(tmp_path / f"{name}.yaml", {}, base="mine.yaml")
    file = write(tmp_path / "c.yaml", {}, base=["left.yaml", "right.yaml"])
    assert read_detectron2_yaml(file) == get_model("R_50_FPN_s1x").config


def test_literals_and_empty_sections(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "_BASE_: Base-DensePose-RCNN-FPN.yaml\n"
        "MODEL:\n"
        "  RPN: {NMS_THRESH: 6e-1}\n"  # YAML 1.1 reads this as text
        '  ANCHOR_GENERATOR: {SIZES: "((16,), (32,), (64,), (128,), (256,))"}\n'
        "SOLVER:\n"
        "  # all commented out\n"
        "DATASETS:\n"
        "  CATEGORY_MAPS: {my_set: {16: 1}}\n"
        "  TRAIN: []\n"
    )
    config = read_detectron2_yaml(file)
    assert config.rpn.nms_iou == 0.6
    assert config.rpn.anchor_sizes == (16, 32, 64, 128, 256)


def test_predictor_without_confidence(tmp_path):
    settings = {
        f"{DENSE}.PREDICTOR_NAME": "DensePoseChartPredictor",
        f"{DENSE}.UV_CONFIDENCE.ENABLED": True,
        f"{DENSE}.SEGM_CONFIDENCE.ENABLED": True,
    }
    config = read_detectron2_yaml(on_base(tmp_path, **settings))
    assert config == get_model("R_50_FPN_s1x").config


def test_settings_of_switched_off_parts_have_no_effect(tmp_path):
    settings = {
        f"{DENSE}.DEEPLAB.NONLOCAL_ON": 1,
        f"{DENSE}.UV_CONFIDENCE.TYPE": "whatever",
        "MODEL.HRNET.STEM_INPLANES": 32,
        f"{DENSE}.CSE.EMBED_SIZE": 8,
        "MODEL.ROI_MASK_HEAD.NUM_CONV": 4,
    }
    config = read_detectron2_yaml(on_base(tmp_path, **settings))
    assert config == get_model("R_50_FPN_s1x").config


def test_chimpanzee_settings(tmp_path):
    """The bootstrapping models pool boxes with the aligned, adaptive RoIAlign."""
    settings = {
        "BOOTSTRAP_DATASETS": [{"DATASET": "chimpnsee", "RATIO": 1.0}],
        "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": 0,
        "MODEL.ROI_BOX_HEAD.POOLER_TYPE": "ROIAlignV2",
        f"{DENSE}.COARSE_SEGM_TRAINED_BY_MASKS": True,
    }
    parent = "densepose_rcnn_R_50_FPN_DL_WC1M_s1x.yaml"
    config = read_detectron2_yaml(write(tmp_path / "chimps.yaml", settings, base=parent))
    assert config == get_model("R_50_FPN_DL_WC1M_s1x").config.replace(
        **{"box.sampling_ratio": 0, "box.aligned": True}
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.RESNETS.NUM_GROUPS", 32),
        ("MODEL.META_ARCHITECTURE", "PanopticFPN"),
        ("MODEL.RESNETS.STRIDE_IN_1X1", False),
        ("MODEL.FPN.FUSE_TYPE", "avg"),
        (f"{DENSE}.DECONV_KERNEL", 2),
        (f"{DENSE}.UP_SCALE", 4),
        ("INPUT.FORMAT", "RGB"),
        ("MODEL.MASK_ON", True),
        ("MODEL.RESNETS.DEFORM_ON_PER_STAGE", [False, True, True, True]),
        ("MODEL.ROI_HEADS.IN_FEATURES", ["p2", "p3"]),
        ("VERSION", 1),
    ],
)
def test_values_that_are_not_implemented_are_refused(tmp_path, key, value):
    message = error_of(on_base(tmp_path, **{key: value}))
    assert f"{tmp_path / 'mine.yaml'}: not supported:" in message
    assert f"{key} is {value!r}; supported: {FIXED[key]!r}" in message


@pytest.mark.parametrize(
    ("key", "value", "supported"),
    [
        (f"{DENSE}.NAME", "MyHead", "'DensePoseV1ConvXHead' or 'DensePoseDeepLabHead'"),
        ("MODEL.ROI_BOX_HEAD.POOLER_TYPE", "ROIPool", "'ROIAlign' or 'ROIAlignV2'"),
        (f"{DENSE}.DEEPLAB.NORM", "BN", "'GN' or ''"),
        (f"{DENSE}.UV_CONFIDENCE.ENABLED", "maybe", "False or True"),
        ("MODEL.ANCHOR_GENERATOR.SIZES", [32, 64], "one size per level, such as [[32], [64], ...]"),
        (
            "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS",
            [[1.0], [2.0]],
            "the same ratios on all levels: [[0.5, 1.0, 2.0]]",
        ),
    ],
)
def test_values_that_do_not_convert_are_refused(tmp_path, key, value, supported):
    message = error_of(on_base(tmp_path, **{key: value}))
    assert f"\n  {key} is {value!r}; supported: {supported}" in message


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("MODEL.RESNETS.DEPTH", 34, "MODEL.RESNETS.DEPTH must be one of (18, 50, 101), got 34"),
        ("INPUT.MIN_SIZE_TEST", 0, "INPUT.MIN_SIZE_TEST must be positive, got 0"),
        ("INPUT.MIN_SIZE_TEST", "big", "INPUT.MIN_SIZE_TEST must be int, got 'big'"),
        (
            "INPUT.MAX_SIZE_TEST",
            500,
            "INPUT.MAX_SIZE_TEST (500) must not be below INPUT.MIN_SIZE_TEST (800)",
        ),
        ("MODEL.PIXEL_MEAN", [1.0, 2.0], "MODEL.PIXEL_MEAN needs 3 values, got [1.0, 2.0]"),
        (f"{DENSE}.DECODER_ON", 1, f"{DENSE}.DECODER_ON must be bool, got 1"),
        (
            f"{DENSE}.HEATMAP_SIZE",
            56,
            f"{DENSE}.HEATMAP_SIZE is 56; with this {DENSE}.POOLER_RESOLUTION it must be 112",
        ),
        (
            "MODEL.RESNETS.DEPTH",
            18,
            "MODEL.RESNETS.RES2_OUT_CHANNELS is 256; with this MODEL.RESNETS.DEPTH it must be 64",
        ),
        (
            "MODEL.FPN.OUT_CHANNELS",
            128,
            f"{DENSE}.DECODER_CONV_DIMS is 256; with this MODEL.FPN.OUT_CHANNELS it must be 128",
        ),
    ],
)
def test_bad_values_are_named_in_the_words_of_the_file(tmp_path, key, value, expected):
    file = on_base(tmp_path, **{key: value})
    assert error_of(file) == f"{file}: {expected}"


def test_unknown_settings_are_all_listed(tmp_path):
    message = error_of(
        on_base(
            tmp_path, **{"MODEL.RESNETS.DEPHT": 50, "MODEL.MY_HEAD.A": 1, "MODEL.MASK_ON": True}
        )
    )
    assert "MODEL.RESNETS.DEPHT is not a setting that iuv knows" in message
    assert "did you mean MODEL.RESNETS.DEPTH?" in message
    assert "MODEL.MY_HEAD.A is not a setting that iuv knows\n" in message
    assert "MODEL.MASK_ON is True" in message


def test_detectron2_defaults_apply_without_a_base(tmp_path):
    message = error_of(write(tmp_path / "bare.yaml", {"MODEL.RESNETS.DEPTH": 50}))
    assert (
        "MODEL.BACKBONE.NAME is 'build_resnet_backbone', Detectron2's default; "
        "supported: 'build_resnet_fpn_backbone'"
    ) in message
    settings = {**BASE}
    del settings["MODEL.RPN.PRE_NMS_TOPK_TEST"], settings["MODEL.ROI_BOX_HEAD.POOLER_TYPE"]
    config = read_detectron2_yaml(write(tmp_path / "most.yaml", settings))
    assert config.rpn.pre_nms_topk == 6000
    assert config.box.aligned


@pytest.mark.parametrize("name", ["build_hrfpn_backbone", "build_hrnet_backbone"])
def test_hrnet_is_for_later(tmp_path, name):
    message = error_of(on_base(tmp_path, **{"MODEL.BACKBONE.NAME": name}))
    assert "HRNet models are for a later version" in message


@pytest.mark.parametrize(
    "settings",
    [
        {f"{DENSE}.PREDICTOR_NAME": "DensePoseEmbeddingPredictor"},
        {f"{DENSE}.CSE.EMBEDDERS.smpl_27554.TYPE": "vertex_feature"},
    ],
)
def test_cse_is_for_later(tmp_path, settings):
    assert "CSE model" in error_of(on_base(tmp_path, **settings))


def test_cse_bases_are_not_mistaken_for_chart_bases(tmp_path):
    file = write(tmp_path / "mine.yaml", {}, base="cse/densepose_rcnn_R_50_FPN_s1x.yaml")
    assert "does not exist" in error_of(file)


def test_circular_bases(tmp_path):
    write(tmp_path / "a.yaml", {}, base="b.yaml")
    file = write(tmp_path / "b.yaml", {}, base="./a.yaml")
    assert "_BASE_ goes in a circle: " in error_of(file)
    assert error_of(file).count("b.yaml") == 2


def test_missing_base(tmp_path):
    message = error_of(write(tmp_path / "mine.yaml", {}, base="my-base.yaml"))
    assert message.startswith(f"{tmp_path / 'mine.yaml'}: its _BASE_ 'my-base.yaml' does not exist")


@pytest.mark.parametrize("base", ["https://example.com/base.yaml", "http://example.com/b.yaml"])
def test_remote_bases_are_refused(tmp_path, base):
    message = error_of(write(tmp_path / "mine.yaml", {}, base=base))
    assert f"_BASE_ is an address, {base}; download that file" in message


def test_base_of_the_wrong_type(tmp_path):
    message = error_of(write(tmp_path / "mine.yaml", {}, base=[3]))
    assert "_BASE_ must be a path or a list of paths, got 3" in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "expected settings as KEY: VALUE, found nothing"),
        (b"# only a comment\n", "found nothing"),
        (b"- a\n- b\n", "found list"),
        (b"just text", "found str"),
        (b"MODEL: [1, 2", "cannot be read as plain YAML"),
        (b"\xff\xfe\x00\x01\x02", "cannot be read as plain YAML"),
        (b"SEED: 2020-13-45\n", "cannot be read as plain YAML"),
        (b"&a MODEL: &b {X: *b}\n", "cannot be read as plain YAML"),
        (b"[" * 2000, "cannot be read as plain YAML"),
        (b"X: !!python/object/apply:os.system ['echo pwned']\n", "python/object/apply:os.system"),
        (b"X: !!python/tuple [1, 2]\n", "without tags"),
    ],
)
def test_unreadable_files_are_named(tmp_path, content, expected):
    file = tmp_path / "mine.yaml"
    file.write_bytes(content)
    message = error_of(file)
    assert message.startswith(f"{file}: ")
    assert expected in message


def test_missing_file_and_folder(tmp_path):
    missing = tmp_path / "nowhere.yaml"
    assert error_of(missing) == f"{missing}: there is no such configuration file"
    assert error_of(tmp_path).startswith(f"{tmp_path}: cannot be read: ")


@pytest.mark.parametrize("pair", ["[*a{0}, *a{0}]", "{{x: *a{0}, y: *a{0}}}"])
def test_aliases_that_unfold_without_end(tmp_path, pair):
    lines = ["a0: &a0 [1]", *(f"a{i + 1}: &a{i + 1} " + pair.format(i) for i in range(40))]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    with pytest.raises(ConfigError, match=r"bomb\.yaml: has more than 20 aliases"):
        read_detectron2_yaml(tmp_path / "bomb.yaml")


@pytest.mark.parametrize("name", CHILDREN)
def test_official_files_give_the_published_recipe(official, name):
    assert read_detectron2_training(official(name)) == recipe(get_model(name).config)


@pytest.mark.parametrize("name", CHILDREN)
def test_published_recipes_need_not_be_on_disk(tmp_path, name):
    file = write(tmp_path / "mine.yaml", {"SEED": 7}, base=f"densepose_rcnn_{name}.yaml")
    expected = recipe(get_model(name).config).replace(**{"run.seed": 7})
    assert read_detectron2_training(file) == expected


def test_training_tables_agree_with_the_reference():
    defaults = TRAINING_FIXED | {key: field.default for key, field in TRAINING_FIELDS.items()}
    base = {}
    for key, value, differs in base_rows():
        if key in defaults and differs:
            base[key] = listed(value)
        elif key in defaults:
            assert listed(defaults[key]) == listed(value), key
    assert base == TRAINING_BASE
    assert set(defaults) <= {key for key, _, _ in base_rows()}
    # predictions must not refuse them
    assert all(any(key == e or key.startswith(e) for e in ELSEWHERE) for key in defaults)
    assert not TRAINING_FIXED.keys() & TRAINING_FIELDS.keys()


def test_training_settings_can_be_set(tmp_path):
    settings = {
        "INPUT.MIN_SIZE_TRAIN": (320, 400),
        "INPUT.RANDOM_FLIP": "none",
        "INPUT.ROTATION_ANGLES": [-10, 0, 10],
        "DATALOADER.FILTER_EMPTY_ANNOTATIONS": False,  # changes nothing in the reference
        "MODEL.BACKBONE.FREEZE_AT": 0,
        "MODEL.RPN.IOU_THRESHOLDS": [0.2, 0.6],
        "MODEL.ROI_HEADS.IOU_THRESHOLDS": [0.6],
        "SOLVER.IMS_PER_BATCH": 4,
        "SOLVER.BASE_LR": 0.005,
        "SOLVER.LR_SCHEDULER_NAME": "WarmupCosineLR",
        "SOLVER.CLIP_GRADIENTS.ENABLED": True,
        "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": "norm",
        "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": 5,
        "SOLVER.AMP.ENABLED": True,
    }
    config = read_detectron2_training(on_base(tmp_path, **settings))
    assert config.augment.short_sides == (320, 400)
    assert config.augment.flip_probability == 0
    assert config.augment.rotation_angles == (-10, 0, 10)
    assert not config.loader.keep_empty
    assert config.sampling.anchor_max_background_iou == 0.2
    assert config.sampling.anchor_min_person_iou == 0.6
    assert config.sampling.box_min_person_iou == 0.6
    solver = config.solver
    assert (solver.freeze_at, solver.schedule, solver.precision) == (0, "cosine", "fp16")
    assert (solver.clip, solver.clip_limit) == ("norm", 5)
    assert config.lr == 0.005  # as the file says, for the file's batch of 4


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("SOLVER.NESTEROV", True, "SOLVER.NESTEROV is True; supported: False"),
        ("SOLVER.BASE_LR", -1, "SOLVER.BASE_LR must be positive, got -1.0"),
        ("INPUT.RANDOM_FLIP", "vertical", "INPUT.RANDOM_FLIP is 'vertical'; supported:"),
        ("MODEL.RPN.IOU_THRESHOLDS", [0.5], "MODEL.RPN.IOU_THRESHOLDS is [0.5]; supported: two"),
        ("MODEL.ROI_HEADS.IOU_THRESHOLDS", [0.4, 0.5], "supported: one threshold"),
    ],
)
def test_unsupported_training_is_refused_by_training_only(tmp_path, key, value, expected):
    file = on_base(tmp_path, **{key: value})
    read_detectron2_yaml(file)
    with pytest.raises(ConfigError) as error:
        read_detectron2_training(file)
    assert str(file) in str(error.value)
    assert expected in str(error.value)
