from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from metier.errors import DataError
from metier.strategies.linear import Linear
from metier.types import Floats, Roles, Specialist, Table

from .conftest import in_groups

Learn = Callable[..., Specialist]
ByGraph = Callable[[Specialist, Table], Floats]
Awkward = Callable[[str], Table]
KINDS = ("binary", "multiclass", "regression", "multilabel")


@pytest.mark.parametrize("kind", KINDS)
def test_graph_and_model_agree_on_strange_rows(
    kind: str, awkward: Awkward, strange: Table, learn: Learn, by_graph: ByGraph
) -> None:
    specialist = learn(Linear(), awkward(kind), kind)
    expected = specialist.scores(strange)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(by_graph(specialist, strange), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_scores(kind: str, awkward: Awkward, learn: Learn) -> None:
    table = awkward(kind)
    one, two = learn(Linear(), table, kind, seed=1), learn(Linear(), table, kind, seed=1)
    assert (one.scores(table) == two.scores(table)).all()


def test_learns_what_can_be_learned(awkward: Awkward, learn: Learn) -> None:
    table = awkward("binary")
    specialist = learn(Linear(), table.take(range(180)), "binary")
    held = table.take(range(180, 240))
    truth = specialist.task.encode(held)
    assert (specialist.scores(held).argmax(axis=1) == truth).mean() > 0.75
    table = awkward("regression")
    specialist = learn(Linear(), table.take(range(180)), "regression")
    held = table.take(range(180, 240))
    errors = specialist.scores(held)[:, 0] - specialist.task.encode(held)
    assert np.sqrt((errors**2).mean()) < 0.5 * float(table.frame["value"].std() or 0)


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_the_strength_is_chosen_by_groups(kind: str, awkward: Awkward, learn: Learn) -> None:
    small = awkward(kind).take(range(40))
    table = in_groups(small, small.roles.target[0])
    alone = replace(table, roles=replace(table.roles, group=None))
    by_group, by_row = (learn(Linear(), t, kind) for t in (table, alone))
    chosen = [made.lineage[0].notes["strength"] for made in (by_group, by_row)]
    assert chosen[0] < chosen[1]


def test_a_wild_number_cannot_decide_alone(awkward: Awkward, learn: Learn) -> None:
    table = awkward("regression")
    specialist = learn(Linear(), table, "regression")
    wild = Table(table.frame.with_columns(size=pl.lit(1e30)), table.roles)
    assert np.abs(specialist.scores(wild) - 1000).max() < 1000


def test_saved_weights_are_plain_tensors(awkward: Awkward, learn: Learn, tmp_path: Path) -> None:
    specialist = learn(Linear(), awkward("multiclass"), "multiclass")
    assert specialist.model is not None
    specialist.model.save(tmp_path / "weights")
    tensors = load_file(tmp_path / "weights" / "linear.safetensors")
    assert sum(t.size for t in tensors.values()) == specialist.model.parameters
    about = json.loads((tmp_path / "weights" / "linear.json").read_text())
    assert about["layer"] == "dense" and about["preprocess"]["kind"] == "columns"


def test_nothing_to_weigh_is_refused(awkward: Awkward, learn: Learn) -> None:
    table = awkward("binary")
    words = Table(table.frame, replace(table.roles, inputs={"code": "text"}))
    with pytest.raises(DataError, match="no number, date or category"):
        learn(Linear(), words, "binary")


def test_real_table(shared_data: Path, learn: Learn) -> None:
    frame = pl.read_csv(shared_data / "pima_diabetes" / "train.csv")
    table = Table(frame, Roles(dict.fromkeys(frame.columns[:-1], "number"), ("outcome",)))
    rows = np.random.default_rng(0).permutation(len(table))
    held = table.take(rows[:150])
    specialist = learn(Linear(), table.take(rows[150:]), "binary")
    truth = specialist.task.encode(held)
    assert (specialist.scores(held).argmax(axis=1) == truth).mean() > 0.7
