"""What the names in a pickle of numpy arrays stand for: functions of ours that check everything.

`NAMES` is the complete list. A `Builder` makes the arrays, and counts the bytes, so that a small
file cannot ask for the same large array many times over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["NAMES", "Builder", "FileBytes", "Name", "content", "expect", "fill"]

_DTYPES = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"})
_PAIR_COST = 256  # bytes that a key and value of an OrderedDict may take


@dataclass(frozen=True)
class Name:
    """A permitted name that the pickle mentions, by what it stands for."""

    meaning: str


NAMES = {
    ("numpy", "ndarray"): Name("ndarray"),
    ("numpy", "dtype"): Name("dtype"),
    ("numpy.core.multiarray", "_reconstruct"): Name("reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"): Name("reconstruct"),
    ("numpy.core.multiarray", "scalar"): Name("scalar"),
    ("numpy._core.multiarray", "scalar"): Name("scalar"),
    ("numpy.core.numeric", "_frombuffer"): Name("frombuffer"),  # pickle protocol 5
    ("numpy._core.numeric", "_frombuffer"): Name("frombuffer"),
    ("_codecs", "encode"): Name("encode"),  # how Python 3 writes bytes for Python 2
    ("collections", "OrderedDict"): Name("OrderedDict"),
}
"""(module, name) → what is used in its place. Both spellings: numpy before and since 2."""


@dataclass
class _DType:
    code: str
    order: str = "="

    def resolve(self) -> np.dtype[Any]:
        return np.dtype(self.order + self.code)


@dataclass
class _Array:
    """An array between its creation and the arrival of its content."""

    value: np.ndarray[Any, Any] | None = None


class FileBytes(np.memmap[Any, np.dtype[np.uint8]]):
    """Bytes that stay in the file. Python 2's text is bytes, too, and decoding changes nothing."""

    def decode(self, _encoding: str) -> Any:
        """Return itself."""
        return self


def content(value: Any) -> Any:
    """Return a value as containers may hold it: an array in the place of its shell."""
    if not isinstance(value, _Array):
        return value
    if value.value is None:
        raise ValueError("it uses an array that has no content (damaged)")
    return value.value


def expect(value: Any, *kinds: type) -> Any:
    """Return the value if its type is one of `kinds` (exactly: no subclass gets here)."""
    if type(value) not in kinds:
        due = " or ".join(kind.__name__.strip("_") for kind in kinds)
        raise ValueError(f"a {due} is due, a {type(value).__name__.strip('_')} came (damaged)")
    return value


def fill(mapping: dict[str, Any], flat: Sequence[Any]) -> dict[str, Any]:
    """Add keys and values that alternate. Text is the one key that an attacker cannot make slow."""
    for key, value in zip(flat[::2], flat[1::2], strict=True):
        mapping[expect(key, str)] = value
    return mapping


class Builder:
    """Makes what a pickle describes, of at most `budget` bytes in all.

    Every method raises ValueError (TypeError for a wrong number of arguments) for what is no array
    of numbers.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._calls: dict[str, Callable[..., Any]] = {
            "dtype": self._dtype,
            "reconstruct": self._reconstruct,
            "scalar": self._scalar,
            "frombuffer": self._frombuffer,
            "encode": self._encode,
            "OrderedDict": self._ordered_dict,
        }

    def call(self, name: Name, arguments: tuple[Any, ...]) -> Any:
        """Return what the named function would."""
        if name.meaning not in self._calls:
            raise ValueError(f"it calls {name.meaning}, which is no function")
        return self._calls[name.meaning](*arguments)

    def set_state(self, target: Any, state: Any) -> None:
        """Complete an array or a dtype."""
        if isinstance(target, _Array):
            _, shape, dtype, fortran, data = expect(state, tuple)
            target.value = self._array(data, dtype, shape, "F" if fortran is True else "C")
        elif isinstance(target, _DType):
            _, order, *record = expect(state, tuple)[:5]
            target.order = expect(order, str)
            if order not in ("<", ">", "|", "=") or any(part is not None for part in record):
                raise ValueError("it holds an array of records; only numbers are read")
        elif not (type(target) is dict and type(state) is dict):
            # An OrderedDict may carry attributes (torch's _metadata), which no weights need.
            raise ValueError(f"it sets the state of a {type(target).__name__.strip('_')}")

    def _spend(self, count: int) -> None:
        self._budget -= count
        if self._budget < 0:
            raise ValueError("its parts unfold to much more than the file holds")

    def _buffer(self, data: Any) -> bytearray | FileBytes:
        if isinstance(data, list):
            raise ValueError("it holds an array of objects; only numbers are read")
        self._spend(len(expect(data, bytearray, bytes, str, FileBytes)))
        if isinstance(data, bytearray | FileBytes):
            return data
        return bytearray(data, "latin-1") if isinstance(data, str) else bytearray(data)

    def _array(self, data: Any, dtype: Any, shape: Any, order: str) -> np.ndarray[Any, Any]:
        kind = expect(dtype, _DType).resolve()
        sizes = expect(shape, tuple)
        if len(sizes) > 8 or not all(type(n) is int and 0 <= n < 1 << 40 for n in sizes):
            raise ValueError("the shape of an array makes no sense (damaged)")
        buffer = self._buffer(data)
        if math.prod(sizes) * kind.itemsize != len(buffer):
            raise ValueError(
                f"an array of shape {list(sizes)} and type {kind} cannot have {len(buffer):,} bytes"
            )
        array = np.ndarray(sizes, kind, buffer=buffer, order="F" if order == "F" else "C")
        if not kind.isnative:
            self._spend(len(buffer))
            array = array.astype(kind.newbyteorder("="))
        return array

    def _reconstruct(self, kind: Any, *_: Any) -> _Array:
        if expect(kind, Name).meaning != "ndarray":
            raise ValueError("it creates an array of an unknown class")
        return _Array()

    def _frombuffer(self, data: Any, dtype: Any, shape: Any, order: Any) -> _Array:
        return _Array(self._array(data, dtype, shape, expect(order, str)))

    def _scalar(self, dtype: Any, data: Any) -> Any:
        return self._array(data, dtype, (), "C")[()]

    def _dtype(self, code: Any, *_: Any) -> _DType:
        if expect(code, str) not in _DTYPES:
            raise ValueError(f"it holds values of type {code[:40]!a}; only numbers are read")
        return _DType(code)

    def _encode(self, text: Any, encoding: Any) -> bytearray | FileBytes:
        if expect(encoding, str) not in ("latin1", "latin-1"):
            raise ValueError(f"it encodes text as {encoding[:40]!a}")
        return self._buffer(expect(text, str))

    def _ordered_dict(self, pairs: Any = ()) -> dict[str, Any]:
        self._spend(_PAIR_COST * len(expect(pairs, list, tuple)))
        whole: dict[str, Any] = {}
        for pair in pairs:
            key, value = expect(pair, list, tuple)
            whole[expect(key, str)] = value
        return whole
