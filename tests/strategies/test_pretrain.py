"""Reading before learning: masked words are said better, and the source is left as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from metier.cache import Cache
from metier.errors import ChainError
from metier.strategies.finetune import Finetune
from metier.strategies.pretrain import Pretrain
from metier.strategies.probe import Probe
from metier.tasks import build
from metier.training.schedule import Schedule
from metier.training.start import fresh_net
from metier.training.unlabelled.masked import learn_words
from metier.types import Problem, Roles, Run, Specialist, Table
from tests import tiny

Tables = Callable[..., Table]


def phrases(n: int) -> Table:
    """Texts in which one word follows from the one before it."""
    random = np.random.default_rng(0)
    pairs = ("card lost", "refund now", "invoice wrong")
    texts = [" ".join(random.choice(pairs, 4)) for _ in range(n)]
    return Table(pl.DataFrame({"text": texts}), Roles({"text": "text"}))


@pytest.mark.parametrize("source", ["bert", "roberta"])
def test_words_are_learned(source: str, tiny_sources: dict[str, Any]) -> None:
    found = tiny_sources[source]
    texts = phrases(200)
    problem = Problem(build("binary", tiny.labelled_texts(10, "binary")), texts)
    model = fresh_net(Specialist(found, problem.task), problem, 0)
    outcome = learn_words(model, texts, Schedule(epochs=25, rate=5e-3), Run(Cache()))
    losses = [loss for _, loss, _ in outcome.curve]
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:3])
    assert not hasattr(model.net.backbone, "words")


def test_the_task_is_learned_from_what_was_read(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 40)
    task = build("multiclass", table)
    start, problem = Specialist(source, task), Problem(task, table)
    before = {k: v.clone() for k, v in source.load().state_dict().items()}
    strategy = Pretrain(Probe(), passes=4, pace=1e-3, unlabeled=phrases(60))
    run = Run(Cache())
    made = strategy(start, problem, run)
    (step,) = made.lineage
    assert step.strategy == "pretrain" and step.parameters["unlabeled"] == 60
    assert step.notes["pretrain"]["texts"] == 60 and made.source == source
    assert np.abs(made.scores(table) - Probe()(start, problem, run).scores(table)).max() > 1e-4
    after = source.load().state_dict()
    assert all((value == after[key]).all() for key, value in before.items())


def test_texts_are_read_once_for_all_folds(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources["bert"]
    table, run = tiny_table(source, 40), Run(Cache())
    task = build("multiclass", table)
    strategy = Pretrain(Finetune(train="head", epochs=1, patience=0), unlabeled=phrases(30))
    start = Specialist(source, task)
    one = strategy(start, Problem(task, table.take(range(30))), run)
    kept = dict(run.cache.memory["pretrain"])
    two = strategy(start, Problem(task, table.take(range(10, 40))), run)
    assert run.cache.memory["pretrain"] == kept and len(kept) == 1
    assert one.lineage[-1].notes["pretrain"] == two.lineage[-1].notes["pretrain"]


def test_what_reads_no_texts_is_refused(tiny_sources: dict[str, Any], tiny_table: Tables) -> None:
    table = tiny_table(tiny_sources["vit"], 8)
    task = build("multiclass", table)
    start = Specialist(tiny_sources["vit"], task)
    with pytest.raises(ChainError, match="reads texts"):
        Pretrain(Probe())(start, Problem(task, table), Run(Cache()))
