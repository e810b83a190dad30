"""Weights from Caffe2: DensePose-1 (and Detectron-1) models, MSRA's ImageNet ResNets.

Their blobs differ from our parameters in name and, for the box predictor, in the order of rows.
Parity with Detectron2, which renames these blobs when it loads such a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

__all__ = ["from_caffe2"]

_PARAM = {"w": "weight", "b": "bias"}
_NORM = {
    **dict.fromkeys(("s", "gamma"), "weight"),
    **dict.fromkeys(("b", "bias", "beta"), "bias"),
    **dict.fromkeys(("rm", "running_mean"), "running_mean"),
    **dict.fromkeys(("riv", "running_var"), "running_var"),
}
_CONV = {"1": "shortcut", "2a": "conv1", "2b": "conv2", "2c": "conv3"}
_MAP = {"AnnIndex": "coarse_segm", "Index_UV": "fine_segm", "U": "u", "V": "v"}
_BN = f"bn_({'|'.join(_NORM)})"

_Match = re.Match[str]
_NAMES: tuple[tuple[str, Callable[[_Match], str]], ...] = (
    (r"conv1_w", lambda m: "trunk.resnet.stem.conv.weight"),
    (rf"(?:res_)?conv1_{_BN}", lambda m: f"trunk.resnet.stem.norm.{_NORM[m[1]]}"),
    (
        r"(res[2-5])_(\d+)_branch(1|2a|2b|2c)_w",
        lambda m: f"trunk.resnet.{m[1]}.{m[2]}.{_CONV[m[3]]}.conv.weight",
    ),
    (
        rf"(res[2-5])_(\d+)_branch(1|2a|2b|2c)_{_BN}",
        lambda m: f"trunk.resnet.{m[1]}.{m[2]}.{_CONV[m[3]]}.norm.{_NORM[m[4]]}",
    ),
    (
        r"fpn_inner_res([2-5])_\d+_sum(?:_lateral)?_([wb])",
        lambda m: f"trunk.fpn.lateral{m[1]}.{_PARAM[m[2]]}",
    ),
    (r"fpn_res([2-5])_\d+_sum_([wb])", lambda m: f"trunk.fpn.output{m[1]}.{_PARAM[m[2]]}"),
    (r"conv_rpn(?:_fpn2)?_([wb])", lambda m: f"trunk.rpn.conv.{_PARAM[m[1]]}"),
    (r"rpn_cls_logits(?:_fpn2)?_([wb])", lambda m: f"trunk.rpn.objectness.{_PARAM[m[1]]}"),
    (r"rpn_bbox_pred(?:_fpn2)?_([wb])", lambda m: f"trunk.rpn.deltas.{_PARAM[m[1]]}"),
    (r"fc([67])_([wb])", lambda m: f"box_head.fc{int(m[1]) - 5}.{_PARAM[m[2]]}"),
    (r"cls_score_([wb])", lambda m: f"box_head.cls.{_PARAM[m[1]]}"),
    (r"bbox_pred_([wb])", lambda m: f"box_head.deltas.{_PARAM[m[1]]}"),
    (
        r"body_conv_fcn([1-8])_([wb])",
        lambda m: f"dense.head.convs.{int(m[1]) - 1}.conv.{_PARAM[m[2]]}",
    ),
    (
        r"(AnnIndex|Index_UV|U|V)_lowres_([wb])",
        lambda m: f"dense.chart.{_MAP[m[1]]}.{_PARAM[m[2]]}",
    ),
)

_IGNORED = re.compile(
    r"""
      .*_momentum                                        # of the optimizer
    | (AnnIndex|Index_UV|U_estimated|V_estimated)_[wb]   # fixed bilinear kernels: we interpolate
    | (fc1000|pred)_[wb]                                 # ImageNet's classifier
    | (conv1|res[2-5]_\d+_branch(1|2a|2b|2c))_b          # biases that a norm makes void
    """,
    re.VERBOSE,
)


def from_caffe2(blobs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return blobs under our parameter names, with values as our modules expect them.

    Blobs that no model needs are left out; unknown ones keep their name. Where a norm has no
    running statistics (DensePose-1 folded them into its scale and shift), they become 0 and 1.
    """
    state = {
        _our_name(blob): value for blob, value in blobs.items() if not _IGNORED.fullmatch(blob)
    }
    for part in ("weight", "bias"):
        cls, deltas = f"box_head.cls.{part}", f"box_head.deltas.{part}"
        if cls in state and state[cls].ndim:  # the background's row comes first there, last here
            state[cls] = torch.cat([state[cls][1:], state[cls][:1]])
        if deltas in state and state[deltas].ndim:  # the background has no box here
            state[deltas] = state[deltas][4:]
    norms = [name[: -len("weight")] for name in state if name.endswith(".norm.weight")]
    for norm in norms:
        state.setdefault(f"{norm}running_mean", torch.zeros_like(state[f"{norm}weight"]))
        state.setdefault(f"{norm}running_var", torch.ones_like(state[f"{norm}weight"]))
    return state


def _our_name(blob: str) -> str:
    for pattern, name in _NAMES:
        if match := re.fullmatch(pattern, blob):
            return name(match)
    return blob
