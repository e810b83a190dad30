from __future__ import annotations

import pickle
import struct
import tracemalloc
from collections import OrderedDict

import numpy as np
import pytest

from iuv.checkpoint import CheckpointError
from iuv.checkpoint.unpickle import read_pickle

ARRAYS = {
    "float": np.linspace(-1, 1, 6000, dtype=np.float32).reshape(60, 100),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    "half": np.array([1.5, -2], dtype=np.float16),
    "swapped": np.array([1.0, 2.0], dtype=">f4"),
    "bytes": np.arange(256, dtype=np.uint8),
    "flags": np.array([True, False]),
    "empty": np.zeros((0, 3), dtype=np.int64),
    "single": np.array(3.0),
}


@pytest.fixture
def write(tmp_path):
    def write_file(content: bytes):
        path = tmp_path / "weights.pkl"
        path.write_bytes(content)
        return path

    return write_file


def refuse(path, pattern):
    """Reading must fail with this message, which names the file."""
    with pytest.raises(CheckpointError, match=pattern) as caught:
        read_pickle(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000


# What must be read


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_large_arrays_may_stay_in_the_file(write, protocol):
    path = write(pickle.dumps({"large": ARRAYS["float"], "small": ARRAYS["bytes"]}, protocol))
    loaded = read_pickle(path, mapped=True)
    large = loaded["large"]
    np.testing.assert_array_equal(large, ARRAYS["float"])
    np.testing.assert_array_equal(loaded["small"], ARRAYS["bytes"])
    # Before protocol 3, Python 3 writes text; those of Python 2 are read in test_smpl.py. The
    # buffers of protocol 5 are there to be changed, so they are copied.
    assert isinstance(large.base, np.memmap) == (protocol in {3, 4})
    if isinstance(large.base, np.memmap):
        assert not large.flags.writeable
        assert path.read_bytes()[large.base.offset :].startswith(ARRAYS["float"].tobytes())


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_come_back_in_every_protocol(write, protocol):
    numbers = [1, -2.5, (True, None), 1 << 70]
    data = {"model": OrderedDict(ARRAYS), "__author__": "Zoö", "n": numbers}
    if protocol < 3:  # Python 3 writes no bytes a Python 2 would: b"" becomes a call of bytes()
        data["model"].pop("empty")
    loaded = read_pickle(write(pickle.dumps(data, protocol)))
    assert loaded["__author__"] == "Zoö"
    assert loaded["n"] == numbers
    assert list(loaded["model"]) == list(data["model"])
    for name, array in loaded["model"].items():
        np.testing.assert_array_equal(array, ARRAYS[name])
        assert array.shape == ARRAYS[name].shape
        assert array.dtype == ARRAYS[name].dtype.newbyteorder("=")
        assert array.flags.writeable


@pytest.mark.parametrize("package", [b"numpy.core", b"numpy._core"])
def test_both_homes_of_numpy(write, package):
    content = pickle.dumps({"a": ARRAYS["half"], "s": np.float32(2.5)}, 2)
    loaded = read_pickle(write(content.replace(b"numpy._core", package)))
    np.testing.assert_array_equal(loaded["a"], ARRAYS["half"])
    assert loaded["s"] == np.float32(2.5)


def python2_array(quote) -> bytes:
    """A float32 array [1, -2] as Python 2 pickles it: its bytes are text."""
    data = quote(np.array([1, -2], dtype="<f4").tobytes())
    dtype = b"cnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
    return (
        b"(dp0\nS'w\\xe9'\ncnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        b"(I1\n(I2\nt" + dtype + b"I00\n" + data + b"tbs."
    )


@pytest.mark.parametrize(
    "quote",
    [
        lambda data: b"S'" + b"".join(b"\\x%02x" % byte for byte in data) + b"'\n",
        lambda data: b"U" + bytes([len(data)]) + data,
        lambda data: b"T" + struct.pack("<i", len(data)) + data,
    ],
    ids=["STRING", "SHORT_BINSTRING", "BINSTRING"],
)
def test_python2_text_is_latin1(write, quote):
    loaded = read_pickle(write(python2_array(quote)))
    assert list(loaded) == ["wé"]
    np.testing.assert_array_equal(loaded["wé"], np.array([1, -2], dtype=np.float32))


def test_shared_array_is_read_once(write):
    loaded = read_pickle(write(pickle.dumps([ARRAYS["float"]] * 3)))
    assert loaded[0] is loaded[1] is loaded[2]


def test_python2_ordered_dict(write):
    content = b"ccollections\nOrderedDict\n((l(lS'a'\naI1\naatR."
    assert read_pickle(write(content)) == {"a": 1}


def test_attributes_of_an_ordered_dict_are_dropped(write):
    data = OrderedDict(a=1)
    data._metadata = OrderedDict()
    assert read_pickle(write(pickle.dumps(data, 2))) == {"a": 1}


def test_a_large_file_is_quick_and_not_copied(write):
    data = {f"w{i}": np.full((1 << 20,), i, np.float32) for i in range(16)}
    path = write(pickle.dumps(data, 4))
    del data
    tracemalloc.start()
    loaded = read_pickle(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.1 * path.stat().st_size
    assert loaded["w15"][-1] == 15


# What must be refused


@pytest.mark.parametrize(
    "content",
    [
        b"P0\n.",
        b"(I1\nQ.",
        b"\x80\x02\x82\x01.",
        b"\x80\x02\x84\x01\x00\x00\x00.",
        b"\x80\x02ccollections\nOrderedDict\n)\x81.",
        b"\x80\x04ccollections\nOrderedDict\n)}\x92.",
        b"(ccollections\nOrderedDict\no.",
        b"\x80\x05\x97.",
        b"\x80\x04\x8f.",
    ],
    ids=[
        "PERSID",
        "BINPERSID",
        "EXT1",
        "EXT4",
        "NEWOBJ",
        "NEWOBJ_EX",
        "OBJ",
        "NEXT_BUFFER",
        "EMPTY_SET",
    ],
)
def test_other_instructions_are_refused(write, content, request):
    name = request.node.callspec.id
    refuse(write(content), f"instruction {name}|empty stack" if name == "BINPERSID" else name)


RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
FLOAT = b"cnumpy\ndtype\nX\x02\0\0\0f4\x89\x88\x87R"


def array(shape=b"K\x02\x85", dtype=FLOAT, data=b"C\x08" + bytes(8)) -> bytes:
    return b"\x80\x04" + RECONSTRUCT + b"(K\x01" + shape + dtype + b"\x89" + data + b"tb."


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (array(data=b"]"), "array of objects"),
        (array(dtype=FLOAT.replace(b"f4", b"O8")), "type 'O8'"),
        (array(dtype=FLOAT.replace(b"f4", b"U4")), "type 'U4'"),
        (array(dtype=FLOAT + b"(K\x03X\x01\0\0\0|N(X\x01\0\0\0atNtb"), "array of records"),
        (array(dtype=b"N"), "a DType is due"),
        (array(shape=b"K\x03\x85"), r"shape \[3\] and type float32 cannot have 8 bytes"),
        (array(shape=b"\x8a\x08" + b"\xff" * 7 + b"\x7f\x85"), "makes no sense"),
        (array(shape=b"J\xff\xff\xff\xff\x85"), "makes no sense"),
        (array(shape=b"(" + b"K\x01" * 40 + b"t"), "makes no sense"),
        (array(shape=b"K\x02"), "a tuple is due"),
        (array().replace(b"cnumpy\nndarray", b"ccollections\nOrderedDict"), "unknown class"),
        (b"\x80\x04" + RECONSTRUCT + b".", "no content"),
        (b"\x80\x04" + RECONSTRUCT + b"q\x00]h\x00a.", "no content"),
        (b"\x80\x04cnumpy\nndarray\n.", "bare Name"),
        (b"\x80\x04" + FLOAT + b".", "bare DType"),
        (b"\x80\x04cnumpy\nndarray\n)R.", "calls ndarray, which is no function"),
        (b"\x80\x04]}b.", "sets the state of a list"),
        (b"\x80\x04cnumpy\nndarray\n}b.", "sets the state of a Name"),
        (b"\x80\x04K\x01)R.", "a Name is due, a int came"),
        (b"\x80\x04}K\x01K\x02s.", "a str is due, a int came"),
        (
            b"\x80\x04c_codecs\nencode\nX\x01\0\0\0aX\x05\0\0\0rot13\x86R.",
            "encodes text as 'rot13'",
        ),
        (b"\x80\x04K\x01(.", "empty stack"),
        (b"\x80\x04h\x07.", "recalls what it never stored"),
        (b"\x80\x04}u.", "closes a group that it never opened"),
        (b"\x80\x04.", "empty stack"),
        (b"\xff\xd8\xff\xe0", r"byte '\\xff' is no instruction"),
        (b"", "cut off"),
        (pickle.dumps(ARRAYS)[:-1], "cut off"),
        (pickle.dumps(ARRAYS)[:9000], "cut off"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40), r"1,099,511,627,776 more bytes are due"),
        (b"\x80\x04\x8e" + b"\xff" * 8, "byte count"),
        (b"\x80\x04B\xff\xff\xff\xff", "4,294,967,295 more bytes are due"),
        (b"\x80\x04T\xff\xff\xff\xff", "byte count < 0"),
        (b"\x80\x04\x8b\xff\xff\xff\x7f", "2,147,483,647 more bytes are due"),
        (b"L" + b"9" * 10000 + b"L\n.", "integer string conversion"),
        (b"\x80\x04r\xff\xff\xff\x7f.", "empty stack"),
    ],
)
def test_damage_and_forgery_are_refused(write, content, pattern):
    refuse(write(content), pattern)


# What must not exhaust the machine


def bounded(path, pattern):
    tracemalloc.start()
    refuse(path, pattern)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6


def test_memo_bomb(write):
    doubled = b"]q\x00" + b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(100)) + b"."
    refuse(write(b"\x80\x02" + doubled), "unfold to more than")


