"""Consistency goes through the unlabelled rows, and changes what is learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from metier.cache import Cache
from metier.errors import ChainError
from metier.search.wrapping import build as build_strategy
from metier.search.wrapping import settled
from metier.strategies.boost import Boost
from metier.strategies.consistency import Consistency
from metier.strategies.finetune import Finetune
from metier.tasks import build
from metier.training.unlabelled.selftaught import Gain
from metier.types import Problem, Roles, Run, Specialist, Table

Tables = Callable[..., Table]


@pytest.mark.parametrize(("source", "column"), [("bert", "text"), ("mobilenet", "image")])
def test_it_learns_from_rows_without_labels(
    source: str, column: Any, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    found = tiny_sources[source]
    table, more = tiny_table(found, 24), tiny_table(found, 40, seed=4)
    pool = Table(more.frame.select(column), Roles({column: column}), more.base)
    task = build("multiclass", table)
    start, problem = Specialist(found, task), Problem(task, table)
    short = Finetune(train="top", epochs=2, patience=0)
    plain = short(start, problem, Run(Cache()))
    both = Consistency(short, weight=3.0, judged=False, unlabeled=pool)
    made = both(start, problem, Run(Cache(), seed=1))
    again = both(start, problem, Run(Cache(), seed=1))
    assert (made.scores(pool) == again.scores(pool)).all()
    assert np.abs(made.scores(pool) - plain.scores(pool)).max() > 1e-5
    (step,) = made.lineage
    assert step.strategy == "consistency" and step.notes["consistency"] == {
        "rows": 40,
        "kept": True,
    }


def test_rows_held_out_say_whether_it_helps(
    tiny_sources: dict[str, Any], tiny_table: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = tiny_sources["bert"]
    table, more = tiny_table(found, 80), tiny_table(found, 60, seed=4)
    pool = Table(more.frame.select("text"), Roles({"text": "text"}), more.base)
    start, problem = Specialist(found, task := build("multiclass", table)), Problem(task, table)
    short = Finetune(train="top", epochs=2, patience=0)
    plain = short(start, problem, Run(Cache())).scores(pool)
    for gain, kept in ((0.6, True), (0.4, False), (-0.6, False)):
        told = Gain(gain, gain - 0.98, gain + 0.98, 16)  # half of one is a standard error
        monkeypatch.setattr("metier.strategies.consistency.gain_of", lambda *_, told=told: told)
        made = Consistency(short, weight=3.0, unlabeled=pool)(start, problem, Run(Cache()))
        notes = made.lineage[-1].notes["consistency"]
        assert notes["kept"] is kept and notes["gain"] == gain and notes["n"] == 16
        assert bool(np.abs(made.scores(pool) - plain).max() > 1e-5) is kept


def test_where_nothing_can_be_judged_nothing_is_added(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    found = tiny_sources["bert"]
    table, more = tiny_table(found, 24), tiny_table(found, 60, seed=4)
    pool = Table(more.frame.select("text"), Roles({"text": "text"}), more.base)
    start, problem = Specialist(found, task := build("multiclass", table)), Problem(task, table)
    short = Finetune(train="top", epochs=2, patience=0)
    made = Consistency(short, unlabeled=pool)(start, problem, Run(Cache()))
    assert "too few" in made.lineage[-1].notes["consistency"]["reason"]
    alone = short(start, problem, Run(Cache()))
    np.testing.assert_allclose(made.scores(pool), alone.scores(pool), atol=1e-6)


def test_few_labels_run_as_many_epochs_as_the_others_need() -> None:
    strategy = Consistency(passes=2.0, rows=32)
    longer = strategy._longer(Finetune(epochs=2, rows=32), labelled=64, unlabelled=3200)
    assert isinstance(longer, Finetune) and longer.epochs == 100.0  # 200 steps of two an epoch
    fewer = strategy._longer(Finetune(epochs=9, rows=32), labelled=6400, unlabelled=320)
    assert isinstance(fewer, Finetune) and fewer.epochs == 9


def test_a_frozen_recipe_knows_whether_it_helps() -> None:
    for folds, more in (([True, False, True], {}), ([False, True, False], {"weight": 0.0})):
        notes: list[Mapping[str, Any]] = [
            {"epochs": 12.0, "consistency": {"kept": kept}} for kept in folds
        ]
        found = settled(Consistency(Finetune()), {}, notes)
        wanted = {"passes": 0.0, "judged": False, "inner.epochs": 12.0, "inner.patience": 0}
        assert found == {**wanted, **more}


@pytest.mark.parametrize("name", ["consistency(contrast)", "consistency(pretrain(contrast))"])
def test_what_has_no_head_while_it_learns_is_refused_when_composed(name: str) -> None:
    with pytest.raises(ChainError, match="no head until"):
        build_strategy(name, {})


def test_what_cannot_be_is_refused(tiny_sources: dict[str, Any], tiny_table: Tables) -> None:
    table = tiny_table(tiny_sources["bert"], 12)
    task = build("multiclass", table)
    start, problem = Specialist(tiny_sources["bert"], task), Problem(task, table)
    with pytest.raises(ChainError, match="--unlabeled"):
        Consistency()(start, problem, Run(Cache()))
    with pytest.raises(ChainError, match="trains a network"):
        Consistency(Boost(), unlabeled=table)(start, problem, Run(Cache()))
