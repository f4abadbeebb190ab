from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from metier.training.folds import inner_folds
from metier.types import Roles, Table


def table(n: int, **roles: Any) -> Table:
    frame = pl.DataFrame(
        {"x": range(n), "owner": [i % 5 for i in range(n)], "when": list(range(n))[::-1]}
    )
    return Table(frame, Roles({"x": "number"}, **roles))


def test_folds_part_the_rows_and_keep_the_shares_of_classes() -> None:
    targets = np.repeat([0, 1], [80, 20])
    folds = inner_folds(table(100), targets, 5, seed=0)
    assert sorted(np.concatenate([judge for _, judge in folds]).tolist()) == list(range(100))
    for fit, judge in folds:
        assert not set(fit.tolist()) & set(judge.tolist())
        assert targets[judge].sum() == 4


def test_one_fold_sets_a_fifth_aside() -> None:
    ((fit, judge),) = inner_folds(table(100), np.arange(100.0), 1, seed=0)
    assert len(judge) == 20 and len(fit) == 80


def test_groups_are_never_cut() -> None:
    folds = inner_folds(table(50, group="owner"), np.zeros(50), 3, seed=1)
    for fit, judge in folds:
        assert not set((fit % 5).tolist()) & set((judge % 5).tolist())


def grouped(groups: list[str | None]) -> Table:
    frame = pl.DataFrame({"x": range(len(groups)), "owner": pl.Series(groups, dtype=pl.String)})
    return Table(frame, Roles({"x": "number"}, group="owner"))


def sizes(groups: list[str | None], folds: int, seed: int) -> list[int]:
    rows = grouped(groups)
    return [len(judge) for _, judge in inner_folds(rows, np.zeros(len(rows)), folds, seed)]


@pytest.mark.parametrize("seed", range(4))
def test_a_large_group_leaves_the_share_to_the_others(seed: int) -> None:
    large: list[str | None] = ["large"] * 600 + [f"{i // 8}" for i in range(400)]
    ((fit, judge),) = inner_folds(grouped(large), np.zeros(1000), 1, seed)
    assert len(judge) == 200 and set(range(600)) <= set(fit.tolist())
    assert sizes(["large"] * 994 + [f"{i}" for i in range(6)], 1, seed) == [6]
    assert sizes([f"{i % 2}" for i in range(100)], 1, seed) == [50], "one of two is all there is"
    assert sizes(["large"] * 100, 1, seed) == []


@pytest.mark.parametrize("seed", range(4))
def test_folds_of_groups_are_about_the_same_size(seed: int) -> None:
    uneven: list[str | None] = [f"{g}" for g in range(24) for _ in range(g)]
    found = sizes(uneven, 3, seed)
    assert sum(found) == len(uneven) and max(found) - min(found) <= 2


def test_rows_without_a_group_are_groups_of_their_own() -> None:
    missing = [None if i % 2 else f"{i % 10}" for i in range(100)]
    for fit, judge in inner_folds(grouped(missing), np.zeros(100), 3, seed=0):
        assert 5 < (judge % 2).sum() < 30 and (fit % 2).any()
        assert not {missing[i] for i in fit if i % 2 == 0} & {missing[i] for i in judge}


def test_time_judges_on_what_came_last() -> None:
    ((fit, judge),) = inner_folds(table(50, time="when"), np.zeros(50), 3, seed=0)
    assert judge.max() < fit.min() and len(judge) == 10  # `when` runs backwards


@pytest.mark.parametrize("n", [0, 1, 3])
def test_too_few_rows_give_no_fold(n: int) -> None:
    assert inner_folds(table(n), np.zeros(n), 3, seed=0) == []


def test_same_seed_same_folds() -> None:
    one, two = (inner_folds(table(30), np.arange(30) % 3, 3, seed=7) for _ in range(2))
    assert all((a[1] == b[1]).all() for a, b in zip(one, two, strict=True))
