"""Multiply-adds against counts by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from metier.evidence.operations import multiply_adds, parameters

FLOAT = TensorProto.FLOAT


def model(
    nodes: list[onnx.NodeProto], shape: list[Any], weights: dict[str, tuple[int, ...]]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "counted",
        [helper.make_tensor_value_info("x", FLOAT, shape)],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [numpy_helper.from_array(np.ones(s, np.float32), name) for name, s in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_matrix_products_count_at_the_length_they_are_fed() -> None:
    graph = model([helper.make_node("MatMul", ["x", "w"], ["y"])], ["n", "long", 7], {"w": (7, 3)})
    for length in (1, 5):
        count = multiply_adds(graph, {"x": np.ones((2, length, 7), np.float32)})
        assert count == 2 * length * 7 * 3
    assert parameters(graph) == 21


def test_gemm_counts_whichever_way_it_is_turned() -> None:
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transA=1, transB=1)
    graph = model([node], [7, "n"], {"w": (3, 7), "b": (3,)})
    assert multiply_adds(graph, {"x": np.ones((7, 4), np.float32)}) == 4 * 7 * 3


@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions_count_each_place(groups: int) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[3, 3], group=groups)
    graph = model([node], ["n", 4, 8, 8], {"w": (6, 4 // groups, 3, 3)})
    count = multiply_adds(graph, {"x": np.ones((1, 4, 8, 8), np.float32)})
    assert count == 6 * 6 * 6 * (4 // groups) * 9


def test_transposed_convolutions_count_each_input() -> None:
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], kernel_shape=[2, 2], strides=[2, 2])
    graph = model([node], ["n", 4, 5, 5], {"w": (4, 6, 2, 2)})
    assert multiply_adds(graph, {"x": np.ones((1, 4, 5, 5), np.float32)}) == 4 * 25 * 6 * 4


def test_a_graph_without_products_computes_none() -> None:
    graph = model([helper.make_node("Relu", ["x"], ["y"])], ["n", 4], {})
    assert multiply_adds(graph, {"x": np.ones((1, 4), np.float32)}) == 0
    assert parameters(graph) == 0
