"""The pickle inside a dump, written and read instruction by instruction.

Python's own pickle will not write the name of a class that is not installed, and its reader calls
whatever a file names. A dump needs neither: it is a handful of instructions (protocol 2), numbers
in zip members of their own, and five names, which are compared and never looked up.
"""

from __future__ import annotations

import io
import math
import pickletools
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["RESULT_CLASS", "Members", "PickleWriter", "Tensor", "read_torch_pickle"]

RESULT_CLASS = "densepose.structures.chart_result DensePoseChartResultWithConfidences"
_REBUILD_TENSOR = "torch._utils _rebuild_tensor_v2"
_ORDERED_DICT = "collections OrderedDict"
_STORAGES: dict[str, np.dtype[Any]] = {
    "torch FloatStorage": np.dtype("<f4"),
    "torch LongStorage": np.dtype("<i8"),
}
_STORAGE_OF = {dtype: name for name, dtype in _STORAGES.items()}

T = TypeVar("T")


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
        self._name(_STORAGE_OF[dtype])
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


class Members:
    """The members of an archive, which may be read for `budget` bytes all in all.

    The budget keeps a small file from unfolding into a large result by naming a member many times.
    """

    def __init__(self, archive: zipfile.ZipFile, budget: int) -> None:
        self._archive = archive
        self._budget = budget
        self.names = frozenset(archive.namelist())

    def read(self, name: str) -> bytes:
        """Return a member's bytes.

        Raises:
            ValueError: the member is compressed, as torch's never are, or the budget is spent.
            KeyError: there is no such member.
        """
        info = self._archive.getinfo(name)
        self._budget -= info.file_size
        if info.compress_type != zipfile.ZIP_STORED or self._budget < 0:
            raise ValueError(f"its member {name} is compressed or used too often")
        return self._archive.read(info)


@dataclass(frozen=True)
class Tensor:
    """A tensor in an archive; its numbers are read when they are asked for."""

    members: Members
    member: str
    dtype: np.dtype[Any]
    numel: int
    """Numbers in the member."""
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    """As torch counts them: in numbers."""

    def array(self) -> npt.NDArray[Any]:
        """Read the numbers.

        Raises:
            ValueError: the tensor reaches beyond its storage, or the member has another size.
        """
        values = np.frombuffer(self.members.read(self.member), self.dtype)
        reach = sum((size - 1) * step for size, step in zip(self.shape, self.strides, strict=True))
        count = math.prod(self.shape)
        if (
            len(values) != self.numel
            or min(self.offset, *self.shape, *self.strides) < 0
            or count > self.numel
            or (count and self.offset + reach >= self.numel)
        ):
            raise ValueError(f"the tensor in {self.member} does not fit its storage (damaged)")
        steps = [step * self.dtype.itemsize for step in self.strides]
        view = np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, steps)
        return np.array(view, dtype=self.dtype.newbyteorder("="))


def read_torch_pickle(members: Members, member: str, storage_folder: str) -> Any:
    """Return what the pickle of a dump holds: lists, dicts, text, numbers, `Tensor`s.

    Instances become dicts of their attributes.

    Raises:
        ValueError: the pickle is damaged, or has names or instructions that no dump needs.
    """
    machine = _Machine(members, storage_folder)
    for opcode, argument, _ in pickletools.genops(members.read(member)):
        if opcode.name not in _ACTIONS:
            raise ValueError(f"its pickle uses {opcode.name}, which no dump needs")
        _ACTIONS[opcode.name](machine, argument)
    return machine.pop(object)


@dataclass(frozen=True)
class _Name:
    """A name in a pickle: only ever compared."""

    name: str


@dataclass(frozen=True)
class _Storage:
    dtype: np.dtype[Any]
    member: str
    numel: int


