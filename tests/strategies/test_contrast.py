from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from metier.cache import Cache
from metier.errors import ChainError
from metier.strategies.contrast import Contrast
from metier.strategies.probe import Probe
from metier.tasks import build
from metier.training.heads import Head, fit_head
from metier.training.net import NetModel
from metier.types import Problem, Run, Specialist, Table

from .conftest import in_groups

Learn = Callable[..., Specialist]
Tables = Callable[..., Table]
QUICK = Contrast(epochs=8, rate=3e-3, blocks=0.7, rows=16, check=False)


@pytest.mark.parametrize("name", ["bert", "mobilenet"])
def test_features_of_a_class_come_together(
    name: str, tiny_sources: dict[str, Any], tiny_table: Tables, learn: Learn
) -> None:
    source = tiny_sources[name]
    table = tiny_table(source, 60)
    long = replace(QUICK, epochs=20, blocks=1.0, names=False)
    changed = learn(long, table, "multiclass", source)
    still = learn(Probe(), table, "multiclass", source)
    truth = changed.task.encode(table)

    def spread(specialist: Specialist) -> float:
        from metier.training.feed import Feed

        assert isinstance(specialist.model, NetModel)
        net = specialist.model.net
        unit = Feed(net.backbone, specialist.model.preprocess, table, Cache()).features()
        unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
        cosines, same = unit @ unit.T, truth[:, None] == truth[None, :]
        return float(cosines[same].mean() - cosines[~same].mean())

    assert spread(changed) > spread(still)
    (step,) = changed.lineage
    assert step.notes["contrasted"] and step.notes["epochs"] == 20


def test_what_stays_frozen_is_computed_once(
    tiny_sources: dict[str, Any], tiny_table: Tables, learn: Learn
) -> None:
    source = tiny_sources["bert"]
    (step,) = learn(replace(QUICK, blocks=0.5), tiny_table(source), "multiclass", source).lineage
    assert 0 < step.notes["cached_at"] < step.notes["of"]


@pytest.mark.parametrize("shots", [1, 2])
@pytest.mark.parametrize("head", ["auto", "linear", "prototype"])
def test_it_works_from_one_row_a_class(
    shots: int, head: Any, tiny_sources: dict[str, Any], tiny_table: Tables, learn: Learn
) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 40)
    few = table.frame.group_by("target", maintain_order=True).head(shots)
    small = replace(table, frame=few.select(table.frame.columns))
    made = learn(replace(Contrast(epochs=2), head=head), small, "multiclass", source)
    assert np.isfinite(made.scores(table)).all()


def test_what_loses_on_rows_left_out_is_not_done(
    tiny_sources: dict[str, Any], tiny_table: Tables
) -> None:
    """Rates that ruin the network: the features stay, and the notes and the recipe say so."""
    source = tiny_sources["bert"]
    table = tiny_table(source, 80)
    task = build("multiclass", table)
    start, problem, run = Specialist(source, task), Problem(task, table), Run(Cache())
    ruinous = Contrast(rate=1.0, epochs=4, blocks=1.0, names=False)
    made = ruinous(start, problem, run)
    notes = made.lineage[0].notes
    assert not notes["contrasted"]
    assert notes["right_contrasted"] < notes["right_untouched"] and notes["left_out"] == 40
    kept, own = made.model, source.load()
    assert isinstance(kept, NetModel)
    for one, two in zip(own.parameters(), kept.net.backbone.parameters(), strict=True):
        assert torch.equal(one, two)
    settled = replace(ruinous, **ruinous.settled([notes]))
    assert settled.epochs == 0.0 and not settled.check
    again = settled(start, problem, run)
    np.testing.assert_array_equal(again.scores(table), made.scores(table))


def test_names_of_labels_teach_only_where_they_are_words(
    tiny_sources: dict[str, Any], tiny_table: Tables, learn: Learn
) -> None:
    source = tiny_sources["bert"]
    words = tiny_table(source, 40)
    codes = words.frame.with_columns(target=pl.col("target").rank("dense").cast(pl.String))
    for table, matters in ((words, True), (replace(words, frame=codes), False)):
        scores = [
            learn(replace(QUICK, epochs=1, names=names), table, "multiclass", source).scores(table)
            for names in (True, False)
        ]
        assert (np.abs(scores[0] - scores[1]).max() > 1e-6) == matters


def test_pictures_with_texts_beside_them_are_learned(
    tiny_sources: dict[str, Any], tiny_table: Tables, learn: Learn
) -> None:
    source = tiny_sources["mobilenet"]
    table = tiny_table(source, 24)
    frame = table.frame.with_columns(text=pl.lit("lost card ") + pl.col("target"))
    roles = replace(table.roles, inputs={**table.roles.inputs, "text": "text"})
    both = replace(table, frame=frame, roles=roles)
    made = learn(replace(QUICK, epochs=1), both, "multiclass", source)
    assert np.isfinite(made.scores(both)).all()


def test_heads_are_fitted_by_the_deadline(
    tiny_sources: dict[str, Any], tiny_table: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 40)
    task = build("multiclass", table)
    asked: list[float | None] = []

    def watched(*given: Any, deadline: float | None = None, **more: Any) -> Head:
        asked.append(deadline)
        return fit_head(*given, **more)

    monkeypatch.setattr("metier.strategies.contrast.fit_head", watched)
    until = time.monotonic() + 300
    run = Run(Cache(), deadline=until)
    Contrast(epochs=1, head="linear")(Specialist(source, task), Problem(task, table), run)
    assert len(asked) > 1 and asked[-1] == until
    assert all(each is not None and each < until for each in asked[:-1])


def test_the_strength_is_chosen_by_groups(
    tiny_sources: dict[str, Any], tiny_table: Tables, learn: Learn
) -> None:
    source = tiny_sources["bert"]
    table = in_groups(tiny_table(source, 40, "binary"), "target")
    alone = replace(table, roles=replace(table.roles, group=None))
    still = Contrast(epochs=0, check=False, names=False, head="linear")
    by_group, by_row = (learn(still, t, "binary", source) for t in (table, alone))
    chosen = [made.lineage[0].notes["strength"] for made in (by_group, by_row)]
    assert chosen[0] < chosen[1]


def test_a_number_has_no_class(
    tiny_sources: dict[str, Any], tiny_table: Tables, learn: Learn
) -> None:
    source = tiny_sources["bert"]
    with pytest.raises(ChainError, match="a number has none"):
        learn(Contrast(), tiny_table(source, 40, "regression"), "regression", source)
