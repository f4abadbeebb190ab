"""Climbing with a strategy that knows how good it is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from metier.errors import DataError
from metier.search.choice import Climb, choose
from metier.search.climb import climb
from metier.search.clock import Clock
from metier.search.ladder import Rung
from metier.search.samplers import Studies
from metier.search.slots import Limits
from tests.search import fakes
from tests.search.fakes import rung


class Heard:
    """Who listens to a search."""

    def __init__(self) -> None:
        self.tried: list[str] = []
        self.bests: list[str] = []

    def trial(self, rung: str, parameters: Mapping[str, Any]) -> None:
        self.tried.append(rung)

    def best(self, name: str, value: float, low: float | None, high: float | None) -> None:
        self.bests.append(name)


def search(
    folder: Path,
    ladder: list[Rung],
    trials: int | None = 3,
    budget: float | None = None,
    reserve: float = 0.0,
    **more: Any,
) -> Climb:
    race = fakes.race(folder)
    clock = Clock(budget)
    studies = Studies(folder / "study.journal", 0, "tpe")
    limits = Limits(clock, lambda: reserve, 1, trials)
    return climb(race, ladder, studies, limits, more.pop("heard", Heard()), **more)


def summary(found: Climb) -> list[tuple[str, str, str]]:
    return [(c.name, c.state, c.note) for c in found.candidates]


LADDER = [rung("base", True, right=0.6), rung("good", right=0.8), rung("searched")]


def test_baselines_run_beside_the_trials_that_are_counted(tmp_path: Path) -> None:
    heard = Heard()
    found = search(tmp_path, LADDER, 4, heard=heard)
    assert [c.rung for c in found.candidates] == ["base", "good"] + ["searched"] * 3
    assert heard.tried == [c.rung for c in found.candidates]
    assert found.chosen.name == heard.bests[-1]
    assert found.chosen.rung in ("good", "searched")


def test_the_search_goes_on_past_failures(tmp_path: Path) -> None:
    ladder = [
        rung("base", True, right=0.6),
        rung("odd", right=0.9, fault="raises"),
        rung("hungry", right=0.9, fault="memory"),
        rung("good", right=0.7),
    ]
    found = search(tmp_path, ladder)
    assert [(c.rung, c.state) for c in found.candidates] == [
        ("base", "baseline"),
        ("odd", "failed"),
        ("hungry", "failed"),
        ("good", "tried"),
    ]
    assert found.chosen.rung == "good"
    assert found.candidates[1].note == "OddError: an odd thing"


def test_nothing_that_works_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"odd-0: OddError: an odd thing"):
        search(tmp_path, [rung("odd", right=0.9, fault="raises")])


def test_what_is_behind_beyond_noise_is_not_fitted_on_all_folds(tmp_path: Path) -> None:
    ladder = [rung("good", True, right=0.95), rung("bad", right=0.3)]
    found = search(tmp_path, ladder, 1)
    assert found.candidates[1].state == "cut"
    assert "behind good-0" in found.candidates[1].note
    assert len(found.candidates[1].folds) < len(found.folds)


@pytest.mark.parametrize("stop", range(1, 6))
def test_a_search_that_is_stopped_goes_on_to_the_same_end(tmp_path: Path, stop: int) -> None:
    whole = search(tmp_path / "whole", LADDER, 4)

    class Killed(BaseException):
        pass

    class Killer(Heard):
        def trial(self, rung: str, parameters: Mapping[str, Any]) -> None:
            super().trial(rung, parameters)
            if len(self.tried) == stop:
                raise Killed

    with pytest.raises(Killed):
        search(tmp_path / "cut", LADDER, 4, heard=Killer())
    resumed = search(tmp_path / "cut", LADDER, 4)
    assert summary(resumed) == summary(whole)
    assert resumed.chosen.recipe == whole.chosen.recipe
    assert search(tmp_path / "cut", LADDER, 4, heard=Killer()).chosen.name == whole.chosen.name


def test_a_failure_is_not_tried_again_after_an_interruption(tmp_path: Path) -> None:
    ladder = [rung("base", True, right=0.6), rung("odd", right=0.9, fault="raises")]
    before = summary(search(tmp_path, ladder))
    fits = len(fakes.SEEN)
    assert summary(search(tmp_path, ladder)) == before
    assert len(fakes.SEEN) == fits


def test_the_first_bundle_comes_before_anything_dear(tmp_path: Path) -> None:
    heard = Heard()
    seen: list[Any] = []
    search(
        tmp_path,
        [rung("base", True, right=0.9, size=1), rung("probe", right=0.6, size=9), rung("dear")],
        heard=heard,
        after_cheap=lambda best, largest: seen.append((best.name, largest.name, len(heard.tried))),
    )
    assert seen == [("base-0", "probe-0", 2)]


def test_a_budget_is_kept_and_the_dear_is_cut(tmp_path: Path) -> None:
    ladder = [
        rung("base", True, right=0.6),
        rung("quick", right=0.7, seconds=0.01),
        rung("slow", right=0.99, seconds=30.0),
    ]
    began = time.monotonic()
    found = search(tmp_path, ladder, None, budget=12.0, reserve=2.0)
    assert time.monotonic() - began < 11.0
    states = {c.rung: (c.state, c.note) for c in found.candidates}
    assert states["slow"] == ("cut", "out of time")
    assert found.chosen.rung == "quick"


def test_small_takes_the_cheapest_that_cannot_be_told_from_the_best(tmp_path: Path) -> None:
    ladder = [
        rung("base", True, right=0.5, size=1),
        rung("large", right=0.81, size=1000),
        rung("small", right=0.8, size=10),
    ]
    found = search(tmp_path, ladder, 2)
    assert found.chosen.rung == "large"
    assert set(found.ties) == {"small-0"}
    race = fakes.race(tmp_path)
    small = choose(race, found.candidates, found.folds, "small")
    assert small.chosen.rung == "small"
    assert set(small.ties) == {"large-0"}