def test_wide_memo_bomb(write):
    wide = b"](" + b"N" * 50_000 + b"eq\x00](" + b"h\x00" * 50_000 + b"e."
    refuse(write(b"\x80\x02" + wide), "unfold to more than")


def test_tuple_memo_bomb_as_a_key(write):
    # Hashing these would take 2**100 steps.
    doubled = b")q\x000" + b"".join(b"h%ch%c\x86q%c0" % (i, i, i + 1) for i in range(100))
    refuse(write(b"\x80\x02}" + doubled + b"h\x64Ns."), "a str is due, a tuple came")


@pytest.mark.parametrize("wrap", [b"\x85", b"]h", b"("], ids=["tuples", "lists", "marks"])
def test_deep_nesting(write, wrap):
    depth = 200_000
    content = {
        b"\x85": b")" + b"\x85" * depth,
        b"]h": b"]" * depth + b"a" * (depth - 1),
        b"(": b"(" * depth + b"l" * depth,
    }[wrap]
    refuse(write(b"\x80\x02" + content + b"."), "32 levels")


def test_deep_tuple_as_an_argument_is_not_hashed(write):
    # Hashing a tuple this deep overflows the interpreter's stack.
    deep = b")" + b"\x85" * 200_000
    refuse(write(b"\x80\x02cnumpy\ndtype\n" + deep + b"\x85R."), "a str is due")


