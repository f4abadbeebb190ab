"""The training rows that a model sees as near: a row is nearest to itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from metier.cache import Cache
from metier.sources.tabular import Tabular
from metier.strategies.linear import Linear
from metier.strategies.probe import Probe
from metier.tasks import build
from metier.training.neighbours import nearest, nearness
from metier.types import Problem, Run, Source, Specialist, Strategy, Table
from tests.strategies.conftest import awkward_table, towards


def learned(strategy: Strategy, source: Source, table: Table, kind: Any) -> Specialist:
    task = build(kind, table)
    return strategy(Specialist(source, task), Problem(task, table), Run(Cache()))


def test_a_row_is_as_near_as_can_be_to_itself_in_the_features_of_a_network(
    tiny_sources: dict[str, Any], tiny_table: Callable[..., Table]
) -> None:
    source = tiny_sources["bert"]
    table = tiny_table(source, 25)
    model = learned(Probe(), source, table, "multiclass").model
    found = nearness(model, table.take(range(4)), table)
    assert found is not None
    likeness, told = found
    assert likeness.shape == (4, 25) and "features" in told
    np.testing.assert_allclose(likeness[range(4), range(4)], 1.0, atol=1e-5)
    best = likeness.max(axis=1)
    np.testing.assert_allclose(likeness[range(4), nearest(likeness, 3)[:, 0]], best)


def test_rows_in_the_same_leaves_are_near_to_boosters() -> None:
    pytest.importorskip("lightgbm")
    from metier.strategies.boost import Boost

    table = towards(awkward_table(150), "two")
    model = learned(Boost(trees=20, bags=2), Tabular(), table, "binary").model
    found = nearness(model, table.take([0, 7]), table)
    assert found is not None
    likeness, told = found
    assert likeness[0, 0] == likeness[1, 7] == 1.0 and "leaf" in told
    labels = (table.frame["two"] == "yes").to_numpy()
    near = nearest(likeness, 11)[:, 1:]
    same = (labels[near] == labels[[0, 7]][:, None]).mean()
    assert same > 0.6, "rows that fall into the same leaves mostly have the same label"


def test_other_models_know_no_likeness() -> None:
    table = towards(awkward_table(60), "two")
    model = learned(Linear(), Tabular(), table, "binary").model
    assert nearness(model, table.take([0]), table) is None
    assert nearness(None, table.take([0]), table) is None
