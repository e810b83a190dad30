"""ONNX Runtime: runs on most machines, and on Windows and Macs alike."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from iuv.runtime.engines import broken_file
from iuv.runtime.parts import Run

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["onnxruntime_run"]


def onnxruntime_run(path: str | os.PathLike[str]) -> Run:
    """Return what runs a part, an ONNX file of `iuv.runtime.onnx_parts`, on the processor.

    Raises:
        EngineError: the file cannot be read.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    try:
        session = onnxruntime.InferenceSession(
            os.fspath(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its errors have no base of their own
        raise broken_file(path, "ONNX Runtime", error) from error
    return _Session(session)


class _Session:
    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self.session = session
        self.names = [entry.name for entry in session.get_inputs()]

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        arrays = (x.contiguous().numpy() for x in inputs)
        outputs = self.session.run(None, dict(zip(self.names, arrays, strict=True)))
        return [torch.from_numpy(array) for array in outputs]
