"""The ten lines predict what the bundle predicts, without metier."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import PIL.Image
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

import metier
from metier.report.snippet import plain_snippet
from metier.runtime.columns import ColumnSpec, Numbers
from metier.runtime.counts import Tfidf
from metier.runtime.groups import GroupColumn, GroupThresholds
from metier.runtime.images import Image
from metier.runtime.manifest import GRAPH, InputColumn, Manifest, mark, write_manifest
from metier.runtime.postprocess import Decision
from metier.runtime.preprocess import Preprocess
from metier.runtime.session import load
from metier.runtime.text import Text

TEXTS = ["red red blue green blue green red", "blue"]
HOME = str(Path(metier.__file__).parents[1])
RNG = np.random.default_rng(0)
THREE = Decision("multiclass", ("a", "b", "c"), temperature=1.7)


def tensor(name: str, values: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values), name)


def model(nodes: list[Any], inputs: list[Any], constants: list[Any]) -> bytes:
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, None])
    graph = helper.make_graph(nodes, "g", inputs, [scores], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(made.SerializeToString())


def text_model(pooled: bool, outputs: int = 3) -> bytes:
    """Mean of embeddings over the mask, times weights; windows averaged by `assign`."""
    ints = [
        helper.make_tensor_value_info(n, TensorProto.INT64, [None, None])
        for n in ("input_ids", "attention_mask")
    ]
    node = helper.make_node
    nodes = [
        node("Gather", ["table", "input_ids"], ["all"]),
        node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        node("Unsqueeze", ["mask", "last"], ["wide"]),
        node("Mul", ["all", "wide"], ["kept"]),
        node("ReduceSum", ["kept", "one"], ["sum"], keepdims=0),
        node("ReduceSum", ["wide", "one"], ["count"], keepdims=0),
        node("Div", ["sum", "count"], ["mean"]),
    ]
    if pooled:
        ints.append(helper.make_tensor_value_info("assign", TensorProto.FLOAT, [None, None]))
        nodes += [node("MatMul", ["assign", "mean"], ["rows"])]
    nodes.append(node("MatMul", ["rows" if pooled else "mean", "weights"], ["scores"]))
    constants = [
        tensor("table", RNG.normal(size=(8, 4)).astype(np.float32)),
        tensor("weights", RNG.normal(size=(4, outputs)).astype(np.float32)),
        tensor("last", np.array([-1])),
        tensor("one", np.array([1])),
    ]
    return model(nodes, ints, constants)


def linear_model(name: str, shape: list[Any], width: int, outputs: int) -> bytes:
    given = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    flat = helper.make_node("Flatten", [name], ["flat"], axis=1)
    nodes = [flat, helper.make_node("MatMul", ["flat", "weights"], ["scores"])]
    weights = RNG.normal(size=(width, outputs)).astype(np.float32) * 0.3
    return model(nodes, [given], [tensor("weights", weights)])


def tokenizer() -> bytes:
    words = {w: i for i, w in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "blue",
                                         "green"))}  # fmt: skip
    made = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    made.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return made.to_str().encode()


def bundle(
    folder: Path, reader: Preprocess, decision: Decision, graph: bytes, kinds: dict[str, Any]
) -> dict[str, Any]:
    files = {GRAPH: graph, **reader.files()}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    manifest = Manifest(
        decision,
        tuple(InputColumn(name, kind) for name, kind in kinds.items()),
        reader.spec(),
        files={name: mark(content) for name, content in files.items()},
    )
    write_manifest(folder, manifest)
    return manifest.to_json()


def printed(folder: Path, code: str, **swaps: str) -> Any:
    """Run the lines in the folder and read what they print; `swaps` fill in the user's values."""
    for start, line in swaps.items():
        (old,) = re.findall(rf"^{start} = .*$", code, flags=re.M)
        code = code.replace(old, line)
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env={**os.environ, "PYTHONPATH": HOME},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    said = re.sub(r"np\.float\d+\(([^)]*)\)", r"\1", ran.stdout.strip())
    return ast.literal_eval(said) if said.startswith("[(") or said.startswith("[[") else said


