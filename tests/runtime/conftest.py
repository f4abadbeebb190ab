"""Small real bundles for tests: hand-made graphs and preprocessors, no training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from metier.runtime.columns import ColumnSpec, Numbers
from metier.runtime.counts import Tfidf
from metier.runtime.images import Image
from metier.runtime.manifest import InputColumn, Manifest, mark, write_manifest
from metier.runtime.postprocess import Decision
from metier.runtime.preprocess import Preprocess

VOCABULARY = ("card", "invoice", "lost", "money")
WEIGHTS = np.array([[2, -1], [-1, 2], [1, 0], [0, 1]], np.float32)
BINARY = Decision("binary", ("card", "billing"))


def terms_graph() -> onnx.ModelProto:
    """Rows of `weights` for the terms, weighed and summed, plus a bias of 0.25 on the first."""
    floats, ints = TensorProto.FLOAT, TensorProto.INT64
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "terms"], ["rows"]),
            helper.make_node("Unsqueeze", ["weights", "last"], ["column"]),
            helper.make_node("Mul", ["rows", "column"], ["weighed"]),
            helper.make_node("ReduceSum", ["weighed", "middle"], ["sums"], keepdims=0),
            helper.make_node("Add", ["sums", "bias"], ["scores"]),
        ],
        "terms",
        [
            helper.make_tensor_value_info("terms", ints, ["rows", "most"]),
            helper.make_tensor_value_info("weights", floats, ["rows", "most"]),
        ],
        [helper.make_tensor_value_info("scores", floats, ["rows", 2])],
        [
            numpy_helper.from_array(WEIGHTS, "table"),
            numpy_helper.from_array(np.array([2], np.int64), "last"),
            numpy_helper.from_array(np.array([1], np.int64), "middle"),
            numpy_helper.from_array(np.array([0.25, 0], np.float32), "bias"),
        ],
    )
    return _model(graph)


def numbers_graph(name: str, shape: list[Any], outputs: int) -> onnx.ModelProto:
    """The sum over all but the first axis, times 1, 2, ... for each output."""
    floats = TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", [name], ["flat"]),
            helper.make_node("ReduceSum", ["flat", "axis"], ["sum"], keepdims=1),
            helper.make_node("Mul", ["sum", "times"], ["scores"]),
        ],
        "numbers",
        [helper.make_tensor_value_info(name, floats, ["rows", *shape])],
        [helper.make_tensor_value_info("scores", floats, ["rows", outputs])],
        [
            numpy_helper.from_array(np.array([1], np.int64), "axis"),
            numpy_helper.from_array(np.arange(1, outputs + 1, dtype=np.float32)[None], "times"),
        ],
    )
    return _model(graph)


def _model(graph: onnx.GraphProto) -> onnx.ModelProto:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model


TERMS = Tfidf(("text",), VOCABULARY, (1.0,) * 4, words=(1, 1))
SUMS = Numbers(
    (
        ColumnSpec("size", "number", "raw", fill=0.0),
        ColumnSpec("colour", "category", "code", ("red", "blue")),
    )
)
PICTURE = Image("file", ("exact", 2, 2), rescale=1 / 255)


def write(
    folder: Path,
    preprocess: Preprocess,
    graph: onnx.ModelProto,
    columns: tuple[InputColumn, ...],
    decision: Decision = BINARY,
) -> Path:
    """Write a bundle by hand."""
    folder.mkdir(parents=True)
    files = {**preprocess.files(), "model.onnx": graph.SerializeToString(), "README.md": b"card"}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    marks = {name: mark(content) for name, content in files.items()}
    manifest = Manifest(decision, columns, preprocess.spec(), files=marks)
    write_manifest(folder, manifest)
    return folder


@pytest.fixture
def text_bundle(tmp_path: Path) -> Path:
    """Reads `text`; answers "card" or "billing" by counting words."""
    return write(tmp_path / "text", TERMS, terms_graph(), (InputColumn("text", "text"),))


@pytest.fixture
def table_bundle(tmp_path: Path) -> Path:
    """Reads `size` and `colour`; answers their sum (red is 0, blue 1, unknown -1)."""
    columns = (InputColumn("size", "number", 0.0, 9.0), InputColumn("colour", "category"))
    graph = numbers_graph("numbers", [2], 1)
    return write(tmp_path / "table", SUMS, graph, columns, Decision("regression"))


@pytest.fixture
def image_bundle(tmp_path: Path) -> Path:
    """Reads `file`; the sum of the pixels is the score of the one, twice that of the other."""
    graph = numbers_graph("pixel_values", [3, 2, 2], 2)
    return write(tmp_path / "image", PICTURE, graph, (InputColumn("file", "image"),))
