"""The files of an exported model: traced, written, described."""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from iuv.config import ModelConfig
from iuv.export.card import flat
from iuv.export.network import WholeNetwork
from iuv.export.torch_operators import TorchOperators
from iuv.modeling.chart import output_channels
from iuv.modeling.rcnn import RCNN
from iuv.runtime.engines import EngineError
from iuv.runtime.onnx_parts import free_axes, to_onnx
from iuv.runtime.parts import Part, split

if TYPE_CHECKING:
    from onnx_ir import Model

__all__ = ["FORMATS", "check_format", "export_parts", "export_whole"]

FORMATS = ("onnx", "openvino", "torch")
"""What a model can be written for."""

_NEEDED = {
    "onnx": ("onnx", "onnxscript"),
    "openvino": ("openvino", "onnx", "onnxscript"),
    "torch": (),
}
_SUFFIX = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2"}
_OLDEST_TORCH = (2, 9)
_EXAMPLE = Path(__file__).with_name("example.py")


def check_format(to: str, config: ModelConfig | None = None) -> None:
    """See that a model, or any at all, can be written in a format.

    Raises:
        EngineError: there is no such format; it needs what is not installed; or the model has
            something that it cannot express.
    """
    if to not in FORMATS:
        raise EngineError(f"the format must be one of {', '.join(FORMATS)}, got {to!r}")
    missing = [name for name in _NEEDED[to] if importlib.util.find_spec(name) is None]
    if missing:
        extra = "openvino" if to == "openvino" else "onnx"
        raise EngineError(
            f"writing for {to} needs {', '.join(missing)}, not installed here; "
            f"pip install 'iuv[{extra}]'"
        )
    if _version() < _OLDEST_TORCH:
        raise EngineError(
            f"exporting needs torch {_OLDEST_TORCH[0]}.{_OLDEST_TORCH[1]} or newer, "
            f"got {torch.__version__}; pip install -U torch"
        )
    if config and to == "torch" and 0 in (config.box.sampling_ratio, config.dense.sampling_ratio):
        raise EngineError(
            "a model whose sampling_ratio is 0 (as many samples as fit a box) cannot be written "
            "for torch; write it for onnx, or set the ratio to 2"
        )


def export_whole(
    model: RCNN, card: dict[str, Any], to: str, folder: str | os.PathLike[str]
) -> list[Path]:
    """Write a model as one file, with a description and an example that runs it.

    Files of the same names are replaced, once all are written.

    Args:
        model: with weights, folded, on the CPU.
        card: `iuv.export.card`, the file's name among it.
        to: one of `FORMATS`.
        folder: where to; made if missing.

    Returns:
        The files, the model first.

    Raises:
        EngineError: see `check_format`.
        OSError: the folder cannot be written.
    """
    check_format(to, model.config)
    height, width = Dim("height", min=1), Dim("width", min=1)
    axes = ({0: height, 1: width},)
    image = (torch.zeros(70, 90, 3, dtype=torch.uint8),)  # neither square, nor multiples of 32
    outputs = ["boxes", "scores", "classes", *output_channels(model.config.dense)]
    with _Batch(Path(folder), card) as batch, torch.no_grad():
        path = batch.folder / f"{card['model']}{_SUFFIX[to]}"
        if to == "torch":
            network = WholeNetwork(model, TorchOperators()).eval()
            batch.save_torch(_trace(network, image, axes), path)
        else:
            from iuv.export.onnx_operators import OnnxOperators

            network = WholeNetwork(model, OnnxOperators()).eval()
            program = to_onnx(
                network, image, dynamic_shapes=axes, input_names=["image"], output_names=outputs
            )
            batch.save_onnx(program, path)
        (batch.folder / "example.py").write_bytes(_EXAMPLE.read_bytes())
    return batch.written


def export_parts(
    model: RCNN, card: dict[str, Any], to: str, folder: str | os.PathLike[str]
) -> list[Path]:
    """Write the heavy parts of a model, each as a file, with a description; as `export_whole`."""
    check_format(to, model.config)
    with _Batch(Path(folder), card) as batch, torch.no_grad():
        for part in split(model):
            path = batch.folder / f"{card['model']}.{part.name}{_SUFFIX[to]}"
            if to == "torch":
                inputs = tuple(part.inputs.values())
                batch.save_torch(_trace(part.module.eval(), inputs, free_axes(part)), path)
            else:
                batch.save_onnx(_part_to_onnx(part), path)
    return batch.written


def _part_to_onnx(part: Part) -> torch.onnx.ONNXProgram:
    return to_onnx(
        part.module.eval(),
        tuple(part.inputs.values()),
        dynamic_shapes=free_axes(part),
        input_names=list(part.inputs),
        output_names=list(part.outputs),
    )


def _trace(module: nn.Module, inputs: tuple[Tensor, ...], axes: Any) -> ExportedProgram:
    return torch.export.export(module, inputs, dynamic_shapes=axes, strict=False)


class _Batch:
    """Files that are written in a hidden folder, and take their places together."""

    def __init__(self, target: Path, card: dict[str, Any]) -> None:
        self.target = target
        self.card = card
        self.written: list[Path] = []

    def __enter__(self) -> _Batch:
        self.target.mkdir(parents=True, exist_ok=True)
        self.hidden = tempfile.TemporaryDirectory(dir=self.target, prefix=".")
        self.folder = Path(self.hidden.name)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self.hidden:
            if kind is not None:
                return
            text = json.dumps(self.card, indent=2)
            (self.folder / f"{self.card['model']}.json").write_text(text + "\n")
            models = tuple(_SUFFIX.values())  # first, as it is they that people look for
            for path in sorted(self.folder.iterdir(), key=lambda p: (p.suffix not in models, p)):
                self.written.append(path.replace(self.target / path.name))

    def save_torch(self, program: ExportedProgram, path: Path) -> None:
        """Write with the card as an extra file."""
        for module in program.graph_module.modules():
            for node in getattr(module, "graph", torch.fx.Graph()).nodes:
                node.meta.pop("stack_trace", None)  # paths on this machine are nobody's business
        torch.export.save(program, path, extra_files={"card.json": json.dumps(self.card)})

    def save_onnx(self, program: torch.onnx.ONNXProgram, path: Path) -> None:
        """Write as ONNX or for OpenVINO, by the suffix, with the card as metadata."""
        model: Model = program.model
        for node in model.graph.all_nodes():
            node.metadata_props.clear()  # stack traces: paths on this machine are nobody's business
        model.metadata_props.update(flat(self.card))
        if path.suffix == ".onnx":
            program.save(path, external_data=False)
            return
        import openvino

        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            onnx = Path(folder) / "model.onnx"
            program.save(onnx, external_data=False)
            converted = openvino.convert_model(onnx)
            for key, text in flat(self.card).items():
                converted.set_rt_info(text, ["iuv", key])
            openvino.save_model(converted, path, compress_to_fp16=False)


def _version() -> tuple[int, ...]:
    return tuple(int(number) for number in torch.__version__.split(".")[:2])
