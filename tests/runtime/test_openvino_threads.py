"""OpenVINO's plug-in changes the thread that loads it; that must not outlive the plug-in."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import faulthandler, gc, signal, sys, threading
from iuv.runtime.openvino import openvino_run

faulthandler.enable()  # has signals handled on a stack of their own
signal.signal(signal.SIGCHLD, lambda *_: None)
runs = [openvino_run(sys.argv[1], "fp32")]
thread = threading.Thread(target=lambda: (runs.clear(), gc.collect()))
thread.start()
thread.join()
signal.raise_signal(signal.SIGCHLD)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGCHLD")
def test_a_network_can_be_freed_by_another_thread(tmp_path):
    onnx = pytest.importorskip("onnx", reason="an extra, and not installed here")
    pytest.importorskip("openvino", reason="an extra, and not installed here")
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])],
        "relu",
        [value("x", onnx.TensorProto.FLOAT, [1])],
        [value("y", onnx.TensorProto.FLOAT, [1])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    path = tmp_path / "relu.onnx"
    onnx.save(model, path)
    done = subprocess.run([sys.executable, "-c", SCRIPT, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
