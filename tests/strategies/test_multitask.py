"""One fit for several tasks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from metier.cache import Cache
from metier.errors import Pruned
from metier.evidence.metrics import measure
from metier.runtime.postprocess import Decision
from metier.strategies.adversarial import Adversarial
from metier.strategies.chain import Chain
from metier.strategies.finetune import Finetune
from metier.strategies.multitask import Multitask
from metier.strategies.probe import Probe
from metier.tasks import build
from metier.training.heads import fit_head
from metier.training.multitask import several
from metier.training.net import NetModel
from metier.training.schedule import Schedule
from metier.types import Problem, Run, Specialist, Table
from tests import tiny

Tables = Callable[..., Table]
QUICK = Multitask(epochs=2, patience=0)


def problems(n: int = 60) -> list[Problem]:
    """The same texts with a class, a number and labels, the number for some rows only."""
    found = []
    for kind, rows in (("multiclass", n), ("regression", n // 2), ("multilabel", n)):
        table = tiny.labelled_texts(n, kind).take(range(rows))
        found.append(Problem(build(kind, table), table))
    return found


def together(source: Any, given: list[Problem], cache: Cache, **more: Any) -> list[Specialist]:
    start = Specialist(source, given[0].task)
    return list(replace(QUICK, **more).together(start, given, Run(cache)))


def test_tasks_of_every_kind_learn_in_one_network(tiny_sources: dict[str, Any]) -> None:
    given = problems()
    made = together(tiny_sources["bert"], given, Cache(), epochs=15, rate=1e-3)
    backbones = set()
    for each, problem in zip(made, given, strict=True):
        assert isinstance(each.model, NetModel)
        backbones.add(id(each.model.net.backbone))
        scores = each.scores(problem.train)
        metric = problem.task.metrics[0]
        plain = Decision(problem.task.kind, problem.task.labels)
        found = measure(metric, problem.task.encode(problem.train), scores, plain)
        spread = float(problem.task.encode(problem.train).std())
        assert found > 0.7 if problem.task.kind != "regression" else found < 0.8 * spread
    assert len(backbones) == 1


def test_whoever_asks_gets_the_same_fit(
    tiny_sources: dict[str, Any],
) -> None:
    given, cache = problems(), Cache()
    made = together(tiny_sources["bert"], given, cache)
    for mine, problem in enumerate(given):
        others = tuple(p for p in given if p is not problem)
        start = Specialist(tiny_sources["bert"], problem.task)
        alone = replace(QUICK, others=others)(start, problem, Run(cache))
        assert alone.model is made[mine].model
        assert alone.lineage[-1].parameters["others"] == 2
    fresh = together(tiny_sources["bert"], given[::-1], Cache())[::-1]
    for one, two, problem in zip(made, fresh, given, strict=True):
        assert (one.scores(problem.train) == two.scores(problem.train)).all()
    assert together(tiny_sources["bert"], given, cache, rate=5e-4)[0].model is not made[0].model


def test_what_goes_around_it_is_not_forgotten(tiny_sources: dict[str, Any]) -> None:
    given, run = problems(40), Run(Cache())
    start = Specialist(tiny_sources["bert"], given[0].task)
    strategy = replace(QUICK, others=tuple(given[1:]))
    plain = strategy(start, given[0], run)
    hard = Adversarial(strategy, variant="embeddings", shift=1.0)
    made = hard(start, given[0], run)
    assert made.model is not plain.model
    text = given[0].train
    assert np.abs(made.scores(text) - plain.scores(text)).max() > 1e-6
    assert strategy(start, given[0], run).model is plain.model, "the plain one is still known"


def test_heads_are_fitted_by_the_deadline(
    tiny_sources: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = problems(40)
    asked: list[float | None] = []

    def watched(*_: Any, deadline: float | None = None, **__: Any) -> Any:
        asked.append(deadline)
        raise Pruned("out of time")

    monkeypatch.setattr(several, "fit_head", watched)
    until = time.monotonic() + 60
    start = Specialist(tiny_sources["bert"], given[0].task)
    with pytest.raises(Pruned):
        QUICK.together(start, given, Run(Cache(), deadline=until))
    assert asked == [until]


def test_the_strength_is_chosen_by_the_groups_of_each_task(
    tiny_sources: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    group, given = np.arange(60) // 6, []
    bound = (("group", 1), ("group", -1), (None, -1))
    for (name, turned), problem in zip(bound, problems(), strict=True):
        frame = problem.train.frame.with_columns(group=group[: len(problem.train)])[::turned]
        roles = replace(problem.train.roles, group=name)
        given.append(Problem(problem.task, Table(frame, roles)))
    asked: list[Any] = []

    def watched(features: Any, *rest: Any, folds: Any, **more: Any) -> Any:
        asked.append((len(features), folds))
        return fit_head(features, *rest, folds=folds, **more)

    monkeypatch.setattr(several, "fit_head", watched)
    source = tiny_sources["bert"]
    how = several.Several(Schedule(epochs=0.1), source.load().depth)
    several.learn_together(Specialist(source, given[0].task), given, Run(Cache()), how)
    for n, folds in asked[:2]:
        assert sorted(np.concatenate([judge for _, judge in folds])) == list(range(n))
        for fit, judge in folds:  # the rows stand as in the first table
            assert not set(group[fit]) & set(group[judge])
    assert [n for n, _ in asked] == [60, 30, 60] and asked[2][1] is None


def test_it_follows_what_has_learned_and_is_followed(tiny_sources: dict[str, Any]) -> None:
    first, *rest = problems()
    chain = Chain((Probe(), replace(QUICK, others=tuple(rest)), Finetune(epochs=1)))
    made = chain(Specialist(tiny_sources["bert"], first.task), first, Run(Cache()))
    assert [step.strategy for step in made.lineage] == ["probe", "multitask", "finetune"]
    assert made.scores(first.train).shape == (len(first.train), 3)


def test_pictures_of_two_files(tiny_sources: dict[str, Any], tiny_table: Tables) -> None:
    source = tiny_sources["mobilenet"]
    tables = [tiny_table(source, 24, "binary", 1), tiny_table(source, 30, "regression", 2)]
    given = [
        Problem(build(kind, table), table)
        for kind, table in zip(("binary", "regression"), tables, strict=True)
    ]
    made = together(source, given, Cache())
    for each, problem in zip(made, given, strict=True):
        assert np.isfinite(each.scores(problem.train)).all()


def test_columns_of_another_name_are_read_by_their_own_bundle(
    tiny_sources: dict[str, Any],
) -> None:
    one, two = problems()[0], problems(40)[0]
    roles = replace(two.train.roles, inputs={"review": "text"})
    renamed = replace(two.train, frame=two.train.frame.rename({"text": "review"}), roles=roles)
    made = together(tiny_sources["bert"], [one, Problem(two.task, renamed)], Cache())
    assert made[1].model is not None
    assert made[1].model.preprocess.spec()["columns"] == ["review"]
    assert np.isfinite(made[1].scores(renamed)).all()


def test_rows_are_weighed(tiny_sources: dict[str, Any]) -> None:
    given = problems()
    frame = given[0].train.frame.with_columns(w=pl.Series(np.linspace(0.1, 4, 60)))
    roles = replace(given[0].train.roles, weight="w")
    heavier = Problem(given[0].task, replace(given[0].train, frame=frame, roles=roles))
    plain = together(tiny_sources["bert"], given, Cache())[0]
    weighed = together(tiny_sources["bert"], [heavier, *given[1:]], Cache())[0]
    assert np.abs(plain.scores(given[0].train) - weighed.scores(given[0].train)).max() > 1e-4
