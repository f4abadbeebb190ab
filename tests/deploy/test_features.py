"""A second output of graphs: what their last layer reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from metier.deploy.features import with_features
from metier.deploy.layers import Constant, Dense, Terms
from metier.runtime.scoring import FEATURES, NUMBERS, features_read, open_session


def session_of(graph: onnx.ModelProto) -> Any:
    onnx.checker.check_model(graph)
    return open_session(graph.SerializeToString())


def dense() -> Dense:
    random = np.random.default_rng(0)
    return Dense(random.normal(size=(4, 3)).astype(np.float32), np.zeros(3, np.float32))


def test_the_features_of_a_linear_layer_are_what_it_multiplies() -> None:
    graph = with_features(dense().graph())
    rows = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    session = session_of(graph)
    scores, found = session.run(["scores", FEATURES], {"features": rows})
    np.testing.assert_array_equal(found, rows)
    np.testing.assert_allclose(scores, rows @ dense().weights, rtol=1e-5)
    assert features_read(session) == "features"
    assert with_features(graph) is graph, "once is enough"


@pytest.mark.parametrize(
    "layer",
    [
        Constant(np.zeros(2, np.float32), "numbers", 3),
        Terms(np.ones((5, 2), np.float32), np.zeros(2, np.float32)),
    ],
)
def test_graphs_without_such_a_layer_stay_as_they_are(layer: Any) -> None:
    graph = layer.graph()
    assert with_features(graph) is graph
    wanted = NUMBERS if isinstance(layer, Constant) else None
    assert features_read(session_of(graph)) == wanted


def test_a_head_in_8_bits_is_seen_through() -> None:
    floats = TensorProto.FLOAT
    nodes = [
        helper.make_node("Tanh", ["x"], ["pooled"]),
        helper.make_node("DynamicQuantizeLinear", ["pooled"], ["q", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["q", "w", "zero"], ["product"]),
        helper.make_node("Cast", ["product"], ["wide"], to=floats),
        helper.make_node("Mul", ["scale", "step"], ["unit"]),
        helper.make_node("Mul", ["wide", "unit"], ["sums"]),
        helper.make_node("Add", ["sums", "bias"], ["scores"]),
    ]
    weights = {
        "w": np.ones((4, 2), np.int8),
        "step": np.float32(0.1),
        "bias": np.zeros(2, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "head",
        [helper.make_tensor_value_info("x", floats, ["rows", 4])],
        [helper.make_tensor_value_info("scores", floats, ["rows", 2])],
        [numpy_helper.from_array(np.asarray(w), name) for name, w in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    rows = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    (found,) = session_of(with_features(model)).run([FEATURES], {"x": rows})
    np.testing.assert_allclose(found, np.tanh(rows), rtol=1e-5)


@pytest.mark.parametrize("name", ["bert", "mobilenet"])
def test_a_net_gives_its_features_whatever_is_done_to_its_graph(
    name: str, tiny_sources: dict[str, Any], tiny_table: Any, tmp_path: Path
) -> None:
    from metier.cache import Cache
    from metier.deploy.fusion import fused
    from metier.deploy.quantization import dynamic, static, weights
    from metier.strategies.probe import Probe
    from metier.tasks import build
    from metier.types import Problem, Run, Specialist

    source = tiny_sources[name]
    table = tiny_table(source, 24, "multiclass")
    task = build("multiclass", table, None)
    made = Probe()(Specialist(source, task), Problem(task, table), Run(Cache()))
    model: Any = made.model
    encoded = model.preprocess.encode(table.columns())
    feeds = model.preprocess.collate([e for e in encoded.examples if e is not None])
    plain = model.graph()
    wanted = model.net.head.in_features
    smaller = [weights(plain, [feeds])]
    if name == "bert":
        smaller += [fused(plain, [feeds]), dynamic(plain, [feeds])]
    else:
        smaller += [static(plain, [feeds])]  # what is 8 bits before the head is read as floats
    for graph in (plain, *smaller):
        scores, found = session_of(with_features(graph)).run(["scores", FEATURES], feeds)
        assert found.shape == (24, wanted) and found.dtype == np.float32
        head = model.net.head
        again = found @ head.weight.detach().numpy().T + head.bias.detach().numpy()
        np.testing.assert_allclose(again, scores, atol=1e-3)
