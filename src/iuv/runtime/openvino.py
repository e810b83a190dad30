"""OpenVINO: the fastest on Intel and AMD processors."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from iuv.runtime.engines import broken_file
from iuv.runtime.parts import Run

if TYPE_CHECKING:
    import openvino

__all__ = ["openvino_run"]

_PRECISIONS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}  # int8 is in the file; of the rest


def openvino_run(path: str | os.PathLike[str], precision: str) -> Run:
    """Return what runs a part on the processor. What is compiled is kept beside the file.

    Args:
        path: ONNX file, of `iuv.runtime.onnx_parts`.
        precision: "fp32", "bf16" or, of a file that says where to round, "int8".

    Raises:
        EngineError: the file cannot be read.
    """
    settings = {
        "INFERENCE_PRECISION_HINT": _PRECISIONS[precision],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
        "CACHE_DIR": os.fspath(Path(path).parent / "openvino"),
    }
    try:
        return _OpenVINO(_core().compile_model(path, "CPU", settings))
    except RuntimeError as error:
        raise broken_file(path, "OpenVINO", error) from error


@functools.cache
def _core() -> openvino.Core:
    """One for the process, never freed.

    Its plug-in gives the thread that loads it another stack for signal handlers. Freed by another
    thread, as a collector of garbage may, that stack would be gone but in use, and the next signal
    the end of the process.
    """
    import openvino

    return openvino.Core()


class _OpenVINO:
    """One request for all calls: its memory is used again, so that only one may run at a time."""

    def __init__(self, compiled: openvino.CompiledModel) -> None:
        self.request = compiled.create_infer_request()
        self.lock = threading.Lock()

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        arrays = [x.contiguous().numpy() for x in inputs]
        with self.lock:
            outputs = self.request.infer(arrays, share_inputs=True, share_outputs=False)
            return [torch.from_numpy(array) for array in outputs.values()]
