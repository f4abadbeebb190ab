"""What a graph's last layer reads, as a second output: the features that its scores are made of."""

from __future__ import annotations

import onnx
from onnx import NodeProto, TensorProto, helper

from metier.deploy.rewriting import Wiring, copy_of
from metier.runtime.scoring import FEATURES

OF_THE_NET = "features"
"""What a net gives where a booster reads on (see `training.fused`)."""
PRODUCTS = (
    "Gemm", "MatMul", "MatMulInteger", "MatMulNBits", "QGemm", "QLinearMatMul",
    "DynamicQuantizeMatMul", "MatMulIntegerToFloat",
)  # fmt: skip
AFTER = ("Add", "Mul", "Cast", "Identity", "QuantizeLinear", "DequantizeLinear", "Reshape")
"""What may stand between the last product and the scores."""
BEFORE = ("DynamicQuantizeLinear", "QuantizeLinear", "DequantizeLinear", "Cast", "Identity")
"""What may stand between the features and the last product."""
ROUNDING = ("DynamicQuantizeLinear", "QuantizeLinear")
"""Of these, what reads floats and gives 8 bits."""
FLOATS = ("Gemm", "MatMul", "MatMulNBits", "DynamicQuantizeMatMul")
"""Products that read floats."""
FARTHEST = 8


def with_features(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph that also gives what its last layer reads, in a second output.

    The scores are the same. A graph without such a layer (trees, counted terms) is returned as it
    is, and so is one that gives features already.
    """
    if any(output.name == FEATURES for output in graph.graph.output):
        return graph
    name = _last_read(graph.graph)
    if name is None:
        return graph
    found = copy_of(graph)
    found.graph.node.append(helper.make_node("Identity", [name], [FEATURES]))
    shape = ["rows", None]
    found.graph.output.append(helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, shape))
    return found


def _last_read(graph: onnx.GraphProto) -> str | None:
    """The floats that the last product of a graph reads, if that can be told."""
    wiring = Wiring(graph)
    if any(OF_THE_NET in node.output for node in graph.node):
        return OF_THE_NET
    weights = {tensor.name for tensor in graph.initializer}
    inputs = {each.name for each in graph.input} - weights
    product = _product(wiring)
    if product is None or wiring.sources(product.input[1]) & inputs:
        return None
    name = product.input[0]
    floats = name if product.op_type in FLOATS else None
    for _ in range(FARTHEST):
        node = wiring.maker(name, *BEFORE)
        if node is None:
            break
        same = node.op_type == "Identity" and floats == name
        name = node.input[0]
        if same or node.op_type in ROUNDING:
            floats = name
    return floats if floats is not None and wiring.sources(floats) & inputs else None


def _product(wiring: Wiring) -> NodeProto | None:
    """The last product before the scores."""
    waiting = [("scores", 0)]
    while waiting:
        name, steps = waiting.pop(0)
        product = wiring.maker(name, *PRODUCTS)
        if product is not None:
            return product
        node = wiring.maker(name, *AFTER)
        if node is not None and steps < FARTHEST:
            waiting += [(each, steps + 1) for each in node.input if each]
    return None
