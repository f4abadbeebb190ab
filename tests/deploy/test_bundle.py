"""A specialist becomes a folder that predicts the same, or nothing at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import polars as pl
import pytest
from onnx import TensorProto, helper, numpy_helper

import metier
from metier.deploy.bundle import write_bundle
from metier.errors import ParityError
from metier.runtime.columns import ColumnSpec, Numbers
from metier.runtime.images import Image
from metier.runtime.postprocess import Decision
from metier.runtime.preprocess import Preprocess
from metier.types import Floats, Roles, Specialist, Step, Table

DECISION = Decision("binary", ("small", "großes"), temperature=2.0)
WEIGHTS = np.array([[-1, 1], [0.5, -0.5], [0, 0.25]], np.float32)
SAMPLE = Table(
    pl.DataFrame(
        {
            "size": [1.0, 5.0, None, float("nan"), 2.0],
            "colour": ["red", "blue", None, "green", "red"],
            "day": [date(2024, 1, 1), None, date(2023, 5, 6), None, None],
            "other": [1] * 5,
        }
    ),
    Roles({"size": "number", "colour": "category", "day": "date"}),
)


@dataclass(frozen=True)
class Nothing:
    name: str = "nothing"
    modality: Any = "tabular"
    digest: str = "0" * 64


@dataclass(frozen=True)
class Task:
    kind: Any = "binary"
    labels: tuple[str, ...] = DECISION.labels
    outputs: int = 2
    metrics: tuple[str, ...] = ("accuracy",)

    def encode(self, table: Table) -> Any:
        return np.zeros(len(table), np.int64)

    def loss(self, scores: Any, targets: Any, weights: Any = None, smoothing: float = 0) -> Any:
        raise NotImplementedError


@dataclass(frozen=True)
class Linear:
    """A linear model in numpy; its graph is wrong by `off`."""

    off: float = 0.0
    form: Any = "linear"
    parameters: int = 6

    @property
    def preprocess(self) -> Preprocess:
        return Numbers(
            (
                ColumnSpec("size", "number", "scaled", mean=2, scale=2, fill=0.0),
                ColumnSpec("colour", "category", "code", ("red", "blue")),
                ColumnSpec("day", "date", "missing"),
            )
        )

    def scores(self, table: Table, cache: Any = None) -> Floats:
        preprocess = self.preprocess
        assert isinstance(preprocess, Numbers)
        return np.asarray(preprocess.matrix(table.columns()) @ WEIGHTS, np.float32)

    def graph(self) -> onnx.ModelProto:
        weights = numpy_helper.from_array(WEIGHTS + np.float32(self.off), "table")
        floats = TensorProto.FLOAT
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["numbers", "table"], ["scores"])],
            "linear",
            [helper.make_tensor_value_info("numbers", floats, ["rows", 3])],
            [helper.make_tensor_value_info("scores", floats, ["rows", 2])],
            [weights],
        )
        opsets = [helper.make_opsetid("", 18)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)

    def save(self, folder: Path) -> None:
        (folder / "linear.json").write_text(json.dumps(WEIGHTS.tolist()))


@dataclass(frozen=True)
class Inner:
    rounds: int = 3


def specialist(off: float = 0.0) -> Specialist:
    steps = (Step("fuse", {"inner": Inner(), "c": np.float64(0.5), "bad": np.nan}, 1.25),)
    return Specialist(Nothing(), Task(), Linear(off), steps)


def write(folder: Path, off: float = 0.0, card: str = "# Card\n", sample: Table = SAMPLE) -> str:
    facts = {"valid": {"value": np.float32(0.5), "n": np.int64(4)}}
    return write_bundle(
        specialist(off), folder, decision=DECISION, sample=sample, card=card, facts=facts
    )


def test_columns_that_nothing_reads_are_not_asked_for(tmp_path: Path):
    frame = SAMPLE.frame.with_columns(note=pl.lit("a word or two"))
    roles = Roles({"note": "text", **SAMPLE.roles.inputs})
    write(tmp_path / "specialist", sample=Table(frame, roles))
    bundle = metier.load(tmp_path)
    assert [column.name for column in bundle.manifest.columns] == ["size", "colour", "day"]
    given = frame.drop("note")
    assert "missing column" not in " ".join(bundle.predict(given).warnings)
    assert bundle.predict(frame).answers == bundle.predict(given).answers


def test_bundle_predicts_what_the_specialist_predicts(tmp_path: Path):
    folder = tmp_path / "run" / "specialist"
    digest = write(folder)
    bundle = metier.load(tmp_path / "run", expect=digest)
    np.testing.assert_allclose(bundle.scores(SAMPLE.columns()), specialist().scores(SAMPLE))
    assert bundle.predict(SAMPLE.frame).answers == DECISION.answers(specialist().scores(SAMPLE))
    assert {p.name for p in folder.iterdir()} == {"metier.json", "model.onnx", "README.md"}
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"specialist", "weights"}
    assert json.loads((tmp_path / "run" / "weights" / "linear.json").read_text())


def test_manifest_says_what_went_in(tmp_path: Path):
    write(tmp_path / "specialist")
    manifest = metier.load(tmp_path).manifest
    assert manifest.decision == DECISION
    assert [(c.name, c.kind, c.low, c.high) for c in manifest.columns] == [
        ("size", "number", 1, 5),
        ("colour", "category", None, None),
        ("day", "date", "2023-05-06", "2024-01-01"),
    ]
    assert manifest.parity["rows"] == 5
    assert manifest.parity["answer_agreement"] == 1
    assert manifest.parity["largest_score_difference"] <= 1e-6
    assert manifest.lineage[0]["strategy"] == "fuse"
    assert manifest.lineage[0]["parameters"] == {
        "inner": {"kind": "Inner", "rounds": 3}, "c": 0.5, "bad": None
    }  # fmt: skip
    assert manifest.source == {"name": "nothing", "modality": "tabular", "digest": "0" * 64}
    assert manifest.facts["valid"] == {"value": 0.5, "n": 4}
    assert set(manifest.facts) == {"valid", "weights"}
    assert manifest.versions["onnxruntime"] == onnxruntime.__version__
    raw = json.loads((tmp_path / "specialist" / "metier.json").read_text(encoding="utf-8"))
    assert (raw["task"], raw["labels"]) == ("binary", ["small", "großes"])


def test_no_parity_no_bundle(tmp_path: Path):
    with pytest.raises(ParityError, match="does not follow"):
        write(tmp_path / "specialist", off=0.1)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_bundle_before_as_it_was(tmp_path: Path):
    digest = write(tmp_path / "specialist")
    with pytest.raises(ParityError):
        write(tmp_path / "specialist", off=0.1)
    metier.load(tmp_path, expect=digest)
    with pytest.raises(ParityError, match="no readable row"):
        write(tmp_path / "specialist", sample=SAMPLE.take([]))
    metier.load(tmp_path, expect=digest)


def test_a_second_bundle_takes_the_place_of_the_first(tmp_path: Path):
    first = write(tmp_path / "specialist")
    second = write(tmp_path / "specialist", card="# Another card\n")
    assert first != second
    metier.load(tmp_path, expect=second)
    assert {p.name for p in tmp_path.iterdir()} == {"specialist", "weights"}


def test_the_same_specialist_gives_the_same_digest(tmp_path: Path):
    assert write(tmp_path / "a" / "specialist") == write(tmp_path / "b" / "specialist")


def test_what_a_killed_run_left_is_put_right(tmp_path: Path):
    write(tmp_path / "specialist")
    (tmp_path / "specialist").rename(tmp_path / ".old-specialist")
    (tmp_path / ".writing-x").mkdir()
    with pytest.raises(ParityError):
        write(tmp_path / "specialist", off=0.1)
    assert {p.name for p in tmp_path.iterdir()} == {"specialist", "weights"}
    metier.load(tmp_path)


def test_a_generalist_cannot_be_written(tmp_path: Path):
    with pytest.raises(ValueError, match="learned no task"):
        write_bundle(
            Specialist(Nothing(), Task()), tmp_path / "specialist",
            decision=DECISION, sample=SAMPLE, card="", facts={},
        )  # fmt: skip


def test_plain_onnxruntime_reproduces_a_prediction(tmp_path: Path):
    write(tmp_path / "specialist")
    session = onnxruntime.InferenceSession(tmp_path / "specialist" / "model.onnx")
    numbers = np.array([[0.5, 1, 0]], np.float32)
    scores = session.run(["scores"], {"numbers": numbers})[0]
    np.testing.assert_allclose(scores, numbers @ WEIGHTS, rtol=1e-6)


def test_rows_that_cannot_be_read_do_not_judge_parity(tmp_path: Path):
    import PIL.Image

    PIL.Image.new("RGB", (2, 2), (51, 102, 255)).save(tmp_path / "a.png")
    frame = pl.DataFrame({"file": ["a.png", "gone.png", None]})
    sample = Table(frame, Roles({"file": "image"}), base=tmp_path)
    model = Picture()
    write_bundle(
        Specialist(Nothing(), Task(), model), tmp_path / "run" / "specialist",
        decision=DECISION, sample=sample, card="", facts={},
    )  # fmt: skip
    bundle = metier.load(tmp_path / "run")
    assert bundle.manifest.parity["rows"] == 1
    assert list(bundle.predict(sample.columns()).reasons) == [1, 2]


PICTURE = Image("file", ("exact", 2, 2))


@dataclass(frozen=True)
class Picture:
    """Adds up pixels; like the nets, it refuses rows that cannot be read."""

    form: Any = "net"
    parameters: int = 0
    preprocess: Preprocess = PICTURE

    def scores(self, table: Table, cache: Any = None) -> Floats:
        examples = self.preprocess.encode(table.columns()).examples
        assert None not in examples
        sums = [e[0].sum() for e in examples if e is not None]
        return np.array([[s, 0] for s in sums], np.float32)

    def graph(self) -> onnx.ModelProto:
        floats = TensorProto.FLOAT
        graph = helper.make_graph(
            [
                helper.make_node("ReduceSum", ["pixel_values", "axes"], ["sums"], keepdims=0),
                helper.make_node("Unsqueeze", ["sums", "last"], ["column"]),
                helper.make_node("MatMul", ["column", "place"], ["scores"]),
            ],
            "picture",
            [helper.make_tensor_value_info("pixel_values", floats, ["rows", 3, 2, 2])],
            [helper.make_tensor_value_info("scores", floats, ["rows", 2])],
            [
                numpy_helper.from_array(np.array([1, 2, 3]), "axes"),
                numpy_helper.from_array(np.array([1]), "last"),
                numpy_helper.from_array(np.array([[1, 0]], np.float32), "place"),
            ],
        )
        opsets = [helper.make_opsetid("", 18)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)

    def save(self, folder: Path) -> None:
        (folder / "empty.json").write_text("{}")


def test_ranges_are_those_of_all_rows(tmp_path: Path):
    write_bundle(
        specialist(), tmp_path / "specialist", decision=DECISION, sample=SAMPLE.take([1, 2]),
        table=SAMPLE, card="", facts={},
    )  # fmt: skip
    found = {c.name: (c.low, c.high) for c in metier.load(tmp_path).manifest.columns}
    assert found["size"] == (1, 5)
