"""Stopping rows, class weights, units, and what a recipe needs to know of a fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray

from metier.cache import Cache
from metier.errors import Pruned
from metier.strategies.finetune import Finetune
from metier.tasks import build
from metier.training import learn as learning
from metier.training.learn import Loss, learn, settled_schedule
from metier.training.net import NetModel
from metier.training.objectives import Supervised
from metier.training.schedule import Schedule
from metier.training.start import fresh_net
from metier.types import Problem, Roles, Run, Specialist, Table

Tables = Callable[..., Table]


def begin(
    source: Any, table: Table, kind: Any, boundary: int | None = None
) -> tuple[NetModel, Problem]:
    task = build(kind, table)
    return fresh_net(Specialist(source, task), Problem(task, table), boundary), Problem(task, table)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "regression"])
def test_stopping_rows_are_taken_out_only_when_they_can_tell(
    kind: Any, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources["bert"]
    schedule = Schedule(epochs=2, patience=1, head_rate=0.01)
    for n, rows in ((400, 400), (700, 595)):
        model, problem = begin(source, tiny_table(source, n, kind), kind)
        outcome, notes = learn(model, problem, Run(Cache()), schedule, Loss())
        judged = [value for _, _, value in outcome.curve if value is not None]
        assert abs(notes["rows"] - rows) <= 3 and bool(judged) == (n == 700)
    model, problem = begin(source, tiny_table(source, 700, kind), kind)
    _, notes = learn(model, problem, Run(Cache()), replace(schedule, patience=0), Loss())
    assert notes["rows"] == 700


def test_each_class_is_stopped_by_in_its_own_share() -> None:
    targets = np.repeat([0, 1, 2, 3], [700, 199, 100, 1])
    task: Any = type("Task", (), {"kind": "multiclass", "outputs": 4})()
    table = Table(pl.DataFrame({"x": np.arange(1000)}), Roles({"x": "number"}))
    patient = Schedule(patience=1)
    fitting, stopping = learning.stopping_rows(table, targets, task, patient, seed=0)
    assert stopping is not None
    assert sorted([*fitting, *stopping]) == list(range(1000))
    np.testing.assert_allclose(
        np.bincount(targets[stopping], minlength=4), [105, 30, 15, 0], atol=1
    )
    again = learning.stopping_rows(table, targets, task, patient, seed=0)[1]
    other = learning.stopping_rows(table, targets, task, patient, seed=1)[1]
    assert again is not None and other is not None
    assert again.tolist() == stopping.tolist() != other.tolist()


def test_groups_stay_whole_and_time_runs_forward_when_stopping() -> None:
    n = 1000
    random = np.random.default_rng(0)
    group, when = random.integers(0, 100, n), random.permutation(n)
    targets = random.integers(0, 2, n)
    task: Any = type("Task", (), {"kind": "binary", "outputs": 2})()
    frame = pl.DataFrame({"x": np.arange(n), "group": group, "when": when})
    patient = Schedule(patience=1)

    grouped = Table(frame, Roles({"x": "number"}, group="group"))
    fitting, stopping = learning.stopping_rows(grouped, targets, task, patient, seed=0)
    assert stopping is not None and len(stopping) > 50
    assert not set(group[fitting]) & set(group[stopping])

    for seed in range(4):
        fitting, stopping = learning.stopping_rows(grouped, targets, task, patient, seed)
        assert stopping is not None and abs(len(stopping) - 150) < 10

    timed = Table(frame, Roles({"x": "number"}, time="when"))
    fitting, stopping = learning.stopping_rows(timed, targets, task, patient, seed=0)
    assert stopping is not None and when[fitting].max() < when[stopping].min()


@pytest.mark.parametrize("groups", [["large"] * 994 + list("abcdef"), ["one", "other"] * 500])
def test_groups_that_leave_too_few_rows_or_hold_too_many_stop_nothing(groups: list[str]) -> None:
    task: Any = type("Task", (), {"kind": "binary", "outputs": 2})()
    frame = pl.DataFrame({"x": np.arange(1000), "group": groups})
    table = Table(frame, Roles({"x": "number"}, group="group"))
    for seed in range(8):
        fitting, stopping = learning.stopping_rows(
            table, np.arange(1000) % 2, task, Schedule(patience=1), seed
        )
        assert stopping is None and len(fitting) == 1000


@pytest.mark.parametrize("kind", ["binary", "multilabel"])
def test_better_answers_that_are_too_sure_of_themselves_are_better(kind: Any) -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 400)
    named = [["no", "yes"][t] for t in truth]
    labels = pl.Series("y", named if kind == "binary" else [[each] for each in named])
    task = build(kind, Table(labels.to_frame(), Roles({}, ("y",))))
    targets = truth if kind == "binary" else np.eye(2, dtype=np.float32)[truth]

    def scores(right: float, sureness: float) -> NDArray[np.float32]:
        said = np.where(random.random(400) < right, truth, 1 - truth)
        return np.asarray(sureness * (2.0 * np.eye(2)[said] - 1.0), dtype=np.float32)

    loss, wanted = Supervised(task), torch.as_tensor(targets)
    judge = learning.stopping_score(targets, loss)
    early, late = scores(0.8, 0.7), scores(0.9, 8.0)
    assert float(loss.of(torch.tensor(late), wanted)) > float(loss.of(torch.tensor(early), wanted))
    assert judge(late) > judge(early)


@pytest.mark.parametrize("unit", [1.0, 1e6, 1e-5])
def test_regression_learns_in_any_unit(
    unit: float, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 60, "regression")
    values = (table.frame["target"].to_numpy() - 1e5) / 2e3
    frame = table.frame.with_columns(target=values * unit + 7 * unit)
    table = Table(frame, table.roles)
    model, problem = begin(source, table, "regression", 0)
    schedule = Schedule(epochs=25, rate=3e-3, head_rate=1e-2, rows=16)
    learn(model, problem, Run(Cache()), schedule, Loss(), fresh=True)
    found = model.scores(table)[:, 0] / unit - 7
    assert np.corrcoef(found, values)[0, 1] > 0.9
    assert np.abs(found - values).mean() < 0.6 * np.abs(values - values.mean()).mean()


def test_the_centre_and_the_spread_of_large_numbers_are_known() -> None:
    task: Any = type("Task", (), {"kind": "regression"})()
    values = (1e20 * np.arange(30)).astype(np.float32)
    centre, scale = learning.standardised(values, task)
    assert (centre, scale) == (pytest.approx(14.5e20), pytest.approx(1e20 * np.arange(30).std()))


def test_a_fitted_head_is_where_a_regression_begins(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 60, "regression")
    model, problem = begin(source, table, "regression")
    model.net.set_head(np.full((1, 32), 3.0), np.full(1, 1e5))
    before = model.scores(table)
    schedule = Schedule(epochs=0.1, head_rate=0.0)
    learn(model, problem, Run(Cache()), schedule, Loss())
    np.testing.assert_allclose(model.scores(table), before, rtol=1e-5)


def test_balanced_answers_the_rare_class_more_often(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 80, "binary")
    lost = np.flatnonzero(table.frame["target"] == "card lost")
    rare = np.flatnonzero(table.frame["target"] != "card lost")[:5]
    table = table.take(np.concatenate([lost, rare]))
    means = []
    for balanced in (False, True):
        model, problem = begin(source, table, "binary")
        learn(
            model,
            problem,
            Run(Cache()),
            Schedule(epochs=4, head_rate=0.02),
            Loss(balanced=balanced),
        )
        target = problem.task.labels.index("refund")
        means.append(float((model.scores(table).argmax(1) == target).mean()))
    assert means[1] > means[0]


def test_a_fit_that_is_cut_leaves_no_gradients_and_the_unit_of_the_head(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 60, "regression")
    model, problem = begin(source, table, "regression", 0)
    model.net.set_head(np.full((1, 32), 3.0), np.full(1, 1e5))
    with pytest.raises(Pruned):
        learn(model, problem, Run(Cache(), deadline=0.0), Schedule(epochs=9), Loss())
    assert not any(p.requires_grad for p in model.net.parameters())
    assert float(model.net.head.bias) == pytest.approx(1e5, rel=0.1)


def test_a_recipe_settles_on_the_median_of_the_epochs_kept() -> None:
    notes = [{"epochs": 5.0}, {"epochs": 1.0}, {"epochs": 2.0}]
    assert settled_schedule(notes) == {"epochs": 2.0, "patience": 0}
    assert settled_schedule([{"epochs": 0.0}]) == {"epochs": 0.1, "patience": 0}
    assert replace(Finetune(), **settled_schedule(notes)).patience == 0


def test_the_notes_tell_what_was_done(tiny_sources: dict[str, Any], tiny_table: Tables) -> None:
    source = tiny_sources["bert"]
    model, problem = begin(source, tiny_table(source, 64), "multiclass", 2)
    outcome, notes = learn(model, problem, Run(Cache()), Schedule(epochs=2), Loss())
    assert notes["steps"] == outcome.steps == 4 and notes["epochs"] == 2.0
    assert (notes["cached_at"], notes["of"], notes["shortened"]) == (2, 5, False)
    assert (
        notes["curve"]
        and torch.isfinite(torch.tensor([loss for _, loss, _ in notes["curve"]])).all()
    )
