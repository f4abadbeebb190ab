"""Graphs with 8-bit weights, and with 8-bit arithmetic where it pays.

Three ways, from an exported graph to a smaller one that takes the same inputs:

- `dynamic`: matrix products of 8-bit weights (a scale for each column) and of activations that are
  rounded as they come; nothing has to be calibrated.
- `static`: convolutions and matrix products whose activations are rounded to ranges found on
  calibration rows (Jacob et al., 2018), weights with a scale for each channel.
- `weights`: the weights have 8 bits, with a scale for each block of them; the closest to the
  original, and a little larger. The only way that leaves convolutions their floats.

In all three, tables that rows are looked up in (the embeddings of words and positions) may be held
as 8-bit rows with a scale each: they are most of a small text model.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from metier.deploy.calibration import best_ranges
from metier.deploy.correction import corrected, rounded_rows
from metier.deploy.outliers import tamed
from metier.deploy.rewriting import copy_of, replace
from metier.deploy.slimming import slimmed
from metier.errors import ChainError
from metier.runtime.preprocess import Arrays

SMALLEST_TABLE = 64
"""Rows from which on a table is worth 8 bits."""
BLOCK = 32
"""Weights that share a scale in `weights`."""
EIGHT_BITS = (TensorProto.INT8, TensorProto.UINT8)


def is_quantized(graph: onnx.ModelProto) -> bool:
    """Tell whether a graph holds rounded weights already."""
    return any(tensor.data_type in EIGHT_BITS for tensor in graph.graph.initializer)


def of_convolutions(graph: onnx.ModelProto) -> bool:
    """Tell whether a graph is rather one of convolutions than one of matrix products."""
    kinds = [node.op_type for node in graph.graph.node]
    return kinds.count("Conv") > kinds.count("MatMul")


def dynamic(
    graph: onnx.ModelProto, feeds: Sequence[Arrays] = (), *, embedding: bool = True
) -> onnx.ModelProto:
    """Return a graph whose matrix products are 8-bit ones, activations rounded as they come.

    Args:
        graph: an exported graph.
        feeds: batches of named inputs that show which channels are outliers (see `outliers`).
        embedding: hold tables as 8-bit rows too.

    Raises:
        ChainError: when there is no matrix product with fixed weights.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    nodes = _inner(graph, ("MatMul",))
    _need(nodes, "dynamic", "matrix product", "static")
    found = _through_files(
        tamed(graph, nodes, feeds),
        lambda start, end: quantize_dynamic(
            start,
            end,
            op_types_to_quantize=["MatMul"],
            nodes_to_quantize=nodes,
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        ),
    )
    return narrow_tables(found) if embedding else found


