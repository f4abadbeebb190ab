"""Graphs that would read other files are found, wherever the tensor hides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from metier.errors import BundleError
from metier.runtime.graphs import NESTED, reads_other_files, rounds_as_it_goes
from metier.runtime.manifest import mark
from metier.runtime.session import load


def tensor(outside: bool) -> TensorProto:
    found = numpy_helper.from_array(np.ones(3, np.float32), "t")
    if outside:
        onnx.external_data_helper.set_external_data(found, "../../secret")
        found.ClearField("raw_data")
    return found


def sparse(outside: bool) -> Any:
    values = tensor(outside)
    return helper.make_sparse_tensor(values, numpy_helper.from_array(np.arange(3), "i"), [9])


def graph(**parts: Any) -> onnx.GraphProto:
    found = helper.make_graph(parts.pop("nodes", []), "location", [], [])
    for name, values in parts.items():
        getattr(found, name).extend(values)
    return found


def node(**attributes: Any) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["x"], **attributes)


def model(inner: onnx.GraphProto) -> onnx.ModelProto:
    return helper.make_model(inner)


def training(outside: bool) -> onnx.ModelProto:
    found = model(graph())
    found.training_info.add().algorithm.CopyFrom(graph(initializer=[tensor(outside)]))
    return found


def function(outside: bool) -> onnx.ModelProto:
    found = model(graph())
    nodes = [node(value=tensor(outside))]
    found.functions.append(helper.make_function("d", "f", [], ["x"], nodes, []))
    return found


HIDING = {
    "initializer": lambda o: model(graph(initializer=[tensor(o)])),
    "sparse initializer": lambda o: model(graph(sparse_initializer=[sparse(o)])),
    "attribute": lambda o: model(graph(nodes=[node(value=tensor(o))])),
    "list of tensors": lambda o: model(graph(nodes=[node(values=[tensor(o)])])),
    "sparse attribute": lambda o: model(graph(nodes=[node(value=sparse(o))])),
    "branch": lambda o: model(graph(nodes=[node(body=graph(initializer=[tensor(o)]))])),
    "list of graphs": lambda o: model(graph(nodes=[node(b=[graph(initializer=[tensor(o)])])])),
    "training graph": training,
    "function": function,
}


@pytest.mark.parametrize("place", HIDING)
def test_outside_tensors_are_found(place: str):
    assert reads_other_files(HIDING[place](True).SerializeToString())
    assert not reads_other_files(HIDING[place](False).SerializeToString())


def test_field_numbers_are_those_of_onnx():
    for message, fields in NESTED.items():
        known = getattr(onnx, message).DESCRIPTOR.fields_by_number
        tensors = {
            number: field.message_type.name
            for number, field in known.items()
            if field.message_type is not None and field.message_type.name in NESTED
        }
        assert fields == tensors
    numbers = onnx.TensorProto.DESCRIPTOR.fields_by_name
    assert (numbers["external_data"].number, numbers["data_location"].number) == (13, 14)


@pytest.mark.parametrize("content", [b"location\xff", b"\x3a\xff\x01location", b"\x3b\x00location"])
def test_what_is_no_graph_raises(content: bytes):
    with pytest.raises(ValueError, match="not an ONNX graph"):
        reads_other_files(content)


def test_a_bundle_with_such_a_graph_is_refused(text_bundle: Path):
    path = text_bundle / "model.onnx"
    proto = onnx.load(path)
    outside = text_bundle.parent / "secret"
    outside.write_bytes(proto.graph.initializer[0].raw_data)
    onnx.external_data_helper.set_external_data(proto.graph.initializer[0], "../secret")
    proto.graph.initializer[0].ClearField("raw_data")
    seal(text_bundle, proto.SerializeToString())
    with pytest.raises(BundleError, match="other files"):
        load(text_bundle)


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x08\x08"])
def test_a_bundle_with_a_broken_graph_is_refused(text_bundle: Path, content: bytes):
    seal(text_bundle, content)
    with pytest.raises(BundleError, match="cannot be run") as caught:
        load(text_bundle)
    assert "\n" not in str(caught.value)


def seal(folder: Path, graph: bytes) -> None:
    """Put in another graph with the right hash, as an attacker would."""
    (folder / "model.onnx").write_bytes(graph)
    data = json.loads((folder / "metier.json").read_text())
    found = mark(graph)
    data["files"]["model.onnx"] = {"sha256": found.sha256, "size": found.size}
    (folder / "metier.json").write_text(json.dumps(data))


@pytest.mark.parametrize("kind", ["MatMul", "DynamicQuantizeLinear", "QuantizeLinear"])
def test_graphs_that_round_as_they_go_are_told_apart(kind: str) -> None:
    nodes = [node(value=tensor(outside=False)), helper.make_node(kind, ["x"], ["y"])]
    content = model(graph(nodes=nodes)).SerializeToString()
    assert rounds_as_it_goes(content) == (kind != "MatMul")
    with pytest.raises(ValueError, match="not an ONNX graph"):
        rounds_as_it_goes(content[:3])
