from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metier.cache import Cache
from metier.strategies.finetune import Finetune
from metier.tasks import build
from metier.training import loop
from metier.training.augment import View, Views, augmented
from metier.training.feed import Feed
from metier.training.schedule import Schedule
from metier.training.start import feed_for, fresh_net
from metier.types import Problem, Run, Specialist, Table

from .conftest import Counting, Ready

Tables = Callable[..., Table]
Make = Callable[..., Ready]


@pytest.fixture
def fed(tiny_sources: dict[str, Any], tiny_table: Tables) -> Callable[..., Feed]:
    def make(name: str, n: int = 12, cache: Cache | None = None) -> Feed:
        source = tiny_sources[name]
        table = tiny_table(source, n)
        task = build("multiclass", table)
        model = fresh_net(Specialist(source, task), Problem(task, table))
        return feed_for(model, table, Run(cache or Cache()))

    return make


@pytest.mark.parametrize("name", ["bert", "long", "vit", "mobilenet"])
def test_views_differ_and_keep_the_names_of_their_rows(name: str, fed: Callable[..., Feed]) -> None:
    feed = fed(name)
    views = augmented(feed, "strong", 3, seed=0)
    assert isinstance(views, Views) and len(views.feeds) == 3 and len(views) == len(feed)
    assert (views.digests == feed.digests).all()
    features = [each.features() for each in views.feeds]
    assert np.abs(features[0] - features[1]).max() > 1e-4
    assert np.abs(features[1] - features[2]).max() > 1e-4
    assert set(feed.tokens()) <= set(views.tokens()) if name in ("bert", "long") else True


def test_none_is_the_feed_itself(fed: Callable[..., Feed]) -> None:
    feed = fed("bert")
    assert augmented(feed, "none", 4, 0) is feed and augmented(feed, "light", 1, 0) is feed
    assert feed.seen_in(3) is feed


def test_each_view_is_read_once_before_one_comes_again(fed: Callable[..., Feed]) -> None:
    views = augmented(fed("bert"), "light", 3, seed=5)
    assert isinstance(views, Views)
    for turn in (0, 3, 6):
        assert {id(views.seen_in(turn + k)) for k in range(3)} == {id(f) for f in views.feeds}
    again = Views(views.feeds, 5)
    assert [views.seen_in(e) for e in range(9)] == [again.seen_in(e) for e in range(9)]


@pytest.mark.parametrize("name", ["bert", "vit"])
def test_what_a_view_gives_is_computed_once(
    name: str, fed: Callable[..., Feed], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache()
    first = augmented(fed(name, cache=cache), "light", 3, seed=0)
    assert first.prepare(2) == 2
    second = augmented(fed(name, cache=cache), "light", 3, seed=9)
    monkeypatch.setattr(Feed, "inputs", None)  # nothing is computed again
    assert second.prepare(2) == 2


def test_a_view_follows_from_content_not_from_place(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 10)
    preprocess, view = source.preprocess(["text"]), View(1, "strong")
    one = Feed(source.load(), preprocess, table, Cache(), view=view).features()
    turned = table.take(np.arange(10)[::-1])
    two = Feed(source.load(), preprocess, turned, Cache(), view=view).features()
    np.testing.assert_allclose(one, two[::-1], atol=1e-5)


class Killed(BaseException):
    """A kill, as far as Python can see one."""


@pytest.mark.parametrize("step", [6, 9])
def test_a_killed_fit_reads_the_same_views_when_it_goes_on(
    step: int, ready: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    schedule = Schedule(epochs=4, rate=1e-3, rows=16)

    def begin(then: Callable[[int], None] = lambda _: None) -> Ready:
        made = ready("bert", 2, 60)
        views: Any = augmented(made.feed, "strong", 3, seed=0)
        made.feed = views
        made.objective = Counting(made.objective, then)
        return made

    whole = begin()
    whole.go(schedule)

    def kill(done: int) -> None:
        if done == step:
            raise Killed

    with pytest.raises(Killed):
        begin(kill).go(schedule, folder=tmp_path)
    resumed = begin()
    resumed.go(schedule, folder=tmp_path)
    for name, value in whole.state().items():
        assert torch.equal(value, resumed.state()[name]), name


@pytest.mark.parametrize("name", ["bert", "mobilenet"])
@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_a_strategy_learns_from_views_and_mixtures(
    name: str, kind: Any, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources[name]
    table = tiny_table(source, 60, kind)
    task = build(kind, table)
    start, problem = Specialist(source, task), Problem(task, table)
    plain = Finetune(train="top", epochs=3)
    scores = []
    for tune in (
        plain,
        replace(plain, augment="strong"),
        replace(plain, mixup=0.2),
        replace(plain, augment="light", views=2, mixup=0.2),
    ):
        made = [tune(start, problem, Run(Cache())).scores(table) for _ in range(2)]
        assert (made[0] == made[1]).all() and np.isfinite(made[0]).all()
        scores.append(made[0])
    for one, two in pairwise(scores):
        assert np.abs(one - two).max() > 1e-6