def static(
    graph: onnx.ModelProto, feeds: Sequence[Arrays], *, embedding: bool = True
) -> onnx.ModelProto:
    """Return a graph in 8-bit arithmetic, with the ranges that calibration batches have.

    Args:
        graph: an exported graph.
        feeds: batches of named inputs, as `Preprocess.collate` makes them; at least one.
        embedding: hold tables as 8-bit rows too.

    Raises:
        ChainError: when there is neither a convolution nor a matrix product with fixed weights.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantizationMode, QuantType
    from onnxruntime.quantization.calibrate import TensorData, TensorsData
    from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer
    from onnxruntime.quantization.registry import QLinearOpsRegistry

    nodes = _inner(graph, ("Conv", "MatMul"))
    _need(nodes, "static", "convolution or matrix product", "weights")
    # Among convolutions everything can stay in 8 bits. Between matrix products lie masks of
    # infinities and normalisations, which cannot.
    everything = of_convolutions(graph)
    graph = corrected(graph, feeds) if everything else tamed(graph, nodes, feeds)
    kinds = set(QLinearOpsRegistry) if everything else {"MatMul"}
    taken = [n for n in graph.graph.node if (n.op_type in kinds if everything else n.name in nodes)]
    ranges = best_ranges(graph, _floats_of(graph, taken), feeds)
    measured = TensorsData(
        CalibrationMethod.MinMax,
        {
            name: TensorData(lowest=np.float32(low), highest=np.float32(high))
            for name, (low, high) in ranges.items()
        },
    )
    with _quiet():
        quantizer = ONNXQuantizer(
            _with_shapes(graph),
            True,  # a scale for each channel
            False,
            QuantizationMode.QLinearOps,
            True,
            QuantType.QInt8,
            QuantType.QUInt8,
            measured,
            None if everything else nodes,
            _last(graph),
            sorted(kinds),
            {"DefaultTensorType": TensorProto.FLOAT},
        )
        quantizer.quantize_model()
    found: onnx.ModelProto = quantizer.model.model
    if everything:
        return slimmed(found)
    return narrow_tables(found) if embedding else found


def weights(
    graph: onnx.ModelProto, feeds: Sequence[Arrays] = (), *, embedding: bool = True
) -> onnx.ModelProto:
    """Return a graph whose weights have 8 bits.

    Matrices are rounded in blocks that share a scale, and multiplied as they are with activations
    rounded in the same blocks. Filters of convolutions are rounded with a scale for each channel,
    and widened when the graph is loaded: small on the disk, as fast as floats.

    Args:
        graph: an exported graph.
        feeds: batches of named inputs that show what rounding shifts (see `correction`).
        embedding: hold tables as 8-bit rows too.

    Raises:
        ChainError: when there is neither a matrix product nor a convolution with fixed weights.
    """
    from onnxruntime.quantization.matmul_nbits_quantizer import (
        DefaultWeightOnlyQuantConfig,
        MatMulNBitsQuantizer,
    )

    nodes = _inner(graph, ("Conv", "MatMul"))
    _need(nodes, "weights", "matrix product or convolution", "none")
    found = narrow_filters(corrected(graph, feeds))
    config = DefaultWeightOnlyQuantConfig(
        block_size=BLOCK, is_symmetric=True, accuracy_level=4, bits=8
    )
    if _inner(graph, ("MatMul",)):
        with _quiet():
            quantizer = MatMulNBitsQuantizer(found, bits=8, algo_config=config)
            quantizer.process()
            found = quantizer.model.model
    return narrow_tables(found) if embedding else found


def narrow_filters(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph whose convolutions hold 8-bit filters, a scale for each output channel.

    They are widened by a cast and a product of fixed values, which onnxruntime computes once, when
    it loads the graph.
    """
    found = copy_of(graph)
    filters = {n.input[1] for n in found.graph.node if n.op_type == "Conv"}
    first: list[onnx.NodeProto] = []
    added: dict[str, NDArray[Any]] = {}
    for tensor in list(found.graph.initializer):
        if tensor.name not in filters or tensor.data_type != TensorProto.FLOAT:
            continue
        name, kernel = tensor.name, numpy_helper.to_array(tensor)
        rows, scales = rounded_rows(kernel.reshape(len(kernel), -1))
        added[f"{name}.rows"] = rows.reshape(kernel.shape)
        added[f"{name}.scales"] = scales.reshape(-1, *[1] * (kernel.ndim - 1))
        found.graph.initializer.remove(tensor)
        first += [
            helper.make_node("Cast", [f"{name}.rows"], [f"{name}.wide"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{name}.wide", f"{name}.scales"], [name]),
        ]
    replace(found, {}, first, added)
    return found


def narrow_tables(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph whose tables of rows to look up hold 8 bits a number, a scale for each row.

    Rows are widened after they were looked up, so the whole table never is.
    """
    found = copy_of(graph)
    tables = {
        tensor.name: tensor
        for tensor in found.graph.initializer
        if tensor.data_type == TensorProto.FLOAT
        and len(tensor.dims) == 2
        and tensor.dims[0] >= SMALLEST_TABLE
    }
    readers = [node for node in found.graph.node if set(node.input) & tables.keys()]
    for name, tensor in tables.items():
        uses = [node for node in readers if name in node.input]
        if uses and all(_looks_up(node, name) for node in uses):
            _narrow(found.graph, tensor, uses)
    return found


def _looks_up(node: onnx.NodeProto, table: str) -> bool:
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
    return node.op_type == "Gather" and node.input[0] == table and axis == 0


def _narrow(graph: onnx.GraphProto, tensor: onnx.TensorProto, uses: list[onnx.NodeProto]) -> None:
    name = tensor.name
    rows, scales = rounded_rows(numpy_helper.to_array(tensor))
    graph.initializer.remove(tensor)
    graph.initializer.append(numpy_helper.from_array(rows, f"{name}.rows"))
    graph.initializer.append(numpy_helper.from_array(scales, f"{name}.scales"))
    for node in uses:
        out, at = node.output[0], list(graph.node).index(node)
        made = [
            helper.make_node("Gather", [f"{name}.rows", node.input[1]], [f"{out}.rows"], axis=0),
            helper.make_node("Cast", [f"{out}.rows"], [f"{out}.wide"], to=TensorProto.FLOAT),
            helper.make_node("Gather", [f"{name}.scales", node.input[1]], [f"{out}.scale"], axis=0),
            helper.make_node("Mul", [f"{out}.wide", f"{out}.scale"], [out]),
        ]
        graph.node.remove(node)
        for each in reversed(made):
            graph.node.insert(at, each)


def _floats_of(graph: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> list[str]:
    """Names of the values of floats that nodes read or make, weights left out."""
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in (
            *_with_shapes(graph).graph.value_info,
            *graph.graph.input,
            *graph.graph.output,
        )
    }
    fixed = {tensor.name for tensor in graph.graph.initializer}
    touched = {name for node in nodes for name in (*node.input, *node.output)} - fixed
    # Behind an operator that is not of the standard no type is known; there are floats there.
    return sorted(n for n in touched if n and types.get(n, TensorProto.FLOAT) == TensorProto.FLOAT)


def _with_shapes(graph: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.shape_inference.infer_shapes(graph)


def _inner(graph: onnx.ModelProto, kinds: tuple[str, ...]) -> list[str]:
    """Names of the nodes of these kinds with fixed weights, but for the one that gives the scores:
    it is small, and what it rounds away nothing can make good."""
    fixed = {tensor.name for tensor in graph.graph.initializer}
    last = set(_last(graph))
    return [
        node.name
        for node in graph.graph.node
        if node.op_type in kinds and set(node.input) & fixed and node.name not in last
    ]


def _last(graph: onnx.ModelProto) -> list[str]:
    """Names of the nodes that give the scores."""
    wanted = {output.name for output in graph.graph.output}
    return [node.name for node in graph.graph.node if wanted & set(node.output)]


def _need(nodes: list[str], mode: str, what: str, other: str) -> None:
    if not nodes:
        raise ChainError(f"quantize mode={mode} finds no {what} in the graph: use mode={other}")


def _through_files(graph: onnx.ModelProto, apply: Callable[[Path, Path], object]) -> Any:
    with tempfile.TemporaryDirectory() as folder, _quiet():
        start, end = Path(folder) / "start.onnx", Path(folder) / "end.onnx"
        onnx.save(graph, start)
        apply(start, end)
        return onnx.load(end)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the advice that the quantiser logs to itself."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
