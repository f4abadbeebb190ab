"""What a specialist costs, measured on a bundle made by hand."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from metier.evidence.cost import latency, measure_cost, peak_memory, size_of, throughput
from metier.runtime.columns import ColumnSpec, Numbers
from metier.runtime.manifest import InputColumn, Manifest, mark, write_manifest
from metier.runtime.postprocess import Decision

COLUMNS: dict[str, list[Any]] = {"size": [1.0, 2.0, None, 4.0], "weight": [0.0, 1.0, 2.0, 3.0]}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A linear model of two numbers."""
    floats = TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["numbers", "w"], ["scores"])],
        "linear",
        [helper.make_tensor_value_info("numbers", floats, ["rows", 2])],
        [helper.make_tensor_value_info("scores", floats, ["rows", 3])],
        [numpy_helper.from_array(np.ones((2, 3), np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    preprocess = Numbers(
        (ColumnSpec("size", "number", "raw", fill=0.0), ColumnSpec("weight", "number", "raw"))
    )
    folder = tmp_path / "specialist"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    marks = {"model.onnx": mark(model.SerializeToString())}
    columns = (InputColumn("size", "number"), InputColumn("weight", "number"))
    decision = Decision("multiclass", ("a", "b", "c"))
    write_manifest(folder, Manifest(decision, columns, preprocess.spec(), files=marks))
    return folder


def test_everything_is_measured(bundle: Path) -> None:
    measured = measure_cost(bundle, COLUMNS, training_seconds=12.0, seconds=0.1)
    found = {f.name: f for f in measured}
    assert set(found) == {
        "parameters", "multiply_adds", "size", "latency", "throughput", "peak_memory",
        "training_seconds",
    }  # fmt: skip
    assert found["parameters"].value == 6
    assert found["multiply_adds"].value == 2 * 3
    assert (
        found["size"].value
        == size_of(bundle)
        == sum(path.stat().st_size for path in bundle.iterdir())
    )
    assert found["training_seconds"].value == 12.0
    assert found["throughput"].value is not None and found["throughput"].value > 0
    assert all(f.verdict and f.details["unit"] for f in measured)
    known = {f.name: f for f in measure_cost(bundle, COLUMNS, weights=99, seconds=0.01)}
    assert known["parameters"].value == 99
    assert "training_seconds" not in known


def test_memory_is_that_of_a_fresh_process(bundle: Path) -> None:
    peak = peak_memory(bundle, COLUMNS)
    assert peak is not None
    assert 20e6 < peak < 400e6


def test_memory_of_a_process_that_fails_is_not_told(tmp_path: Path) -> None:
    assert peak_memory(tmp_path, COLUMNS) is None


def slow(columns: Mapping[str, Sequence[Any]]) -> None:
    time.sleep(0.002)


def test_latency_is_a_median_with_an_interval() -> None:
    found = latency(slow, COLUMNS, seconds=0.1)
    assert found.value is not None and found.low is not None and found.high is not None
    assert 0.002 <= found.low <= found.value <= found.high <= found.details["p95"] + 1e-9
    assert found.n is not None and found.n >= 10


def test_throughput_counts_rows_together() -> None:
    found = throughput(slow, COLUMNS, seconds=0.05)
    assert found.value is not None
    assert 4 / 0.2 < found.value <= 4 / 0.002


def test_no_rows_cannot_be_measured() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        latency(slow, {"size": []})
