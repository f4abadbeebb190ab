"""Learning from a teacher: what it says is kept, and the loss is least when it is met."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from metier.cache import Cache
from metier.deploy.finished import Finished
from metier.errors import Pruned
from metier.strategies.probe import Probe
from metier.tasks import build
from metier.training.compression.teaching import Lesson, Taught, hear, narrow, widening
from metier.training.feed import Feed
from metier.training.net import NetModel
from metier.training.objectives import Batch, Supervised
from metier.types import Problem, Run, Specialist, Table

Tables = Callable[..., Table]
KINDS = ("binary", "multiclass", "multilabel", "regression")


def taught(kind: Any, table: Table, source: Any) -> Specialist:
    task = build(kind, table)
    return Probe()(Specialist(source, task), Problem(task, table), Run(Cache()))


def net_of(specialist: Specialist) -> NetModel:
    assert isinstance(specialist.model, NetModel)
    return specialist.model


def batch_of(specialist: Specialist, table: Table, rows: Any) -> Batch:
    model = net_of(specialist)
    feed = Feed(model.net.backbone, model.preprocess, table, Cache())
    targets = torch.as_tensor(specialist.task.encode(table)[rows])
    return Batch(feed.inputs(rows), None, 0, targets, feed.digests[rows])


@pytest.fixture(scope="module")
def given(tiny_sources: dict[str, Any], tiny_table: Tables) -> Callable[..., Any]:
    """A specialist and its rows, by kind of task."""
    known: dict[str, tuple[Specialist, Table]] = {}

    def make(kind: str) -> tuple[Specialist, Table]:
        if kind not in known:
            table = tiny_table(tiny_sources["bert"], 30, kind)
            known[kind] = (taught(kind, table, tiny_sources["bert"]), table)
        return known[kind]

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_a_net_is_heard_once_with_its_features(kind: str, given: Any) -> None:
    specialist, table = given(kind)
    cache = Cache()
    lesson = hear(
        net_of(specialist), [table.take(range(10, 30)), table.take(range(10))], Run(cache)
    )
    scores = specialist.scores(table)
    at = lesson.at(table.digests)
    tolerance = 1e-4 * max(1.0, float(np.abs(scores).max()))
    np.testing.assert_allclose(lesson.scores[at], scores, atol=tolerance)
    assert lesson.features is not None and lesson.features.shape == (30, 32)
    with pytest.raises(Pruned):
        hear(net_of(specialist), [table], Run(Cache(), deadline=0.0))
    again = hear(net_of(specialist), [table], Run(cache, deadline=0.0))
    # Nothing is left to hear: it came in no time. Another order of rows rounds otherwise.
    np.testing.assert_allclose(again.scores[again.at(table.digests)], scores, atol=tolerance)


def test_a_finished_graph_is_heard_by_its_scores(given: Any) -> None:
    specialist, table = given("multiclass")
    model = net_of(specialist)
    graph = Finished(model.graph().SerializeToString(), model.preprocess, model.parameters)
    lesson = hear(graph, [table], Run(Cache()))
    assert lesson.features is None
    np.testing.assert_allclose(lesson.scores, specialist.scores(table), atol=1e-4)
    with pytest.raises(Pruned):
        hear(graph, [table], Run(Cache(), deadline=0.0))


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_least_where_the_teacher_is_met(kind: str, given: Any) -> None:
    specialist, table = given(kind)
    net = net_of(specialist).net
    head = (net.head.weight.detach().clone(), net.head.bias.detach().clone())
    lesson = hear(net_of(specialist), [table], Run(Cache()))
    loss = Taught(Supervised(specialist.task), lesson, alpha=1.0, temperature=3.0, hidden=1.0)
    batch = batch_of(specialist, table, np.arange(12))
    with torch.no_grad():
        met = float(loss(net, batch))
        net.head.weight.add_(torch.randn(head[0].shape) * head[0].abs().mean())
        missed = float(loss(net, batch))
        net.head.weight.copy_(head[0])
    scale = float(np.abs(lesson.scores).max()) ** 2 if kind == "regression" else 1.0
    assert abs(met) < 1e-5 * max(scale, 1.0) and missed > met + 1e-4


def test_regression_is_told_in_the_units_of_the_loss(given: Any) -> None:
    specialist, table = given("regression")
    net = net_of(specialist).net
    lesson = hear(net_of(specialist), [table], Run(Cache()))
    batch = batch_of(specialist, table, np.arange(6))
    with torch.no_grad():
        raw = net(batch.inputs)
        wanted = torch.from_numpy(lesson.scores[:6])
        found = Taught(Supervised(specialist.task, centre=3.0, scale=7.0), lesson, alpha=1.0)(
            net, batch
        )
    assert float(found) == pytest.approx(
        float(((raw - (wanted - 3.0) / 7.0) ** 2).mean()), rel=1e-4
    )


def test_alpha_is_the_share_of_the_teacher(given: Any) -> None:
    specialist, table = given("multiclass")
    net, task = net_of(specialist).net, specialist.task
    lesson = hear(net_of(specialist), [table], Run(Cache()))
    other = replace(lesson, scores=lesson.scores[:, ::-1].copy())
    batch = batch_of(specialist, table, np.arange(12))
    with torch.no_grad():
        hard = float(Supervised(task)(net, batch))
        none, half, full = (
            float(Taught(Supervised(task), other, alpha=alpha)(net, batch))
            for alpha in (0.0, 0.5, 1.0)
        )
    assert none == pytest.approx(hard, rel=1e-5)
    assert half == pytest.approx((none + full) / 2, rel=1e-5) and full > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_in_pieces_teaches_what_the_whole_does(kind: str, given: Any) -> None:
    specialist, table = given(kind)
    net = net_of(specialist).net.eval()
    lesson = hear(net_of(specialist), [table], Run(Cache()))
    turned = replace(lesson, scores=lesson.scores[::-1].copy())
    loss = Taught(Supervised(specialist.task), turned, alpha=0.6, hidden=0.5)
    parts = [np.arange(10), np.arange(10, 17)]
    batches = [batch_of(specialist, table, rows) for rows in (np.arange(17), *parts)]
    counts = [loss.counted(batch.targets) for batch in batches]
    assert counts == [17, 10, 7]
    with torch.no_grad():
        whole, first, second = (float(loss(net, batch)) for batch in batches)
    assert (10 * first + 7 * second) / 17 == pytest.approx(whole, rel=1e-4)


def test_it_comes_in_pieces_only_where_it_is_a_mean_of_rows(given: Any) -> None:
    specialist, table = given("multiclass")
    lesson = hear(net_of(specialist), [table], Run(Cache()))
    batch = batch_of(specialist, table, np.arange(12))
    weights = torch.linspace(0.2, 3.0, len(specialist.task.labels))
    weighed = Taught(Supervised(specialist.task, weights), lesson)
    feed = Feed(net_of(specialist).net.backbone, net_of(specialist).preprocess, table, Cache())
    beside = Taught(Supervised(specialist.task), lesson, more=feed)
    assert weighed.counted(batch.targets) is None and beside.counted(batch.targets) is None


def test_rows_without_labels_follow_from_the_seed_and_are_others_at_each_step(given: Any) -> None:
    """A checkpoint holds torch's random numbers; and where there are so few labelled rows that all
    steps see the same ones, they must not see the same unlabelled ones too."""
    specialist, table = given("multiclass")
    model = net_of(specialist)
    lesson = hear(model, [table], Run(Cache()))
    turned = replace(lesson, scores=-lesson.scores)
    more = Feed(model.net.backbone, model.preprocess, table.take(range(20, 30)), Cache())
    loss = Taught(Supervised(specialist.task), turned, alpha=1.0, more=more, rows=3)
    assert list(loss.feeds) == [more]
    batch = batch_of(specialist, table, np.arange(6))

    def values(objective: Taught) -> list[float]:
        torch.manual_seed(0)
        with torch.no_grad():
            return [float(objective(model.net, batch)) for _ in range(8)]

    assert values(loss) == values(replace(loss))
    assert len(set(values(loss))) > 1


def test_unlike_widths_are_joined_by_a_layer_that_learns(given: Any) -> None:
    specialist, table = given("multiclass")
    lesson = hear(net_of(specialist), [table], Run(Cache()))
    wide = replace(lesson, features=np.repeat(lesson.features, 2, axis=1))
    net = net_of(specialist).net
    assert widening(net, 32, 0) is None
    layer = widening(net, 64, 0)
    names = dict(net.backbone.named_parameters())
    assert layer is not None and any(layer.weight is p for p in names.values())
    loss = Taught(Supervised(specialist.task), wide, alpha=0.0, hidden=1.0, widen=layer)
    loss(net, batch_of(specialist, table, np.arange(6))).backward()
    assert layer.weight.grad is not None and layer.weight.grad.abs().max() > 0
    narrow(net)
    narrow(net)
    assert not any("widen" in name for name, _ in net.named_parameters())
    net.zero_grad()


def test_a_row_that_was_never_heard_is_an_error() -> None:
    lesson = Lesson(np.array([4, 9], dtype=np.uint64), np.zeros((2, 2), dtype=np.float32))
    assert lesson.at(np.array([9, 4, 9], dtype=np.uint64)).tolist() == [1, 0, 1]
    with pytest.raises(KeyError):
        lesson.at(np.array([5], dtype=np.uint64))
