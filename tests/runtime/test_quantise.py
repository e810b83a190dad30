"""ONNX files that compute with 8 bits."""

from __future__ import annotations

import numpy as np
import pytest

from iuv.runtime.quantise import observed_tensors, write_observed, write_quantised

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed here")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed here")
helper = onnx.helper

RANGES = {"x": (-1.0, 3.0), "a": (0.0, 0.0), "b": (-4.0, 4.0), "sum": (-5.0, 7.0), "c": (-9.0, 9.0)}


@pytest.fixture
def network(tmp_path):
    """x → two layers with a shortcut → features p2; a third one → logits."""
    rng = np.random.default_rng(0)
    weights = {f"w{i}": rng.normal(0, 0.3, (8, 8, 3, 3)).astype(np.float32) for i in range(4)}
    weights |= {f"b{i}": rng.normal(0, 0.3, 8).astype(np.float32) for i in range(4)}

    def conv(source, index, result):
        inputs = [source, f"w{index}", f"b{index}"]
        return helper.make_node("Conv", inputs, [result], pads=[1, 1, 1, 1])

    nodes = [
        conv("x", 0, "a_"),
        helper.make_node("Relu", ["a_"], ["a"]),
        conv("a", 1, "b"),
        helper.make_node("Add", ["b", "x"], ["sum"]),
        conv("sum", 2, "c"),
        helper.make_node("Transpose", ["c"], ["p2"], perm=[0, 2, 3, 1]),
        conv("c", 3, "logits"),
    ]
    shape = [1, 8, "h", "w"]
    x, p2, logits = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name in ("x", "p2", "logits")
    )
    constants = [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "network", [x], [p2, logits], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path = tmp_path / "network.onnx"
    onnx.save(model, path)
    return path


def run(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).uniform(-1, 3, (1, 8, 9, 7)).astype(np.float32)
    return session.run(None, {"x": x})


def test_ranges_follow_the_outputs(network, tmp_path):
    names = observed_tensors(network)
    assert names == ["x", "a", "b", "sum", "c"]  # all but what leads to the results
    write_observed(network, tmp_path / "observed.onnx")
    p2, logits, *extremes = run(tmp_path / "observed.onnx")
    for actual, expected in zip((p2, logits), run(network), strict=True):
        np.testing.assert_array_equal(actual, expected)
    least, greatest = np.array(extremes).reshape(len(names), 2).T
    assert -1 <= least[0] < -0.9
    assert 2.9 < greatest[0] <= 3
    assert least[1] == 0  # behind a ReLU
    assert (least[4], greatest[4]) == (p2.min(), p2.max())


@pytest.mark.parametrize("outputs_too", [False, True])
def test_8_bits_are_close(network, tmp_path, outputs_too):
    write_observed(network, tmp_path / "observed.onnx")
    names, extremes = observed_tensors(network), run(tmp_path / "observed.onnx")[2:]
    seen = zip(extremes[::2], extremes[1::2], strict=True)
    ranges = {name: (float(a), float(b)) for name, (a, b) in zip(names, seen, strict=True)}
    write_quantised(network, ranges, tmp_path / "bits.onnx", outputs_too=outputs_too)
    for actual, expected in zip(run(tmp_path / "bits.onnx"), run(network), strict=True):
        error = np.abs(actual - expected).max() / np.abs(expected).max()
        assert 0 < error < 0.03


@pytest.mark.parametrize(
    ("outputs_too", "rounded"),
    [(False, ["x", "a", "sum"]), (True, ["x", "a", "b", "sum", "c"])],
)
def test_what_is_rounded(network, tmp_path, outputs_too, rounded):
    write_quantised(network, RANGES, tmp_path / "bits.onnx", outputs_too=outputs_too)
    model = onnx.load(tmp_path / "bits.onnx")
    marks = [n.input[0] for n in model.graph.node if n.op_type == "QuantizeLinear"]
    assert marks == rounded
    layers = {n.output[0]: n for n in model.graph.node if n.op_type == "Conv"}
    assert layers["logits"].input[1] == "w3"  # results come from numbers as they were
    assert all(layers[name].input[1].endswith("/weights") for name in ("a_", "b", "c"))
    (features,) = (n for n in model.graph.node if n.op_type == "Transpose")
    assert features.input[0] == ("c/rounded" if outputs_too else "c")


def test_steps_cover_the_range_and_keep_0(network, tmp_path):
    write_quantised(network, RANGES, tmp_path / "bits.onnx", outputs_too=True)
    constants = {
        entry.name: onnx.numpy_helper.to_array(entry)
        for entry in onnx.load(tmp_path / "bits.onnx").graph.initializer
    }
    assert constants["x/zero"] == 64
    assert constants["x/step"] == np.float32(4 / 255)
    assert constants["a/step"] > 0  # a tensor that is 0 throughout
    assert constants["w0/values"].dtype == np.int8
    assert np.abs(constants["w0/values"]).reshape(8, -1).max(axis=1).tolist() == [127] * 8
    assert "w0" not in constants


def test_the_first_layers_stay_as_they_are(tmp_path):
    """Of a network that reads images: the one that does, and the one behind it."""
    shapes = {"w0": (8, 3, 3, 3), "w1": (8, 8, 1, 1), "w2": (8, 8, 1, 1)}
    nodes = [
        helper.make_node("Conv", ["images", "w0"], ["stem"]),
        helper.make_node("MaxPool", ["stem"], ["pooled"], kernel_shape=[2, 2]),
        helper.make_node("Conv", ["pooled", "w1"], ["a"]),
        helper.make_node("Conv", ["a", "w2"], ["p2"]),
    ]
    images, p2 = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in ("images", "p2")
    )
    constants = [
        onnx.numpy_helper.from_array(np.ones(shape, np.float32), name)
        for name, shape in shapes.items()
    ]
    graph = helper.make_graph(nodes, "network", [images], [p2], constants)
    onnx.save(helper.make_model(graph), tmp_path / "trunk.onnx")
    write_quantised(tmp_path / "trunk.onnx", {"a": (0, 8)}, tmp_path / "b.onnx", outputs_too=False)
    layers = [n for n in onnx.load(tmp_path / "b.onnx").graph.node if n.op_type == "Conv"]
    assert [n.input[1] for n in layers] == ["w0", "w1", "w2/weights"]


def test_a_channel_of_next_to_nothing_keeps_its_bias(tmp_path):
    """Batch norms with a factor of 0 give such channels."""
    weight = np.full((2, 8, 1, 1), 1e-9, np.float32)
    weight[1] = 0.5
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["a"]),
        helper.make_node("Conv", ["a", "v"], ["p2"]),
    ]
    constants = [
        onnx.numpy_helper.from_array(array, name)
        for name, array in {
            "w": weight,
            "b": np.array([3.0, 0.1], np.float32),
            "v": np.ones((1, 2, 1, 1), np.float32),
        }.items()
    ]
    x, p2 = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, channels, "h", "w"])
        for name, channels in (("x", 8), ("p2", 1))
    )
    graph = helper.make_graph(nodes, "network", [x], [p2], constants)
    path = tmp_path / "network.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path
    )
    ranges = {"x": (-1.0, 3.0), "a": (-5.0, 20.0)}
    write_quantised(path, ranges, tmp_path / "bits.onnx", outputs_too=False)
    (expected,), (rounded,) = run(path), run(tmp_path / "bits.onnx")
    np.testing.assert_allclose(rounded, expected, atol=0.2)
