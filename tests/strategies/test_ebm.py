"""The glass box: what InterpretML fitted is what is handed over, and its curves can be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from metier.cache import Cache
from metier.deploy.additive import Additive, terms_by_importance
from metier.errors import DataError
from metier.sources.tabular import Tabular
from metier.space import space
from metier.strategies.ebm import Ebm, Watch
from metier.tasks import build
from metier.training.folds import MADE
from metier.training.tables.columns import fit_codes
from metier.training.tables.glass import goals_of, terms_of, with_gaps
from metier.training.weighing import weighed
from metier.types import Floats, Problem, Roles, Run, Specialist, Table

from .conftest import TARGETS, awkward_table, towards

pytest.importorskip("interpret")
Learn = Callable[..., Specialist]
QUICK = Ebm(bags=2, trees=60, pairs=3)
KINDS: Any = ("binary", "multiclass", "regression", "multilabel")


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_says_the_same_of_rows_nobody_saw(
    kind: Any,
    awkward: Callable[[str], Table],
    strange: Table,
    learn: Learn,
    by_graph: Callable[[Specialist, Table], Floats],
) -> None:
    table = awkward(kind)
    made = learn(QUICK, table, kind)
    for rows in (table, strange):
        scores = made.scores(rows)
        np.testing.assert_allclose(by_graph(made, rows), scores, atol=1e-5 * np.ptp(scores) + 1e-6)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_the_tables_are_those_that_interpretml_fitted(
    kind: Any, awkward: Callable[[str], Table]
) -> None:
    table = awkward(kind)
    task, preprocess = build(kind, table), fit_codes(table)
    numbers = with_gaps(preprocess, preprocess.matrix(table.columns()))
    (goal,) = goals_of(task, task.encode(table))
    fitted = QUICK.fit(goal, numbers, preprocess, 0, Watch(Run(Cache()), QUICK.bags, 1))
    terms, offset = terms_of(fitted, goal, preprocess, task.outputs)
    ours = Additive(preprocess, tuple(terms), tuple(offset)).scores(table)
    if kind == "regression":
        theirs = fitted.predict(numbers) * goal.scale + goal.shift
        np.testing.assert_allclose(ours[:, 0], theirs, rtol=1e-5)
    else:
        theirs = fitted.decision_function(numbers)
        np.testing.assert_allclose(ours if ours.shape[1] > 2 else ours[:, 1], theirs, atol=1e-4)


def test_weights_of_rows_count(awkward: Callable[[str], Table], learn: Learn) -> None:
    table = awkward("binary")
    yes = (table.frame["two"] == "yes").to_numpy()
    plain = learn(QUICK, table, "binary").scores(table)
    heavy = weighed(table, np.where(yes, 20.0, 1.0))
    found = learn(QUICK, heavy, "binary").scores(table)
    assert (found[:, 1] - found[:, 0]).mean() > (plain[:, 1] - plain[:, 0]).mean() + 1.0


def test_bags_leave_groups_whole_and_stop_by_nothing_made_up(
    awkward: Callable[[str], Table], learn: Learn
) -> None:
    table = awkward("binary")
    groups = np.arange(len(table)) // 5
    made = np.arange(len(table)) % 2 == 1
    frame = table.frame.with_columns(pl.Series("g", groups), pl.Series(MADE, made))
    grouped = replace(table, frame=frame, roles=replace(table.roles, group="g"))
    targets = build("binary", grouped).encode(grouped)
    bags = QUICK._bags(grouped, targets, 0)
    assert bags is not None and bags.shape == (len(table), QUICK.bags)
    for bag in bags.T:
        assert set(bag.tolist()) == {-1, 0, 1} and not made[bag < 0].any()
        assert not set(groups[bag < 0]) & set(groups[bag > 0])
    assert QUICK._bags(table, targets, 0) is None
    assert np.isfinite(learn(QUICK, grouped, "binary").scores(table)).all()


def test_it_learns_and_says_what_matters(awkward: Callable[[str], Table], learn: Learn) -> None:
    table = awkward("binary")
    made = learn(Ebm(bags=4, trees=300), table, "binary")
    scores = made.scores(table)
    right = (scores.argmax(axis=1) == (table.frame["two"] == "yes").to_numpy()).mean()
    assert right > 0.85
    model = made.model
    assert isinstance(model, Additive) and made.form == "additive"
    names = model.preprocess.names
    ordered = terms_by_importance(model)
    assert {names[term.features[0]] for term in ordered[:2]} == {"size", "colour"}
    (size,) = (term for term in ordered if term.features == (names.index("size"),))
    low, high = size.scores[[1, -1], 1]
    assert high > low, "larger sizes speak for yes"
    assert (size.errors >= 0).all() and size.errors.any()


def test_more_than_two_classes_have_no_pairs(awkward: Callable[[str], Table], learn: Learn) -> None:
    model: Any = learn(QUICK, awkward("multiclass"), "multiclass").model
    assert {len(term.features) for term in model.terms} == {1}


@pytest.mark.parametrize("kind", ["binary", "multilabel"])
def test_a_target_with_one_value_is_a_constant(kind: Any, learn: Learn) -> None:
    table = towards(awkward_table(80), *TARGETS[kind])
    task = build(kind, table)
    if kind == "binary":
        rows = table.take(np.flatnonzero((table.frame["two"] == "no").to_numpy()))
    else:
        rows = table.take(np.flatnonzero((table.frame["first"] == 0).to_numpy()))
    made = QUICK(Specialist(Tabular(), task), Problem(task, rows), Run(Cache()))
    scores = made.scores(table)
    column = scores[:, 1] - scores[:, 0] if kind == "binary" else scores[:, 0]
    assert (column < -3).all() and np.isfinite(scores).all()


def test_a_table_without_a_usable_column_is_refused(learn: Learn) -> None:
    table = awkward_table(60)
    texts = Table(table.frame, Roles({"colour": "text"}, ("two",)))
    with pytest.raises(DataError, match="no number, date or category"):
        learn(QUICK, texts, "binary")


def test_it_can_be_searched() -> None:
    assert set(space(Ebm)) == {"pairs", "rate", "leaves", "rows_per_leaf"}
