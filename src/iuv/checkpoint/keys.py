"""Our parameter names and those of the released checkpoints: one table, read both ways.

The released names are a fact of the files; tests/golden/manifests lists them for every model.
In a row, `{field}` stands for any of the field's values, each with its spelling on either side.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from string import Formatter

from iuv.checkpoint.errors import CheckpointError

__all__ = ["from_released", "to_released"]


def _same(*values: str) -> dict[str, str]:
    return {value: value for value in values}


_FIELDS = {
    "param": _same("weight", "bias"),
    "norm": _same("weight", "bias", "running_mean", "running_var"),
    "stage": _same("2", "3", "4", "5"),
    "block": _same(*map(str, range(23))),
    "conv": _same("conv1", "conv2", "conv3", "shortcut"),
    "rpn": {"conv": "conv", "objectness": "objectness_logits", "deltas": "anchor_deltas"},
    "fc": _same("fc1", "fc2"),
    "box": {"cls": "cls_score", "deltas": "bbox_pred"},
    "step": {"0": "0", "1": "2", "2": "4"},  # the released list counts the upsamplings, too
    "branch": _same("0", "1", "2", "3"),
    "attention": {"value": "g.0", "key": "phi.0", "query": "theta"},
    "layer": {str(i): str(i + 1) for i in range(64)},
    "map": {
        "coarse_segm": "ann_index",
        "fine_segm": "index_uv",
        **_same("u", "v", "sigma_2", "kappa_u", "kappa_v"),
        **_same("fine_segm_confidence", "coarse_segm_confidence"),
    },
}

# (our prefix, released prefix): pairs of what follows.
_TABLE = {
    ("trunk.resnet.", "backbone.bottom_up."): (
        ("stem.conv.weight", "stem.conv1.weight"),
        ("stem.norm.{norm}", "stem.conv1.norm.{norm}"),
        ("res{stage}.{block}.{conv}.conv.weight", "res{stage}.{block}.{conv}.weight"),
        ("res{stage}.{block}.{conv}.norm.{norm}", "res{stage}.{block}.{conv}.norm.{norm}"),
    ),
    ("trunk.fpn.", "backbone.fpn_"): (
        ("lateral{stage}.{param}", "lateral{stage}.{param}"),
        ("output{stage}.{param}", "output{stage}.{param}"),
    ),
    ("trunk.rpn.", "proposal_generator.rpn_head."): (("{rpn}.{param}", "{rpn}.{param}"),),
    ("box_head.", "roi_heads."): (
        ("{fc}.{param}", "box_head.{fc}.{param}"),
        ("{box}.{param}", "box_predictor.{box}.{param}"),
    ),
    ("decoder.", "roi_heads.decoder."): (
        ("p{stage}.{step}.{param}", "p{stage}.{step}.{param}"),
        ("project.{param}", "predictor.{param}"),
    ),
    ("dense.head.", "roi_heads.densepose_head."): (
        ("aspp.branches.{branch}.conv.{param}", "ASPP.convs.{branch}.0.{param}"),
        ("aspp.branches.{branch}.norm.{param}", "ASPP.convs.{branch}.1.{param}"),
        ("aspp.pooled.conv.{param}", "ASPP.convs.4.1.{param}"),
        ("aspp.pooled.norm.{param}", "ASPP.convs.4.2.{param}"),
        ("aspp.project.{param}", "ASPP.project.0.{param}"),
        ("attention.{attention}.{param}", "NLBlock.{attention}.{param}"),
        ("attention.project.{param}", "NLBlock.W.0.{param}"),
        ("attention.norm.{param}", "NLBlock.W.1.{param}"),
        ("convs.{layer}.conv.{param}", "body_conv_fcn{layer}.{param}"),
        ("convs.{layer}.norm.{param}", "body_conv_fcn{layer}.norm.{param}"),
    ),
    ("dense.chart.", "roi_heads.densepose_predictor."): (
        ("{map}.{param}", "{map}_lowres.{param}"),
    ),
}


def _spellings(ours: str, released: str) -> Iterator[tuple[str, str]]:
    """Fill in every choice of values for the fields of a pair."""
    fields = [field for _, field, _, _ in Formatter().parse(ours) if field]
    for choice in product(*(_FIELDS[field].items() for field in fields)):
        left, right = zip(*choice, strict=True) if choice else ((), ())
        yield (
            ours.format_map(dict(zip(fields, left, strict=True))),
            released.format_map(dict(zip(fields, right, strict=True))),
        )


_RELEASED = {
    our_prefix + ours: released_prefix + released
    for (our_prefix, released_prefix), pairs in _TABLE.items()
    for pair in pairs
    for ours, released in _spellings(*pair)
}
_OURS = {released: ours for ours, released in _RELEASED.items()}


def to_released(name: str) -> str:
    """Return the released key of one of our parameters.

    Raises:
        CheckpointError: no released model has such a parameter.
    """
    if name not in _RELEASED:
        raise CheckpointError(f"parameter {name!r} has no name in the released checkpoints")
    return _RELEASED[name]


def from_released(key: str) -> str:
    """Return our name of a released key.

    Raises:
        CheckpointError: no model of ours has such a parameter.
    """
    if key not in _OURS:
        raise CheckpointError(f"released key {key!r} has no counterpart in our models")
    return _OURS[key]
