"""Exported nets predict what torch predicts, at every batch size and length."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import polars as pl
import pytest
import torch

from metier.deploy.onnx import OPSET, export_net
from metier.errors import ParityError
from metier.runtime.preprocess import Example, Preprocess
from metier.sources.text import open_text
from metier.training.net import Net, branch
from metier.training.start import preprocess_of
from metier.types import Roles, Table
from tests import tiny

Tables = Callable[..., Table]


def own_net(source: Any, outputs: int = 3) -> Net:
    net = branch(Net(source.load(), outputs), 0)
    random = np.random.default_rng(0)
    net.set_head(random.normal(size=net.head.weight.shape), random.normal(size=outputs))
    return net


def run(graph: onnx.ModelProto, arrays: dict[str, Any]) -> Any:
    onnx.checker.check_model(graph)
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    assert {i.name for i in session.get_inputs()} == set(arrays)
    assert [o.name for o in session.get_outputs()] == ["scores"]
    (found,) = session.run(None, arrays)
    return found


def examples_of(preprocess: Preprocess, table: Table) -> list[Example]:
    return [example for example in preprocess.encode(table.columns()).examples if example]


def assert_follows(net: Net, preprocess: Preprocess, table: Table) -> None:
    graph = export_net(net, preprocess)
    examples = examples_of(preprocess, table)
    for rows in ([0], [3], list(range(len(examples))), [5, 1]):
        arrays = preprocess.collate([examples[i] for i in rows])
        with torch.no_grad():
            wanted = net.eval()({k: torch.from_numpy(v) for k, v in arrays.items()}).numpy()
        found = run(graph, arrays)
        assert found.shape == (len(rows), net.head.out_features) and found.dtype == np.float32
        # Convolutions with random weights pass rounding on many times over.
        share = 5e-5 if "pixel_values" in arrays else 1e-5
        np.testing.assert_allclose(found, wanted, atol=share * max(1.0, np.abs(wanted).max()))


@pytest.mark.parametrize("name", ["bert", "long", "roberta", "vit", "mobilenet"])
def test_the_graph_follows_the_net(
    name: str, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources[name]
    table = tiny_table(source, 12)
    assert_follows(own_net(source), preprocess_of(source, table), table)


@pytest.mark.parametrize("name", ["bert", "long"])
def test_pairs_of_texts(name: str, tiny_sources: dict[str, Any]) -> None:
    source = tiny_sources[name]
    frame = pl.DataFrame({"one": tiny.texts(9, 0), "two": tiny.texts(9, 1, 40)})
    table = Table(frame, Roles({"one": "text", "two": "text"}))
    preprocess = preprocess_of(source, table)
    graph = export_net(own_net(source), preprocess)
    assert "token_type_ids" in {i.name for i in graph.graph.input}
    assert_follows(own_net(source), preprocess, table)


def test_empty_and_longest_texts(tiny_sources: dict[str, Any]) -> None:
    for name in ("bert", "long"):
        texts = ["", "card", "card " * 200, " ", "help me", "card lost " * 9]
        table = tiny.text_table(texts)
        source = tiny_sources[name]
        assert_follows(own_net(source), preprocess_of(source, table), table)


def test_all_but_the_shape_of_images_is_free(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    def shapes(name: str) -> dict[str, list[Any]]:
        source = tiny_sources[name]
        graph = export_net(own_net(source), preprocess_of(source, tiny_table(source, 6))).graph
        return {
            value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
            for value in (*graph.input, *graph.output)
        }

    assert shapes("bert") == {
        "input_ids": ["rows", "length"],
        "attention_mask": ["rows", "length"],
        "scores": ["rows", 3],
    }
    assert shapes("long") == {
        "input_ids": ["windows", "length"],
        "attention_mask": ["windows", "length"],
        "assign": ["rows", "windows"],
        "scores": ["rows", 3],
    }
    assert shapes("vit") == {"pixel_values": ["rows", 3, 32, 32], "scores": ["rows", 3]}


def test_a_graph_is_small_plain_and_apart_from_its_net(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 6)
    net = own_net(source)
    net.train()
    preprocess = preprocess_of(source, table)
    graph = export_net(net, preprocess)
    assert {(o.domain, o.version) for o in graph.opset_import} == {("", OPSET)}
    assert not any(node.op_type in {"Dropout", "RandomNormal"} for node in graph.graph.node)
    weights = sum(p.numel() for p in net.parameters())
    assert graph.ByteSize() < 4 * weights + 200_000
    arrays = preprocess.collate(examples_of(preprocess, table))
    before = run(graph, arrays)
    with torch.no_grad():
        net.head.weight.zero_()
    np.testing.assert_array_equal(run(graph, arrays), before)


def test_a_network_that_onnx_cannot_say_is_told_in_one_line(tmp_path: Path) -> None:
    source = open_text(str(tiny.save_fnet(tmp_path)))
    preprocess = preprocess_of(source, tiny.text_table(["my card is lost"]))
    with pytest.raises(ParityError, match="cannot be exported to ONNX") as told:
        export_net(own_net(source), preprocess)
    assert "\n" not in str(told.value)
