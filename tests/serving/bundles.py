"""Small real bundles that know what is usual, and rows like those they were made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from metier.runtime.groups import GroupColumn, GroupThresholds
from metier.runtime.manifest import InputColumn, Manifest, read_manifest, write_manifest
from metier.runtime.postprocess import Decision
from metier.runtime.reference import learn
from metier.runtime.session import load
from metier.runtime.signals import Eye, Signals, columns_read, of_scores, vocabularies
from tests.runtime import conftest as made

WORDS = ("card", "lost", "my", "is", "please", "help", "now", "thanks", "invoice", "money")
COLOURS = ("red", "blue")


def texts(n: int, seed: int = 0) -> list[str]:
    """Texts of three to nine words."""
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, draw.integers(3, 10))) for _ in range(n)]


def table(n: int, seed: int = 0) -> dict[str, list[Any]]:
    """Sizes around 5 and two colours."""
    draw = np.random.default_rng(seed)
    return {
        "size": [float(v) for v in draw.normal(5, 1, n)],
        "colour": [str(v) for v in draw.choice(COLOURS, n)],
    }


def write_text(folder: Path) -> Path:
    """Reads `text`; answers "card" or "billing" by counting words."""
    columns = (InputColumn("text", "text"),)
    made.write(folder, made.TERMS, made.terms_graph(), columns)
    return add_reference(folder, {"text": texts(600)})


def write_named(folder: Path, name: str) -> Path:
    """Reads a text column and tells one of two labels, all of that name."""
    columns = (InputColumn(name, "text"),)
    terms = replace(made.TERMS, columns=(name,))
    decision = Decision("binary", (name, f"{name} "))
    return made.write(folder, terms, made.terms_graph(), columns, decision)


def write_table(folder: Path) -> Path:
    """Reads `size` and `colour`; answers their sum."""
    columns = (InputColumn("size", "number", 0.0, 9.0), InputColumn("colour", "category"))
    graph = made.numbers_graph("numbers", [2], 1)
    made.write(folder, made.SUMS, graph, columns, Decision("regression"))
    return add_reference(folder, table(600))


def write_grouped(folder: Path) -> Path:
    """Reads `text`, and `sex` to decide by: half a share is enough for f, m needs nearly all."""
    columns = (InputColumn("text", "text"), InputColumn("sex", "category"))
    groups = GroupThresholds((GroupColumn("sex"),), {"f": 0.05, "m": 0.95})
    made.write(folder, made.TERMS, made.terms_graph(), columns, replace(made.BINARY, groups=groups))
    return add_reference(folder, {"text": texts(600), "sex": ["f", "m"] * 300})


def write_image(folder: Path) -> Path:
    """Reads `file`; without a reference, as bundles of an older version are."""
    graph = made.numbers_graph("pixel_values", [3, 2, 2], 2)
    return made.write(folder, made.PICTURE, graph, (InputColumn("file", "image"),))


def write_slow(folder: Path, layers: int = 24) -> Path:
    """Reads `size` and `colour`, and takes a millisecond or so a row over it."""
    columns = (InputColumn("size", "number", 0.0, 9.0), InputColumn("colour", "category"))
    return made.write(folder, made.SUMS, _slow_graph(layers), columns, Decision("regression"))


def _slow_graph(layers: int, width: int = 1024) -> onnx.ModelProto:
    floats = TensorProto.FLOAT
    eye = numpy_helper.from_array(np.eye(width, dtype=np.float32), "eye")
    wide = numpy_helper.from_array(np.full((2, width), 1 / width, np.float32), "wide")
    last = numpy_helper.from_array(np.array([1], np.int64), "last")
    nodes = [helper.make_node("MatMul", ["numbers", "wide"], ["h0"])]
    nodes += [helper.make_node("MatMul", [f"h{i}", "eye"], [f"h{i + 1}"]) for i in range(layers)]
    nodes += [helper.make_node("ReduceSum", [f"h{layers}", "last"], ["scores"], keepdims=1)]
    graph = helper.make_graph(
        nodes,
        "slow",
        [helper.make_tensor_value_info("numbers", floats, ["rows", 2])],
        [helper.make_tensor_value_info("scores", floats, ["rows", 1])],
        [eye, wide, last],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def add_reference(folder: Path, columns: Mapping[str, list[Any]]) -> Path:
    """Work out what is usual for a bundle from rows, and write it into its manifest."""
    bundle = load(folder)
    manifest = bundle.manifest
    read = columns_read(manifest.columns, manifest.preprocess)
    eye = Eye(read, manifest.preprocess)
    answers: Signals = of_scores(bundle.scores(columns), manifest.decision)
    found = learn(eye.columns_alone(columns), answers, vocabularies(manifest.preprocess))
    facts = {**manifest.facts, "target": ["kind"], "reference": found.to_json()}
    data = {**manifest.to_json(), "facts": json.loads(json.dumps(facts))}
    write_manifest(folder, Manifest.from_json(data))
    read_manifest(folder)
    return folder
