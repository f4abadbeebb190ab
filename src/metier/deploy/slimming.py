"""Graphs of 8-bit convolutions without what is large beside their weights.

A network of small convolutions in 8 bits is no longer mostly weights: a scale, a zero point and a
bias for each channel, and the names of everything, are nearly a tenth of the file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from metier.deploy.rewriting import Wiring, copy_of, replace

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
HALF = 60000.0
"""What the largest number of a tensor becomes before it is held in 16 bits."""
SCALE, ZERO, BIAS = 4, 5, 8
"""Where QLinearConv is given the scales, zero points and biases of its channels."""
X_SCALE, Y_SCALE = 1, 6
"""Where it is given the scales of what it reads and of what it gives."""
COARSEST = 0.5
"""How far apart held biases may be, in steps of the output: an output is rounded by as much."""


def slimmed(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph in fewer bytes: the same inputs and outputs, and the same work at predict.

    Scales have 16 bits instead of 32 (half precision beside a common factor, 0.05 % apart at most)
    and so have biases (in steps of a common factor, 0.002 % of the largest), unless a channel whose
    weights are next to nothing makes the steps too coarse for the others; both are widened by
    operations on fixed values, which onnxruntime computes once, when it loads the graph. Zero
    points that are all alike are one, and what lies between inputs and outputs has short names.
    """
    found = copy_of(graph)
    wiring = Wiring(found.graph)
    fixed = {tensor.name for tensor in found.graph.initializer}
    first: list[NodeProto] = []
    added: dict[str, NDArray[Any]] = {}
    for node in found.graph.node:
        if node.op_type != "QLinearConv":
            continue
        for place, narrow in ((SCALE, _halved), (ZERO, _one), (BIAS, _stepped)):
            name = node.input[place] if place < len(node.input) else ""
            if name not in fixed or name in added or len(wiring.readers(name)) > 1:
                continue
            value = wiring.number(name)
            assert value is not None
            if place == BIAS and _too_coarse(node, wiring, value):
                continue
            nodes, weights = narrow(name, value)
            first += nodes
            added |= weights
    kept = [t for t in found.graph.initializer if t.name not in _made(first) | added.keys()]
    del found.graph.initializer[:]
    found.graph.initializer.extend(kept)
    replace(found, {}, first, added)
    _shorten(found.graph)
    return found


Narrowed = tuple[list[NodeProto], dict[str, NDArray[Any]]]


def _halved(name: str, value: NDArray[Any]) -> Narrowed:
    if value.size == 1:
        return [], {}
    factor = np.float32(value.max() / HALF)
    return _widened(name, (value / factor).astype(np.float16), factor, TensorProto.FLOAT)


def _stepped(name: str, value: NDArray[Any]) -> Narrowed:
    step = _step(value)
    return _widened(name, np.round(value / step).astype(np.int16), step, TensorProto.INT32)


def _step(value: NDArray[Any]) -> np.int32:
    """Return the smallest step in which 16 bits hold the largest of integers."""
    return np.int32(-(-int(np.abs(value).max()) // np.iinfo(np.int16).max) or 1)


def _too_coarse(node: NodeProto, wiring: Wiring, value: NDArray[Any]) -> bool:
    """Whether biases in 16 bits would move the outputs of a convolution. A bias is counted in units
    of its channel, so that the same step is far more in one channel than in another."""
    step = _step(value)
    read, own, given = (wiring.number(node.input[place]) for place in (X_SCALE, SCALE, Y_SCALE))
    if step == 1:
        return False
    if read is None or own is None or given is None:
        return True
    apart = float(step) * read.item() * np.sqrt(np.mean(np.square(own, dtype=np.float64)))
    return bool(apart > COARSEST * given.item())


def _one(name: str, value: NDArray[Any]) -> Narrowed:
    if value.size == 1 or (value != value.flat[0]).any():
        return [], {}
    return [], {name: value.reshape(-1)[:1].reshape(())}


def _widened(name: str, held: NDArray[Any], factor: Any, kind: int) -> Narrowed:
    narrow, wide, by = f"{name}.narrow", f"{name}.wide", f"{name}.factor"
    nodes = [
        helper.make_node("Cast", [narrow], [wide], to=kind),
        helper.make_node("Mul", [wide, by], [name]),
    ]
    return nodes, {narrow: held, by: np.asarray(factor)}


def _made(nodes: list[NodeProto]) -> set[str]:
    return {name for node in nodes for name in node.output}


def _shorten(body: onnx.GraphProto) -> None:
    """Number what lies between inputs and outputs, in place; not where nodes hold graphs, which
    may read any of it."""
    if any(each.HasField("g") or each.graphs for node in body.node for each in node.attribute):
        return
    short = {value.name: value.name for value in (*body.input, *body.output)} | {"": ""}
    for node in body.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = short.setdefault(name, _number(len(short)))
        node.name = node.doc_string = ""
    for tensor in body.initializer:
        tensor.name = short[tensor.name]
    del body.value_info[:]


def _number(value: int) -> str:
    """Write a number in few characters; none of them make a name that a person would give.

    >>> _number(0), _number(71)
    ('.0', '.1z')
    """
    high, low = divmod(value, len(DIGITS))
    return f"{_number(high) if high else '.'}{DIGITS[low]}"
