"""Paired tests: right size without a difference, and power with one."""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.evidence.compare import Comparison, holm, indistinguishable, mcnemar, paired, verdicts
from metier.runtime.postprocess import Decision

RULE = Decision("binary", ("no", "yes"))
Array = np.ndarray[Any, Any]


def models(n: int, seed: int, skill_a: float = 1.0, skill_b: float = 1.0) -> tuple[Array, ...]:
    """Truth and the scores of two models whose errors are correlated."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 2, n)
    common = random.normal(size=(n, 2))
    a, b = (common + random.normal(size=(n, 2)) for _ in range(2))
    a[np.arange(n), y] += skill_a
    b[np.arange(n), y] += skill_b
    return y, a, b


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_mcnemar_is_the_count_of_coins(rows: list[tuple[bool, bool]]) -> None:
    only_a = sum(a and not b for a, b in rows)
    only_b = sum(b and not a for a, b in rows)
    m = only_a + only_b
    tail = sum(comb(m, i) for i in range(min(only_a, only_b) + 1)) / 2**m
    found = mcnemar(np.array([a for a, _ in rows]), np.array([b for _, b in rows]))
    assert found == pytest.approx(min(1.0, 2 * tail))


@pytest.mark.parametrize("name", ["accuracy", "f1_macro", "roc_auc", "log_loss"])
def test_two_equal_models_are_rarely_told_apart(name: str) -> None:
    wrong = 0
    for seed in range(200):
        y, a, b = models(100, seed)
        found = paired(name, y, a, b, RULE, RULE, resamples=200, seed=seed)
        wrong += found.verdict != "not distinguishable"
    # 5 % of 200 is 10; four standard errors above are 22
    assert wrong <= 22


@pytest.mark.parametrize("name", ["accuracy", "f1_macro", "roc_auc", "log_loss", "brier", "mcc"])
def test_a_better_model_is_told_better_whatever_the_direction(name: str) -> None:
    y, a, b = models(800, 3, skill_a=2.5, skill_b=0.5)
    found = paired(name, y, a, b, RULE, RULE, resamples=300)
    assert found.verdict == "better"
    assert 0 < found.low < found.difference < found.high
    assert found.p < 0.001
    back = paired(name, y, b, a, RULE, RULE, resamples=300)
    assert back.verdict == "worse"
    assert back.difference == pytest.approx(-found.difference)


def test_intervals_of_a_difference_cover_it() -> None:
    truth = paired("accuracy", *models(200_000, 1, 1.5, 1.0), RULE, RULE).difference
    covered = 0
    for seed in range(200):
        found = paired("accuracy", *models(80, seed + 10, 1.5, 1.0), RULE, RULE)
        covered += found.low <= truth <= found.high
    assert covered >= 0.90 * 200


@pytest.mark.parametrize("n", [8, 12, 14, 20, 30])
def test_the_interval_of_a_tie_holds_zero(n: int) -> None:
    y, right = np.zeros(n, int), np.tile([2.0, 0.0], (n, 1))
    for alone in range(n):
        for back in range(0, n - alone, 3):
            a, b = right.copy(), right.copy()
            b[:alone] = a[alone : alone + back] = [0.0, 2.0]
            found = paired("accuracy", y, a, b, RULE, RULE)
            tie = found.verdict == "not distinguishable"
            assert tie is bool(found.low <= 0 <= found.high)


def test_regression_is_compared_too() -> None:
    random = np.random.default_rng(0)
    y = random.normal(size=300)
    near, far = (y[:, None] + s * random.normal(size=(300, 1)) for s in (0.5, 1.0))
    rule = Decision("regression")
    found = paired("rmse", y, near, far, rule, rule, resamples=300)
    assert found.verdict == "better"
    assert found.error_gone == pytest.approx(found.difference / found.b)


def test_the_same_answers_cannot_be_told_apart() -> None:
    y, a, _ = models(50, 0)
    for name in ("accuracy", "f1_macro", "log_loss"):
        found = paired(name, y, a, a, RULE, RULE, resamples=100)
        assert (found.verdict, found.p, found.difference) == ("not distinguishable", 1.0, 0.0)
    share = paired("accuracy", y, a, a, RULE, RULE)
    assert share.low < 0 < share.high


def separable(n: int, positives: int) -> tuple[Array, Array, Array]:
    """Truth, the scores of a perfect model, and those of one that always says the same."""
    y = np.zeros(n, int)
    y[:positives] = 1
    return y, 6.0 * np.eye(2)[y], np.tile([2.0, 0.0], (n, 1))


@pytest.mark.parametrize(
    "name", ["balanced_accuracy", "f1", "f1_macro", "mcc", "recall", "roc_auc", "average_precision"]
)
def test_a_perfect_model_is_better_than_a_constant_one(name: str) -> None:
    y, perfect, constant = separable(500, 30)
    found = paired(name, y, perfect, constant, RULE, RULE, resamples=200)
    assert found.verdict == "better" and found.p < 1e-6
    assert 0 < found.low < found.difference <= found.high
    back = paired(name, y, constant, perfect, RULE, RULE, resamples=200)
    assert back.verdict == "worse"
    assert (back.low, back.high, back.p) == pytest.approx((-found.high, -found.low, found.p))


@pytest.mark.parametrize("name", ["balanced_accuracy", "recall", "roc_auc"])
def test_a_perfect_model_on_a_handful_of_positives_proves_nothing(name: str) -> None:
    y, perfect, constant = separable(500, 5)
    assert paired(name, y, perfect, constant, RULE, RULE, resamples=200).p == 2.0**-4
    always, never = np.tile([0.0, 2.0], (500, 1)), constant
    found = paired("recall", y, always, never, RULE, RULE, resamples=200)
    assert (found.verdict, found.p) == ("not distinguishable", 2.0**-4)


def test_a_difference_without_spread_in_several_labels_numbers_and_groups() -> None:
    flags = np.random.default_rng(0).integers(0, 2, (60, 3))
    rule = Decision("multilabel", ("a", "b", "c"))
    right, none = 6.0 * (2 * flags - 1), np.full((60, 3), -2.0)
    for name in ("f1_micro", "f1_macro", "roc_auc"):
        assert paired(name, flags, right, none, rule, rule, resamples=100).verdict == "better"
    y, numbers = np.arange(1.0, 41.0), Decision("regression")
    order = paired("spearman", y, y[:, None], np.zeros((40, 1)), numbers, numbers, resamples=100)
    assert (order.verdict, order.p) == ("better", 2.0**-39)
    truth, perfect, _ = separable(40, 20)
    for count, verdict in ((10, "better"), (5, "not distinguishable")):
        groups = np.arange(40) % count
        found = paired("accuracy", truth, perfect, -perfect, RULE, RULE, clusters=groups)
        assert (found.verdict, found.p) == (verdict, 2.0 ** (1 - count))


def test_rows_of_one_person_are_not_taken_for_many() -> None:
    y, a, b = models(12, 4, skill_a=1.6)
    often = [np.repeat(v, 40, axis=0) for v in (y, a, b)]
    people = np.repeat(np.arange(12), 40)
    alone = paired("accuracy", *often, RULE, RULE)
    grouped = paired("accuracy", *often, RULE, RULE, clusters=people)
    assert alone.verdict != "not distinguishable"
    assert grouped.p > alone.p
    assert grouped.high - grouped.low > 3 * (alone.high - alone.low)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_and_keeps_the_order(ps: list[float]) -> None:
    found = holm(ps)
    assert all(q >= p for p, q in zip(ps, found, strict=True))
    assert min(found) == pytest.approx(min(1.0, len(ps) * min(ps)))
    order = np.argsort(ps, kind="stable")
    assert np.all(np.diff(np.array(found)[order]) >= 0)


def test_many_comparisons_ask_for_more() -> None:
    one = Comparison("accuracy", 0.03, 0.005, 0.055, 0.02, 300, "better", a=0.83, b=0.80)
    assert indistinguishable({"only": one}) == ()
    several = {f"m{i}": one for i in range(12)}
    assert set(verdicts(several).values()) == {"not distinguishable"}
    assert indistinguishable(several) == tuple(several)
