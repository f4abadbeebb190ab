"""Looking around in a graph and replacing parts of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, numpy_helper


class Wiring:
    """Which node makes a value and which nodes read it. A picture: it does not follow changes."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._makers = {name: node for node in graph.node for name in node.output}
        self._readers: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        self._weights = {tensor.name: tensor for tensor in graph.initializer}

    def maker(self, name: str, *kinds: str) -> NodeProto | None:
        """Return the node that makes a value, when it is of one of the kinds."""
        node = self._makers.get(name)
        return node if node is not None and node.op_type in kinds else None

    def readers(self, name: str) -> list[NodeProto]:
        """Return the nodes that read a value."""
        return self._readers.get(name, [])

    def number(self, name: str) -> NDArray[Any] | None:
        """Return a value that is fixed, or None."""
        if name in self._weights:
            return numpy_helper.to_array(self._weights[name])
        node = self.maker(name, "Constant")
        if node is None or node.attribute[0].name != "value":
            return None
        return numpy_helper.to_array(node.attribute[0].t)

    def sources(self, name: str) -> set[str]:
        """Return the names, without a maker, that a value follows from: inputs and weights."""
        found: set[str] = set()
        seen, waiting = {name}, [name]
        while waiting:
            node = self._makers.get(here := waiting.pop())
            if node is None:
                found.add(here)
                continue
            fresh = set(node.input) - seen - {""}
            seen |= fresh
            waiting += fresh
        return found


def attribute(node: NodeProto, name: str, default: Any = None) -> Any:
    """Return an attribute of a node, or the default."""
    found = next((each for each in node.attribute if each.name == name), None)
    return default if found is None else onnx.helper.get_attribute_value(found)


def copy_of(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph of one's own."""
    found = onnx.ModelProto()
    found.CopyFrom(graph)
    return found


def replace(
    graph: onnx.ModelProto,
    instead: Mapping[str, Iterable[NodeProto]],
    first: Iterable[NodeProto] = (),
    weights: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    """Put nodes in the place of those that make some values, in place.

    Args:
        graph: the graph.
        instead: for the name of a value, the nodes that make it from now on.
        first: nodes that go before all others.
        weights: further fixed values.
    """
    body = graph.graph
    nodes = list(first)
    for node in body.node:
        made = next((instead[name] for name in node.output if name in instead), None)
        nodes += [node] if made is None else list(made)
    weights = weights or {}
    body.initializer.extend(numpy_helper.from_array(w, name) for name, w in weights.items())
    _set_nodes(body, nodes)
    tidy(graph)


def tidy(graph: onnx.ModelProto) -> None:
    """Remove what no output needs, and libraries of operators that no node is from, in place."""
    body = graph.graph
    needed = {output.name for output in body.output}
    kept: list[NodeProto] = []
    for node in reversed(body.node):
        if needed & set(node.output):
            kept.append(node)
            needed.update(node.input)
    _set_nodes(body, kept[::-1])
    weights = [_own(tensor) for tensor in body.initializer if tensor.name in needed]
    del body.initializer[:]
    body.initializer.extend(weights)
    del body.value_info[:]
    own = {node.domain for node in body.node} | {""}
    versions = {each.domain: each.version for each in graph.opset_import if each.domain in own}
    del graph.opset_import[:]
    for domain in sorted(own):
        graph.opset_import.append(onnx.helper.make_opsetid(domain, versions.get(domain, 1)))


def _set_nodes(body: onnx.GraphProto, nodes: Iterable[NodeProto]) -> None:
    own = []
    for node in nodes:  # what is removed from a message must not be read any more
        copied = NodeProto()
        copied.CopyFrom(node)
        own.append(copied)
    del body.node[:]
    body.node.extend(own)


def _own(tensor: TensorProto) -> TensorProto:
    copied = TensorProto()
    copied.CopyFrom(tensor)
    return copied


def one_number(value: NDArray[Any] | None) -> float | None:
    """Return a fixed value of a single number as that number."""
    return None if value is None or np.size(value) != 1 else float(np.reshape(value, ()))
