"""A look into an ONNX file without the onnx library: does it read files beside it, and how does it
reckon?

ONNX keeps large tensors outside if asked to, under any path that the file names. A bundle never
does, so a graph with such a tensor is refused before anything opens it.
"""

from __future__ import annotations

from collections.abc import Iterator

Span = tuple[int, int]

NESTED: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "TensorProto": {},
}
"""Which fields of which message lead to tensors (onnx.proto)."""
EXTERNAL_DATA, DATA_LOCATION = 13, 14
GRAPH_OF_MODEL, NODE_OF_GRAPH, OPERATOR_OF_NODE = 7, 1, 4
ROUNDING = {"QuantizeLinear", "DynamicQuantizeLinear", "DynamicQuantizeMatMul", "MatMulNBits"}
"""Operators that round what comes in to 8 bits before they multiply it, or for those that do."""
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def reads_other_files(graph: bytes) -> bool:
    """Tell whether a tensor anywhere in the graph lies in another file.

    Raises:
        ValueError: when the bytes are no protocol buffer.
    """
    # The key that names an outside file is spelled out in the bytes: most graphs end here.
    if b"location" not in graph:
        return False
    waiting: list[tuple[str, Span]] = [("ModelProto", (0, len(graph)))]
    while waiting:
        message, span = waiting.pop()
        nested = NESTED[message]
        for number, value, inside in _fields(graph, span):
            if message == "TensorProto" and (
                number == EXTERNAL_DATA or (number == DATA_LOCATION and value)
            ):
                return True
            if number in nested and inside is not None:
                waiting.append((nested[number], inside))
    return False


def rounds_as_it_goes(graph: bytes) -> bool:
    """Tell whether a graph rounds what it reckons with to 8 bits, not only what it was stored with.

    Raises:
        ValueError: when the bytes are no protocol buffer.
    """
    bodies = _inside(graph, (0, len(graph)), GRAPH_OF_MODEL)
    nodes = (node for body in bodies for node in _inside(graph, body, NODE_OF_GRAPH))
    names = (name for node in nodes for name in _inside(graph, node, OPERATOR_OF_NODE))
    return any(graph[start:end].decode() in ROUNDING for start, end in names)


def _inside(content: bytes, span: Span, wanted: int) -> Iterator[Span]:
    """The insides of the fields of one number."""
    for number, _, inside in _fields(content, span):
        if number == wanted and inside is not None:
            yield inside


def _fields(content: bytes, span: Span) -> Iterator[tuple[int, int, Span | None]]:
    """Number, value (of a varint) and inside (of bytes) of each field of a message."""
    position, end = span
    while position < end:
        key, position = _varint(content, position, end)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, position = _varint(content, position, end)
            yield number, value, None
            continue
        size = {FIXED64: 8, FIXED32: 4}.get(wire, -1)
        if wire == BYTES:
            size, position = _varint(content, position, end)
        if size < 0 or position + size > end:
            raise ValueError("not an ONNX graph")
        yield number, 0, (position, position + size) if wire == BYTES else None
        position += size


def _varint(content: bytes, position: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            break
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("not an ONNX graph")
