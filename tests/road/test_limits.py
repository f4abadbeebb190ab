"""Limits: kept to in the time there is, also by a run that goes on, and checked on what is handed
over."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from metier.cache import Cache
from metier.data.splits import split
from metier.errors import Pruned
from metier.road.limits import DECIDED, Fitting, as_delivered, fit_limits
from metier.search.choice import Climb, choose
from metier.search.clock import Clock
from metier.search.finals import decide
from metier.search.front import Compression, Limits, Side
from metier.search.race import Race
from metier.search.recipe import Recipe
from metier.search.records import Candidate
from metier.tasks import build
from metier.types import Finding, Roles, Table
from tests.strategies.people import people

COST = (
    Finding("size", "", 20_000_000.0),
    Finding("latency", "", 0.004, details={"p95": 0.006}),
    Finding("throughput", "", 900.0),
)
PROOF = Finding("accuracy", "", 0.9, 0.88, 0.92, 500)
SIDE = Side(80_000_000, 0.01, 0.012, 0.015, 100.0, None, 0.9, 0.88, 0.92, 200)
TAKEN = Compression(Limits(size=12_000_000), SIDE, (), "trim > quantize", True, "half as large")


def test_without_time_to_try_the_bundle_itself_is_measured() -> None:
    found = as_delivered(None, Limits(size=25_000_000), COST, PROOF)
    assert found.met and found.chosen == ""
    assert (found.parent.bytes, found.parent.p95, found.parent.n) == (20_000_000, 0.006, 500)
    missed = as_delivered(None, Limits(latency=0.001), COST, PROOF)
    assert not missed.met
    assert "no time to try smaller ones" in missed.verdict


def test_a_refit_that_outgrows_the_limit_is_told() -> None:
    found = as_delivered(TAKEN, TAKEN.limits, COST, PROOF)
    assert not found.met
    assert "takes 20 MB, 4 ms a row, and at most 12 MB was asked for" in found.verdict


def test_what_keeps_within_its_limits_stays_as_it_was_found() -> None:
    small = (replace(COST[0], value=9_000_000.0), *COST[1:])
    assert as_delivered(TAKEN, TAKEN.limits, small, PROOF) is TAKEN


def test_a_size_that_came_out_as_another_one_is_told() -> None:
    as_it_was = replace(TAKEN, limits=Limits(size=10**9), chosen="")
    told = as_delivered(as_it_was, as_it_was.limits, COST, PROOF)
    assert told.met and told.verdict.endswith("fitted in the end takes 20 MB")
    nearly = (replace(COST[0], value=78_000_000.0), *COST[1:])
    assert as_delivered(as_it_was, as_it_was.limits, nearly, PROOF) is as_it_was


def sized() -> Table:
    """Rows whose label follows from two numbers."""
    random = np.random.default_rng(0)
    size, weight = random.normal(size=(2, 300))
    label = np.where(size + 0.5 * weight + random.normal(size=300) > 0, "yes", "no")
    frame = pl.DataFrame({"size": size, "weight": weight, "label": label})
    return Table(frame, Roles({"size": "number", "weight": "number"}, ("label",)))


TREES = Recipe("boost", "none", {"trees": 60})


class Sitting:
    """A run that comes to its limits with so many seconds left; `deadlines` are those of fits."""

    def __init__(
        self,
        folder: Path,
        limits: Limits,
        budget: float | None = None,
        recipe: Recipe = TREES,
        rows: Table | None = None,
    ) -> None:
        pytest.importorskip("lightgbm")
        rows = sized() if rows is None else rows
        divided = split(rows, "binary", test_given=False, folds=2)
        task = build("binary", rows)
        self.race = Race(rows, task, divided, {}, folder, Cache(folder / "cache"))
        boost = Candidate("boost-0", "boost", recipe)
        for fold in range(len(divided.folds)):
            assert self.race.run_fold(boost, fold)
        self.climb = choose(self.race, [boost], tuple(range(len(divided.folds))))
        self.clock = Clock(budget)
        self.fitting = Fitting(self.race, limits, self.clock, lambda: 0.0, 1, (), folder)
        self.deadlines: list[float | None] = []

    def fit(
        self, monkeypatch: pytest.MonkeyPatch, late: bool = False
    ) -> tuple[Climb, Compression | None]:
        real = self.race.fit

        def watched(*given: Any, **more: Any) -> Any:
            self.deadlines.append(more.get("deadline"))
            if late:
                raise Pruned("out of time")
            return real(*given, **more)

        monkeypatch.setattr(self.race, "fit", watched)
        return fit_limits(self.fitting, self.climb, lambda name: None)


SMALL = Limits(size=1, loss=100.0)


def test_a_run_that_goes_on_has_what_was_taken_without_a_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    climb, found = Sitting(tmp_path, SMALL).fit(monkeypatch)
    assert found is not None and found.chosen == "thin"
    later = Sitting(tmp_path, SMALL, 0.01)
    again, same = later.fit(monkeypatch)
    assert later.deadlines == [] and same == found
    assert again.chosen.name == climb.chosen.name == "boost-0-small"
    assert again.chosen.recipe == climb.chosen.recipe
    for k in climb.folds:
        one, other = climb.chosen.folds[k], again.chosen.folds[k]
        np.testing.assert_array_equal(one.scores, other.scores)
        assert replace(one, scores=other.scores) == other
    shutil.rmtree(tmp_path / "trials" / "boost-0-small")
    late = Sitting(tmp_path, SMALL, 0.01)
    as_it_was, nothing = late.fit(monkeypatch)
    assert late.deadlines == [] and nothing is None and as_it_was.chosen.name == "boost-0"


def test_a_run_that_goes_on_needs_no_fit_where_nothing_was_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(size=10**9)
    _, found = Sitting(tmp_path, limits).fit(monkeypatch)
    assert found is not None and found.chosen == "" and found.met
    later = Sitting(tmp_path, limits, 0.01)
    climb, same = later.fit(monkeypatch)
    assert later.deadlines == [] and same == found and climb is later.climb


def test_parents_are_fitted_in_the_time_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sitting = Sitting(tmp_path, SMALL, 300.0)
    began = sitting.clock.deadline(0.0)
    climb, found = sitting.fit(monkeypatch, late=True)
    assert found is None and climb is sitting.climb and not (tmp_path / DECIDED).exists()
    (deadline,) = sitting.deadlines
    assert began is not None and deadline is not None and 60 < deadline - began < 150


def test_rows_are_judged_by_the_thresholds_of_their_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe("threshold(boost)", "none", {"limit": 0.0, "inner.trees": 60})
    sitting = Sitting(tmp_path, SMALL, recipe=recipe, rows=people(900))
    race, chosen = sitting.race, sitting.climb.chosen
    rows = race.calibrating_rows(chosen)
    rule, scores, truth = decide(race, chosen), race.scores(chosen, rows), race.targets[rows]
    own = rule.at({"sex": race.table.take(rows).frame["sex"].to_list()})
    right = float((own.choices(scores) == truth).mean())
    assert right != pytest.approx((rule.choices(scores) == truth).mean(), abs=0.01)
    _, found = sitting.fit(monkeypatch)
    assert found is not None and found.parent.value == pytest.approx(right)
    (thin,) = found.tried
    assert thin.side is not None and found.parent.value is not None
    assert thin.loss == pytest.approx(100 * (right - thin.side.value))
