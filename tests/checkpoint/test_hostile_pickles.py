"""Pickles that would run programs: each is refused by name, and nothing runs."""

from __future__ import annotations

import builtins
import copyreg
import os
import pickle

import numpy as np
import pytest
import torch

from iuv.checkpoint import CheckpointError, load_weights
from iuv.checkpoint.unpickle import read_pickle


def refuse(folder, content, pattern):
    path = folder / "weights.pkl"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=pattern) as caught:
        read_pickle(path)
    assert str(path) in str(caught.value)
    with pytest.raises(CheckpointError, match=pattern):
        load_weights(torch.nn.Linear(1, 1), path)


class _Call:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def hostile_calls(marker):
    """Name → (forbidden global, pickle) of programs that would create the marker file."""
    code = f"open({str(marker)!r}, 'w').close()"
    shell = f"touch {marker}"
    return {
        "os.system": (f"{os.name}.system", pickle.dumps(_Call(os.system, shell))),
        "old os.system": ("os.system", b"cos\nsystem\n(S'%s'\ntR." % shell.encode()),
        "inst": ("os.system", b"(S'%s'\nios\nsystem\n." % shell.encode()),
        "eval": ("builtins.eval", pickle.dumps(_Call(eval, code))),
        "old eval": ("__builtin__.eval", b'c__builtin__\neval\n(S"%s"\ntR.' % code.encode()),
        "getattr": ("builtins.getattr", pickle.dumps(_Call(getattr, "", "join"))),
        "import": ("builtins.__import__", pickle.dumps(_Call(builtins.__import__, "os"))),
        "open": ("io.open", pickle.dumps(_Call(open, str(marker), "w"))),
        "numpy.load": ("numpy.load", b"cnumpy\nload\n(S'%s'\ntR." % str(marker).encode()),
        "numpy.save": ("numpy.save", b"cnumpy\nsave\n(S'%s'\nI1\ntR." % str(marker).encode()),
        "runstring": (
            "numpy.testing._private.utils.runstring",
            b'cnumpy.testing._private.utils\nrunstring\n(S"%s"\n}tR.' % code.encode(),
        ),
        "f2py": (
            "numpy.f2py.diagnose.os.system",
            b"cnumpy.f2py.diagnose\nos.system\n(S'%s'\ntR." % shell.encode(),
        ),
        "copyreg": (
            "copyreg.add_extension",
            pickle.dumps(_Call(copyreg.add_extension, "os", "system", 1)),
        ),
        "reconstructor": (
            "copyreg._reconstructor",
            b"ccopyreg\n_reconstructor\n(cbuiltins\nobject\ncbuiltins\nobject\nNtR.",
        ),
        "pickle": ("_pickle.loads", pickle.dumps(_Call(pickle.loads, b"cos\nsystem\n."))),
        "torch": ("torch.load", b"ctorch\nload\n(S'%s'\ntR." % str(marker).encode()),
    }


def nested_names(shell: bytes):
    """STACK_GLOBAL programs that walk attributes of permitted or harmless modules."""
    names = {
        (b"numpy", b"ndarray.tofile"): "numpy.ndarray.tofile",
        (b"numpy", b"os.system"): "numpy.os.system",
        (b"os.path", b"os.system"): "os.path.os.system",
        (b"numpy.core", b"multiarray._reconstruct"): "numpy.core.multiarray._reconstruct",
        (b"collections", b"OrderedDict.__init__.__globals__"): "collections.OrderedDict.__init__",
        (b"", b"system"): ".system",
    }
    for (module, name), shown in names.items():
        text = b"".join(b"\x8c" + bytes([len(t)]) + t for t in (module, name))
        yield shown, b"\x80\x04" + text + b"\x93\x8c" + bytes([len(shell)]) + shell + b"\x85R."


@pytest.mark.parametrize("case", hostile_calls("x"))
def test_hostile_calls_are_named_and_do_nothing(tmp_path, case):
    marker = tmp_path / "marker"
    forbidden, content = hostile_calls(marker)[case]
    refuse(tmp_path, content, f"{forbidden}(,|\\.).*Nothing was executed".replace("._", r"\._"))
    assert not marker.exists()


def test_the_marker_would_appear_with_pickle(tmp_path):
    # Without this, the test above could pass with programs that do nothing.
    marker = tmp_path / "marker"
    for case in ("os.system", "old os.system", "inst", "eval", "old eval"):
        pickle.loads(hostile_calls(marker)[case][1], encoding="latin1")
        assert marker.exists(), case
        marker.unlink()


@pytest.mark.parametrize(("shown", "content"), list(nested_names(b"touch x")))
def test_dotted_names_are_refused(tmp_path, shown, content):
    refuse(tmp_path, content, shown.replace(".", r"\."))


def test_a_call_hidden_inside_good_weights(tmp_path):
    marker = tmp_path / "marker"
    data = {
        "model": {"v": np.ones(3), "w": _Call(os.system, f"touch {marker}")},
        "__author__": "zoo",
    }
    refuse(tmp_path, pickle.dumps(data), rf"{os.name}\.system")
    assert not marker.exists()


def test_control_characters_of_a_name_do_not_reach_the_terminal(tmp_path):
    refuse(tmp_path, b"c\x1b[2Jos\nsystem\n.", r"\\x1b\[2Jos\.system")
