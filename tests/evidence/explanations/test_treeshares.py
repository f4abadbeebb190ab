"""Shares read off the trees: their sum, and what the library shap says of the same booster."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metier.cache import Cache
from metier.errors import OptionError
from metier.evidence.explanations.players import Game, Target, parts_of
from metier.evidence.explanations.treeshares import trees_of
from metier.runtime.postprocess import Decision
from metier.sources.tabular import Tabular
from metier.strategies.linear import Linear
from metier.tasks import build
from metier.types import Problem, Run, Specialist, Table
from tests.strategies.conftest import TARGETS, awkward_table, towards

pytest.importorskip("lightgbm")
KINDS: Any = ("binary", "multiclass", "regression", "multilabel")


def boosted(kind: Any) -> tuple[Specialist, Table]:
    from metier.strategies.boost import Boost

    table = towards(awkward_table(200), *TARGETS[kind])
    task = build(kind, table)
    strategy = Boost(trees=20, bags=2, leaves=4)
    return strategy(Specialist(Tabular(), task), Problem(task, table), Run(Cache())), table


def game_of(specialist: Specialist, table: Table, row: int, which: int) -> Game:
    columns = table.columns()
    parts = parts_of(columns, row, table.roles.inputs, [0], lambda cell: cell)
    decision = Decision(specialist.task.kind, specialist.task.labels, temperature=1.7)
    return Game(row, parts, lambda c: np.zeros((0, 0)), Target(decision, which))


@pytest.mark.parametrize("kind", KINDS)
def test_the_shares_sum_to_the_margin(kind: Any) -> None:
    specialist, table = boosted(kind)
    explain = trees_of(specialist.model)
    for row in range(5):
        game = game_of(specialist, table, row, specialist.task.outputs - 1)
        found = explain(game)
        margin = game.target.margin(specialist.scores(table.take([row])))[0]
        assert found.output == pytest.approx(margin, rel=1e-5)
        assert found.holds and found.values.shape == (len(table.roles.inputs),)
        names = [player.name for player in game.players]
        assert found.values[names.index("same")] == 0.0, "a constant has no share"


def test_shap_says_the_same_of_a_booster() -> None:
    shap = pytest.importorskip("shap")
    specialist, table = boosted("binary")
    model: Any = specialist.model
    numbers = model.preprocess.matrix(table.take([3]).columns())
    ours = trees_of(model)(game_of(specialist, table, 3, 1))
    theirs = np.zeros(numbers.shape[1])
    for member in model.members:
        explainer = shap.TreeExplainer(member.booster)
        theirs += member.weight * np.asarray(explainer(numbers).values)[0]
    dates = theirs[-7:-2].sum() if theirs.size > 7 else 0.0
    assert ours.values.sum() == pytest.approx(theirs.sum() / 1.7, rel=1e-6)
    assert ours.values[0] == pytest.approx(theirs[0] / 1.7, rel=1e-6)
    assert np.isfinite(dates)


def test_what_is_no_booster_is_refused() -> None:
    table = towards(awkward_table(60), "two")
    task = build("binary", table)
    made = Linear()(Specialist(Tabular(), task), Problem(task, table), Run(Cache()))
    for model in (made.model, None):
        with pytest.raises(OptionError, match="needs the boosters of a run folder"):
            trees_of(model)
