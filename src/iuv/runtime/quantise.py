"""ONNX files that compute with 8 bits: what values their tensors take, and the files made of that.

A tensor is marked to be rounded to 8 bits by a pair of operators, QuantizeLinear and
DequantizeLinear. OpenVINO turns a layer whose inputs are marked into one that computes with
integers; ONNX Runtime wants its output marked, too, and additions and resizing. Weights get a
scale per output channel, other tensors one scale and a zero point.

Source: Jacob et al., Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference (2018), section 2.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

__all__ = ["observed_tensors", "write_observed", "write_quantised"]

_ROUNDED_TOO = {"Add": 2, "Resize": 1}  # by their number of inputs that are no constants
_FEATURES = ("p2", "p3", "p4", "p5", "map")  # outputs that other parts go on with
_PASSING = ("Transpose", "Slice", "Split", "MaxPool", "Relu", "Resize", "Add", "Concat")
_COLOURS = 3  # channels of an image
_BIAS = 2.0**30  # steps that a bias may be away from 0
_Array = npt.NDArray[Any]
_NO_RANGE = 1e-6  # of a tensor that is 0 throughout


def observed_tensors(path: str | os.PathLike[str]) -> list[str]:
    """Return the tensors whose ranges `write_quantised` needs to know, in order.

    Args:
        path: ONNX file, of `iuv.runtime.onnx_parts`.
    """
    import onnx

    return _rounded(onnx.load(path).graph, outputs_too=True)


def write_observed(path: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Write an ONNX file that also returns the least and the greatest of each tensor.

    They follow the file's own outputs: least and greatest of the first of `observed_tensors`, of
    the second, and so on.

    Raises:
        OSError: the file cannot be written.
    """
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load(path)
    graph = model.graph
    for name in _rounded(graph, outputs_too=True):
        for kind in ("ReduceMin", "ReduceMax"):
            output = f"{name}/{kind}"
            graph.node.append(helper.make_node(kind, [name], [output], keepdims=0))
            graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, []))
    onnx.save(model, os.fspath(target))


def write_quantised(
    path: str | os.PathLike[str],
    ranges: Mapping[str, tuple[float, float]],
    target: str | os.PathLike[str],
    *,
    outputs_too: bool,
) -> None:
    """Write an ONNX file that computes with 8 bits what another one computes with floats.

    Only convolutions do. The first ones stay as they are, and so do those whose outputs are
    results, not features for others: they cost little, and their rounding would harm most.

    Args:
        path: ONNX file, of `iuv.runtime.onnx_parts`.
        ranges: least and greatest value of each of `observed_tensors`.
        target: file to write.
        outputs_too: whether to round what layers return, and what is added or resized, even where
            no layer reads it: faster in ONNX Runtime, and less exact.

    Raises:
        OSError: the file cannot be written.
    """
    import onnx

    model = onnx.load(path)
    _Quantiser(model, ranges, outputs_too).run()
    onnx.save(model, os.fspath(target))


def _rounded(graph: GraphProto, outputs_too: bool) -> list[str]:
    """Inputs of the layers that will compute with 8 bits; outputs, too, and of additions."""
    constants, readers, exact = _constants(graph), _readers(graph), _exact(graph)
    names: dict[str, None] = {}
    for node in graph.node:
        if node.output[0] in exact:
            continue
        values = [name for name in node.input if name and name not in constants]
        if _is_layer(node, constants):
            names[node.input[0]] = None
        elif not (outputs_too and len(values) == _ROUNDED_TOO.get(node.op_type)):
            continue
        if outputs_too:
            names |= dict.fromkeys([*values, _after_relu(node, readers)])
    return list(names)


def _is_layer(node: NodeProto, constants: Mapping[str, Any]) -> bool:
    """Whether a node is a convolution whose weights are known."""
    return node.op_type == "Conv" and all(name in constants for name in node.input[1:])


def _after_relu(node: NodeProto, readers: Mapping[str, list[NodeProto]]) -> str:
    following = readers.get(node.output[0], [])
    last = following[0] if [n.op_type for n in following] == ["Relu"] else node
    name: str = last.output[0]
    return name


def _exact(graph: GraphProto) -> set[str]:
    """Outputs of layers that stay as they are, and tensors that are passed on from them to results.

    Besides those that give results these are the first one, which reads images, and those that
    read it: small, and their rounding was measured to do half of the harm of all.
    """
    exact = {output.name for output in graph.output if output.name not in _FEATURES}
    for node in reversed(graph.node):
        if node.op_type in _PASSING and exact.intersection(node.output):
            exact.update(node.input)
    constants = _constants(graph)
    early: set[str] = set()  # computed from images by one layer
    for node in graph.node:
        if _is_layer(node, constants) and constants[node.input[1]].dims[1] == _COLOURS:
            early.update(node.output)
            exact.update(node.output)
        elif early.intersection(node.input):
            if node.op_type == "Conv":
                exact.update(node.output)
            elif node.op_type in ("Relu", "MaxPool"):
                early.update(node.output)
    return exact


