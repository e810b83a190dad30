"""Reading a pickle of numpy arrays without executing anything.

A pickle is a program: its instructions may import any module and call any function in it. Python's
own reader runs it. This one is a small machine that knows the instructions which build numbers,
text and containers, and the few names in `pickled_arrays.NAMES`, which stand for functions of ours.
Nothing is imported, no attribute is looked up, nothing that the file names is called. Time and
memory are bounded by the file's size.

Python 2 pickles are read as latin-1. Parity: `pickle.load(file, encoding="latin1")` where that
gives plain data.
"""

from __future__ import annotations

import codecs
import os
import pickletools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from iuv.checkpoint.errors import CheckpointError
from iuv.checkpoint.pickled_arrays import NAMES, Builder, FileBytes, Name, content, expect, fill

__all__ = ["read_pickle"]

_MAX_STEPS = 500_000
_MAX_DEPTH = 32
_PLAIN = (str, bytes, bytearray, int, float, type(None), np.ndarray, np.generic)


def read_pickle(path: str | os.PathLike[str], *, mapped: bool = False) -> Any:
    """Return the plain data (dict, list, tuple, text, numbers, numpy arrays) that a pickle holds.

    Bytes may come as bytearray; arrays are writable and in native byte order. With `mapped`, large
    arrays stay in the file where they can: they are then read-only, and their base is a
    `numpy.memmap`.

    Raises:
        CheckpointError: the file is no complete pickle, or it wants more than plain data: another
            name (which the message gives), an array of objects, endless nesting.
        OSError: the file cannot be read.
    """
    size = os.path.getsize(path)
    try:
        with open(path, "rb", buffering=1 << 16) as file:
            # Bytes may be text first (Python 2), then an array, then one in native byte order.
            source = (_MappedSource if mapped else _Source)(file, size)
            value = _Machine(source, Builder(budget=3 * size + (1 << 20))).run()
        _check_plain(value)
    except (ValueError, TypeError, DeprecationWarning) as error:  # the last: unknown escapes
        reason = str(error) if len(str(error)) < 400 else f"{str(error)[:400]}..."
        raise CheckpointError(f"{os.fspath(path)}: not a pickle of weights: {reason}") from error
    return value


def _check_plain(root: Any) -> None:
    """Walk what was built, counting shared parts again, so that nobody later walks for ever."""
    todo, count = [(root, 0)], 0
    while todo:
        value, depth = todo.pop()
        if isinstance(value, dict | list | tuple):
            count += len(value)
            if count > _MAX_STEPS or depth >= _MAX_DEPTH:
                raise ValueError(
                    f"its containers unfold to more than {_MAX_STEPS:,} entries or {_MAX_DEPTH} "
                    "levels, as no weights do"
                )
            inner: Iterable[Any] = value.values() if isinstance(value, dict) else value
            todo.extend((item, depth + 1) for item in inner)
        elif not isinstance(value, _PLAIN):
            raise ValueError(f"it holds a bare {type(value).__name__.strip('_')}")


class _Source:
    """A file that checks an announced length against what is left before it asks for memory."""

    def __init__(self, file: Any, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, count: int) -> bytes | bytearray | FileBytes:
        if count > self._left:
            raise ValueError(
                f"{count:,} more bytes are due where {self._left:,} are left: it is cut off or "
                "damaged"
            )
        self._left -= count
        # What is long becomes the memory of an array as it is; hence a bytearray.
        data: bytes | bytearray = bytearray(count) if count > 4096 else self._file.read(count)
        if isinstance(data, bytearray):
            self._file.readinto(data)
        return data

    def readline(self) -> bytes:
        line: bytes = self._file.readline()
        self._left -= len(line)
        return line


class _MappedSource(_Source):
    """A source that maps what is long instead of reading it."""

    def read(self, count: int) -> bytes | bytearray | FileBytes:
        if count <= 4096 or count > self._left:
            return super().read(count)
        self._left -= count
        start = self._file.tell()
        self._file.seek(count, os.SEEK_CUR)
        return FileBytes(self._file.name, mode="r", offset=start, shape=(count,))