def assert_same(found: list[tuple[str, float]], folder: Path, rows: Any) -> None:
    expected = load(folder).predict(rows)
    assert [label for label, _ in found] == expected.answers
    assert expected.probabilities is not None
    at = [expected.labels.index(label) for label, _ in found]
    wanted = expected.probabilities[np.arange(len(at)), at]
    np.testing.assert_allclose([p for _, p in found], wanted, atol=1e-6)


@pytest.mark.parametrize("windows", ["cut", "pool"])
def test_text(tmp_path: Path, windows: Any) -> None:
    reader = Text(("t",), tokenizer(), 5, windows, overlap=1 if windows == "pool" else 0)
    graph = text_model(windows == "pool")
    code = plain_snippet(bundle(tmp_path, reader, THREE, graph, {"t": "text"}))
    assert "metier." not in code.replace("metier.json", "")
    assert_same(printed(tmp_path, code, texts=f"texts = {TEXTS!r}"), tmp_path, TEXTS)


@pytest.mark.parametrize(
    "decision",
    [
        Decision("binary", ("no", "yes"), 1.3, thresholds=(0.2,)),
        Decision("binary", ("no", "yes"), 1.3, costs=((0.0, 1.0), (5.0, 0.0))),
        Decision("binary", ("no", "yes"), 1.3, isotonic=((-0.2, -2.0), (0.0, 0.3), (0.1, 1.0))),
        Decision("binary", ("no", "yes")),
    ],
)
def test_thresholds_and_costs_decide(tmp_path: Path, decision: Decision) -> None:
    graph = text_model(False, 2)
    code = plain_snippet(
        bundle(tmp_path, Text(("t",), tokenizer(), 9), decision, graph, {"t": "text"})
    )
    assert_same(printed(tmp_path, code, texts=f"texts = {TEXTS!r}"), tmp_path, TEXTS)


def test_groups_have_thresholds_of_their_own(tmp_path: Path) -> None:
    """The lines hold no groups: who runs them fills in that of each row."""
    rule = GroupThresholds((GroupColumn("sex"),), {"f": 0.0, "m": 1.0})
    decision = Decision("binary", ("no", "yes"), 1.3, thresholds=(0.5,), groups=rule)
    reader, kinds = Text(("t",), tokenizer(), 9), {"t": "text", "sex": "category"}
    code = plain_snippet(bundle(tmp_path, reader, decision, text_model(False, 2), kinds))
    for group, answer in (("f", "yes"), ("m", "no")):
        rows = [{"t": text, "sex": group} for text in TEXTS]
        found = printed(
            tmp_path, code, texts=f"texts = {TEXTS!r}", groups=f"groups = {[group] * len(TEXTS)!r}"
        )
        assert {label for label, _ in found} == {answer}
        assert_same(found, tmp_path, rows)


def test_many_labels_at_once(tmp_path: Path) -> None:
    decision = Decision("multilabel", ("a", "b", "c"), thresholds=(0.4, 0.5, 0.6))
    graph = text_model(False)
    code = plain_snippet(
        bundle(tmp_path, Text(("t",), tokenizer(), 9), decision, graph, {"t": "text"})
    )
    found = printed(tmp_path, code, texts=f"texts = {TEXTS!r}")
    assert found == load(tmp_path).predict(TEXTS).answers


@pytest.mark.parametrize(
    "reader",
    [
        Image("path", ("shortest_edge", 10), (8, 8), 3, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4)),
        Image("path", ("exact", 8, 8), channels="bgr"),
    ],
)
def test_image(tmp_path: Path, reader: Image) -> None:
    pixels = RNG.integers(0, 255, (23, 31, 3), dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / "photo.png")
    graph = linear_model("pixel_values", [None, 3, 8, 8], 3 * 64, 3)
    code = plain_snippet(bundle(tmp_path, reader, THREE, graph, {"path": "image"}))
    found = printed(tmp_path, code.replace("photo.jpg", "photo.png"))
    assert_same(found, tmp_path, [str(tmp_path / "photo.png")])


