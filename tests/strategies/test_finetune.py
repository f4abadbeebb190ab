from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from metier.cache import Cache
from metier.space import space
from metier.strategies.finetune import Finetune, layers_for
from metier.strategies.lora import Lora
from metier.strategies.probe import Probe
from metier.tasks import build
from metier.training.net import NetModel
from metier.training.start import give_head
from metier.types import Problem, Run, Specialist, Table

Learn = Callable[..., Specialist]
Tables = Callable[..., Table]


def levels_changed(specialist: Specialist, source: Any) -> set[int]:
    assert isinstance(specialist.model, NetModel)
    old, new = source.load(), specialist.model.net.backbone
    pairs = zip(old.named_parameters(), new.parameters(), strict=True)
    return {old.level_of(name) for (name, one), two in pairs if not torch.equal(one, two)}


@pytest.mark.parametrize(
    ("train", "blocks", "wanted"),
    [("head", 0.5, set()), ("top", 0.34, {3}), ("top", 0.67, {2, 3}), ("all", 0.3, {0, 1, 2, 3})],
)
def test_what_train_names_learns(
    train: Any,
    blocks: float,
    wanted: set[int],
    tiny_sources: dict[str, Any],
    tiny_table: Tables,
    learn: Learn,
) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 40)
    specialist = learn(Finetune(train=train, blocks=blocks, epochs=1), table, "multiclass", source)
    assert levels_changed(specialist, source) == wanted
    (step,) = specialist.lineage
    assert step.strategy == "finetune" and step.parameters["train"] == train
    depth = source.load().depth
    assert step.notes["cached_at"] == min(wanted, default=depth) and step.notes["of"] == depth


def test_regression_learns_more_layers_unless_told(
    tiny_sources: dict[str, Any], tiny_table: Tables, learn: Learn
) -> None:
    assert (layers_for("regression"), layers_for("multiclass")) == ("all", "top")
    source = tiny_sources["bert"]
    for kind, wanted in (("regression", 0), ("multiclass", 3)):
        specialist = learn(Finetune(epochs=1), tiny_table(source, 40, kind), kind, source)
        assert min(levels_changed(specialist, source)) == wanted


@pytest.mark.parametrize("name", ["bert", "mobilenet"])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
def test_it_learns_what_can_be_learned(
    name: str, kind: Any, tiny_sources: dict[str, Any], tiny_table: Tables, learn: Learn
) -> None:
    source = tiny_sources[name]
    table = tiny_table(source, 90, kind)
    specialist = learn(
        Finetune(train="top", blocks=0.7, epochs=12, rate=1e-3, dropout=0.0), table, kind, source
    )
    scores, truth = specialist.scores(table), specialist.task.encode(table)
    if kind == "regression":
        assert np.corrcoef(scores[:, 0], truth)[0, 1] > 0.8
    elif kind == "multilabel":
        assert ((scores > 0) == (truth > 0)).mean() > 0.8
    else:
        assert (scores.argmax(1) == truth).mean() > 0.8


def test_it_begins_where_the_probe_ends(tiny_sources: dict[str, Any], tiny_table: Tables) -> None:
    """Head first (LP-FT): without a step of its own it is the probe."""
    source = tiny_sources["bert"]
    table = tiny_table(source, 40)
    task = build("multiclass", table)
    start, problem, run = Specialist(source, task), Problem(task, table), Run(Cache())
    still = Finetune(train="top", epochs=0.01, rate=0.0, average=0.0)
    probed = Probe()(start, problem, run)
    np.testing.assert_allclose(
        still(start, problem, run).scores(table), probed.scores(table), atol=1e-4
    )
    np.testing.assert_allclose(
        still(probed, problem, run).scores(table), probed.scores(table), atol=1e-4
    )
    bare = Finetune(train="top", epochs=0.01, rate=0.0, average=0.0, head_first=False)
    assert np.abs(bare(start, problem, run).scores(table)).max() < 1e-6


@pytest.mark.parametrize("kind", [Finetune, Lora])
@pytest.mark.parametrize(("patience", "rows"), [(2, 595), (0, 700)])
def test_the_head_has_not_seen_the_rows_to_stop_by(
    kind: Any,
    patience: int,
    rows: int,
    tiny_sources: dict[str, Any],
    tiny_table: Tables,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 700)
    task = build("multiclass", table)
    seen = []

    def watched(model: NetModel, problem: Problem, run: Run, **more: Any) -> Any:
        seen.append(len(problem.train))
        return give_head(model, problem, run, **more)

    monkeypatch.setattr(f"{kind.__module__}.give_head", watched)
    made = kind(epochs=1, patience=patience)(
        Specialist(source, task), Problem(task, table), Run(Cache())
    )
    assert made.lineage[-1].notes["rows"] == seen[0]
    assert abs(seen[0] - rows) <= 3


@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_a_head_that_learns_with_the_rest_needs_no_luck(
    kind: Any, tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 60, kind)
    task = build(kind, table)
    tune = Finetune(train="all", epochs=2, head_first=False)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)  # what happened before must not matter
        start = Specialist(source, task)
        found.append(tune(start, Problem(task, table), Run(Cache())).scores(table))
    assert (found[0] == found[1]).all()
    if kind == "regression":
        truth = task.encode(table)
        assert abs(found[0].mean() - truth.mean()) < truth.std()


def test_dropout_is_gone_when_it_has_learned(
    tiny_sources: dict[str, Any], tiny_table: Tables, learn: Learn
) -> None:
    source = tiny_sources["bert"]
    specialist = learn(Finetune(epochs=1, dropout=0.4), tiny_table(source), "multiclass", source)
    assert isinstance(specialist.model, NetModel) and specialist.model.net.dropout.p == 0.0
    assert not any(p.requires_grad for p in specialist.model.net.parameters())


def test_a_fit_on_rows_of_many_windows(
    tiny_sources: dict[str, Any], tiny_table: Tables, learn: Learn
) -> None:
    source = tiny_sources["long"]
    for train in ("top", "all"):
        specialist = learn(
            Finetune(train=train, epochs=2), tiny_table(source, 40), "multiclass", source
        )
        table = tiny_table(source, 40, seed=1)
        assert np.isfinite(specialist.scores(table)).all()


def test_its_defaults_lie_in_the_ranges_a_search_draws_from() -> None:
    for name, over in space(Finetune).items():
        default = getattr(Finetune(), name)
        if hasattr(over, "values"):
            assert default in over.values or (name, default) == ("train", "auto")
        else:
            assert over.low <= max(default, over.low) <= over.high, name
