"""Two bundles measured in turns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from metier.evidence import pair
from metier.evidence.cost import size_of
from metier.evidence.pair import measure_pair
from metier.runtime.columns import ColumnSpec, Numbers
from metier.runtime.manifest import InputColumn, Manifest, mark, write_manifest
from metier.runtime.postprocess import Decision

COLUMNS = {"size": [float(i) for i in range(40)], "weight": [1.0] * 40}


def write(folder: Path, products: int) -> Path:
    """Write a bundle whose graph multiplies by a matrix of 256 x 256 so many times."""
    floats = TensorProto.FLOAT
    names = ["wide", *(f"h{i}" for i in range(products)), "scores"]
    middle = [helper.make_node("MatMul", [names[i], "w"], [names[i + 1]]) for i in range(products)]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["numbers", "first"], ["wide"]),
            *middle,
            helper.make_node("MatMul", [names[products], "last"], ["scores"]),
        ],
        "products",
        [helper.make_tensor_value_info("numbers", floats, ["rows", 2])],
        [helper.make_tensor_value_info("scores", floats, ["rows", 3])],
        [
            numpy_helper.from_array(np.full(shape, 0.01, np.float32), name)
            for name, shape in (("first", (2, 256)), ("w", (256, 256)), ("last", (256, 3)))
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    preprocess = Numbers(
        (ColumnSpec("size", "number", "raw", fill=0.0), ColumnSpec("weight", "number", "raw"))
    )
    folder.mkdir()
    content = model.SerializeToString()
    (folder / "model.onnx").write_bytes(content)
    columns = (InputColumn("size", "number"), InputColumn("weight", "number"))
    decision = Decision("multiclass", ("a", "b", "c"))
    marks = {"model.onnx": mark(content)}
    write_manifest(folder, Manifest(decision, columns, preprocess.spec(), files=marks))
    return folder


def test_both_sides_are_measured(tmp_path: Path) -> None:
    heavy, light = write(tmp_path / "heavy", 400), write(tmp_path / "light", 0)
    found = measure_pair(heavy, light, COLUMNS, seconds=0.3)
    assert found.child.bytes == size_of(light) and found.parent.bytes == size_of(heavy)
    assert found.bytes == pytest.approx(size_of(light) / size_of(heavy))
    for ratio in (found.latency, found.latency_one, found.time):
        assert ratio.low <= ratio.value <= ratio.high < 0.7
    assert found.child.throughput > found.parent.throughput > 0
    for cost in (found.parent, found.child):
        assert 0 < cost.latency <= cost.p95 and 0 < cost.latency_one <= cost.p95_one
        assert cost.memory is None or cost.memory > 10**7
    assert found.turns >= pair.FEWEST
    assert json.loads(json.dumps(found.to_json()))["parent"]["bytes"] == size_of(heavy)


def test_a_bundle_is_as_fast_as_itself(tmp_path: Path) -> None:
    one = write(tmp_path / "one", 400)
    found = measure_pair(one, one, COLUMNS, seconds=0.5)
    assert found.bytes == 1.0
    assert found.latency.low < 1.2 and found.latency.high > 0.8


def test_turns_change_who_begins() -> None:
    said: list[str] = []

    def turn(answer: Any, number: int) -> list[float]:
        said.append(f"{answer({})}{number}")
        return [1.0, 2.0]

    times = pair._in_turns(lambda _: "a", lambda _: "b", turn, 0.0, 2)
    assert said == ["b0", "a0", "a1", "b1", "b2", "a2"]
    assert times.parent.shape == times.child.shape == (2, 2)


def test_the_ratio_is_that_of_medians() -> None:
    ours = np.array([[4.0, 4.0, 40.0]] * 9)
    ratio = pair._Times(ours, ours / 2).ratio()
    assert (ratio.low, ratio.value, ratio.high) == (0.5, 0.5, 0.5)


def test_no_rows_cannot_be_measured(tmp_path: Path) -> None:
    one = write(tmp_path / "one", 1)
    with pytest.raises(ValueError, match="at least one row"):
        measure_pair(one, one, {"size": [], "weight": []})
