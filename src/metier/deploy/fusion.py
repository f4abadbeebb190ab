"""The same graph in fewer, larger steps: exact, and faster for one row at a time.

Exporters write attention as some forty small steps, most of which reckon with shapes. onnxruntime
joins much by itself when it loads a graph, attention as torch exports it today not. Here each
attention becomes one matrix product for queries, keys and values, and one `MultiHeadAttention`.

What was joined is run beside what it was made from; where the scores differ, nothing is joined.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from metier.deploy.rewriting import Wiring, attribute, copy_of, one_number, replace, tidy
from metier.runtime.preprocess import Arrays
from metier.runtime.scoring import open_session

MASK = "attention_mask"
TOLERANCE = 5e-5
"""Largest difference of a score that joining may make, as a share of how far scores lie apart."""
CONTRIBUTED = "com.microsoft"


def fused(graph: onnx.ModelProto, feeds: Sequence[Arrays]) -> onnx.ModelProto:
    """Return a graph that gives the same scores in fewer steps.

    Constants are computed, padding goes into the convolution behind it, attention is joined.

    Args:
        graph: an exported graph.
        feeds: batches of named inputs to try it on, the longest rows among them; at least one.
    """
    simple = simplified(graph)
    joined = _with_joined_attention(simple)
    return next((each for each in (joined, simple) if _agree(each, graph, feeds)), graph)


def simplified(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return what onnxruntime makes of a graph without leaving the standard's operators."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "simple.onnx"
        options.optimized_model_filepath = str(path)
        content = graph.SerializeToString()
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        found = onnx.load(path)
    tidy(found)
    return found


def _agree(one: onnx.ModelProto, other: onnx.ModelProto, feeds: Sequence[Arrays]) -> bool:
    if one is other:
        return True
    sessions = [open_session(each.SerializeToString()) for each in (one, other)]
    for arrays in feeds:
        ours, wanted = (np.asarray(each.run(["scores"], arrays)[0]) for each in sessions)
        allowed = TOLERANCE * max(1.0, float(np.ptp(wanted)))
        if ours.shape != wanted.shape or not np.abs(ours - wanted).max() <= allowed:
            return False
    return True


@dataclass(frozen=True)
class _Linear:
    """`value @ weight + bias`, fixed weights."""

    value: str
    weight: NDArray[Any]
    bias: NDArray[Any]


@dataclass(frozen=True)
class _Attention:
    """One attention as the exporter writes it: what it reads, how, and the value that it makes."""

    queries: _Linear
    keys: _Linear
    values: _Linear
    heads: int
    scale: float
    masked: bool
    output: str

    def nodes(self, name: str, mask: str) -> list[NodeProto]:
        """The three steps that it becomes. `name` tells its weights."""
        parts = [f"{name}.{part}" for part in ("queries", "keys", "values")]
        settings: dict[str, Any] = {"num_heads": self.heads, "scale": self.scale}
        reads = [*parts, "", mask] if self.masked else parts
        return [
            helper.make_node(
                "MatMul", [self.queries.value, f"{name}.weight"], [f"{name}.product"], f"{name}.in"
            ),
            helper.make_node(
                "Add", [f"{name}.product", f"{name}.bias"], [f"{name}.sum"], f"{name}.add"
            ),
            helper.make_node(
                "Split", [f"{name}.sum", f"{name}.parts"], parts, f"{name}.split", axis=-1
            ),
            helper.make_node(
                "MultiHeadAttention", reads, [self.output], name, domain=CONTRIBUTED, **settings
            ),
        ]

    def weights(self, name: str) -> dict[str, NDArray[Any]]:
        """The fixed values of these steps."""
        parts = (self.queries, self.keys, self.values)
        return {
            f"{name}.weight": np.concatenate([part.weight for part in parts], axis=1),
            f"{name}.bias": np.concatenate([part.bias for part in parts]),
            f"{name}.parts": np.array([len(part.bias) for part in parts], dtype=np.int64),
        }


def _with_joined_attention(graph: onnx.ModelProto) -> onnx.ModelProto:
    wiring = Wiring(graph.graph)
    softmaxes = [node for node in graph.graph.node if node.op_type == "Softmax"]
    found = [each for node in softmaxes if (each := _attention(wiring, node)) is not None]
    if not found:
        return graph
    joined = copy_of(graph)
    instead, weights = {}, {}
    for number, each in enumerate(found):
        name = f"attention.{number}"
        instead[each.output] = each.nodes(name, f"{MASK}.32")
        weights.update(each.weights(name))
    cast = helper.make_node("Cast", [MASK], [f"{MASK}.32"], to=TensorProto.INT32)
    first = [cast] if any(each.masked for each in found) else []
    joined.opset_import.append(helper.make_opsetid(CONTRIBUTED, 1))
    replace(joined, instead, first, weights)
    return joined


def _attention(wiring: Wiring, softmax: NodeProto) -> _Attention | None:
    """Return the attention around a softmax, or None when it is none that is known."""
    masked = wiring.maker(softmax.input[0], "Add")
    logits = softmax.input[0] if masked is None else masked.input[0]
    product = wiring.maker(logits, "MatMul")
    output = _output(wiring, softmax)
    if product is None or output is None:
        return None
    if masked is not None and MASK not in wiring.sources(masked.input[1]):
        return None
    query, scale_query = _unscaled(wiring, product.input[0])
    key, scale_key = _unscaled(wiring, product.input[1])
    queries = _heads(wiring, query, [0, 2, 1, 3])
    keys = _heads(wiring, key, [0, 2, 3, 1])
    values = _heads(wiring, output[0], [0, 2, 1, 3])
    if queries is None or keys is None or values is None:
        return None
    linears = [_linear(wiring, name) for name, _ in (queries, keys, values)]
    first, second, third = linears
    if first is None or second is None or third is None:
        return None
    size = queries[1]
    widths = {len(each.bias) for each in (first, second, third)}
    if (
        len({first.value, second.value, third.value}) != 1
        or len(widths) != 1
        or widths.pop() % size
    ):
        return None
    return _Attention(
        queries=first,
        keys=second,
        values=third,
        heads=len(first.bias) // size,
        scale=scale_query * scale_key,
        masked=masked is not None,
        output=output[1],
    )


def _unscaled(wiring: Wiring, name: str) -> tuple[str, float]:
    """Return what is multiplied by a number, and the number (1 for none)."""
    node = wiring.maker(name, "Mul")
    factor = None if node is None else one_number(wiring.number(node.input[1]))
    return (name, 1.0) if node is None or factor is None else (node.input[0], factor)


def _heads(wiring: Wiring, name: str, order: list[int]) -> tuple[str, int] | None:
    """Return what was cut into heads (rows, length, width), and the width of one head."""
    transpose = wiring.maker(name, "Transpose")
    if transpose is None or list(attribute(transpose, "perm", ())) != order:
        return None
    reshape = wiring.maker(transpose.input[0], "Reshape")
    if reshape is None:
        return None
    shape = wiring.number(reshape.input[1])
    if shape is None:
        parts = wiring.maker(reshape.input[1], "Concat")
        shape = None if parts is None else wiring.number(parts.input[-1])
    return None if shape is None else (reshape.input[0], int(np.ravel(shape)[-1]))


def _linear(wiring: Wiring, name: str) -> _Linear | None:
    add = wiring.maker(name, "Add")
    if add is None:
        return None
    for product, bias in (add.input, reversed(add.input)):
        node, number = wiring.maker(product, "MatMul"), wiring.number(bias)
        weight = None if node is None else wiring.number(node.input[1])
        if node is not None and number is not None and weight is not None and number.ndim == 1:
            return _Linear(node.input[0], weight, number)
    return None


def _output(wiring: Wiring, softmax: NodeProto) -> tuple[str, str] | None:
    """Return what the softmax weighs, and the value that comes out with the heads put together."""
    readers = wiring.readers(softmax.output[0])
    # Rows that see nothing give no number, which torch takes for nought; no text is such a row.
    safe = [node for node in readers if node.op_type == "Where"]
    if safe:
        readers = wiring.readers(safe[0].output[0])
    product = next((node for node in readers if node.op_type == "MatMul"), None)
    if product is None:
        return None
    here = product
    for _ in range(3):  # a reshape of four dimensions to the same four may come first
        after = [n for n in wiring.readers(here.output[0]) if n.op_type in {"Transpose", "Reshape"}]
        if len(after) != 1:
            break
        before, here = here, after[0]
        if before.op_type == "Transpose" and here.op_type == "Reshape":
            put_together = list(attribute(before, "perm", ())) == [0, 2, 1, 3]
            return (product.input[1], here.output[0]) if put_together else None
    return None
