"""How much a graph computes and holds: multiply-adds and parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

SECOND = {
    "MatMul": 1,
    "MatMulInteger": 1,
    "Gemm": 1,
    "Conv": 1,
    "ConvInteger": 1,
    "ConvTranspose": 1,
    "QLinearMatMul": 3,
    "QLinearConv": 3,
}
"""Operators that are counted, and which of their inputs is the second factor."""


def multiply_adds(graph: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]]) -> int:
    """Return the multiply-adds of matrix products and convolutions for one set of inputs.

    The graph is run once and asked for the shapes of its factors, so lengths and batch sizes that
    are free in the graph count as they are in `feeds`. Adding, activations and comparisons in
    trees are not counted, nor is what lies inside loops and branches.
    """
    import onnxruntime

    counted = [node for node in graph.graph.node if node.op_type in SECOND]
    if not counted:
        return 0
    tensors = {name for node in counted for name in _factors(node)}
    session = onnxruntime.InferenceSession(
        _asked_for_shapes(graph, tensors).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    order = sorted(tensors)
    shapes = session.run([_shape_name(name) for name in order], dict(feeds))
    known = {name: tuple(int(v) for v in shape) for name, shape in zip(order, shapes, strict=True)}
    return sum(_multiply_adds(node, *(known[name] for name in _factors(node))) for node in counted)


def parameters(graph: onnx.ModelProto) -> int:
    """Return how many weights a graph holds: the elements of its tensors that are no shapes."""
    return sum(
        math.prod(tensor.dims)
        for tensor in graph.graph.initializer
        if len(tensor.dims) > 0 and tensor.data_type != TensorProto.INT64
    )


def _factors(node: onnx.NodeProto) -> tuple[str, str, str]:
    return node.input[0], node.input[SECOND[node.op_type]], node.output[0]


def _shape_name(tensor: str) -> str:
    return f"shape of {tensor}"


def _asked_for_shapes(graph: onnx.ModelProto, tensors: set[str]) -> onnx.ModelProto:
    asked = onnx.ModelProto()
    asked.CopyFrom(graph)
    for name in sorted(tensors):
        shape = _shape_name(name)
        asked.graph.node.append(helper.make_node("Shape", [name], [shape]))
        asked.graph.output.append(helper.make_tensor_value_info(shape, TensorProto.INT64, [None]))
    return asked


def _multiply_adds(
    node: onnx.NodeProto, first: tuple[int, ...], second: tuple[int, ...], out: tuple[int, ...]
) -> int:
    if node.op_type == "ConvTranspose":
        return math.prod(first) * math.prod(second[1:])
    if "Conv" in node.op_type:
        return math.prod(out) * math.prod(second[1:])
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return math.prod(out) * first[0 if transposed else -1]
