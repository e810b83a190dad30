"""Which engine runs the network, and with which precision."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import NamedTuple

import torch

__all__ = ["ENGINES", "PRECISIONS", "EngineChoice", "EngineError", "broken_file", "choose_engine"]

ENGINES = ("auto", "eager", "compile", "openvino", "onnxruntime")
"""What may run the network; ``"auto"`` is the fastest that can be used here, or what the variable
IUV_ENGINE of the environment says."""

PRECISIONS = ("fp32", "bf16", "fp16", "int8")
"""What the network computes with. All but fp32 change results a little, see docs/engines.md."""

_LARGE = 256  # channels: those of all published models
_EXTRAS = {"openvino": "openvino", "onnxruntime": "onnx"}


class EngineError(ValueError):
    """An engine or a precision cannot be used here."""


class EngineChoice(NamedTuple):
    """What will run the network."""

    engine: str
    """One of `ENGINES`, but "auto"."""
    precision: str
    """One of `PRECISIONS`."""


def choose_engine(
    engine: str, precision: str, device: torch.device, channels: int = 0
) -> EngineChoice:
    """Return what ``"auto"`` means here, or check what is asked for.

    That is what IUV_ENGINE says, if it is set. Else, on a processor, OpenVINO or ONNX Runtime, if
    they are installed and know the precision; else, and on other devices, eager torch. Eager torch
    also for large models in fp32, with which it is faster (`iuv.ops.winograd`).

    Args:
        engine: one of `ENGINES`.
        precision: one of `PRECISIONS`.
        device: where the network is to run.
        channels: of the network's pyramid, if known.

    Raises:
        EngineError: there is no such engine or precision; it is not installed, or not for this
            device or precision.
    """
    if engine == "auto":
        engine = os.environ.get("IUV_ENGINE") or engine
    for name, value, known in (("engine", engine, ENGINES), ("precision", precision, PRECISIONS)):
        if value not in known:
            raise EngineError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    if engine != "auto":
        if why := _obstacle(engine, precision, device):
            raise EngineError(why)
        return EngineChoice(engine, precision)
    large = precision == "fp32" and channels >= _LARGE
    for candidate in ("eager",) if large else ("openvino", "onnxruntime", "eager"):
        if not (why := _obstacle(candidate, precision, device)):
            return EngineChoice(candidate, precision)
    if precision == "int8" and device.type == "cpu":
        why = _obstacle("openvino", precision, device)
    raise EngineError(f"no engine can compute with {precision} here: {why}")


_CPU_PRECISIONS = {
    "eager": ("fp32", "bf16"),
    "compile": ("fp32", "bf16"),
    "openvino": ("fp32", "bf16", "int8"),
    "onnxruntime": ("fp32", "int8"),
}
_OTHER_PRECISIONS = {"eager": ("fp32", "bf16", "fp16"), "compile": ("fp32", "bf16", "fp16")}


def _obstacle(engine: str, precision: str, device: torch.device) -> str:
    """Why an engine cannot be used; empty if it can."""
    able = (_CPU_PRECISIONS if device.type == "cpu" else _OTHER_PRECISIONS).get(engine, ())
    if not able:
        return f"engine {engine!r} runs on processors only, not on {device}; take 'eager'"
    if precision not in able:
        hint = "; take engine 'openvino' or 'onnxruntime' on a cpu" if precision == "int8" else ""
        return (
            f"engine {engine!r} computes with {', '.join(able)} on {device}, "
            f"not with {precision}{hint}"
        )
    extra = _EXTRAS.get(engine)
    missing = [m for m in _modules(engine) if importlib.util.find_spec(m) is None]
    if missing:
        return (
            f"engine {engine!r} needs {', '.join(missing)}, not installed here; "
            f"pip install 'iuv[{extra}]'"
        )
    return ""


def broken_file(path: str | os.PathLike[str], engine: str, error: Exception) -> EngineError:
    """Return what to raise where an engine cannot read one of its files."""
    (first, *_) = str(error).strip().splitlines() or [type(error).__name__]
    return EngineError(
        f"{engine} cannot read {os.fspath(path)} ({first}); "
        f"delete the folder {Path(path).parent}, and it is made again"
    )


def _modules(engine: str) -> tuple[str, ...]:
    return (engine, "onnx", "onnxscript") if engine in _EXTRAS else ()
