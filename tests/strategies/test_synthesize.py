from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from metier.errors import ChainError
from metier.strategies.boost import Boost
from metier.strategies.linear import Linear
from metier.strategies.synthesize import Synthesize, made_up
from metier.tasks import build
from metier.types import Problem, Specialist

from .conftest import TARGETS, awkward_table, towards

Learn = Callable[..., Specialist]


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_made_up_rows_stand_after_the_real_ones_and_are_none_of_them(kind: Any) -> None:
    table = towards(awkward_table(200), *TARGETS[kind])
    task = build(kind, table)
    more, near = made_up(Problem(task, table), 1.5, seed=0)
    assert more.frame[:200].select(table.frame.columns).equals(table.frame)
    assert near is not None and near.copies == 0 and near.n == len(more) - 200
    assert near.low <= near.ratio <= near.high
    assert abs(near.n - 300) <= 3
    targets = task.encode(more)
    if kind == "regression":
        assert targets[:200].min() <= targets[200:].min()
        assert (
            np.corrcoef(more.frame["size"][200:].fill_null(0.0).to_numpy(), targets[200:])[0, 1]
            > 0.3
        )
    else:
        shares = [np.bincount(part) / len(part) for part in (targets[:200], targets[200:])]
        np.testing.assert_allclose(*shares, atol=0.02)


def test_the_same_seed_makes_the_same_rows() -> None:
    table = towards(awkward_table(100), "two")
    problem = Problem(build("binary", table), table)
    one, two, other = (made_up(problem, 1.0, seed)[0].frame for seed in (1, 1, 2))
    assert one.equals(two) and not one.equals(other)


@pytest.mark.parametrize("inner", [Linear(), Boost(bags=1, trees=40)])
def test_it_composes_and_tells_how_near_its_rows_come(inner: Any, learn: Learn) -> None:
    table = towards(awkward_table(200), "two")
    made = learn(Synthesize(inner), table, "binary")
    (step,) = made.lineage
    assert step.strategy == "synthesize" and step.notes["made"] == 200
    assert {"ratio", "low", "high", "near", "copies", "n"} == set(step.notes["made_up_distance"])
    assert made.form == inner.gives
    others = towards(awkward_table(500, seed=3), "two")
    right = made.scores(others).argmax(1) == made.task.encode(others)
    assert right.mean() > 0.7


def test_classes_with_hardly_a_row_are_left_alone(learn: Learn) -> None:
    table = towards(awkward_table(40), "three").take(range(8))
    task = build("multiclass", table)
    more, near = made_up(Problem(task, table), 1.0, 0)
    counts = np.bincount(task.encode(table))
    assert len(more) == 8 + counts[counts >= 5].sum()
    assert (near is None) == (counts.max() < 5)


def test_several_labels_are_refused(learn: Learn) -> None:
    table = towards(awkward_table(60), "first", "second")
    with pytest.raises(ChainError, match="several labels"):
        learn(Synthesize(Linear()), table, "multilabel")
