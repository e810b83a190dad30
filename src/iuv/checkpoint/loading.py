"""Loading weights into a model: all of them or none, and never the wrong ones."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from iuv.checkpoint.errors import CheckpointError
from iuv.checkpoint.formats import read_state
from iuv.zoo import EMBEDDED

__all__ = ["guess_model_name", "load_backbone", "load_weights"]

_BACKBONE = "trunk.resnet."
_LISTED = 8  # names per kind of misfit that a message shows


def load_weights(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Load a weights file of any supported kind into a model. Values become the model's dtype.

    A model on the meta device takes the file's tensors over without a copy.

    Raises:
        CheckpointError: the file cannot be read or is unsafe; keys are missing, unexpected or of
            another shape; values are not finite. The model is then unchanged.
    """
    _load(model, read_state(path), path)


def load_backbone(resnet: nn.Module, path: str | os.PathLike[str]) -> None:
    """Load the ResNet of a weights file (ImageNet weights or a whole model's) into a ResNet.

    Raises:
        CheckpointError: as for `load_weights`, or the file holds no ResNet.
    """
    state = {
        name.removeprefix(_BACKBONE): tensor
        for name, tensor in read_state(path).items()
        if name.startswith(_BACKBONE)
    }
    if not state:
        raise CheckpointError(f"{path}: holds no ResNet; expected weights such as MSRA's R-50.pkl")
    _load(resnet, state, path)


def guess_model_name(state: Mapping[str, Tensor]) -> str | None:
    """Return the zoo's name of the architecture that these weights (our names) belong to."""
    if _is_embedded(state):
        return EMBEDDED.name
    coarse = state.get("dense.chart.coarse_segm.weight")
    if coarse is None or coarse.ndim != 4 or "trunk.resnet.res4.5.conv1.conv.weight" not in state:
        return None
    depth = 101 if "trunk.resnet.res4.22.conv1.conv.weight" in state else 50
    if coarse.shape[1] == 15:
        return f"R_{depth}_FPN_s1x_legacy"
    parts = [f"R_{depth}_FPN"]
    if "dense.head.aspp.project.weight" in state:
        parts.append("DL")
    if "dense.chart.sigma_2.weight" in state:
        kind = "WC2" if "dense.chart.kappa_u.weight" in state else "WC1"
        parts.append(kind + "M" * ("dense.chart.fine_segm_confidence.weight" in state))
    return "_".join([*parts, "s1x"])


def _is_embedded(state: Mapping[str, Tensor]) -> bool:
    """Tell the embedded model from others of its family by widths, depth and kind of head."""
    backbone, dense = EMBEDDED.config.backbone, EMBEDDED.config.dense
    widths = {
        "trunk.resnet.stem.conv.weight": backbone.width,
        "trunk.rpn.conv.weight": backbone.fpn_channels,
        "dense.chart.u.weight": dense.conv_dim,  # a deconvolution's: its input channels come first
    }
    if any(n not in state or state[n].shape[:1] != (width,) for n, width in widths.items()):
        return False
    others = ("trunk.resnet.res4.1.conv3.", "trunk.resnet.res4.2.", "dense.head.aspp.")
    return "dense.chart.sigma_2.weight" not in state and not any(
        name.startswith(others) for name in state
    )


def _load(module: nn.Module, state: dict[str, Tensor], path: str | os.PathLike[str]) -> None:
    own = module.state_dict()
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    misshapen = [
        f"{name} (expected {_described(own[name])}, got {_described(state[name])})"
        for name in own
        if name in state and not _fits(own[name], state[name])
    ]
    if missing or unexpected or misshapen:
        groups = {"missing": missing, "unexpected": unexpected, "of another shape": misshapen}
        lines = [f"{kind}: {_listed(names)}" for kind, names in groups.items() if names]
        raise CheckpointError(
            "\n  ".join([f"{path}: does not fit the model", *lines, _remedy(own, state)]).rstrip()
        )
    cast = {name: state.pop(name).to(tensor.dtype).contiguous() for name, tensor in own.items()}
    # A sum is finite only if all of it is; where it is not, it may have overflowed.
    doubtful = [name for name, tensor in cast.items() if not tensor.sum().isfinite()]
    broken = [name for name in doubtful if not cast[name].isfinite().all()]
    if broken:
        raise CheckpointError(
            f"{path}: has values that are not finite (NaN or infinity) in {_listed(broken)}; "
            "the training diverged or the file is damaged: use another one"
        )
    module.load_state_dict(cast, assign=any(tensor.is_meta for tensor in own.values()))


def _fits(own: Tensor, loaded: Tensor) -> bool:
    return own.shape == loaded.shape and own.is_floating_point() == loaded.is_floating_point()


def _described(tensor: Tensor) -> str:
    kind = "" if tensor.is_floating_point() else f" {str(tensor.dtype).removeprefix('torch.')}"
    return f"{list(tensor.shape)}{kind}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{len(names)}: " + ", ".join(names[:_LISTED]) + more


def _remedy(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    guess = guess_model_name(state)
    if guess and guess != guess_model_name(own):
        return f"these look like the weights of {guess}: try --model {guess}"
    if all(name.startswith(_BACKBONE) for name in state):
        return "this is a backbone alone, from which training starts: give a whole model's weights"
    return ""
