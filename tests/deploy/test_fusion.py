"""Joined steps give the same scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from metier.deploy.fusion import fused, simplified
from metier.types import Table
from tests.deploy.graphs import batches, exported, run

Tables = Callable[..., Table]
BLOCKS = {"bert": 3, "long": 3, "roberta": 2, "vit": 4, "mobilenet": 0}


@pytest.mark.parametrize("name", list(BLOCKS))
def test_a_joined_graph_gives_the_same_scores(
    name: str, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    table = tiny_table(tiny_sources[name], 15)
    graph, preprocess = exported(tiny_sources[name], table)
    before = graph.SerializeToString()
    feeds = batches(preprocess, table)
    joined = fused(graph, feeds[:1])
    assert graph.SerializeToString() == before
    onnx.checker.check_model(joined)
    kinds = Counter(node.op_type for node in joined.graph.node)
    assert kinds["MultiHeadAttention"] == BLOCKS[name] and not kinds["Softmax"]
    assert len(joined.graph.node) < 0.5 * len(graph.graph.node)
    assert {each.domain for each in joined.opset_import} <= {"", "com.microsoft"}
    assert joined.ByteSize() <= 1.01 * graph.ByteSize()
    wanted = run(graph, feeds)
    np.testing.assert_allclose(run(joined, feeds), wanted, atol=1e-4 * np.abs(wanted).max())
    alone = [{k: v[:1] for k, v in feeds[0].items() if k != "assign"}]
    if name != "long":
        np.testing.assert_allclose(
            run(joined, alone), run(graph, alone), atol=1e-4 * np.abs(wanted).max()
        )


def test_padding_goes_into_the_convolution(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    graph, _ = exported(tiny_sources["mobilenet"], tiny_table(tiny_sources["mobilenet"], 6))
    kinds = Counter(node.op_type for node in simplified(graph).graph.node)
    assert kinds["Conv"] > 10 and not kinds["Pad"]


def test_what_gives_other_scores_is_not_joined(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    """Attention that sees padding: it looks like any other, and the trial finds out."""
    table = tiny_table(tiny_sources["bert"], 15)
    graph, preprocess = exported(tiny_sources["bert"], table)
    feeds = batches(preprocess, table)
    nodes = graph.graph.node
    for softmax in [node for node in nodes if node.op_type == "Softmax"]:
        masked = next(node for node in nodes if softmax.input[0] in node.output)
        name = f"{masked.name}.half"
        half = helper.make_node("Trilu", [masked.input[1]], [name], name, upper=0)
        masked.input[1] = name
        nodes.insert(list(nodes).index(masked), half)
    joined = fused(graph, feeds)
    assert not any(node.op_type == "MultiHeadAttention" for node in joined.graph.node)
    np.testing.assert_allclose(run(joined, feeds), run(graph, feeds), atol=1e-4)
