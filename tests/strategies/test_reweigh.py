"""Reweighing: group and label become independent, and groups are set apart less."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from metier.errors import ChainError
from metier.search.recipe import notes_of
from metier.strategies.boost import Boost
from metier.strategies.linear import Linear
from metier.strategies.reweigh import Reweigh, weigh
from metier.tasks import build
from metier.types import Roles, Specialist

from .people import apart, people


def test_weighted_counts_make_group_and_label_independent() -> None:
    table = people()
    task = build("binary", table)
    targets = task.encode(table)
    sex = table.frame["sex"].to_numpy()
    weights = weigh(sex.tolist(), task, targets)
    shares = [
        weights[(sex == g) & (targets == 1)].sum() / weights[sex == g].sum() for g in ("f", "m")
    ]
    assert shares[0] == pytest.approx(shares[1]) == pytest.approx(targets.mean())
    assert weights.sum() == pytest.approx(len(table))


@pytest.mark.parametrize("inner", [Linear(), Boost(bags=1, trees=60)])
def test_groups_come_closer_on_other_rows(inner: Any, learn: Callable[..., Specialist]) -> None:
    table, others = people(), people(2000, seed=9)
    task = build("binary", table)
    plain = learn(inner, table, "binary")
    fairer = learn(Reweigh(inner), table, "binary")
    assert apart(fairer, task, others) < 0.75 * apart(plain, task, others)
    assert fairer.form == Reweigh(inner).gives == inner.gives


def test_without_strength_nothing_changes(learn: Callable[..., Specialist]) -> None:
    table = people(300)
    same = learn(Reweigh(Linear(), strength=0.0), table, "binary")
    assert np.allclose(
        same.scores(table), learn(Linear(), table, "binary").scores(table), atol=1e-4
    )


def test_its_step_names_what_it_wrapped_and_hands_on_notes(
    learn: Callable[..., Specialist],
) -> None:
    made = learn(Reweigh(Boost(bags=1, trees=30)), people(300), "binary")
    (step,) = made.lineage
    assert step.strategy == "reweigh" and step.parameters["inner"]["strategy"] == "boost"
    assert step.parameters["strength"] == 1.0 and step.notes["heaviest"] > 1
    assert "boosters" in notes_of(made)


def test_nobody_to_be_fair_to_is_refused(learn: Callable[..., Specialist]) -> None:
    table = people(100)
    nobody = replace(table, roles=Roles(table.roles.inputs, table.roles.target))
    with pytest.raises(ChainError, match="--sensitive"):
        learn(Reweigh(Linear()), nobody, "binary")
