"""8-bit graphs follow those that they were made from, and are smaller."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
from onnx import TensorProto, helper, numpy_helper

from metier.deploy import quantization
from metier.deploy.calibration import best_ranges
from metier.deploy.correction import corrected
from metier.deploy.fusion import fused
from metier.deploy.outliers import tamed
from metier.errors import ChainError
from metier.sources.image import open_image_source
from metier.types import Roles, Table
from tests.deploy.graphs import batches, exported, off, run

Tables = Callable[..., Table]


@pytest.mark.parametrize("join", [False, True])
@pytest.mark.parametrize("name", ["bert", "long", "vit"])
def test_all_ways_for_transformers(
    name: str, join: bool, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    table = tiny_table(tiny_sources[name], 30)
    graph, preprocess = exported(tiny_sources[name], table)
    feeds = batches(preprocess, table)
    start = fused(graph, feeds[:1]) if join else graph
    wanted = run(graph, feeds)
    made = {
        "dynamic": quantization.dynamic(start, feeds),
        "static": quantization.static(start, feeds),
        "weights": quantization.weights(start),
    }
    for mode, found in made.items():
        assert quantization.is_quantized(found) and not quantization.is_quantized(start)
        assert 0 < off(run(found, feeds), wanted) < 0.05, mode


def test_convolutions(tiny_sources: dict[str, Any], tiny_table: Tables) -> None:
    table = tiny_table(tiny_sources["mobilenet"], 30)
    graph, preprocess = exported(tiny_sources["mobilenet"], table)
    feeds = batches(preprocess, table)
    simple = fused(graph, feeds[:1])
    assert quantization.of_convolutions(simple)
    found = quantization.static(simple, feeds)
    kinds = [node.op_type for node in found.graph.node]
    assert kinds.count("QLinearConv") > 10 and "Conv" not in kinds
    # Random weights pass rounding on many times over; a real network is tried below.
    assert off(run(found, feeds), run(graph, feeds)) < 0.8
    with pytest.raises(ChainError, match="use mode=static"):
        quantization.dynamic(simple)
    narrow = quantization.weights(simple, feeds)
    assert quantization.is_quantized(narrow) and not quantization.is_quantized(simple)
    assert off(run(narrow, feeds), run(graph, feeds)) < 0.5


def test_a_real_network_of_convolutions_keeps_its_features(
    shared_models: Path, shared_data: Path
) -> None:
    source = open_image_source(str(shared_models / "mobilenet-v1-0.25-128-imagenet"))
    photos = sorted((shared_data / "food_photos" / "train").rglob("*.jpg"))[::8]
    frame = pl.DataFrame({"image": [str(path) for path in photos]})
    table = Table(frame, Roles({"image": "image"}))
    graph, preprocess = exported(source, table)
    feeds = batches(preprocess, table, 8)
    found = quantization.static(fused(graph, feeds[:1]), feeds[:3])
    assert found.ByteSize() < 0.35 * graph.ByteSize()
    assert off(run(found, feeds), run(graph, feeds)) < 0.15
    simple = fused(graph, feeds[:1])
    narrow = quantization.weights(simple, feeds[:3])
    assert narrow.ByteSize() < 0.35 * graph.ByteSize()
    plain = off(run(quantization.weights(simple), feeds), run(graph, feeds))
    assert off(run(narrow, feeds), run(graph, feeds)) < min(0.08, 0.6 * plain)


def test_biases_give_back_what_rounding_shifts() -> None:
    random = np.random.default_rng(0)
    x = [{"x": random.uniform(0.5, 6, size=(20, 4, 6, 6)).astype(np.float32)}]
    for groups, bias in ((1, True), (4, False)):
        kernel = random.normal(size=(8, 4 // groups, 3, 3)) * np.geomspace(0.1, 9, 9).reshape(3, 3)
        weights = {"w": kernel, **({"b": random.normal(size=8)} if bias else {})}
        graph = helper.make_graph(
            [helper.make_node("Conv", ["x", *weights], ["scores"], "conv", group=groups)],
            "convolution",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 4, 6, 6])],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", 8, 4, 4])],
            [numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items()],
        )
        opsets = [helper.make_opsetid("", 18)]
        whole = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        wanted = run(whole, x).mean(axis=(0, 2, 3))
        plain = run(quantization.narrow_filters(whole), x).mean(axis=(0, 2, 3))
        found = quantization.narrow_filters(corrected(whole, x))
        onnx.checker.check_model(found)
        given_back = run(found, x).mean(axis=(0, 2, 3))
        assert np.abs(given_back - wanted).max() < 0.3 * np.abs(plain - wanted).max()


def table_graph(table: np.ndarray) -> onnx.ModelProto:
    """A graph that looks up rows of a table."""
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "ids"], ["scores"], axis=0)],
        "lookup",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["rows"])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", table.shape[1]])],
        [numpy_helper.from_array(table.astype(np.float32), "table")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_tables_take_a_quarter_and_each_row_has_its_own_scale() -> None:
    random = np.random.default_rng(0)
    table = random.normal(size=(500, 32)) * np.geomspace(1e-3, 1e3, 500)[:, None]
    table[7] = 0.0
    graph = table_graph(table)
    found = quantization.narrow_tables(graph)
    onnx.checker.check_model(found)
    assert found.ByteSize() < 0.3 * graph.ByteSize()
    ids = [{"ids": np.arange(500)}]
    wanted = run(graph, ids)
    largest = np.abs(wanted).max(axis=1, keepdims=True)
    assert (np.abs(run(found, ids) - wanted) <= largest / 127 * 0.51).all()
    small = table_graph(table[:20])
    assert quantization.narrow_tables(small) == small


def test_the_embedding_stays_where_it_is_asked_for(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    table = tiny_table(tiny_sources["bert"], 10)
    graph, preprocess = exported(tiny_sources["bert"], table)
    feeds = batches(preprocess, table)

    def wide(found: onnx.ModelProto) -> int:
        return sum(
            len(t.dims) == 2 and t.data_type == TensorProto.FLOAT and t.dims[0] >= 30
            for t in found.graph.initializer
        )

    kept = quantization.dynamic(graph, feeds, embedding=False)
    assert wide(kept) >= wide(quantization.dynamic(graph, feeds))


def product_graph(weight: np.ndarray) -> onnx.ModelProto:
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["h"], "product"),
            helper.make_node("Relu", ["h"], ["scores"], "last"),
        ],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", weight.shape[0]])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", weight.shape[1]])],
        [numpy_helper.from_array(weight.astype(np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_outliers_are_tamed_exactly_and_rounding_does_less_harm() -> None:
    random = np.random.default_rng(0)
    graph = product_graph(random.normal(size=(64, 16)))
    x = random.normal(size=(200, 64)).astype(np.float32)
    x[:, 5] *= 50
    feeds = [{"x": x}]
    wanted = run(graph, feeds)
    assert off(run(tamed(graph, ["product"], feeds), feeds), wanted) < 1e-6
    plain = off(run(quantization.dynamic(graph), feeds), wanted)
    better = off(run(quantization.dynamic(graph, feeds), feeds), wanted)
    assert better < 0.7 * plain
    x[:, 5] /= 50
    assert len(tamed(graph, ["product"], [{"x": x}]).graph.node) == 2


def test_the_best_range_leaves_out_what_costs_more_than_it_tells() -> None:
    random = np.random.default_rng(0)
    graph = product_graph(np.eye(8))
    x = random.normal(size=(4000, 8)).astype(np.float32)
    x[0, 0] = 60.0
    found = best_ranges(graph, ["x", "scores"], [{"x": x[:2000]}, {"x": x[2000:]}])
    assert set(found) == {"x", "scores"}
    low, high = found["x"]
    assert -6 < low < -3 and 3 < high < 30
    assert found["scores"][0] == 0.0
