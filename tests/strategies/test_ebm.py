"""The glass box: what InterpretML fitted is what is handed over, and its curves can be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from metier.deploy.additive import Additive
from metier.errors import DataError
from metier.space import space
from metier.strategies.ebm import Ebm
from metier.training.glass import with_gaps
from metier.types import Floats, Roles, Specialist, Table

from .conftest import awkward_table

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
    kind: Any, awkward: Callable[[str], Table], learn: Learn, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[Any] = []
    before = Ebm._fit

    def watched(self: Ebm, *given: Any) -> Any:
        fitted.append(before(self, *given))
        return fitted[-1]

    monkeypatch.setattr(Ebm, "_fit", watched)
    table = awkward(kind)
    made = learn(QUICK, table, kind)
    model: Any = made.model
    numbers = with_gaps(model.preprocess, model.preprocess.matrix(table.columns()))
    ours = made.scores(table)
    if kind == "regression":
        truth = table.frame["value"].to_numpy()
        theirs = fitted[0].predict(numbers) * truth.std() + truth.mean()
        np.testing.assert_allclose(ours[:, 0], theirs, rtol=1e-4)
    else:
        theirs = fitted[0].decision_function(numbers)
        np.testing.assert_allclose(ours if ours.shape[1] > 2 else ours[:, 1], theirs, atol=1e-4)


def test_it_learns_and_says_what_matters(awkward: Callable[[str], Table], learn: Learn) -> None:
    table = awkward("binary")
    made = learn(Ebm(bags=4, trees=300), table, "binary")
    scores = made.scores(table)
    right = (scores.argmax(axis=1) == (table.frame["two"] == "yes").to_numpy()).mean()
    assert right > 0.85
    model = made.model
    assert isinstance(model, Additive) and made.form == "additive"
    names = model.preprocess.names
    largest = max(model.terms, key=lambda term: term.importance)
    assert [names[feature] for feature in largest.features] == ["size"]
    low, high = largest.scores[[1, -1], 1]
    assert high > low, "larger sizes speak for yes"
    assert (largest.errors >= 0).all() and largest.errors.any()


def test_more_than_two_classes_have_no_pairs(awkward: Callable[[str], Table], learn: Learn) -> None:
    model: Any = learn(QUICK, awkward("multiclass"), "multiclass").model
    assert {len(term.features) for term in model.terms} == {1}


@pytest.mark.parametrize("kind", ["binary", "multilabel"])
def test_a_target_with_one_value_is_a_constant(kind: Any, learn: Learn) -> None:
    from metier.cache import Cache
    from metier.sources.tabular import Tabular
    from metier.tasks import build
    from metier.types import Problem, Run

    from .conftest import TARGETS, towards

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
