"""Thinned boosters are really smaller, judged on rows that boosters like them had not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metier.cache import Cache
from metier.deploy.booster import Booster
from metier.errors import ChainError, Pruned
from metier.sources.tabular import Tabular, open_tabular
from metier.strategies.boost import Boost
from metier.strategies.fuse import Fuse
from metier.strategies.linear import Linear
from metier.strategies.thin import Thin
from metier.tasks import build
from metier.training.fused import Fused
from metier.types import Floats, Problem, Run, Specialist, Table

from .conftest import TARGETS, awkward_table, towards

pytest.importorskip("lightgbm")
Learn = Callable[..., Specialist]
ByGraph = Callable[[Specialist, Table], Floats]
QUICK = Boost(trees=40, leaves=8, bags=2)


def size(specialist: Specialist) -> int:
    assert specialist.model is not None
    return specialist.model.parameters


@pytest.mark.parametrize("kind", TARGETS)
def test_it_is_smaller_in_the_text_and_in_the_graph(
    kind: str, learn: Learn, by_graph: ByGraph, strange: Table, tmp_path: Path
) -> None:
    table = towards(awkward_table(), *TARGETS[kind])
    whole = learn(QUICK, table, kind)
    small = learn(Thin(tolerance=0.1), table, kind, start=whole)
    assert size(small) < size(whole)
    np.testing.assert_allclose(by_graph(small, strange), small.scores(strange), atol=1e-4)
    assert whole.model is not None and small.model is not None
    assert small.model.graph().ByteSize() < whole.model.graph().ByteSize()
    for name, specialist in (("whole", whole), ("small", small)):
        assert specialist.model is not None
        specialist.model.save(tmp_path / name)
    bytes_of = [
        sum(path.stat().st_size for path in (tmp_path / name).iterdir())
        for name in ("whole", "small")
    ]
    assert bytes_of[1] < bytes_of[0]
    notes = small.lineage[-1].notes
    assert notes["unseen"] and notes["splits_and_leaves"] == size(small)
    assert notes["loss"] <= notes["of_loss"] * 1.1


def test_nothing_may_be_lost_means_hardly_anything_goes(learn: Learn) -> None:
    table = towards(awkward_table(), *TARGETS["regression"])
    whole = learn(QUICK, table, "regression")
    careful = learn(Thin(tolerance=0.0), table, "regression", start=whole)
    careless = learn(Thin(tolerance=5.0), table, "regression", start=whole)
    assert size(careless) < size(careful) <= size(whole)
    notes = careful.lineage[-1].notes
    assert notes["loss"] <= notes["of_loss"]


def test_new_rows_are_answered_about_as_well(learn: Learn) -> None:
    rows = towards(awkward_table(900), *TARGETS["regression"])
    table, new = rows.take(range(500)), rows.take(range(500, 900))
    whole = learn(Boost(bags=2), table, "regression")
    small = learn(Thin(tolerance=0.02), table, "regression", start=whole)
    truth = whole.task.encode(new)
    errors = [float(np.mean((s.scores(new)[:, 0] - truth) ** 2)) for s in (whole, small)]
    assert size(small) < 0.9 * size(whole)
    assert errors[1] < 1.1 * errors[0]


def test_a_booster_with_another_past_is_judged_as_it_is(learn: Learn, tmp_path: Path) -> None:
    table = towards(awkward_table(), *TARGETS["binary"])
    first = learn(QUICK, table, "binary")
    twice = learn(QUICK, table, "binary", start=first)
    small = learn(Thin(tolerance=0.2), table, "binary", start=twice)
    notes = small.lineage[-1].notes
    assert not notes["unseen"] and notes["boosters"] == 1.0
    assert size(small) <= size(twice)
    model = first.model
    assert isinstance(model, Booster)
    path = tmp_path / "given.txt"
    path.write_text(model.members[0].text)
    given = learn(QUICK, table, "binary", open_tabular(str(path)))
    again = learn(Thin(), table, "binary", start=given)
    assert not again.lineage[-1].notes["unseen"]


def test_trees_over_a_network_are_thinned(
    learn: Learn, tiny_sources: dict[str, Any], tiny_table: Callable[..., Table], by_graph: ByGraph
) -> None:
    table = tiny_table(tiny_sources["bert"], 80, "multiclass")
    whole = learn(Fuse(QUICK), table, "multiclass", tiny_sources["bert"])
    small = learn(Thin(tolerance=0.2), table, "multiclass", start=whole)
    assert isinstance(small.model, Fused) and isinstance(whole.model, Fused)
    assert small.model.inner.parameters < whole.model.inner.parameters
    assert small.model.net is whole.model.net and small.lineage[-1].notes["unseen"]
    np.testing.assert_allclose(by_graph(small, table), small.scores(table), atol=1e-4)


def test_what_has_no_trees_is_refused(
    learn: Learn, tiny_sources: dict[str, Any], tiny_table: Callable[..., Table]
) -> None:
    table = tiny_table(tiny_sources["bert"], 40, "binary")
    fused = learn(Fuse(Linear(strength=1.0)), table, "binary", tiny_sources["bert"])
    with pytest.raises(ChainError, match="a sum of boosters"):
        learn(Thin(), table, "binary", start=fused)


def test_too_few_rows_and_too_little_time() -> None:
    table = towards(awkward_table(), *TARGETS["regression"])
    task = build("regression", table)
    whole = QUICK(Specialist(Tabular(), task), Problem(task, table), Run(Cache()))
    few = Thin()(whole, Problem(task, table.take(range(3))), Run(Cache()))
    assert size(few) == size(whole) and few.lineage[-1].notes == {"rows": 0}
    with pytest.raises(Pruned):
        Thin()(whole, Problem(task, table), replace(Run(Cache()), deadline=-1.0))
