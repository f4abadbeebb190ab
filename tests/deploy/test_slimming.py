"""A slim graph gives the answers of the one it was made from, in fewer bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from metier.deploy import quantization, slimming
from metier.deploy.fusion import fused
from metier.types import Table
from tests.deploy.graphs import batches, exported, off, run

Tables = Callable[..., Table]
CHANNELS = 40


def convolution(zeros: list[int], reach: int = 200_000, dead: bool = False) -> onnx.ModelProto:
    """One 8-bit convolution of a picture (1, 3, 8, 8), many channels of very different scales, or
    of one scale but for a channel that says hardly more than its bias."""
    random = np.random.default_rng(0)
    scales = np.logspace(-5, 0, CHANNELS).astype(np.float32)
    biases = random.integers(-reach, reach + 1, CHANNELS).astype(np.int32)
    if dead:
        scales[:] = 0.01
        scales[0], biases[0] = 1e-8, 1_000_000_000
    fixed = {
        "a long name of a scale": np.float32(0.02),
        "a long name of a zero": np.uint8(128),
        "weights": random.integers(-127, 128, (CHANNELS, 3, 3, 3)).astype(np.int8),
        "scales": scales,
        "zeros": np.resize(zeros, CHANNELS).astype(np.int8),
        "out": np.float32(0.1),
        "biases": biases,
    }
    x, zero, weights, scale, none, out, bias = (
        "a long name of a scale",
        "a long name of a zero",
        "weights",
        "scales",
        "zeros",
        "out",
        "biases",
    )
    node = helper.make_node(
        "QLinearConv",
        ["x", x, zero, weights, scale, none, out, zero, bias],
        ["scores"],
        name="conv",
    )
    values = [
        helper.make_tensor_value_info(name, TensorProto.UINT8, shape)
        for name, shape in (("x", (1, 3, 8, 8)), ("scores", (1, CHANNELS, 6, 6)))
    ]
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in fixed.items()]
    graph = helper.make_graph([node], "one", values[:1], values[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize(("zeros", "left"), [([0], 0), ([3], 0), ([1, 2], CHANNELS)])
def test_channels_of_all_sizes_keep_their_answers(zeros: list[int], left: int) -> None:
    """onnxruntime runs none whose zero points differ: those are only kept."""
    graph = convolution(zeros)
    found = slimming.slimmed(graph)
    onnx.checker.check_model(found)
    held = {t.data_type: len(numpy_helper.to_array(t).reshape(-1)) for t in found.graph.initializer}
    assert held[TensorProto.FLOAT16] == held[TensorProto.INT16] == CHANNELS
    many = [
        t for t in found.graph.initializer if t.data_type == TensorProto.INT8 and len(t.dims) < 2
    ]
    assert sum(sum(t.dims) for t in many) == left
    if left:
        return
    pictures = [
        {"x": np.random.default_rng(i).integers(0, 256, (1, 3, 8, 8)).astype(np.uint8)}
        for i in range(8)
    ]
    before, after = (run(each, pictures).astype(int) for each in (graph, found))
    assert before.std() > 10 and np.abs(before - after).max() <= 1
    assert (before != after).mean() < 0.01


def test_small_biases_are_kept_to_the_last_bit() -> None:
    graph = convolution([0], reach=30_000)
    found = slimming.slimmed(graph)
    mine = next(t for t in found.graph.initializer if t.data_type == TensorProto.INT16)
    theirs = next(t for t in graph.graph.initializer if t.name == "biases")
    assert (numpy_helper.to_array(mine) == numpy_helper.to_array(theirs)).all()


def test_a_channel_that_is_nearly_dead_does_not_cost_the_others_their_biases() -> None:
    graph = convolution([0], reach=2_000, dead=True)
    pictures = [
        {"x": np.random.default_rng(i).integers(0, 256, (1, 3, 8, 8)).astype(np.uint8)}
        for i in range(8)
    ]
    before, after = (run(each, pictures).astype(int) for each in (graph, slimming.slimmed(graph)))
    assert before.std() > 10 and np.abs(before - after).max() <= 1
    assert (before != after).mean() < 0.01


def test_a_network_is_smaller_by_more_than_its_names(
    tiny_sources: dict[str, Any], tiny_table: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tiny_table(tiny_sources["mobilenet"], 30)
    graph, preprocess = exported(tiny_sources["mobilenet"], table)
    feeds = batches(preprocess, table)
    graph = fused(graph, feeds[:1])
    found = quantization.static(graph, feeds)
    monkeypatch.setattr(quantization, "slimmed", lambda graph: graph)
    whole = quantization.static(graph, feeds)
    assert [value.name for value in found.graph.output] == [v.name for v in whole.graph.output]
    kinds = [[n.op_type for n in each.graph.node] for each in (found, whole)]
    assert kinds[0].count("QLinearConv") == kinds[1].count("QLinearConv") > 10
    # Random weights pass rounding on many times over: both are as far from the floats.
    assert max(off(run(each, feeds), run(graph, feeds)) for each in (found, whole)) < 0.8
    saved = len(whole.SerializeToString()) - len(found.SerializeToString())
    names = sum(len(n) for node in whole.graph.node for n in (*node.output, *node.input, node.name))
    assert saved > names // 2 and quantization.is_quantized(found)
