"""Thresholds by group: the scores stay, the rule is fitted elsewhere and travels in the bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import metier
from metier.cache import Cache
from metier.deploy.bundle import write_bundle
from metier.errors import OptionError
from metier.road.bundles.export import export_bundle
from metier.runtime.postprocess import Decision
from metier.search.finals import rule_of
from metier.search.recipe import Recipe
from metier.strategies.linear import Linear
from metier.strategies.threshold import Threshold
from metier.tasks import build
from metier.types import Run, Specialist

from .people import people


@pytest.fixture
def made(learn: Callable[..., Specialist]) -> Specialist:
    return learn(Threshold(Linear()), people(), "binary")


def test_scores_are_those_of_what_it_wraps(
    made: Specialist, learn: Callable[..., Specialist]
) -> None:
    rows = people(50, seed=2)
    assert (made.scores(rows) == learn(Linear(), people(), "binary").scores(rows)).all()
    assert made.lineage[0].parameters["inner"]["strategy"] == "linear"


def test_the_rule_is_found_in_whatever_it_is_wrapped() -> None:
    inside = Recipe("reweigh(threshold(linear))", "none", {"inner.limit": 0.0})
    assert rule_of(inside) is not None
    assert rule_of(Recipe("reweigh(linear)", "none")) is None


def test_a_bundle_decides_by_group_without_the_column_being_an_input(
    made: Specialist, tmp_path: Path
) -> None:
    table, fitting = people(), people(1500, seed=4)
    task = build("binary", table)
    plain = Decision("binary", task.labels)
    strategy = Threshold(Linear(), limit=0.0, disparity="parity")
    decision = strategy.decided(plain, made.scores(fitting), task.encode(fitting), fitting)
    assert decision.groups is not None and set(decision.groups.thresholds) == {"f", "m"}
    folder = tmp_path / "run" / "specialist"
    write_bundle(made, folder, decision=decision, sample=table, card="# card", facts={})
    bundle = metier.load(folder)
    assert [c.name for c in bundle.manifest.columns] == ["skill", "town", "sex"]
    rows = people(200, seed=5)
    given = {name: rows.frame[name].to_list() for name in ("skill", "town", "sex")}
    found = bundle.predict(given)
    assert found.answers == decision.at(given).answers(made.scores(rows)) and not found.warnings
    assert found.answers != plain.answers(made.scores(rows))
    unknown = bundle.predict({**given, "sex": ["x"] * 199 + [None]})
    assert unknown.answers == plain.answers(made.scores(rows))
    assert "200 rows of a missing or unknown group" in unknown.warnings[0]
    without = bundle.predict({name: given[name] for name in ("skill", "town")})
    assert without.answers == unknown.answers
    probabilities = found.probabilities
    assert probabilities is not None
    assert np.allclose(probabilities, plain.probabilities(made.scores(rows)), atol=1e-5)
    with pytest.raises(OptionError, match="--allow-group-thresholds"):
        export_bundle(folder, "web", tmp_path / "out")
    assert (export_bundle(folder, "onnx", tmp_path / "out") / "model.onnx").is_file()


def test_a_run_of_its_own_needs_nothing_else(tmp_path: Path) -> None:
    table = people(200)
    task = build("binary", table)
    from metier.sources.tabular import Tabular
    from metier.types import Problem

    start = Specialist(Tabular(), task)
    assert Threshold()(start, Problem(task, table), Run(Cache())).form == "booster"
