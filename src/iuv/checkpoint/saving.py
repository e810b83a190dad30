"""Writing weights: ours as safetensors, or in the layout of the released Detectron2 files."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from iuv.checkpoint.errors import CheckpointError
from iuv.checkpoint.formats import FORMAT_VERSION, METADATA_KEY
from iuv.checkpoint.keys import to_released
from iuv.config import ModelConfig
from iuv.writers.atomic import atomic_write

__all__ = ["save_weights"]

_AUTHOR = "iuv"


def save_weights(
    state: Mapping[str, Tensor],
    config: ModelConfig,
    path: str | os.PathLike[str],
    *,
    half: bool = False,
) -> None:
    """Write a model's state dict as float32; the suffix decides how.

    `.safetensors`: our names, with the configuration inside. `.pkl` and `.pth`: the released names,
    in the layout that Detectron2 loads; the configuration is not kept. Whole or not at all.

    Args:
        state: of the model.
        config: of the model.
        path: where to.
        half: write kernels and matrices as float16, in half the space and to 11 bits; for
            `.safetensors` only. Vectors stay float32: they are small, and the variances that norms
            keep may exceed the range of float16.

    Raises:
        CheckpointError: another suffix; a parameter that the released models do not have; half
            precision for another format, or for a weight beyond its range.
        OSError: the file cannot be written.
    """
    writer = {".safetensors": _write_safetensors, ".pkl": _write_pkl, ".pth": _write_pth}
    suffix = Path(path).suffix
    if suffix not in writer:
        raise CheckpointError(f"{path}: expected a name that ends in {', '.join(writer)}")
    write = writer[suffix]
    if half:
        if suffix != ".safetensors":
            raise CheckpointError(f"{path}: half precision is for .safetensors only")
        write = _write_half
    if suffix != ".safetensors":
        try:
            state = {to_released(name): tensor for name, tensor in state.items()}
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}; write it as .safetensors") from error
    with atomic_write(path) as file:
        write(file, state, config)


def _write_safetensors(file: IO[bytes], state: Mapping[str, Tensor], config: ModelConfig) -> None:
    _write_tensors(file, {name: _plain(tensor) for name, tensor in state.items()}, config)


def _write_half(file: IO[bytes], state: Mapping[str, Tensor], config: ModelConfig) -> None:
    _write_tensors(file, {name: _half(name, tensor) for name, tensor in state.items()}, config)


def _write_tensors(file: IO[bytes], tensors: dict[str, Tensor], config: ModelConfig) -> None:
    # One entry, as the order of several would differ from run to run.
    metadata = {METADATA_KEY: json.dumps({"format": FORMAT_VERSION, "config": config.to_dict()})}
    file.write(save(tensors, metadata))


def _write_pth(file: IO[bytes], state: Mapping[str, Tensor], config: ModelConfig) -> None:
    weights = {key: _plain(tensor) for key, tensor in state.items()}
    try:
        torch.save({"model": weights, "__author__": _AUTHOR}, file)
    except RuntimeError as error:  # torch complains of its own state after the disk did
        raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None


def _write_pkl(file: IO[bytes], state: Mapping[str, Tensor], config: ModelConfig) -> None:
    """Pickle {"model": {key: array}, "__author__": ...}, array after array.

    Written out by hand: what numpy 2 pickles names a module that numpy before 1.26 lacks, and
    Detectron2 runs with these. The older name is read by all.
    """
    file.write(b"\x80\x03}(" + _text("__author__") + _text(_AUTHOR) + _text("model") + b"}(")
    for key, tensor in state.items():
        for part in (_text(key), *_array(_plain(tensor).numpy())):
            file.write(part)
    file.write(b"uu.")


def _text(text: str) -> bytes:
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _array(array: np.ndarray) -> Iterator[bytes | memoryview]:
    """Yield instructions of pickle protocol 3 that rebuild a float32 array."""
    dtype = (
        b"cnumpy\ndtype\n" + _text("f4") + b"\x89\x88\x87R"  # dtype("f4", False, True)
        b"(K\x03" + _text("<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    yield b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
    yield b"(K\x01(" + b"".join(b"J" + struct.pack("<i", size) for size in array.shape) + b"t"
    yield dtype + b"\x89B" + struct.pack("<I", array.nbytes)
    yield array.astype("<f4", copy=False).data
    yield b"tb"


def _plain(tensor: Tensor) -> Tensor:
    """Return a float32 copy on the CPU that is all there is to its memory."""
    plain = tensor.detach().to("cpu", torch.float32)
    return plain.clone(memory_format=torch.contiguous_format)


def _half(name: str, tensor: Tensor) -> Tensor:
    """As `_plain`, with kernels and matrices as float16."""
    plain = _plain(tensor)
    if plain.ndim < 2:
        return plain
    half = plain.half()
    if not torch.isfinite(half).all():
        raise CheckpointError(
            f"{name}: has values that half precision cannot hold (beyond 65504, or not finite); "
            "write it in full"
        )
    return half
