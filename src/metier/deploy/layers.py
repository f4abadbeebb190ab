"""Linear layers as values: they score with numpy and say the same as ONNX.

They differ in what they read: `Constant` nothing but the number of rows, `Dense` features, `Terms`
counted terms, each of which is a row of its weight table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from metier.runtime.preprocess import Arrays
from metier.types import Floats

OPSET = 17
Tensors = dict[str, NDArray[Any]]
_INPUT_TYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}


class Layer(Protocol):
    """What turns the arrays of a preprocessor into scores."""

    @property
    def outputs(self) -> int: ...

    def scores(self, arrays: Arrays) -> Floats:
        """Return scores (rows, outputs)."""
        ...

    def tensors(self) -> Tensors:
        """The weights by name."""
        ...

    def settings(self) -> dict[str, Any]:
        """The other fields, as JSON."""
        ...

    def graph(self) -> onnx.ModelProto:
        """The layer as ONNX, from the named arrays to `scores`."""
        ...


@dataclass(frozen=True)
class Constant:
    """The same scores whatever the row: `values` (outputs,). `name` and `width` tell the input."""

    values: Floats
    name: str = "numbers"
    width: int = 0

    @property
    def outputs(self) -> int:
        return len(self.values)

    def scores(self, arrays: Arrays) -> Floats:
        return np.tile(self.values, (len(arrays[self.name]), 1))

    def tensors(self) -> Tensors:
        return {"values": self.values}

    def settings(self) -> dict[str, Any]:
        return {"name": self.name, "width": self.width}

    def graph(self) -> onnx.ModelProto:
        """Return the layer as an ONNX graph with the output `scores`."""
        nodes = [
            helper.make_node("Shape", [self.name], ["rows"], start=0, end=1),
            helper.make_node("Concat", ["rows", "outputs"], ["shape"], axis=0),
            helper.make_node("Expand", ["values", "shape"], ["scores"]),
        ]
        tensors: Tensors = {
            "values": self.values,
            "outputs": np.array([self.outputs], dtype=np.int64),
        }
        return _model(nodes, {self.name: ("float32", self.width)}, tensors, self.outputs)


@dataclass(frozen=True)
class Dense:
    """Features times weights.

    Args:
        weights: (d, outputs).
        bias: (outputs,).
        name: the name of the input.
        limit: features are kept within ± this, so that a wild one cannot decide alone.
    """

    weights: Floats
    bias: Floats
    name: str = "features"
    limit: float = 3e38

    @property
    def outputs(self) -> int:
        return len(self.bias)

    def scores(self, arrays: Arrays) -> Floats:
        kept = np.clip(arrays[self.name], -self.limit, self.limit)
        return np.asarray(kept @ self.weights + self.bias, dtype=np.float32)

    def tensors(self) -> Tensors:
        return {"weights": self.weights, "bias": self.bias}

    def settings(self) -> dict[str, Any]:
        return {"name": self.name, "limit": self.limit}

    def graph(self) -> onnx.ModelProto:
        """Return the layer as an ONNX graph with the output `scores`."""
        nodes = [
            helper.make_node("Clip", [self.name, "low", "high"], ["kept"]),
            helper.make_node("MatMul", ["kept", "weights"], ["sums"]),
            helper.make_node("Add", ["sums", "bias"], ["scores"]),
        ]
        tensors = {
            **self.tensors(),
            "low": np.array(-self.limit, dtype=np.float32),
            "high": np.array(self.limit, dtype=np.float32),
        }
        return _model(nodes, {self.name: ("float32", len(self.weights))}, tensors, self.outputs)


@dataclass(frozen=True)
class Terms:
    """The weighted sum of the weight rows of a text's terms.

    Args:
        table: (terms, outputs), the weights of each term.
        bias: (outputs,).
    """

    table: Floats
    bias: Floats

    @property
    def outputs(self) -> int:
        return len(self.bias)

    def scores(self, arrays: Arrays) -> Floats:
        found = np.empty((len(arrays["terms"]), self.outputs), dtype=np.float32)
        for i, (terms, weights) in enumerate(zip(arrays["terms"], arrays["weights"], strict=True)):
            found[i] = weights @ self.table[terms]
        return found + self.bias

    def tensors(self) -> Tensors:
        return {"table": self.table, "bias": self.bias}

    def settings(self) -> dict[str, Any]:
        return {}

    def graph(self) -> onnx.ModelProto:
        """Return the layer as an ONNX graph with the output `scores`."""
        nodes = [
            helper.make_node("Gather", ["table", "terms"], ["chosen"], axis=0),
            helper.make_node("Unsqueeze", ["weights", "middle"], ["row"]),
            helper.make_node("MatMul", ["row", "chosen"], ["product"]),
            helper.make_node("Squeeze", ["product", "middle"], ["sums"]),
            helper.make_node("Add", ["sums", "bias"], ["scores"]),
        ]
        inputs: dict[str, tuple[str, int | str]] = {
            "terms": ("int64", "terms"),
            "weights": ("float32", "terms"),
        }
        tensors = {**self.tensors(), "middle": np.array([1], dtype=np.int64)}
        return _model(nodes, inputs, tensors, self.outputs)


def _model(
    nodes: Sequence[NodeProto],
    inputs: dict[str, tuple[str, int | str]],
    tensors: Tensors,
    outputs: int,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "linear",
        [
            helper.make_tensor_value_info(name, _INPUT_TYPES[dtype], ["rows", width])
            for name, (dtype, width) in inputs.items()
        ],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", outputs])],
        [numpy_helper.from_array(np.ascontiguousarray(t), name) for name, t in tensors.items()],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)
