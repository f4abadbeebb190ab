"""Self-training learns from rows that it labels, and stops where that does harm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from metier.cache import Cache
from metier.errors import ChainError, DataError
from metier.search.wrapping import settled
from metier.strategies.boost import Boost
from metier.strategies.linear import Linear
from metier.strategies.oversample import Oversample
from metier.strategies.probe import Probe
from metier.strategies.pseudolabel import Pseudolabel
from metier.tasks import build
from metier.types import Problem, Roles, Run, Specialist, Table

Learn = Callable[..., Specialist]
SMALL = Boost(bags=1, trees=40)
ROLES = Roles({"x": "number", "z": "number"}, ("y",))


def crescents(n: int, seed: int) -> Table:
    """Two thick stripes that a few labelled rows hardly outline."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % 2
    x = random.normal(size=n) * 2
    z = random.normal(scale=0.25, size=n) + 2.0 * y
    return Table(pl.DataFrame({"x": x, "z": z, "y": np.where(y > 0, "up", "down")}), ROLES)


def without_labels(table: Table) -> Table:
    return replace(table, frame=table.frame.drop("y"), roles=Roles(ROLES.inputs))


def test_rounds_are_judged_and_told(learn: Learn) -> None:
    pool = without_labels(crescents(300, 1))
    made = learn(Pseudolabel(SMALL, unlabeled=pool), crescents(80, 0), "binary")
    (step,) = made.lineage
    told = step.notes["pseudolabel"]
    assert step.strategy == "pseudolabel" and step.parameters["unlabeled"] == 300
    assert step.parameters["inner"]["strategy"] == "boost" and "boosters" in step.notes
    assert 0 <= told["best"] <= 2 and len(told["rounds"]) == 2
    assert all(each["low"] <= each["gain"] <= each["high"] for each in told["rounds"])
    others = crescents(400, 7)
    right = made.scores(others).argmax(1) == build("binary", others).encode(others)
    assert right.mean() > 0.9


def test_it_learns_from_the_rows_that_it_labels(learn: Learn) -> None:
    pool = without_labels(crescents(400, 1))
    table = crescents(60, 0)
    strategy = Pseudolabel(SMALL, rounds=1, judged=False, temperature=0.3, unlabeled=pool)
    made = learn(strategy, table, "binary")
    assert made.lineage[-1].notes["pseudolabel"]["labelled"] > 100
    plain = learn(SMALL, table, "binary")
    assert not np.allclose(made.scores(pool), plain.scores(pool))


def test_rows_that_mislead_are_not_kept(learn: Learn) -> None:
    """Where the labels are noise, nothing that is added helps, and the plain fit comes out."""
    random = np.random.default_rng(0)
    table = crescents(120, 0)
    noise = table.frame.with_columns(y=pl.Series(random.permutation(table.frame["y"].to_list())))
    strategy = Pseudolabel(Linear(), precision=0.5, unlabeled=without_labels(crescents(300, 1)))
    made = learn(strategy, replace(table, frame=noise), "binary")
    told = made.lineage[-1].notes["pseudolabel"]
    assert told["rounds"][told["best"] - 1]["gain"] >= 0 if told["best"] else True
    assert all(each["low"] < 0.05 for each in told["rounds"])


def test_rows_made_up_around_it_are_no_hindrance(learn: Learn) -> None:
    pytest.importorskip("imblearn")
    table = crescents(120, 0)
    rare = np.flatnonzero(np.arange(120) % 8 != 1).tolist()
    inner = Pseudolabel(SMALL, unlabeled=without_labels(crescents(200, 1)))
    made = learn(Oversample(inner), table.take(rare), "binary")
    assert np.isfinite(made.scores(crescents(20, 2))).all()


def test_too_few_rows_to_judge_add_nothing(learn: Learn) -> None:
    table = crescents(20, 0)
    made = learn(Pseudolabel(Linear(), unlabeled=without_labels(crescents(50, 1))), table, "binary")
    assert "too few" in made.lineage[-1].notes["pseudolabel"]["reason"]
    plain = learn(Linear(), table, "binary")
    np.testing.assert_allclose(made.scores(table), plain.scores(table), atol=1e-6)


def test_a_frozen_recipe_holds_no_rows_out(learn: Learn) -> None:
    notes = [
        {"pseudolabel": {"best": best, "temperature": heat}}
        for best, heat in ((2, 1.0), (0, 3.0), (1, 2.0))
    ]
    found = settled(Pseudolabel(Linear()), {"weight": 0.5}, notes)
    assert found == {"weight": 0.5, "rounds": 1, "judged": False, "temperature": 2.0}


def test_texts(tiny_sources: dict[str, Any], tiny_table: Callable[..., Table]) -> None:
    source = tiny_sources["bert"]
    table, more = tiny_table(source, 80), tiny_table(source, 60, seed=3)
    pool = replace(more, frame=more.frame.select("text"), roles=Roles({"text": "text"}))
    task = build("multiclass", table)
    strategy = Pseudolabel(Probe(), precision=0.5, unlabeled=pool)
    made = strategy(Specialist(source, task), Problem(task, table), Run(Cache()))
    assert made.form == "net" and made.lineage[-1].notes["pseudolabel"]["of"] == 60


def test_what_cannot_be_is_refused_in_one_line(learn: Learn) -> None:
    table = crescents(60, 0)
    with pytest.raises(ChainError, match="--unlabeled"):
        learn(Pseudolabel(Linear()), table, "binary")
    with pytest.raises(DataError, match="give 2 or more"):
        learn(Pseudolabel(Linear(), unlabeled=without_labels(crescents(1, 0))), table, "binary")
    other = Table(pl.DataFrame({"x": [1.0, 2.0]}), Roles({"x": "number"}))
    with pytest.raises(DataError, match="no column 'z'"):
        learn(Pseudolabel(Linear(), unlabeled=other), table, "binary")
    number = replace(table, roles=Roles({"z": "number"}, ("x",)))
    with pytest.raises(ChainError, match="no confidence"):
        learn(Pseudolabel(Linear(), unlabeled=without_labels(table)), number, "regression")
