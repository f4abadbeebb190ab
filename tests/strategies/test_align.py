"""Alignment: rows of another domain are answered better than without having seen any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from metier.cache import Cache
from metier.errors import ChainError
from metier.strategies.align import Align
from metier.strategies.boost import Boost
from metier.strategies.consistency import Consistency
from metier.strategies.contrast import Contrast
from metier.strategies.finetune import Finetune
from metier.strategies.linear import Linear
from metier.strategies.pretrain import Pretrain
from metier.strategies.probe import Probe
from metier.strategies.reweigh import Reweigh
from metier.tasks import build
from metier.training.around import without_stopping
from metier.training.beside import Beside
from metier.training.feed import Feed
from metier.training.net import NetModel, branch
from metier.training.norms import batch_norms, renormalised
from metier.training.start import feed_for, fresh_net
from metier.types import Problem, Roles, Run, Specialist, Table

Tables = Callable[..., Table]
SHORT = Finetune(train="top", epochs=2, patience=0)
METHODS = ("coral", "mmd", "dann", "mcc", "weight")


def pool_of(table: Table) -> Table:
    inputs = table.roles.inputs
    return Table(table.frame.select(list(inputs)), Roles(inputs), table.base)


@pytest.fixture(scope="module")
def texts(tiny_sources: dict[str, Any], tiny_table: Tables) -> tuple[Specialist, Problem, Table]:
    source = tiny_sources["bert"]
    table, more = tiny_table(source, 60), tiny_table(source, 50, seed=4)
    task = build("multiclass", table)
    return Specialist(source, task), Problem(task, table), pool_of(more)


@pytest.mark.parametrize("method", METHODS)
def test_each_method_learns_something_else_than_without(
    method: Any, texts: tuple[Specialist, Problem, Table]
) -> None:
    start, problem, pool = texts
    plain = SHORT(start, problem, Run(Cache()))
    made = Align(SHORT, method=method, weight=2.0, unlabeled=pool)(start, problem, Run(Cache()))
    (step,) = made.lineage
    assert step.strategy == "align" and step.notes["align"]["method"] == method
    assert step.parameters["unlabeled"] == 50 and step.parameters["inner"]["patience"] == 0
    assert step.notes["cached_at"] > 0  # what is frozen is still computed once
    difference = np.abs(made.scores(pool) - plain.scores(pool)).max()
    assert difference > 1e-5 and np.isfinite(made.scores(pool)).all()


def test_a_probe_is_fitted_on_recoloured_features(
    texts: tuple[Specialist, Problem, Table],
) -> None:
    start, problem, pool = texts
    made = Align(Probe(), unlabeled=pool)(start, problem, Run(Cache()))
    assert made.lineage[-1].notes["align"] == {"method": "coral"}
    assert made.lineage[-1].parameters["inner"]["strategy"] == "probe"
    same = Align(Probe(), unlabeled=pool_of(problem.train))(start, problem, Run(Cache()))
    plain = Probe()(start, problem, Run(Cache()))
    # Its own rows change no colour.
    np.testing.assert_allclose(same.scores(pool), plain.scores(pool), atol=0.05)
    with pytest.raises(ChainError, match="leaves them"):
        Align(Probe(), method="mmd", unlabeled=pool)(start, problem, Run(Cache()))


def test_features_that_have_no_head_yet_are_aligned_as_features(
    texts: tuple[Specialist, Problem, Table],
) -> None:
    start, problem, pool = texts
    short = Contrast(epochs=3, rows=32, rate=1e-3, names=False, head="linear", check=False)
    plain = short(start, problem, Run(Cache()))
    for inner in (short, Reweigh(short), Pretrain(short)):
        with pytest.raises(ChainError, match="no head until"):
            Align(inner, method="mcc", unlabeled=pool)(start, problem, Run(Cache()))
    made = Align(short, weight=3.0, unlabeled=pool)(start, problem, Run(Cache()))
    assert made.lineage[-1].notes["align"] == {"method": "coral"}
    assert np.abs(made.scores(pool) - plain.scores(pool)).max() > 1e-5


def test_batch_norms_take_the_statistics_of_the_domain(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources["mobilenet"]
    table, more = tiny_table(source, 24), tiny_table(source, 24, seed=4)
    task = build("multiclass", table)
    start = Specialist(source, task)
    before = [n.running_mean.clone() for n in batch_norms(source.load())]
    made = Align(Probe(), unlabeled=pool_of(more))(start, Problem(task, table), Run(Cache()))
    assert made.lineage[-1].notes["align"]["method"] == "adabn"
    assert isinstance(made.model, NetModel) and made.source == source
    after = [n.running_mean for n in batch_norms(made.model.net.backbone)]
    assert any(not (b == a).all() for b, a in zip(before, after, strict=True))
    untouched = [n.running_mean for n in batch_norms(source.load())]
    assert all((b == a).all() for b, a in zip(before, untouched, strict=True))


def test_every_row_counts_alike_in_the_statistics(
    tiny_sources: dict[str, Any], tiny_table: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tiny_sources["mobilenet"]
    table = tiny_table(source, 17)
    task = build("multiclass", table)
    model = fresh_net(Specialist(source, task), Problem(task, table))
    sizes: list[int] = []
    read = Feed.inputs

    def counted(feed: Feed, rows: Any, light: bool = False) -> Any:
        sizes.append(len(rows))
        return read(feed, rows, light)

    monkeypatch.setattr(Feed, "inputs", counted)
    monkeypatch.setattr("metier.training.norms.ROWS", 8)
    renormalised(model, table, Run(Cache()))
    assert sorted(sizes) == [5, 6, 6]


def test_rows_beside_are_read_by_the_net_that_learns(
    texts: tuple[Specialist, Problem, Table],
) -> None:
    start, problem, pool = texts
    run = Run(Cache())
    first, learning = (fresh_net(start, problem) for _ in range(2))
    beside = Beside(feed_for(first, pool, run), rows=8)
    net = branch(learning.net, 0)
    with torch.no_grad():
        for name, parameter in net.backbone.named_parameters():
            if net.backbone.level_of(name) < 2:
                parameter += 0.1 * torch.randn_like(parameter)
    net.train()
    was = [module.training for module in net.modules()]
    drawn = beside.draw(net, 2)
    assert [module.training for module in net.modules()] == was
    net.eval()
    own = Feed(net.backbone, learning.preprocess, pool, run.cache)
    own.prepare(2)
    rows = np.array([own.digests.tolist().index(d) for d in drawn.digests.tolist()])
    wanted = own.hidden(rows, 2)
    assert wanted is not None and drawn.hidden is not None
    torch.testing.assert_close(drawn.hidden, wanted)
    old = beside.feed.hidden(rows[:1], 2)
    assert old is not None


def test_no_wrapper_in_between_stops_early() -> None:
    found: Any = without_stopping(Reweigh(Finetune(patience=2)))
    assert found.inner.patience == 0 and isinstance(found, Reweigh)
    longer: Any = Consistency(passes=5.0)._longer(Reweigh(Finetune(epochs=1)), 40, 400)
    assert longer.inner.epochs > 1


def moved(n: int, centre: float, seed: int) -> Table:
    """A curve that a straight line follows on one side only."""
    x = np.random.default_rng(seed).normal(centre, 1.0, n)
    frame = pl.DataFrame({"x": x, "y": np.abs(x)})
    return Table(frame, Roles({"x": "number"}, ("y",)))


def test_rows_like_those_of_the_domain_count_more() -> None:
    table, other = moved(600, 0.0, 0), moved(400, 1.2, 1)
    task = build("regression", table)
    from metier.sources.tabular import Tabular

    start, problem = Specialist(Tabular(), task), Problem(task, table)
    plain = Linear()(start, problem, Run(Cache()))
    aligned = Align(Linear(), unlabeled=pool_of(other))(start, problem, Run(Cache()))
    truth = other.frame["y"].to_numpy()

    def error(made: Specialist) -> float:
        return float(np.abs(made.scores(other)[:, 0] - truth).mean())

    assert error(aligned) < 0.8 * error(plain)
    notes = aligned.lineage[-1].notes["align"]
    assert notes["method"] == "weight" and notes["effective"] < 500


def test_what_does_not_fit_is_refused(texts: tuple[Specialist, Problem, Table]) -> None:
    start, problem, pool = texts
    run = Run(Cache())
    with pytest.raises(ChainError, match="--unlabeled"):
        Align(SHORT)(start, problem, run)
    with pytest.raises(ChainError, match="no batch norms"):
        Align(SHORT, method="adabn", unlabeled=pool)(start, problem, run)
    with pytest.raises(ChainError, match="needs a network"):
        Align(Boost(), method="coral", unlabeled=pool)(start, problem, run)
    numbers = replace(problem, task=replace_kind(problem))
    with pytest.raises(ChainError, match="mcc needs"):
        Align(SHORT, method="mcc", unlabeled=pool)(start, numbers, run)


def replace_kind(problem: Problem) -> Any:
    from metier.tasks.classify import Multilabel

    return Multilabel.from_labels(problem.task.labels)