def test_endless_cycle(write):
    refuse(write(b"\x80\x02]q\x00h\x00a."), "unfold to more than")


def test_endless_program(write):
    bounded(write(b"\x80\x02" + b"}" * 3_000_000), "500,000 steps")


def test_one_text_encoded_many_times(write):
    text = b"X" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20) + b"q\x00"
    encode = b"c_codecs\nencode\nh\x00X\x06\0\0\0latin1\x86R"
    bounded(write(b"\x80\x02" + text + encode * 1000 + b"."), "unfold to much more")


def test_one_text_as_many_arrays(write):
    text = b"X" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20) + b"q\x00"
    bytes_again = array(shape=b"J\0\0\4\0\x85", data=b"h\x00")[2:-1]
    bounded(write(b"\x80\x02" + text + bytes_again * 1000 + b"."), "unfold to much more")


def test_one_list_as_many_dicts(write):
    pairs = b"](" + b"](X\x01\0\0\0aNe" * 20_000 + b"eq\x00"
    again = b"ccollections\nOrderedDict\nh\x00\x85R"
    bounded(write(b"\x80\x02" + pairs + again * 2000 + b"."), "unfold to much more")


def test_every_cut_and_many_flips_of_a_good_file_are_errors_or_data(write):
    """Damage never raises anything but CheckpointError."""
    good = pickle.dumps({"model": {"w": np.arange(5, dtype=np.float32)}, "__author__": "zoo"}, 2)
    rng = np.random.default_rng(0)
    for cut in range(len(good)):
        refuse(write(good[:cut]), "not a pickle of weights")
    for _ in range(500):
        damaged = bytearray(good)
        damaged[rng.integers(len(good))] = rng.integers(256)
        path = write(bytes(damaged))
        try:
            read_pickle(path)
        except CheckpointError:
            continue
