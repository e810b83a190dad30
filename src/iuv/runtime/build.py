"""From a configuration, a weights file and an engine to a network that is ready to run."""

from __future__ import annotations

import os
from collections.abc import Callable

import torch

from iuv.checkpoint import load_weights
from iuv.config import ModelConfig
from iuv.modeling.rcnn import RCNN
from iuv.runtime.calibration import CalibrationImages
from iuv.runtime.compiled import compile_parts
from iuv.runtime.eager import prepare_eager, use_winograd
from iuv.runtime.engines import EngineChoice
from iuv.runtime.parts import Run, join
from iuv.runtime.prepared import calibrated_parts, prepared_parts

__all__ = ["build_model"]


def build_model(
    config: ModelConfig,
    weights: str | os.PathLike[str],
    choice: EngineChoice,
    device: torch.device,
    *,
    calibration: str | os.PathLike[str] | None = None,
) -> RCNN:
    """Return a model that an engine runs.

    Args:
        config: of the model.
        weights: file of its weights.
        choice: of `iuv.runtime.engines.choose_engine`, for this device.
        device: where to run.
        calibration: folder of typical photos, for int8; None: synthetic people.

    Raises:
        CheckpointError: the weights are broken or do not fit the model.
        EngineError: the engine cannot be made ready, or the photos are of no use for that.
        OSError: its cache cannot be written.
    """
    if choice.engine in ("openvino", "onnxruntime"):
        run = _openvino(choice.precision) if choice.engine == "openvino" else _onnxruntime()
        if choice.precision == "int8":
            images = CalibrationImages(calibration)
            paths = calibrated_parts(config, weights, choice.engine, run, images)
        else:
            paths = prepared_parts(config, weights)
        return join(config, {name: run(path) for name, path in paths.items()})
    with torch.device("meta"):  # no memory and no initialisation: the weights are about to come
        model = RCNN(config)
    load_weights(model, weights)
    model = prepare_eager(model, device, choice.precision)
    if choice.engine == "compile":
        return compile_parts(model)
    return use_winograd(model) if (device.type, choice.precision) == ("cpu", "fp32") else model


def _openvino(precision: str) -> Callable[[os.PathLike[str]], Run]:
    from iuv.runtime.openvino import openvino_run

    return lambda path: openvino_run(path, precision)


def _onnxruntime() -> Callable[[os.PathLike[str]], Run]:
    from iuv.runtime.onnxruntime import onnxruntime_run

    return onnxruntime_run
