"""Weights that were cut, or belong to something else, are refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from metier.cache import Cache
from metier.errors import BundleError
from metier.sources.tabular import Tabular
from metier.strategies.boost import Boost
from metier.strategies.classical import Classical
from metier.strategies.linear import Linear
from metier.tasks import build
from metier.training.weights import Known, read_weights
from metier.types import Problem, Run, Specialist, Strategy, Table
from tests.strategies.conftest import TARGETS, awkward_table, towards

Tables = Callable[..., Table]
LINEAR = "linear.safetensors"


def saved(strategy: Strategy, source: Any, rows: Table, kind: Any, folder: Path) -> Known:
    """Learn from the rows, write the weights, and return what is known of them."""
    task = build(kind, rows)
    model = strategy(Specialist(source, task), Problem(task, rows), Run(Cache())).model
    assert model is not None
    model.save(folder)
    return Known(model.preprocess, task, source, rows)


@pytest.fixture
def boosters(tmp_path: Path) -> Known:
    rows = towards(awkward_table(120), *TARGETS["multiclass"])
    return saved(Boost(trees=8, bags=2), Tabular(), rows, "multiclass", tmp_path)


@pytest.fixture
def linear(tmp_path: Path) -> Known:
    rows = towards(awkward_table(120), *TARGETS["binary"])
    return saved(Linear(strength=1.0), Tabular(), rows, "binary", tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.9])
def test_a_booster_that_was_cut_is_refused(boosters: Known, tmp_path: Path, share: float) -> None:
    path = tmp_path / "booster-1.txt"
    text = path.read_text()
    path.write_text(text[: int(share * text.index("end of trees"))])
    with pytest.raises(BundleError, match="get the weights again"):
        read_weights(tmp_path, boosters)


@pytest.mark.parametrize(
    ("name", "value"),
    [("first", -1), ("first", 1), ("outputs", 2), ("offset", [0.0]), ("offset", ["a"] * 3)],
)
def test_boosters_that_add_to_what_is_not_there_are_refused(
    boosters: Known, tmp_path: Path, name: str, value: Any
) -> None:
    path = tmp_path / "boosters.json"
    about = json.loads(path.read_text())
    (about["members"][0] if name == "first" else about)[name] = value
    path.write_text(json.dumps(about))
    with pytest.raises(BundleError, match="get the weights again"):
        read_weights(tmp_path, boosters)


def test_boosters_of_other_columns_are_refused(boosters: Known, tmp_path: Path) -> None:
    path = tmp_path / "booster-0.txt"
    text = path.read_text()
    told = next(line for line in text.split("\n") if line.startswith("max_feature_idx="))
    path.write_text(text.replace(told, "max_feature_idx=900", 1))
    with pytest.raises(BundleError, match="does not fit the columns"):
        read_weights(tmp_path, boosters)


@pytest.mark.parametrize("missing", [1, 100, 10**9])
def test_a_linear_model_that_was_cut_is_refused(
    linear: Known, tmp_path: Path, missing: int
) -> None:
    path = tmp_path / LINEAR
    content = path.read_bytes()
    path.write_bytes(content[: max(0, len(content) - missing)])
    with pytest.raises(BundleError, match=r"linear\.safetensors"):
        read_weights(tmp_path, linear)


def test_a_linear_model_of_other_columns_or_targets_is_refused(
    linear: Known, tmp_path: Path
) -> None:
    tensors = load_file(tmp_path / LINEAR)
    for changed in (
        {"weights": tensors["weights"][1:]},
        {"weights": tensors["weights"][:, :1], "bias": tensors["bias"][:1]},
        {"bias": tensors["bias"][:1]},
    ):
        cut = {name: np.ascontiguousarray(tensor) for name, tensor in changed.items()}
        save_file(tensors | cut, tmp_path / LINEAR)
        with pytest.raises(BundleError, match="does not fit the columns and the target"):
            read_weights(tmp_path, linear)


def test_a_table_without_its_last_terms_is_refused(
    tiny_sources: dict[str, Any], tiny_table: Tables, tmp_path: Path
) -> None:
    rows = tiny_table(tiny_sources["bert"], 40, "binary")
    known = saved(Classical(strength=1.0), tiny_sources["bert"], rows, "binary", tmp_path)
    assert read_weights(tmp_path, known) is not None
    tensors = load_file(tmp_path / LINEAR)
    save_file(tensors | {"table": tensors["table"][:-3].copy()}, tmp_path / LINEAR)
    with pytest.raises(BundleError, match="does not fit the columns"):
        read_weights(tmp_path, known)