class _Machine:
    """What the instructions act on; the actions take an instruction's argument, often None."""

    def __init__(self, members: Members, storage_folder: str) -> None:
        self._members = members
        self._folder = storage_folder
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def top(self, kind: type[T]) -> T:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise ValueError("its pickle takes from an empty stack (damaged)")
        value = self._stack[-1]
        if not isinstance(value, kind):
            raise ValueError(f"its pickle has {type(value).__name__} for {kind.__name__} (damaged)")
        return value

    def pop(self, kind: type[T]) -> T:
        value = self.top(kind)
        self._stack.pop()
        return value

    def pop_mark(self) -> list[Any]:
        if not self._marks:
            raise ValueError("its pickle closes a group that it never opened (damaged)")
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def mark(self, _: None) -> None:
        self._marks.append(len(self._stack))

    def put(self, index: int) -> None:
        self._memo[index] = self.top(object)

    def memoize(self, _: None) -> None:
        self._memo[len(self._memo)] = self.top(object)

    def get(self, index: int) -> None:
        self.push(self._memo[index])

    def make_tuple(self, count: int) -> None:
        self.push(tuple(reversed([self.pop(object) for _ in range(count)])))

    def append(self, _: None) -> None:
        item = self.pop(object)
        self.top(list).append(item)

    def appends(self, _: None) -> None:
        items = self.pop_mark()
        self.top(list).extend(items)

    def set_item(self, _: None) -> None:
        value, key = self.pop(object), self.pop(str)
        self.top(dict)[key] = value

    def set_items(self, _: None) -> None:
        items = self.pop_mark()
        if len(items) % 2 or not all(isinstance(key, str) for key in items[::2]):
            raise ValueError("its pickle has a dict without text for keys (damaged)")
        self.top(dict).update(zip(items[::2], items[1::2], strict=True))

    def name(self, name: str) -> None:
        if name not in (RESULT_CLASS, _REBUILD_TENSOR, _ORDERED_DICT, *_STORAGES):
            raise ValueError(
                f"it refers to {name.replace(' ', '.')[:200]!a}, but only chart results and their "
                "tensors are read. Nothing was executed"
            )
        self.push(_Name(name))

    def name_from_stack(self, _: None) -> None:
        name, module = self.pop(str), self.pop(str)
        self.name(f"{module} {name}")

    def new(self, _: None) -> None:
        """Make an instance, which is a dict here."""
        arguments, kind = self.pop(tuple), self.pop(_Name)
        if arguments or kind.name != RESULT_CLASS:
            raise ValueError(f"its pickle makes a {kind.name.replace(' ', '.')} (damaged)")
        self.push({})

    def build(self, _: None) -> None:
        state = self.pop(dict)
        self.top(dict).update(state)

    def storage(self, _: None) -> None:
        match self.pop(tuple):  # the location does not matter: CUDA tensors come to the CPU
            case ("storage", _Name(kind), str(key), _, int(numel)) if kind in _STORAGES:
                self.push(_Storage(_STORAGES[kind], f"{self._folder}{key}", numel))
            case _:
                raise ValueError("its pickle has a storage of unknown kind (damaged)")

    def call(self, _: None) -> None:
        arguments, function = self.pop(tuple), self.pop(_Name)
        match (function.name, *arguments):
            case ("collections OrderedDict",):
                self.push({})
            case ("torch._utils _rebuild_tensor_v2", _Storage() as storage, *rest):
                self.push(self._tensor(storage, rest))
            case _:
                raise ValueError(f"its pickle calls {function.name.replace(' ', '.')} (damaged)")

    def _tensor(self, storage: _Storage, rest: list[Any]) -> Tensor:
        offset, shape, strides = rest[:3]
        return Tensor(
            members=self._members,
            member=storage.member,
            dtype=storage.dtype,
            numel=storage.numel,
            offset=int(offset),
            shape=tuple(int(size) for size in shape),
            strides=tuple(int(step) for step in strides),
        )


_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda machine, _: None),
    **dict.fromkeys(
        ("BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1"), _Machine.push
    ),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE1": lambda machine, _: machine.make_tuple(1),
    "TUPLE2": lambda machine, _: machine.make_tuple(2),
    "TUPLE3": lambda machine, _: machine.make_tuple(3),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_mark())),
    "MARK": _Machine.mark,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name_from_stack,
    "NEWOBJ": _Machine.new,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.storage,
    "REDUCE": _Machine.call,
}
