from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from metier.errors import ChainError
from metier.strategies.boost import Boost
from metier.strategies.linear import Linear
from metier.strategies.oversample import Oversample
from metier.tasks import build
from metier.types import Roles, Specialist, Table

from .conftest import awkward_table, towards

imblearn = pytest.importorskip("imblearn")
Learn = Callable[..., Specialist]


def rare(numbers: bool = True, categories: bool = True) -> Table:
    """A tenth of the rows of `awkward_table` that say yes, and all others."""
    table = towards(awkward_table(300), "two")
    yes = np.flatnonzero((table.frame["two"] == "yes").to_numpy())
    no = np.flatnonzero((table.frame["two"] == "no").to_numpy())
    kinds = {"number": numbers, "category": categories, "date": True}
    inputs = {n: k for n, k in table.roles.inputs.items() if kinds[k]}
    return replace(table.take([*no, *yes[:10]]), roles=replace(table.roles, inputs=inputs))


@pytest.mark.parametrize("method", ["smote", "borderline", "random"])
@pytest.mark.parametrize(("numbers", "categories"), [(True, True), (True, False), (False, True)])
def test_the_rare_class_gets_its_share(
    method: Any, numbers: bool, categories: bool, learn: Learn
) -> None:
    table = rare(numbers, categories)
    task = build("binary", table)
    targets = task.encode(table)
    strategy = Oversample(Linear(), method=method, share=0.5)
    counts = np.bincount(targets)
    more = strategy._more(table, targets, {int(counts.argmin()): 40}, 0)
    made = more.take(range(len(table), len(more)))
    assert len(made) == 40
    assert set(task.encode(made)) == {counts.argmin()}
    for name, kind in table.roles.inputs.items():
        known = table.frame[name].drop_nulls()
        own = made.frame[name].drop_nulls()
        assert made.frame[name].dtype == table.frame[name].dtype
        if kind == "category":
            assert set(own) <= set(known)
        elif kind == "number" and len(own):
            assert own.is_between(known.min(), known.max()).all()
    (step,) = learn(strategy, table, "binary").lineage
    wanted = round(0.5 * counts.max()) - counts.min()
    assert step.strategy == "oversample" and step.notes["made"] == wanted


def test_rare_rows_are_found_more_often(learn: Learn) -> None:
    table, others = rare(), towards(awkward_table(1000, seed=7), "two")
    task = build("binary", table)
    truth = task.encode(others)
    label = int(np.bincount(task.encode(table)).argmin())

    def found(strategy: Any) -> float:
        answers = learn(strategy, table, "binary").scores(others).argmax(1)
        return float((answers[truth == label] == label).mean())

    assert found(Oversample(Linear(strength=1.0), share=1.0)) > found(Linear(strength=1.0))


def test_made_rows_do_not_judge_what_was_made_of_them(learn: Learn) -> None:
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {f"x{i}": rng.normal(size=120) for i in range(20)}
    columns["y"] = rng.choice(["yes", "no"], p=[0.2, 0.8], size=120)
    roles = Roles(dict.fromkeys(list(columns)[:-1], "number"), ("y",))
    (step,) = learn(
        Oversample(Linear(), method="random", share=1.0),
        Table(pl.DataFrame(columns), roles),
        "binary",
    ).lineage
    assert step.notes["strength"] <= 0.1, "nothing can be learned"


def test_a_class_with_one_row_repeats_it(learn: Learn) -> None:
    table = rare()
    rows = np.flatnonzero((table.frame["two"] == "no").to_numpy()).tolist()
    lonely = table.take([*rows, len(table) - 1])
    made = learn(Oversample(Boost(bags=1, trees=15), share=0.2), lonely, "binary")
    assert made.lineage[0].notes["made"] == round(0.2 * len(rows)) - 1
    assert np.isfinite(made.scores(table)).all()


@pytest.mark.parametrize("method", ["smote", "borderline", "random"])
@pytest.mark.parametrize(("yes", "no"), [(2, 3), (2, 8), (3, 9)])
def test_few_rows_are_enough(method: Any, yes: int, no: int, learn: Learn) -> None:
    table = rare(categories=False)
    table = table.take([*range(no), *range(len(table) - yes, len(table))])
    made = learn(Oversample(Linear(strength=1.0), method=method, share=1.0), table, "binary")
    assert np.isfinite(made.scores(table)).all()


def test_even_classes_are_left_alone(learn: Learn) -> None:
    table = towards(awkward_table(200), "two").take(range(60))
    plain, same = Linear(), Oversample(Linear(), share=0.1)
    assert (
        learn(same, table, "binary").scores(table) == learn(plain, table, "binary").scores(table)
    ).all()


def test_a_number_has_no_classes(learn: Learn) -> None:
    with pytest.raises(ChainError, match="has none"):
        learn(Oversample(Linear()), towards(awkward_table(50), "value"), "regression")