def _readers(graph: GraphProto) -> dict[str, list[NodeProto]]:
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers


def _constants(graph: GraphProto) -> dict[str, Any]:
    return {entry.name: entry for entry in graph.initializer}


class _Quantiser:
    """Rewrites the graph of a model, in place."""

    def __init__(
        self, model: ModelProto, ranges: Mapping[str, tuple[float, float]], outputs_too: bool
    ) -> None:
        self.graph = model.graph
        self.constants = _constants(model.graph)
        self.exact = _exact(model.graph)
        names = _rounded(model.graph, outputs_too)
        self.steps = {name: _step(*ranges[name]) for name in names}
        # Where nothing forbids it, other parts get features that are not rounded.
        self.unrounded = set() if outputs_too else {output.name for output in model.graph.output}
        self.nodes: list[NodeProto] = []
        self.done: set[str] = set()

    def run(self) -> None:
        for entry in self.graph.input:
            self._mark(entry.name)
        for node in self.graph.node:
            if _is_layer(node, self.constants) and node.output[0] not in self.exact:
                self._layer(node)
            for index, name in enumerate(node.input):
                if name in self.steps and not self.unrounded.intersection(node.output):
                    node.input[index] = f"{name}/rounded"
            self.nodes.append(node)
            for name in node.output:
                self._mark(name)
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        used = {name for node in self.nodes for name in node.input}
        kept = [entry for entry in self.graph.initializer if entry.name in used]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)

    def _mark(self, name: str) -> None:
        """Round a tensor, if it is one of those."""
        from onnx import helper

        if name not in self.steps:
            return
        step, zero = self.steps[name]
        constants = [
            self._constant(f"{name}/step", np.array(step, np.float32)),
            self._constant(f"{name}/zero", np.array(zero, np.uint8)),
        ]
        for op, source, result in (
            ("QuantizeLinear", name, f"{name}/bits"),
            ("DequantizeLinear", f"{name}/bits", f"{name}/rounded"),
        ):
            self.nodes.append(helper.make_node(op, [source, *constants], [result]))

    def _layer(self, node: NodeProto) -> None:
        """Give a layer weights of 8 and a bias of 32 bits."""
        from onnx import numpy_helper

        weight_name = node.input[1]
        weight = numpy_helper.to_array(self.constants[weight_name])
        axes = tuple(range(1, weight.ndim))
        scale = np.maximum(np.abs(weight).max(axis=axes), _NO_RANGE).astype(np.float32) / 127
        if len(node.input) > 2:  # a bias of 32 bits must reach, whatever the weights are
            bias = numpy_helper.to_array(self.constants[node.input[2]]).astype(np.float64)
            least = np.abs(bias) / (_BIAS * self.steps[node.input[0]][0])
            scale = np.maximum(scale, least.astype(np.float32))
        shape = (-1,) + (1,) * len(axes)
        bits = np.clip(np.rint(weight / scale.reshape(shape)), -127, 127).astype(np.int8)
        node.input[1] = self._weights(weight_name, bits, scale)
        if len(node.input) > 2:
            step = scale * np.float32(self.steps[node.input[0]][0])
            whole = np.rint(bias / step).astype(np.int32)
            node.input[2] = self._weights(f"{node.output[0]}/bias", whole, step)

    def _weights(self, name: str, bits: _Array, scale: _Array) -> str:
        from onnx import helper

        result = f"{name}/weights"
        if result not in self.done:
            self.done.add(result)
            inputs = [
                self._constant(f"{name}/values", bits),
                self._constant(f"{name}/steps", scale),
                self._constant(f"{name}/zeros", np.zeros(len(scale), bits.dtype)),
            ]
            self.nodes.append(helper.make_node("DequantizeLinear", inputs, [result], axis=0))
        return result

    def _constant(self, name: str, values: _Array) -> str:
        from onnx import numpy_helper

        self.graph.initializer.append(numpy_helper.from_array(values, name))
        return name


def _step(least: float, greatest: float) -> tuple[float, int]:
    """What one of 255 steps is, and the number of steps up to 0, which is kept as it is."""
    least, greatest = min(least, 0.0), max(greatest, 0.0)
    step = max(greatest - least, _NO_RANGE) / 255
    return step, round(-least / step)
