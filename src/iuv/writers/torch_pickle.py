"""The pickle inside a dump: written by hand, read by torch's restricted loader.

The loader also reads the predictions that Detectron2's evaluator leaves behind.

Python's own pickle will not write the name of a class that is not installed. A dump needs little:
a handful of instructions (protocol 2), numbers in zip members of their own, and five names.
"""

from __future__ import annotations

import io
import math
import os
import pickle
import pickletools
import struct
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from iuv.pickle_depth import has_deep_tuples

__all__ = ["RESULT_CLASS", "PickleWriter", "Quantized", "Result", "read_torch_pickle"]

RESULT_CLASS = "densepose.structures.chart_result DensePoseChartResultWithConfidences"
_QUANTIZED_CLASS = "densepose.structures.chart_result DensePoseChartResultQuantized"
_REBUILD_TENSOR = "torch._utils _rebuild_tensor_v2"
_ORDERED_DICT = "collections OrderedDict"
_STORAGES: dict[np.dtype[Any], str] = {
    np.dtype("<f4"): "torch FloatStorage",
    np.dtype("<i8"): "torch LongStorage",
}
_BYTE_STORAGE = "torch ByteStorage"
_RESULTS = (RESULT_CLASS, _QUANTIZED_CLASS)
_TENSORS = (_REBUILD_TENSOR, _ORDERED_DICT, _BYTE_STORAGE, *_STORAGES.values())
_NAMES = frozenset((*_RESULTS, *_TENSORS))
_MAX_DEPTH = 8

# torch's list of allowed classes is one for the whole process, and changing it is not thread-safe:
# whoever leaves `safe_globals` first would take the class away from all others.
_ALLOWING = threading.Lock()


class Result:
    """One person of a dump, under the name by which torch finds it; has the file's attributes."""

    __module__, __qualname__ = RESULT_CLASS.split()


class Quantized:
    """One person of an evaluator's predictions, likewise: ``labels_uv_uint8`` [3, h, w]."""

    __module__, __qualname__ = _QUANTIZED_CLASS.split()


class PickleWriter:
    """Writes the pickle of a dump; the numbers of its tensors go straight to the archive."""

    def __init__(self, archive: zipfile.ZipFile, storage_folder: str) -> None:
        self._archive = archive
        self._folder = storage_folder
        self._storages = 0
        self._out = io.BytesIO()

    def getvalue(self) -> bytes:
        """Return the pickle."""
        return self._out.getvalue()

    @contextmanager
    def document(self) -> Iterator[None]:
        """Enclose everything; write one value inside."""
        self._out.write(b"\x80\x02")
        yield
        self._out.write(b".")

    @contextmanager
    def sequence(self) -> Iterator[None]:
        """Write a list; write its items inside."""
        self._out.write(b"](")
        yield
        self._out.write(b"e")

    @contextmanager
    def mapping(self) -> Iterator[None]:
        """Write a dict; write keys and values inside, in turns."""
        self._out.write(b"}(")
        yield
        self._out.write(b"u")

    @contextmanager
    def instance(self, class_name: str) -> Iterator[None]:
        """Write an instance of a class; write names and values of its attributes inside."""
        self._name(class_name)
        self._out.write(b")\x81")
        with self.mapping():
            yield
        self._out.write(b"b")

    def none(self) -> None:
        """Write None."""
        self._out.write(b"N")

    def text(self, text: str) -> None:
        """Write a string."""
        # Names of files may hold bytes that are no text; they pass as surrogates, as in Python.
        data = text.encode("utf-8", "surrogatepass")
        self._out.write(b"X" + struct.pack("<I", len(data)) + data)

    def tensor(self, values: npt.NDArray[Any]) -> None:
        """Write a CPU tensor, float32 or int64."""
        dtype = values.dtype.newbyteorder("<")
        key, self._storages = str(self._storages), self._storages + 1
        self._archive.writestr(f"{self._folder}{key}", values.astype(dtype).tobytes())

        self._name(_REBUILD_TENSOR)
        self._out.write(b"((")
        self.text("storage")
        self._name(_STORAGES[dtype])
        self.text(key)
        self.text("cpu")
        self._integer(values.size)
        self._out.write(b"tQ")
        self._integer(0)  # where the tensor begins in its storage
        strides = [math.prod(values.shape[axis + 1 :]) for axis in range(values.ndim)]
        for numbers in (values.shape, strides):
            self._out.write(b"(")
            for number in numbers:
                self._integer(number)
            self._out.write(b"t")
        self._out.write(b"\x89")  # no gradient
        self._name(_ORDERED_DICT)  # no hooks
        self._out.write(b")RtR")

    def _integer(self, number: int) -> None:
        self._out.write(b"J" + struct.pack("<i", number))

    def _name(self, name: str) -> None:
        module, attribute = name.split()
        self._out.write(f"c{module}\n{attribute}\n".encode())


def read_torch_pickle(path: str | os.PathLike[str]) -> Any:
    """Return what a dump holds: lists, dicts, text, numbers, results and CPU tensors.

    The tensors are views of the file, so copy them; nothing in them has been checked.

    Raises:
        ValueError: the pickle has names or nesting that no dump needs, or the file is damaged.
        zipfile.BadZipFile, RuntimeError, OSError: so, too, zipfile and torch refuse it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_archive(archive, os.path.getsize(path))
        with _ALLOWING, torch.serialization.safe_globals([Result, Quantized]):
            # Mapped, a tensor that claims to be larger than its member ends with the file. Older
            # versions of torch read beyond the end of such a member's memory.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (IndexError, KeyError, pickle.UnpicklingError) as error:
        # The text of torch's advises to load the file without restrictions.
        raise ValueError("its pickle is damaged, or asks for more than data") from error


def _check_archive(archive: zipfile.ZipFile, size: int) -> None:
    members = archive.infolist()
    if (
        any(member.compress_type != zipfile.ZIP_STORED for member in members)
        or sum(member.file_size for member in members) > size
    ):
        raise ValueError("its members are compressed or overlap, as torch's never do")
    if damaged := archive.testzip():
        raise ValueError(f"its member {damaged[:200]!a} is damaged")
    # All of them, as there may be more than one, and torch chooses by rules of its own.
    pickles = [member for member in members if member.filename.lower().endswith("data.pkl")]
    if not pickles:
        raise ValueError("the archive has no data.pkl")
    for member in pickles:
        _check_pickle(archive.read(member))


def _check_pickle(pickled: bytes) -> None:
    """Refuse what torch's loader would let pass, or refuse without a clear word.

    That is names which need memory without a file that holds it, such as bytearray, and tuples in
    tuples in tuples.
    """
    argument: Any
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name == "PROTO" and argument != 2:  # torch.save's
            raise ValueError(f"its pickle has protocol {argument}, but torch writes 2")
        if opcode.name in ("GLOBAL", "INST") and argument not in _NAMES:
            raise ValueError(
                f"it refers to {argument.replace(' ', '.')[:200]!a}, but only chart results "
                "and their tensors are read. Nothing was executed"
            )
    if has_deep_tuples(pickled, _MAX_DEPTH):
        raise ValueError(f"its pickle nests tuples deeper than {_MAX_DEPTH} levels")
