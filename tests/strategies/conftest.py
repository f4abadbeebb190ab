"""Small tables with every awkward thing in them, and how a specialist is made and checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import polars as pl
import pytest

from metier.cache import Cache
from metier.sources.tabular import Tabular
from metier.tasks import build
from metier.types import Floats, Kind, Problem, Roles, Run, Source, Specialist, Strategy, Table

INPUTS: dict[str, Kind] = {
    "size": "number",
    "weight": "number",
    "colour": "category",
    "code": "category",
    "bought": "date",
    "same": "number",
    "empty": "number",
}


def awkward_table(n: int = 240, seed: int = 0) -> Table:
    """Rows with gaps, rare categories, dates, a constant and an empty column.

    The targets `two`, `three`, `value`, `first` and `second` follow from `size` and `colour`.
    """
    rng = np.random.default_rng(seed)
    size = rng.normal(size=n)
    colour = rng.choice(["red", "green", "blue", "ochre"], p=[0.5, 0.3, 0.19, 0.01], size=n)
    signal = size + 1.5 * (colour == "red") + 0.2 * rng.normal(size=n)
    day = date(2024, 1, 1)
    frame = pl.DataFrame(
        {
            "size": with_gaps(size.tolist(), rng),
            "weight": 1e6 * rng.random(n),
            "colour": with_gaps(colour.tolist(), rng),
            "code": rng.integers(0, 40, n).astype(str),
            "bought": [day + timedelta(days=int(d)) for d in rng.integers(0, 900, n)],
            "same": [7.0] * n,
            "empty": pl.Series([None] * n, dtype=pl.Float64),
            "two": np.where(signal > 0.7, "yes", "no"),
            "three": np.array(["low", "middle", "high"])[np.digitize(signal, [0.0, 1.2])],
            "value": 1000.0 + 50.0 * signal,
            "first": (signal > 0.7).astype(int),
            "second": (rng.random(n) < 0.2).astype(int),
        }
    )
    return Table(frame, Roles(INPUTS, ("two",)))


def with_gaps(values: list[Any], rng: np.random.Generator) -> list[Any]:
    """The values with a tenth of them missing."""
    return [None if rng.random() < 0.1 else value for value in values]


def towards(table: Table, *target: str) -> Table:
    """The same rows with another target."""
    roles = table.roles
    return Table(table.frame, Roles(roles.inputs, target, group=roles.group), table.base)


TARGETS = {
    "binary": ("two",),
    "multiclass": ("three",),
    "regression": ("value",),
    "multilabel": ("first", "second"),
}


@pytest.fixture(scope="session")
def awkward() -> Callable[[str], Table]:
    """A table of the given kind of task."""
    return lambda kind: towards(awkward_table(), *TARGETS[kind])


@pytest.fixture(scope="session")
def strange() -> Table:
    """Rows as nobody saw them in training: unseen categories, extreme numbers, empty rows."""
    table = awkward_table(60, seed=1)
    frame = table.frame.with_columns(
        colour=pl.Series(["never seen", None, "red"] * 20),
        size=pl.Series([None, 1e30, -1e30, 0.0, -0.0, 1e-38] * 10),
        empty=pl.Series([3.0, None] * 30),
    )
    return Table(frame, table.roles)


def in_groups(table: Table, column: str, each: int = 5) -> Table:
    """Every row several times as a group, the answers dealt anew to the groups: they can be known
    within a group, and not beyond."""
    random = np.random.default_rng(0)
    frame = table.frame.with_columns(table.frame[column].gather(random.permutation(len(table))))
    rows = np.repeat(np.arange(len(table)), each)
    frame = frame[rows].with_columns(pl.Series("group", rows))
    return replace(table, frame=frame, roles=replace(table.roles, group="group"))


@pytest.fixture
def learn(tmp_path: Path) -> Callable[..., Specialist]:
    """Apply a strategy to a table, whose task is inferred from the kind given."""

    def apply(
        strategy: Strategy, table: Table, kind: Any, source: Source | None = None, **run: Any
    ) -> Specialist:
        task = build(kind, table, run.pop("metric", None))
        start = run.pop("start", None) or Specialist(source or Tabular(), task)
        return strategy(start, Problem(task, table), Run(Cache(tmp_path / "cache"), **run))

    return apply


@pytest.fixture(scope="session")
def by_graph() -> Callable[[Specialist, Table], Floats]:
    """The scores of a specialist as onnxruntime computes them from its graph."""

    def scores(specialist: Specialist, table: Table) -> Floats:
        assert specialist.model is not None
        preprocess = specialist.model.preprocess
        examples = [e for e in preprocess.encode(table.columns()).examples if e is not None]
        graph = specialist.model.graph()
        onnx.checker.check_model(graph)
        session = onnxruntime.InferenceSession(
            graph.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        arrays = preprocess.collate(examples)
        wanted = {i.name for i in session.get_inputs()}
        assert wanted == set(arrays)
        (found,) = session.run(["scores"], arrays)
        return np.asarray(found, dtype=np.float32)

    return scores