class _Machine:
    def __init__(self, source: _Source, builder: Builder) -> None:
        self._source = source
        self._builder = builder
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(_MAX_STEPS):
            byte = self._source.read(1).decode("latin-1")
            if byte not in _OPCODES:
                raise ValueError(f"byte {byte!a} is no instruction of a pickle")
            name, read = _OPCODES[byte]
            if name == "STOP":
                return self.pop()
            if name not in _ACTIONS:
                raise ValueError(f"it uses the instruction {name}, which plain data never needs")
            _ACTIONS[name](self, read(self._source) if read else None)
        raise ValueError(f"it takes more than {_MAX_STEPS:,} steps, as no weights do")

    # Each action takes the machine and the instruction's argument (None if it has none).

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def top(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise ValueError("it takes from an empty stack (damaged)")
        return self._stack[-1]

    def pop(self, _: None = None) -> Any:
        value = content(self.top())
        self._stack.pop()
        return value

    def mark(self, _: None) -> None:
        self._marks.append(len(self._stack))

    def pop_mark(self, _: None = None) -> list[Any]:
        if not self._marks:
            raise ValueError("it closes a group that it never opened (damaged)")
        start = self._marks.pop()
        items = [content(item) for item in self._stack[start:]]
        del self._stack[start:]
        return items

    def dup(self, _: None) -> None:
        self.push(self.top())

    def put(self, index: int) -> None:
        self._memo[index] = self.top()

    def memoize(self, _: None) -> None:
        self._memo[len(self._memo)] = self.top()

    def get(self, index: int) -> None:
        if index not in self._memo:
            raise ValueError("it recalls what it never stored (damaged)")
        self.push(self._memo[index])

    def make_tuple(self, count: int) -> None:
        items = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    def append(self, _: None) -> None:
        item = self.pop()
        expect(self.top(), list).append(item)

    def appends(self, _: None) -> None:
        items = self.pop_mark()
        expect(self.top(), list).extend(items)

    def set_item(self, _: None) -> None:
        value, key = self.pop(), self.pop()
        fill(expect(self.top(), dict), [key, value])

    def set_items(self, _: None) -> None:
        items = self.pop_mark()
        fill(expect(self.top(), dict), items)

    def name(self, module_and_name: tuple[str, str]) -> None:
        self._push_name(*module_and_name)

    def name_from_stack(self, _: None) -> None:
        name, module = self.pop(), self.pop()
        self._push_name(expect(module, str), expect(name, str))

    def _push_name(self, module: str, name: str) -> None:
        if (module, name) not in NAMES:
            shown = ascii(f"{module[:100]}.{name[:100]}")[1:-1]
            raise ValueError(
                f"it refers to {shown}, but only numpy arrays in plain containers are read. "
                "Nothing was executed. If you trust its source, save it there as numpy arrays"
            )
        self.push(NAMES[module, name])

    def call(self, _: None) -> None:
        arguments = expect(self.pop(), tuple)
        self.push(self._builder.call(expect(self.pop(), Name), arguments))

    def build(self, _: None) -> None:
        state = self.pop()
        self._builder.set_state(self.top(), state)


def _read_quoted(source: Any) -> str:
    decoded: bytes = codecs.escape_decode(pickletools.read_stringnl(source, decode=False))[0]
    return decoded.decode("latin-1")


def _read_name(source: _Source) -> tuple[str, str]:
    module, name = source.readline(), source.readline()
    return module.decode("latin-1").removesuffix("\n"), name.decode("latin-1").removesuffix("\n")


# Instruction byte → its name and the function that reads its argument. Those of the standard
# library do nothing but parse; they take Python 2's quoted text for ASCII, though, and undo
# escapes in names, where there are none.
_OPCODES: dict[str, tuple[str, Callable[[Any], Any] | None]] = {
    op.code: (op.name, op.arg.reader if op.arg else None) for op in pickletools.opcodes
} | {"S": ("STRING", _read_quoted), "c": ("GLOBAL", _read_name), "i": ("INST", _read_name)}

# fmt: off
_LITERALS = (
    "NONE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
    "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
)
# fmt: on

_ACTIONS: dict[str, Callable[[_Machine, Any], object]] = {
    **dict.fromkeys(("PROTO", "FRAME"), lambda machine, _: None),
    **dict.fromkeys(_LITERALS, _Machine.push),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE1": lambda machine, _: machine.make_tuple(1),
    "TUPLE2": lambda machine, _: machine.make_tuple(2),
    "TUPLE3": lambda machine, _: machine.make_tuple(3),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_mark())),
    "LIST": lambda machine, _: machine.push(machine.pop_mark()),
    "DICT": lambda machine, _: machine.push(fill({}, machine.pop_mark())),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_mark,
    "DUP": _Machine.dup,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.get),
    "MEMOIZE": _Machine.memoize,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name_from_stack,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
    "INST": _Machine.name,  # Python 1's call: to say which name it wants, then to fail
}
