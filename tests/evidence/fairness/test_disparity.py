"""How far groups lie apart, against Fairlearn's, under chance, and with few rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metier.evidence.answers import answers_of
from metier.evidence.fairness.disparity import disparities, worst
from metier.runtime.postprocess import Decision


def two(uneven: Any) -> tuple[Any, list[str]]:
    """The rows of the two large groups."""
    rows = [i for i, s in enumerate(uneven.sex) if s != "x"]
    answers = answers_of(uneven.truth[rows], uneven.scores[rows], Decision("binary", ("no", "yes")))
    return answers, [uneven.sex[i] for i in rows]


def test_differences_are_those_of_fairlearn(uneven: Any) -> None:
    metrics = pytest.importorskip("fairlearn.metrics")
    answers, sex = two(uneven)
    given: dict[str, Any] = {"sensitive_features": sex}
    found = {each.name: each for each in disparities(answers, {"sex": sex})}
    for name, theirs in (
        ("parity[sex]", metrics.demographic_parity_difference),
        ("odds[sex]", metrics.equalized_odds_difference),
    ):
        assert found[name].value == pytest.approx(theirs(answers.truth, answers.choices, **given))
        assert found[name].low <= found[name].value <= found[name].high
        assert found[name].level == "warning" and found[name].details["p_adjusted"] < 0.05
    assert found["odds[sex]"].details["high"] == "m" and found["odds[sex]"].details["low"] == "f"


def test_a_group_with_few_rows_takes_no_part(uneven: Any) -> None:
    answers, sex = two(uneven)
    large = disparities(answers, {"sex": sex})
    every = disparities(uneven.answers, {"sex": uneven.sex})
    assert [each.value for each in every] == [each.value for each in large]
    (none,) = disparities(uneven.answers, {"pair": ["a"] * 1450 + ["b"] * 50})
    assert none.value is None and "fewer than two groups have 100 rows" in none.verdict
    assert worst([none, *every], ["pair"], "odds") is None
    assert worst([none, *every], ["sex", "pair"], "odds") is every[1]


def test_groups_that_do_not_differ_are_seldom_called_different() -> None:
    called = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        truth = (random.random(600) < 0.4).astype(int)
        scores = np.stack([np.zeros(600), truth - 0.5 + random.normal(size=600)], axis=1)
        answers = answers_of(truth, scores, Decision("binary", ("no", "yes")))
        sex = random.choice(["f", "m"], 600).tolist()
        found = disparities(answers, {"sex": sex}, resamples=200, seed=seed)
        called += any(each.level == "warning" for each in found)
    assert called <= 6


def test_the_interval_holds_the_true_difference() -> None:
    held = 0
    for seed in range(40):
        random = np.random.default_rng(100 + seed)
        sex = random.choice(["f", "m"], 800)
        chosen = random.random(800) < np.where(sex == "f", 0.3, 0.5)
        answers = answers_of(
            np.zeros(800, int), np.stack([~chosen, chosen], 1) * 1.0, Decision("binary", ("n", "y"))
        )
        found = disparities(answers, {"sex": sex.tolist()}, resamples=300, seed=seed)[0]
        held += (found.low or 0) <= 0.2 <= (found.high or 0)
    assert held >= 34


def found_among(groups: int, rows: int, apart: float, seed: int) -> Any:
    """Equalised odds of several groups, of which two are found more and less often."""
    random = np.random.default_rng(seed)
    of = np.repeat(np.arange(groups), rows)
    truth = (random.random(len(of)) < 0.3).astype(int)
    found = 0.7 + np.where(of == 0, apart / 2, np.where(of == 1, -apart / 2, 0.0))
    chosen = random.random(len(of)) < np.where(truth == 1, found, 0.15)
    scores = np.stack([~chosen, chosen], 1) * 1.0
    answers = answers_of(truth, scores, Decision("binary", ("n", "y")))
    return disparities(answers, {"site": [f"g{k}" for k in of]}, resamples=50, seed=seed)[1]


@pytest.mark.parametrize(("groups", "apart"), [(4, 0.0), (5, 0.04), (5, 0.2), (2, 0.1)])
def test_a_largest_difference_is_not_taken_for_the_true_one(groups: int, apart: float) -> None:
    every = [found_among(groups, 400, apart, seed) for seed in range(60)]
    assert all(each.low <= each.value <= each.high for each in every)
    assert sum(each.low <= apart <= each.high for each in every) >= 55
    assert sum(each.low > apart for each in every) <= 3


def test_the_largest_difference_of_errors_is_not_taken_for_the_true_one() -> None:
    held = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        truth = random.normal(size=1000)
        guess = truth + random.normal(size=1000)
        answers = answers_of(truth, guess[:, None], Decision("regression"))
        sites = {"site": [f"g{k % 5}" for k in range(1000)]}
        (found,) = disparities(answers, sites, resamples=20, seed=seed)
        held += found.low == 0.0
    assert held >= 55


def by_person(seed: int, apart: float) -> tuple[Any, Any]:
    """Odds of two sexes with thirty persons each, by persons; some persons are found more often."""
    random = np.random.default_rng(seed)
    who = np.repeat(np.arange(60), 20)
    own = random.beta(6, 4, 60)[who] + np.where(who % 2, apart / 2, -apart / 2)
    chosen = random.random(1200) < own
    scores = np.stack([~chosen, chosen], 1) * 1.0
    answers = answers_of(np.ones(1200, int), scores, Decision("binary", ("n", "y")))
    sexes = {"sex": np.where(who % 2, "f", "m").tolist()}
    return disparities(answers, sexes, resamples=100, seed=seed, clusters=who)


def test_what_differs_between_persons_is_not_taken_for_a_difference_of_groups() -> None:
    every = [each for seed in range(40) for each in by_person(seed, 0.0)]
    assert sum(each.level == "warning" for each in every) <= 6
    assert sum(each.low > 0.0 for each in every) <= 6
    assert every[0].details["clusters"] == 60
    assert "1,200 rows in 60 groups of rows" in every[0].verdict


def test_a_difference_of_groups_of_persons_is_found() -> None:
    every = [by_person(seed, 0.3)[1] for seed in range(40)]
    assert sum(each.low <= 0.3 <= each.high for each in every) >= 36
    assert sum(each.level == "warning" for each in every) >= 36


def test_one_person_alone_makes_no_group(uneven: Any) -> None:
    answers, sex = two(uneven)
    who = np.where(np.array(sex) == "f", 0, np.arange(len(sex)))
    for each in disparities(answers, {"sex": sex}, clusters=who):
        assert each.value is None and "do not all belong together" in each.verdict


def test_for_several_classes_it_is_the_class_that_lies_furthest_apart() -> None:
    sex = ["f"] * 300 + ["m"] * 300
    truth = np.tile([0, 1, 2], 200)
    choices = truth.copy()
    choices[:300][(truth[:300] == 2) & (np.arange(300) < 150)] = 0
    answers = answers_of(truth, np.eye(3)[choices], Decision("multiclass", ("a", "b", "c")))
    parity, odds = disparities(answers, {"sex": sex})
    assert odds.value == pytest.approx(0.5) and odds.details["label"] == "c"
    assert parity.value == pytest.approx(50 / 300)


def test_each_of_several_labels_is_two_classes() -> None:
    flags = np.tile([[1.0, 0.0], [0.0, 1.0]], (200, 1))
    scores = np.where(flags > 0, 2.0, -2.0)
    scores[:100, 1] = 2.0  # false alarms of the second label, for the first group only
    answers = answers_of(flags, scores, Decision("multilabel", ("one", "two")))
    _, odds = disparities(answers, {"sex": ["f"] * 200 + ["m"] * 200})
    assert odds.value == pytest.approx(0.5) and odds.details["label"] == "two"
    assert "where it is not true" in odds.verdict


def test_numbers_are_judged_by_their_error() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=500)
    error = random.normal(size=500) * np.where(np.arange(500) < 250, 1.0, 3.0)
    answers = answers_of(truth, (truth + error)[:, None], Decision("regression"))
    (found,) = disparities(answers, {"site": ["a"] * 250 + ["b"] * 250})
    assert found.name == "error[site]" and found.details["high"] == "b"
    assert found.level == "warning" and found.value and found.value > 1.0
