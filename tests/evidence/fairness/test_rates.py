"""Rates by group, against Fairlearn's and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metier.evidence.answers import answers_of
from metier.evidence.fairness.rates import Group, by_group, intersections
from metier.runtime.postprocess import Decision
from metier.types import Finding


def measure(group: Group, name: str) -> Finding:
    return next(each for each in group.measures if each.details["measure"] == name)


def test_rates_are_those_of_fairlearn(uneven: Any) -> None:
    metrics = pytest.importorskip("fairlearn.metrics")
    answers = uneven.answers
    frame = metrics.MetricFrame(
        metrics={
            "selection_rate": metrics.selection_rate,
            "true_positive_rate": metrics.true_positive_rate,
            "false_positive_rate": metrics.false_positive_rate,
        },
        y_true=answers.truth,
        y_pred=answers.choices,
        sensitive_features=uneven.sex,
    ).by_group
    for group in by_group(answers, {"sex": uneven.sex}):
        for name in frame.columns:
            assert measure(group, name).value == pytest.approx(frame.loc[group.name, name])


def test_every_figure_has_its_interval_and_small_groups_are_marked(uneven: Any) -> None:
    groups = by_group(uneven.answers, {"sex": uneven.sex})
    assert [g.name for g in groups] == ["m", "f", "x"] and sum(g.n for g in groups) == 1500
    assert [g.small for g in groups] == [False, False, True]
    for group in groups:
        for found in group.measures:
            assert found.value is not None and found.n
            assert found.low is not None and found.high is not None
            assert found.low <= found.value <= found.high and found.name.endswith(f"={group.name}]")
    rate = measure(groups[0], "true_positive_rate")
    assert rate.n == int(uneven.truth[np.array(uneven.sex) == "m"].sum())


def test_what_is_claimed_is_held_against_what_came_true() -> None:
    truth = np.array([1, 0] * 100)
    sure = np.array([[0.0, 2.0]] * 200)
    answers = answers_of(truth, sure, Decision("binary", ("no", "yes")))
    (group,) = by_group(answers, {"all": ["a"] * 200})
    gap = measure(group, "calibration")
    assert gap.value == pytest.approx(1 / (1 + np.exp(-2.0)) - 0.5)
    assert gap.low is not None and gap.low > 0.25


def test_a_rate_without_rows_has_no_value() -> None:
    answers = answers_of(
        np.zeros(20, int), np.array([[1.0, 0.0]] * 20), Decision("binary", ("n", "y"))
    )
    (group,) = by_group(answers, {"all": ["a"] * 20})
    assert measure(group, "true_positive_rate").value is None
    assert measure(group, "precision").verdict.endswith("no such row")


def test_several_classes_labels_and_numbers_have_measures_of_their_own() -> None:
    truth = np.array([0, 1, 2] * 40)
    three = answers_of(truth, np.eye(3)[truth] * 3, Decision("multiclass", ("a", "b", "c")))
    (group,) = by_group(three, {"all": ["g"] * 120})
    assert [m.details["measure"] for m in group.measures] == ["accuracy", "calibration"]
    (named,) = by_group(three, {"all": ["g"] * 120}, label="c")
    assert measure(named, "selection_rate").value == pytest.approx(1 / 3)
    flags = np.array([[1.0, 0.0], [0.0, 1.0]] * 30)
    many = answers_of(flags, np.array([[2.0, -2.0]] * 60), Decision("multilabel", ("a", "b")))
    (group,) = by_group(many, {"all": ["g"] * 60})
    assert measure(group, "label_accuracy").value == pytest.approx(0.5)
    numbers = answers_of(np.arange(50.0), np.arange(50.0)[:, None] + 2, Decision("regression"))
    (group,) = by_group(numbers, {"all": ["g"] * 50})
    assert measure(group, "mean_error").value == pytest.approx(2.0)


def test_a_rate_of_persons_holds_what_is_true_of_other_persons() -> None:
    held = {"accuracy": 0, "false_positive_rate": 0, "mean_absolute_error": 0}
    for seed in range(60):
        random = np.random.default_rng(seed)
        who = np.repeat(np.arange(30), 20)
        wrong = (random.random(600) < random.beta(2, 6, 30)[who]).astype(int)
        answers = answers_of(
            np.zeros(600, int), np.eye(2)[wrong] * 1.0, Decision("binary", ("no", "yes"))
        )
        errors = (random.normal(size=600) + 1.0) * random.gamma(4, 0.25, 30)[who]
        numbers = answers_of(np.zeros(600), errors[:, None], Decision("regression"))
        truth = {"accuracy": 0.75, "false_positive_rate": 0.25, "mean_absolute_error": 1.1668}
        for name, each in (*((name, answers) for name in ("accuracy", "false_positive_rate")),
                           ("mean_absolute_error", numbers)):  # fmt: skip
            (group,) = by_group(each, {"all": ["a"] * 600}, clusters=who)
            found = measure(group, name)
            assert found.low is not None and found.high is not None and found.value is not None
            assert (
                found.low <= found.value <= found.high and "in 30 groups of rows" in found.verdict
            )
            held[name] += found.low <= truth[name] <= found.high
    assert min(held.values()) >= 54, held


def test_rows_of_one_person_say_nothing_of_others() -> None:
    truth = np.array([1, 0] * 50)
    answers = answers_of(truth, np.eye(2)[truth] * 2.0, Decision("binary", ("no", "yes")))
    (group,) = by_group(answers, {"all": ["a"] * 100}, clusters=np.zeros(100, np.int64))
    right, gap = measure(group, "accuracy"), measure(group, "calibration")
    assert (right.value, right.low, right.high) == (1.0, 0.0, 1.0)
    assert gap.value is not None and gap.low is None


def test_columns_are_crossed_two_by_two() -> None:
    crossed = intersections({"sex": ["f", "m"], "age": ["old", "young"], "race": ["a", "b"]})
    assert list(crossed) == ["sex & age", "sex & race", "age & race"]
    assert crossed["sex & age"] == ["f & old", "m & young"]
    assert intersections({"sex": ["f"]}) == {}
