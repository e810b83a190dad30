"""Reading weights files of every kind that DensePose models come in.

The kind is decided by the content, never by the file name.
"""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from iuv.checkpoint.caffe2 import from_caffe2
from iuv.checkpoint.errors import CheckpointError
from iuv.checkpoint.keys import from_released
from iuv.checkpoint.unpickle import read_pickle
from iuv.config import ConfigError, ModelConfig
from iuv.pickle_depth import has_deep_tuples

__all__ = ["FORMAT_VERSION", "METADATA_KEY", "read_config", "read_state"]

METADATA_KEY = "iuv"
"""Entry of our safetensors' metadata: JSON with "format" (a number) and "config"."""
FORMAT_VERSION = 1

_TORCH_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # before PyTorch 1.6: no zip archive
_LEGACY_PICKLES = 5  # magic number, version, machine, the content, names of its storages
_MAX_TUPLES = 32
_TEXT_PICKLES = (b"(", b"c", b"]", b"}")  # how protocols 0 and 1 begin

# Entries of older released files that current models compute instead.
_IGNORED = re.compile(
    r"pixel_mean|pixel_std|proposal_generator\.anchor_generator\.cell_anchors\.\d+"
    r"|.*\.num_batches_tracked"
)


def read_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return the tensors of a weights file, on the CPU, under our parameter names.

    Reads the zoo's `.pkl`, DensePose-1's and MSRA's Caffe2 `.pkl`, `.pth` (with the weights under
    "model" or bare) and our safetensors. Keys without a counterpart keep their released name; those
    known to be superfluous are dropped.

    Raises:
        CheckpointError: the file is missing, damaged, unsafe or of another kind.
    """
    path = Path(path)
    try:
        state = _READERS[_kind(path)](path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not state:
        raise CheckpointError(f"{path}: holds no weights")
    return state


def read_config(path: str | os.PathLike[str]) -> ModelConfig | None:
    """Return the configuration inside one of our safetensors; None for any other weights file.

    Raises:
        CheckpointError: the file is missing or damaged, or a newer version of iuv wrote it.
    """
    path = Path(path)
    try:
        ours = _our_metadata(path) if _kind(path) == "safetensors" else None
        return ModelConfig.from_dict(ours["config"]) if ours else None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ConfigError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: its configuration is damaged: {error}") from error


def _kind(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise CheckpointError(f"{path}: is empty; fetch the file again")
    if head.startswith(b"PK\x03\x04"):
        return "torch"
    if head.startswith(_TORCH_LEGACY):
        return "legacy torch"
    # JSON after its length in 8 bytes; 0x80, with which pickles begin, may be the first of these.
    if head[8:9] == b"{" and (head[4:8] == bytes(4) or not head.startswith(b"\x80")):
        return "safetensors"
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path}: is a Git LFS pointer, not the file; run `git lfs pull`")
    if head.lstrip()[:1] == b"<":
        raise CheckpointError(
            f"{path}: is a web page, not weights; a download probably ended at an error page"
        )
    if head.isascii() and not head.startswith(_TEXT_PICKLES):
        raise CheckpointError(f"{path}: is text, not weights (begins with {head[:40]!r})")
    return "pickle"


def _read_pickle(path: Path) -> dict[str, Tensor]:
    return _named(_weights(read_pickle(path), path), path)


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise CheckpointError(f"{path}: is a compressed archive, which torch never writes")
            pickles = [archive.read(e) for e in entries if e.filename.lower().endswith(".pkl")]
    except zipfile.BadZipFile as error:
        raise CheckpointError(f"{path}: is cut off or damaged ({error})") from error
    for pickled in pickles:
        _check_depth(io.BytesIO(pickled), path)
    return _load_torch(path)


def _read_legacy_torch(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as file:
        for _ in range(_LEGACY_PICKLES):
            _check_depth(file, path)
    return _load_torch(path)


def _check_depth(file: IO[bytes], path: Path) -> None:
    try:
        deep = has_deep_tuples(file, _MAX_TUPLES)
    except (ValueError, IndexError, KeyError) as error:
        raise CheckpointError(f"{path}: is damaged, or no weights of PyTorch") from error
    if deep:
        raise CheckpointError(
            f"{path}: nests tuples over {_MAX_TUPLES} deep, as no checkpoint does"
        )


def _load_torch(path: Path) -> dict[str, Tensor]:
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # whatever a damaged archive makes torch raise
        wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = (
            f"it refers to {wanted[1]}, but only tensors in plain containers are read. Nothing "
            "was executed"
            if wanted
            else f"is damaged, or no weights of PyTorch ({str(error)[:200]})"
        )
        raise CheckpointError(f"{path}: {reason}") from error
    return _named(_weights(data, path), path)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    ours = _our_metadata(path)
    try:
        with safe_open(path, framework="pt") as file:
            # Cloned, for these are views of the file, which may be written anew while in use.
            state = {
                key: file.get_tensor(key).clone()
                for key in file.keys()  # noqa: SIM118  # the handle itself cannot be iterated
            }
    except SafetensorError as error:
        raise CheckpointError(f"{path}: is damaged ({error})") from error
    return state if ours else _named(state, path)


_READERS: Mapping[str, Callable[[Path], dict[str, Tensor]]] = {
    "pickle": _read_pickle,
    "torch": _read_torch,
    "legacy torch": _read_legacy_torch,
    "safetensors": _read_safetensors,
}


def _our_metadata(path: Path) -> dict[str, Any] | None:
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
        ours = json.loads(text) if text is not None else None
    except (SafetensorError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: is damaged ({error})") from error
    if ours is None:
        return None
    if not isinstance(ours, dict) or ours.get("format") != FORMAT_VERSION:
        found = ours.get("format") if isinstance(ours, dict) else None
        raise CheckpointError(
            f"{path}: is of format {found!r}, this iuv reads {FORMAT_VERSION}; update iuv"
        )
    return ours


def _weights(data: Any, path: Path) -> dict[str, Any]:
    """Find the weights in what a file holds: under "model", under "blobs", or bare."""
    found = data
    if isinstance(data, Mapping):
        found = next((data[key] for key in ("model", "blobs") if key in data), data)
    if not isinstance(found, Mapping):
        raise CheckpointError(
            f"{path}: expected named weights, bare or under 'model' or 'blobs'; it holds "
            f"a {type(found).__name__}"
        )
    for key, value in found.items():
        if not (isinstance(key, str) and isinstance(value, np.ndarray | np.generic | Tensor)):
            raise CheckpointError(
                f"{path}: expected named weights, bare or under 'model' or 'blobs'; "
                f"the entry {str(key)[:100]!r} is a {type(value).__name__}"
            )
        if isinstance(value, Tensor) and not _is_plain(value):
            raise CheckpointError(
                f"{path}: the entry {key[:100]!r} is a sparse, nested or meta tensor; save weights "
                "as plain tensors"
            )
    return dict(found)


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not (tensor.is_nested or tensor.is_meta)


def _named(weights: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    tensors = {key: _tensor(value) for key, value in weights.items()}
    if not any("." in key for key in tensors):
        return from_caffe2(tensors)
    if all(key.startswith("module.") for key in tensors):  # saved from a parallel wrapper
        tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    kept = {key: value for key, value in tensors.items() if not _IGNORED.fullmatch(key)}
    return {_our_name(key): value for key, value in kept.items()}


def _tensor(value: Any) -> Tensor:
    return value.detach() if isinstance(value, Tensor) else torch.from_numpy(np.asarray(value))


def _our_name(key: str) -> str:
    try:
        return from_released(key)
    except CheckpointError:
        return key