def test_table(tmp_path: Path) -> None:
    reader = Numbers(
        (
            ColumnSpec("age", "number", "scaled", fill=0.0, mean=40.0, scale=12.0),
            ColumnSpec("age", "number", "missing"),
            ColumnSpec("pay", "number", "raw", fill=1.5),
            ColumnSpec("job", "category", "onehot", vocabulary=("clerk", "cook")),
            ColumnSpec("job", "category", "code", vocabulary=("clerk", "cook")),
            ColumnSpec("town", "category", "target", vocabulary=("x",), values=(0.7,), fill=0.1),
        )
    )
    kinds = {"age": "number", "pay": "number", "job": "category", "town": "category"}
    graph = linear_model("numbers", [None, 7], 7, 3)
    code = plain_snippet(bundle(tmp_path, reader, THREE, graph, kinds))
    for row in (
        {"age": 31, "pay": 2.5, "job": "cook", "town": "x"},
        {"age": None, "pay": None, "job": None, "town": "elsewhere"},
    ):
        assert_same(printed(tmp_path, code, row=f"row = {row!r}"), tmp_path, [row])


def test_a_number_from_a_table(tmp_path: Path) -> None:
    reader = Numbers((ColumnSpec("age", "number", "raw"),))
    graph = linear_model("numbers", [None, 1], 1, 1)
    code = plain_snippet(bundle(tmp_path, reader, Decision("regression"), graph, {"age": "number"}))
    said = printed(tmp_path, code, row='row = {"age": 3.0}')
    (expected,) = load(tmp_path).predict([{"age": 3.0}]).answers
    assert float(said.strip("[]")) == pytest.approx(expected, rel=1e-5)


def test_counted_terms_use_the_reader_of_the_runtime(tmp_path: Path) -> None:
    reader = Tfidf(("t",), ("red", "blue"), (1.0, 2.0), words=(1, 1))
    graph = tfidf_model(reader)
    code = plain_snippet(bundle(tmp_path, reader, THREE, graph, {"t": "text"}))
    found = printed(tmp_path, code, row=f"row = {{'t': {TEXTS!r}}}")
    assert_same(found, tmp_path, TEXTS)


def tfidf_model(reader: Tfidf) -> bytes:
    """Weighted terms, summed: the inputs are named by the reader itself."""
    (example,) = [e for e in reader.encode({"t": ["red"]}).examples if e is not None]
    arrays = reader.collate([example])
    types = {np.dtype("int64"): TensorProto.INT64, np.dtype("float32"): TensorProto.FLOAT}
    inputs = [
        helper.make_tensor_value_info(name, types[array.dtype], [None] * array.ndim)
        for name, array in arrays.items()
    ]
    ids = next(n for n, a in arrays.items() if a.dtype == np.int64)
    weights = next(n for n, a in arrays.items() if a.dtype == np.float32)
    node = helper.make_node
    nodes = [
        node("Gather", ["table", ids], ["rows"]),
        node("Unsqueeze", [weights, "last"], ["wide"]),
        node("Mul", ["rows", "wide"], ["kept"]),
        node("ReduceSum", ["kept", "one"], ["scores"], keepdims=0),
    ]
    table = RNG.normal(size=(3, 3)).astype(np.float32)
    table[-1] = 0
    constants = [tensor("table", table), tensor("last", [-1]), tensor("one", [1])]
    return model(nodes, inputs, constants)


def test_the_lines_are_few_and_valid_python(tmp_path: Path) -> None:
    readers: list[Preprocess] = [
        Text(("t",), tokenizer(), 9),
        Image("p", ("exact", 8, 8)),
        Numbers((ColumnSpec('a"b', "date", "raw"),)),
    ]
    for reader in readers:
        code = plain_snippet({"preprocess": reader.spec(), "decision": THREE.to_json()})
        ast.parse(code)
        assert len(code.splitlines()) <= 14
