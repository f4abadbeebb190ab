"""The last fits and the one look at the proof."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from metier.cache import Cache
from metier.data.splits import split
from metier.errors import DataError
from metier.runtime.postprocess import Decision
from metier.search.choice import Climb, choose
from metier.search.clock import Clock
from metier.search.finals import Final, Wish, decide, finals, finish, frozen_recipe
from metier.search.race import Race
from metier.search.recipe import Recipe
from metier.search.records import Candidate, State
from metier.search.sampling import score_until, thin
from metier.tasks import build
from metier.types import Table
from tests.search import fakes


def climbed(race: Race, **rights: float | dict[str, object]) -> Climb:
    """A search in which each name was fitted on all folds."""
    candidates = []
    for i, (name, given) in enumerate(rights.items()):
        parameters = given if isinstance(given, dict) else {"right": given}
        state: State = "baseline" if name == "base" else "tried"
        fault = parameters.pop("later", "")
        candidate = Candidate(f"{name}-0", name, Recipe("guess", "none", parameters), state)
        for fold in range(len(race.split.folds)):
            assert race.run_fold(candidate, fold)
        if fault:
            candidate.recipe = Recipe("guess", "none", {**parameters, "fault": fault})
        candidates.append(candidate)
        assert i == len(candidates) - 1
    return choose(race, candidates, tuple(range(len(race.split.folds))))


def wish(test: Table | None = None, refit: str = "all", clock: Clock | None = None) -> Wish:
    return Wish(test, refit, (), clock or Clock(None), 0.0)


def first(race: Race, climb: Climb, wished: Wish) -> Final:
    return next(iter(finish(race, climb, wished)))


def test_few_rows_prove_out_of_fold(tmp_path: Path) -> None:
    race = fakes.race(tmp_path, 400)
    final = first(race, climbed(race, base=0.6, good=0.8), wish())
    assert final.proof.where == "out-of-fold"
    assert final.refitted
    assert not set(final.proof.rows) & set(race.selecting_rows(range(5)))
    assert set(final.proof.baselines) == {"base"}
    assert fakes.SEEN[-1] == frozenset(range(400))


@pytest.mark.parametrize("refit", ["all", "none"])
def test_held_out_rows_are_learned_from_last_of_all(tmp_path: Path, refit: str) -> None:
    race = fakes.race(tmp_path, 1200)
    climb = climbed(race, base=0.6, good=0.8)
    before = len(fakes.SEEN)
    final = first(race, climb, wish(refit=refit))
    held = set(race.held.tolist())
    seen = [bool(rows & held) for rows in fakes.SEEN[before:]]
    assert seen == ([False, False, True] if refit == "all" else [False, False])
    assert final.refitted == (refit == "all")
    assert len(seen) - 1 == finals(race, None, refit)
    np.testing.assert_array_equal(final.proof.rows, race.held)


@pytest.mark.parametrize("refit", ["all", "none"])
def test_what_is_proven_has_not_learned_from_the_groups_of_the_proof(
    tmp_path: Path, refit: str
) -> None:
    rows = fakes.table(1500)
    who = [i - 1400 if i >= 1400 else i for i in range(1500)]
    roles = replace(rows.roles, group="who", time="id")
    rows = replace(rows, frame=rows.frame.with_columns(who=pl.Series(who)), roles=roles)
    task = build("binary", rows)
    divided = split(rows, "binary", test_given=False, clusters=np.arange(1500))
    race = Race(rows, task, divided, {}, tmp_path, Cache(tmp_path / "cache"))
    climb = climbed(race, base=0.6, good=0.8)
    before = len(fakes.SEEN)
    final = first(race, climb, wish(refit=refit))
    assert final.proof.rows.tolist() == list(range(1200, 1500))
    proven = fakes.SEEN[before:-1] if final.refitted else fakes.SEEN[before:]
    assert proven == [frozenset(range(100, 1200))] * 2
    assert not final.refitted or fakes.SEEN[-1] == frozenset(range(1500))


def test_a_test_file_proves_what_learned_from_all(tmp_path: Path) -> None:
    race = fakes.race(tmp_path, 1200, test_given=True)
    final = first(race, climbed(race, base=0.6, good=0.8), wish(fakes.table(300)))
    assert (final.proof.where, final.refitted) == ("test", False)
    assert len(final.proof.rows) == 300
    assert final.on_train is not None


def test_another_candidate_steps_in_when_the_last_fit_fails(tmp_path: Path) -> None:
    race = fakes.race(tmp_path, 400)
    climb = climbed(race, base=0.6, good=0.8, best={"right": 0.9, "later": "memory"})
    assert climb.chosen.rung == "best"
    final = first(race, climb, wish())
    assert final.candidate.rung == "good"
    assert "best-0 did best, but its last fit did not end well: out of memory" in final.notes[0]
    assert climb.chosen.state == "tried"


def test_a_refit_that_fails_leaves_what_was_measured(tmp_path: Path) -> None:
    race = fakes.race(tmp_path, 1200)
    final = first(race, climbed(race, good={"right": 0.8, "fault": "all rows"}), wish())
    assert not final.refitted
    assert "the bundle holds the specialist that was measured" in final.notes[0]


def test_nothing_left_is_said_so(tmp_path: Path) -> None:
    race = fakes.race(tmp_path, 400)
    climb = climbed(race, odd={"right": 0.9, "later": "raises"})
    with pytest.raises(DataError, match="OddError"):
        first(race, climb, wish())


def test_the_same_recipe_is_offered_once_only(tmp_path: Path) -> None:
    race = fakes.race(tmp_path, 400)
    found = list(_names(race, climbed(race, base=0.6, good=0.8, best=0.9)))
    assert found == ["best", "good", "base"]


def _names(race: Race, climb: Climb) -> list[str]:
    names = []
    with pytest.raises(DataError):
        for final in finish(race, climb, wish()):
            names.append(final.candidate.rung)
    return names


def test_temperature_and_thresholds_come_from_rows_that_chose_nothing(tmp_path: Path) -> None:
    race = fakes.race(tmp_path, 800)
    climb = climbed(race, good=0.8)
    decision = decide(race, climb.chosen)
    rows = race.calibrating_rows(climb.chosen)
    assert isinstance(decision, Decision)
    assert not set(rows) & set(climb.rows)
    assert 0.8 < 1 / decision.temperature * 4 / np.log(0.8 / 0.2) < 1.25 or decision.temperature > 1


def test_recipes_are_frozen_by_what_the_folds_found(tmp_path: Path) -> None:
    race = fakes.race(tmp_path, 400)
    assert frozen_recipe(climbed(race, good=0.8).chosen).parameters == {"right": 0.8}


def test_scoring_stops_when_the_time_is_over(tmp_path: Path) -> None:
    race = fakes.race(tmp_path, 400)
    made = race.fit(Recipe("guess", "none"), None, name="x")
    rows = np.arange(400)
    some, scores = score_until(made, race.table, rows, race.cache, time.monotonic() - 1.0)
    assert 0 < len(some) < 400
    assert (np.diff(some) > 0).all()
    np.testing.assert_array_equal(scores, made.scores(race.table.take(some)))
    every, _ = score_until(made, race.table, rows, race.cache, time.monotonic() + 60.0)
    np.testing.assert_array_equal(every, rows)


def test_thinning_leaves_what_is_learned_from(tmp_path: Path) -> None:
    race = fakes.race(tmp_path, 1200)
    thinned = thin(race.split, np.arange(500))
    for before, after in zip(race.split.folds, thinned.folds, strict=True):
        np.testing.assert_array_equal(before.train, after.train)
        assert set(after.valid) == set(before.valid) & set(range(500))
    np.testing.assert_array_equal(thinned.proof, race.split.proof)


def test_a_last_fit_that_found_no_time_is_not_handed_over(tmp_path: Path) -> None:
    race = fakes.race(tmp_path, 1200)
    climb = climbed(race, good=0.8, best={"right": 0.95, "later": "stunted"})
    final = first(race, climb, wish(clock=Clock(60.0)))
    assert final.candidate.rung == "good"
    assert "found no time" in final.notes[0]


def test_a_moment_short_of_time_is_no_reason_to_throw_a_quick_recipe_away(tmp_path: Path) -> None:
    race = fakes.race(tmp_path, 400)
    climb = climbed(race, majority=0.5, good={"right": 0.9, "seconds": 0.02})
    late = Wish(None, "all", (), Clock(60.0, time.monotonic() - 55.0), 6.0)
    assert first(race, climb, late).candidate.rung == "good"
    over = Wish(None, "all", (), Clock(60.0, time.monotonic() - 70.0), 6.0)
    assert first(race, climb, over).candidate.rung == "good"


def test_long_fits_have_no_time_when_it_is_over(tmp_path: Path) -> None:
    race = fakes.race(tmp_path, 400)
    climb = climbed(race, majority=0.5, good={"right": 0.9, "seconds": 0.2})
    over = Wish(None, "all", (), Clock(2.0, time.monotonic() - 3.0), 0.1)
    final = first(race, climb, over)
    assert final.candidate.rung == "majority" and "time" in final.notes[0]
