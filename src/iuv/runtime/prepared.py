"""Parts of networks that other engines have been made ready for, kept on disk.

One folder per weights, network and release of this format, with one file per part; in it, one
folder for each set of images that the network was calibrated with for 8 bits.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from iuv.checkpoint import load_weights
from iuv.checkpoint.download import cache_folder
from iuv.config import ModelConfig
from iuv.locking import file_lock
from iuv.modeling.rcnn import RCNN
from iuv.runtime.calibration import CalibrationImages, measure_ranges
from iuv.runtime.eager import fold_batch_norm
from iuv.runtime.engines import broken_file
from iuv.runtime.onnx_parts import export_part
from iuv.runtime.parts import Run, split
from iuv.runtime.quantise import write_quantised

__all__ = ["calibrated_parts", "prepared_parts"]

_log = logging.getLogger(__name__)

_FORMAT = 1  # grows whenever the same weights would give other files
_QUANTISED = 3  # grows whenever the same ranges would give other files
_CHUNK = 1 << 20
_HEX = re.compile("[0-9a-f]{64}")
_Record = TypeVar("_Record", list[str], dict[str, Any])


def prepared_parts(config: ModelConfig, weights: str | os.PathLike[str]) -> dict[str, Path]:
    """Return an ONNX file for each part of a model; they are made at the first call.

    Args:
        config: of the model.
        weights: file of its weights.

    Raises:
        CheckpointError: the weights are broken or do not fit the model.
        EngineError: packages that the making needs are not installed.
        OSError: the cache cannot be written; its folder is IUV_HOME, or the platform's for iuv.
    """
    folder = cache_folder() / "engines" / f"{_digest(Path(weights))[:20]}-{_network(config)}"
    record = folder / "parts.json"
    if not record.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with file_lock(folder / ".lock"):
            if not record.is_file():  # another process may have been quicker
                _make(config, weights, folder)
    names = _recorded(record, list)
    return {name: folder / f"{name}.onnx" for name in names}


def calibrated_parts(
    config: ModelConfig,
    weights: str | os.PathLike[str],
    engine: str,
    ready: Callable[[Path], Run],
    images: CalibrationImages,
) -> dict[str, Path]:
    """Return an ONNX file for each part, with 8 bits where these pay; made at the first call.

    Args:
        config: of the model.
        weights: file of its weights.
        engine: "openvino" or "onnxruntime"; they want different marks.
        ready: makes a part ready to run with floats by this engine, for the calibration.
        images: typical ones, of `iuv.runtime.calibration`.

    Raises:
        As `prepared_parts`, and EngineError if none of the images can be read.
    """
    parts = prepared_parts(config, weights)
    above = next(iter(parts.values())).parent
    # Ranges are measured on images of the size, and with the proposals, that are wanted.
    wanted = hashlib.sha256(repr((config.input, config.rpn)).encode()).hexdigest()[:8]
    folder = above / f"int8-{images.digest()}-{wanted}-{_QUANTISED}-{engine}"
    whole = folder / "ranges.json"
    if not whole.is_file():
        folder.mkdir(exist_ok=True)
        with file_lock(folder / ".lock"):
            if not whole.is_file():
                start = time.perf_counter()
                _log.warning("calibrating the network for 8 bits, once; this takes some minutes")
                ranges = measure_ranges(config, parts, ready, images)
                for name in filter(ranges.get, ranges):
                    target, more = folder / parts[name].name, engine == "onnxruntime"
                    write_quantised(parts[name], ranges[name], target, outputs_too=more)
                partial = folder / "ranges.json.part"
                partial.write_text(json.dumps(ranges, indent=1))
                partial.replace(whole)  # only now is the folder whole
                _log.info("calibrated in %.0f s: %s", time.perf_counter() - start, folder)
    rounded = _recorded(whole, dict)
    return {n: folder / path.name if rounded.get(n) else path for n, path in parts.items()}


def _recorded(path: Path, kind: type[_Record]) -> _Record:
    """Read what was written when a folder was whole."""
    try:
        record = json.loads(path.read_text())
    except ValueError as error:
        raise broken_file(path, "iuv", error) from error
    if not isinstance(record, kind) or not record:
        found = type(record).__name__
        raise broken_file(path, "iuv", ValueError(f"expected a {kind.__name__}, got {found}"))
    return record


def _make(config: ModelConfig, weights: str | os.PathLike[str], folder: Path) -> None:
    start = time.perf_counter()
    _log.warning("preparing the network for this engine, once; this takes a minute or less")
    with torch.device("meta"):
        model = RCNN(config)
    load_weights(model, weights)
    model.eval().requires_grad_(False)
    fold_batch_norm(model)
    model.box_head.lay_out_channels_last()
    parts = split(model)
    for part in parts:
        export_part(part, folder / f"{part.name}.onnx")
    partial = folder / "parts.json.part"
    partial.write_text(json.dumps([part.name for part in parts]))
    partial.replace(folder / "parts.json")  # only now is the folder whole
    _log.info("prepared in %.0f s: %s", time.perf_counter() - start, folder)


def _network(config: ModelConfig) -> str:
    """What the parts depend on besides the weights, as eight digits; not detection settings."""
    box = config.box
    shapes = (
        _FORMAT,
        config.backbone,
        config.dense,
        (box.num_classes, box.pool_size, box.fc_dim),
        (len(config.rpn.anchor_sizes), len(config.rpn.aspect_ratios)),
    )
    return hashlib.sha256(repr(shapes).encode()).hexdigest()[:8]


def _digest(path: Path) -> str:
    """SHA-256 of a file; remembered beside what is prepared, as it takes a second per gigabyte."""
    status = path.stat()
    # the time of the last change of anything, too: a copy may keep the other one
    times = f"{status.st_mtime_ns}|{status.st_ctime_ns}|{status.st_ino}"
    key = f"{path.resolve()}|{status.st_size}|{times}"
    known = cache_folder() / "engines" / f"{hashlib.sha256(key.encode()).hexdigest()[:20]}.sha256"
    if known.is_file() and _HEX.fullmatch(remembered := known.read_text(errors="replace")):
        return remembered
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    known.parent.mkdir(parents=True, exist_ok=True)
    partial = known.with_suffix(f".{os.getpid()}.part")
    partial.write_text(digest.hexdigest())
    partial.replace(known)
    return digest.hexdigest()
