"""The parts of a network as ONNX files, which OpenVINO and ONNX Runtime read."""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from iuv.runtime.engines import EngineError
from iuv.runtime.parts import Part

__all__ = ["export_part", "free_axes", "to_onnx"]

_NEEDED = ("onnx", "onnxscript")


def export_part(part: Part, path: str | os.PathLike[str]) -> None:
    """Write a part as an ONNX file, weights included.

    Raises:
        EngineError: the packages that torch's exporter needs are not installed.
        OSError: the file cannot be written.
    """
    program = to_onnx(
        part.module.eval(),
        tuple(part.inputs.values()),
        dynamic_shapes=free_axes(part),
        input_names=list(part.inputs),
        output_names=list(part.outputs),
    )
    program.save(Path(path), external_data=False)


def to_onnx(
    module: nn.Module, inputs: tuple[Tensor, ...], **options: Any
) -> torch.onnx.ONNXProgram:
    """Return a module as an ONNX graph.

    Args:
        module: in evaluation mode.
        inputs: examples.
        options: of `torch.onnx.export`.

    Raises:
        EngineError: the packages that torch's exporter needs are not installed.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise EngineError(
            f"turning a network into ONNX needs {' and '.join(missing)}, not installed here; "
            "pip install 'iuv[onnx]'"
        )
    with _quiet():
        program = torch.onnx.export(module, inputs, dynamo=True, verbose=False, **options)
    if program is None:
        raise EngineError("torch could not turn the network into ONNX")
    return program


def free_axes(part: Part) -> tuple[dict[int, object], ...]:
    """Return for each input which axes are free, as `torch.export` takes it."""
    count, height, width = Dim("count", min=1), Dim("height", min=1), Dim("width", min=1)
    axes: list[dict[int, object]] = []
    for name in part.inputs:
        free: dict[int, object] = {0: count}
        if (factor := part.multiples.get(name)) is not None:
            free |= {1: _times(factor, height), 2: _times(factor, width)}
        axes.append(free)
    return tuple(axes)


def _times(factor: int, axis: Dim) -> object:
    return axis if factor == 1 else factor * axis


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what the exporter says of its own inside, and of packages that we do without."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
