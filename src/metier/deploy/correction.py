"""What rounding shifts on average is given back by the biases.

Behind a ReLU all inputs of a convolution are positive, so the rounding errors of its weights do not
cancel: each channel of its output is shifted, and the next layers see inputs that they have never
seen. The mean of the shift follows from the errors and the mean inputs, and the bias takes it away
(Nagel et al., 2019, "Data-free quantization", here with means of calibration rows). It costs
nothing when predicting. In separable convolutions, whose filters have nine weights, it is most of
what rounding loses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto

from metier.deploy.calibration import values_of
from metier.deploy.rewriting import Wiring, attribute, copy_of, replace
from metier.runtime.preprocess import Arrays


def rounded_rows(table: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return a table (n, width) as int8 rows and their scales (n, 1), largest number to 127.

    >>> rows, scales = rounded_rows(np.array([[1.0, -2.0], [0.0, 0.0]]))
    >>> rows.tolist()
    [[64, -127], [0, 0]]
    """
    largest = np.abs(table).max(axis=1, keepdims=True)
    scales = np.where(largest > 0, largest / 127.0, 1.0).astype(np.float32)
    return np.rint(table / scales).astype(np.int8), scales


def corrected(graph: onnx.ModelProto, feeds: Sequence[Arrays]) -> onnx.ModelProto:
    """Return a graph of floats whose convolutions give the right means once they are rounded.

    Args:
        graph: a graph of floats; it is not rounded here.
        feeds: batches of named inputs; with none the graph is as it was.
    """
    convolutions = [node for node in graph.graph.node if node.op_type == "Conv"]
    means = _means(graph, sorted({node.input[0] for node in convolutions}), feeds)
    wiring = Wiring(graph.graph)
    instead: dict[str, list[NodeProto]] = {}
    biases: dict[str, NDArray[np.float32]] = {}
    for node in convolutions:
        kernel = wiring.number(node.input[1])
        bias = wiring.number(node.input[2]) if len(node.input) > 2 else np.float32(0.0)
        if kernel is None or bias is None or node.input[0] not in means:
            continue
        shift = _shift(kernel, means[node.input[0]], int(attribute(node, "group", 1)))
        name = f"{node.output[0]}.bias"
        biases[name] = np.asarray(bias - shift, dtype=np.float32)
        kept = NodeProto()
        kept.CopyFrom(node)
        del kept.input[2:]
        kept.input.append(name)
        instead[node.output[0]] = [kept]
    found = copy_of(graph)
    replace(found, instead, weights=biases)
    return found


def _means(
    graph: onnx.ModelProto, names: Sequence[str], feeds: Sequence[Arrays]
) -> dict[str, NDArray[np.float64]]:
    """The mean of each channel (the second dimension) of the named values."""
    sums: dict[str, NDArray[np.float64]] = {}
    rows: dict[str, int] = {}
    for name, values in values_of(graph, names, feeds):
        over = tuple(axis for axis in range(values.ndim) if axis != 1)
        sums[name] = sums.get(name, 0.0) + len(values) * values.mean(axis=over, dtype=np.float64)
        rows[name] = rows.get(name, 0) + len(values)
    return {name: found / rows[name] for name, found in sums.items()}


def _shift(kernel: NDArray[Any], means: NDArray[np.float64], groups: int) -> NDArray[np.float64]:
    """How far rounding a kernel (outputs, inputs a group, ...) moves the mean of each output."""
    rows, scales = rounded_rows(kernel.reshape(len(kernel), -1))
    errors = (rows * scales).reshape(kernel.shape) - kernel
    totals = errors.reshape(groups, -1, kernel.shape[1], errors[0, 0].size).sum(axis=-1)
    shifts = np.einsum("goi,gi->go", totals, means.reshape(groups, -1))
    return np.asarray(shifts.reshape(-1), dtype=np.float64)
