"""Which candidate is chosen, and what a lead has to be worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metier.search.choice import choose, compare, freedom
from metier.search.race import Race
from metier.search.recipe import Recipe
from metier.search.records import Candidate, FoldResult
from tests.search import fakes

PROBE = Recipe("probe", "s")
TOP = Recipe("finetune", "s", {"train": "top"})
LORA = Recipe("lora", "s")
ALL = Recipe("finetune", "s", {"train": "all"})


def fitted(
    race: Race, recipe: Recipe, right: float, state: Any = "tried", number: int = 0
) -> Candidate:
    """A candidate that answers a share of the rows right, taken for one of another recipe."""
    name = f"{recipe.strategy}-{recipe.parameters.get('train', '')}-{number}"
    found = Candidate(name, recipe.strategy, Recipe("guess", "none", {"right": right}), state)
    for fold in range(len(race.split.folds)):
        assert race.run_fold(found, fold)
    found.recipe = recipe
    return found


def chosen(race: Race, *candidates: Candidate) -> Recipe:
    found = choose(race, list(candidates), tuple(range(len(race.split.folds))))
    return found.chosen.recipe


@pytest.fixture
def race(tmp_path: Path) -> Race:
    return fakes.race(tmp_path, 400)


def many(race: Race, recipe: Recipe, best: float, count: int) -> list[Candidate]:
    """The best of so many trials of a recipe, and the others, all of them worse."""
    rights = [best, *(best - 0.05 - 0.01 * i for i in range(count - 1))]
    return [fitted(race, recipe, right, number=i) for i, right in enumerate(rights)]


def test_of_one_trial_each_the_leader_is_taken(race: Race) -> None:
    assert chosen(race, fitted(race, ALL, 0.82), fitted(race, TOP, 0.80)) == ALL
    assert chosen(race, fitted(race, LORA, 0.80), fitted(race, PROBE, 0.80)) == PROBE


def test_the_best_of_many_that_train_more_leads_by_chance(race: Race) -> None:
    probe = fitted(race, PROBE, 0.80)
    assert chosen(race, *many(race, LORA, 0.802, 10), probe) == PROBE
    assert chosen(race, *many(race, LORA, 0.95, 10), probe) == LORA


def test_the_best_of_as_many_owes_chance_no_more(race: Race) -> None:
    assert chosen(race, *many(race, ALL, 0.82, 4), *many(race, TOP, 0.80, 4)) == ALL


def test_what_was_passed_over_is_named(race: Race) -> None:
    candidates = [*many(race, LORA, 0.802, 10), fitted(race, PROBE, 0.80)]
    found = choose(race, candidates, tuple(range(len(race.split.folds))))
    assert found.passed == "lora--0"
    assert choose(race, candidates[:1], found.folds).passed == ""


def test_a_lead_beyond_noise_does(race: Race) -> None:
    assert chosen(race, fitted(race, LORA, 0.9), fitted(race, PROBE, 0.8)) == LORA


def test_what_trains_less_and_leads_stays(race: Race) -> None:
    assert chosen(race, fitted(race, PROBE, 0.802), fitted(race, ALL, 0.80)) == PROBE


def test_a_baseline_is_not_preferred_for_training_nothing(race: Race) -> None:
    base = fitted(race, Recipe("generalist", "s"), 0.80, "baseline")
    assert chosen(race, base, fitted(race, LORA, 0.802)) == LORA


def test_a_baseline_ahead_of_what_is_left_is_what_is_left(race: Race) -> None:
    base = fitted(race, Recipe("classical", "none"), 0.801, "baseline")
    worse = fitted(race, Recipe("majority", "none"), 0.5, "baseline")
    tried = [*many(race, LORA, 0.802, 10), fitted(race, PROBE, 0.80)]
    assert chosen(race, *tried, worse) == PROBE
    assert chosen(race, *tried, worse, base) == base.recipe


def test_how_much_of_a_network_is_trained() -> None:
    recipes = [PROBE, TOP, LORA, ALL, Recipe("scratch", "s"), Recipe("boost", "none")]
    levels = [freedom(Candidate("a", "a", recipe)) for recipe in recipes]
    assert levels == [0, 1, 2, 3, 4, 0]


def by_group(race: Race, name: str, random: np.random.Generator) -> Candidate:
    """A candidate that knows some groups well and others badly, 70 % right in the mean."""
    groups = race.table.frame["who"].to_numpy()
    shares = random.beta(1.4, 0.6, groups.max() + 1)
    right = random.random(len(groups)) < shares[groups]
    scores = np.eye(2, dtype=np.float32)[np.where(right, race.targets, 1 - race.targets)]
    found = Candidate(name, "guess", Recipe("guess", "none"))
    for k, fold in enumerate(race.split.folds):
        found.folds[k] = FoldResult(scores[fold.valid], 0.0)
    return found


def test_rows_of_one_group_are_not_taken_for_independent(tmp_path: Path) -> None:
    race, random = fakes.race(tmp_path, 900, groups=60), np.random.default_rng(3)
    rows = race.selecting_rows(range(len(race.split.folds)))
    told = 0
    for _ in range(40):
        a, b = (by_group(race, name, random) for name in ("a", "b"))
        told += compare(race, a, b, rows).verdict != "not distinguishable"
    assert told <= 5  # 2 of 40 are to be expected; by rows alone it is told of 13
