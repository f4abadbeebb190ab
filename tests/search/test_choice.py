"""Which candidate is chosen, and what a lead has to be worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metier.search.choice import choose, freedom
from metier.search.race import Race
from metier.search.recipe import Recipe
from metier.search.records import Candidate
from tests.search import fakes

PROBE = Recipe("probe", "s")
TOP = Recipe("finetune", "s", {"train": "top"})
LORA = Recipe("lora", "s")
ALL = Recipe("finetune", "s", {"train": "all"})


def fitted(race: Race, recipe: Recipe, right: float, state: Any = "tried") -> Candidate:
    """A candidate that answers a share of the rows right, taken for one of another recipe."""
    name = f"{recipe.strategy}-{recipe.parameters.get('train', '')}"
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


def test_a_lead_within_its_standard_error_does_not_pay_for_training_more(race: Race) -> None:
    assert chosen(race, fitted(race, LORA, 0.802), fitted(race, PROBE, 0.80)) == PROBE
    assert chosen(race, fitted(race, ALL, 0.802), fitted(race, TOP, 0.80)) == TOP


def test_what_was_passed_over_is_named(race: Race) -> None:
    candidates = [fitted(race, LORA, 0.802), fitted(race, PROBE, 0.80)]
    found = choose(race, candidates, tuple(range(len(race.split.folds))))
    assert found.passed == "lora-"
    assert choose(race, candidates[:1], found.folds).passed == ""


def test_a_lead_beyond_noise_does(race: Race) -> None:
    assert chosen(race, fitted(race, LORA, 0.9), fitted(race, PROBE, 0.8)) == LORA


def test_what_trains_less_and_leads_stays(race: Race) -> None:
    assert chosen(race, fitted(race, PROBE, 0.802), fitted(race, ALL, 0.80)) == PROBE


def test_a_baseline_is_not_preferred_for_training_nothing(race: Race) -> None:
    base = fitted(race, Recipe("generalist", "s"), 0.80, "baseline")
    assert chosen(race, base, fitted(race, LORA, 0.802)) == LORA


def test_how_much_of_a_network_is_trained() -> None:
    recipes = [PROBE, TOP, LORA, ALL, Recipe("scratch", "s"), Recipe("boost", "none")]
    levels = [freedom(Candidate("a", "a", recipe)) for recipe in recipes]
    assert levels == [0, 1, 2, 3, 4, 0]
