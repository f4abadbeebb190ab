"""Errors among the surest answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import beta

from metier.errors import OptionError
from metier.evidence.uncertainty.selective import FEWEST, answered_at, learn, risk_coverage
from metier.runtime.postprocess import Decision
from metier.runtime.selective import confidence

RULE = Decision("binary", ("a", "b"))


def drawn(n: int, seed: int) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    margins = 3 * random.normal(size=n)
    y = (random.random(n) < 1 / (1 + np.exp(-margins))).astype(int)
    return np.stack([np.zeros(n), margins], axis=1), y


def test_the_bound_of_a_step_is_that_of_clopper_and_pearson() -> None:
    found = learn(*drawn(400, 0), RULE)
    assert found is not None and found.rows == 400
    last = found.steps[-1]
    assert last.answered == 1
    errors = round(last.error * 400)
    assert last.bound == pytest.approx(beta.ppf(0.95, errors + 1, 400 - errors))
    sure = [step.confidence for step in found.steps]
    assert sure == sorted(sure, reverse=True) and len(set(sure)) == len(sure)


@pytest.mark.parametrize(("rows", "error"), [(600, 0.08), (3000, 0.05)])
def test_the_error_asked_for_is_kept_in_19_of_20_calibrations(rows: int, error: float) -> None:
    broken = answered = 0
    scores, y = drawn(40_000, 999)
    sure, wrong = confidence(scores, RULE), RULE.choices(scores) != y
    for seed in range(60):
        found = learn(*drawn(rows, seed), RULE)
        assert found is not None
        try:
            least = found.least(error).confidence
        except OptionError:
            continue
        answered += 1
        broken += wrong[sure >= least].mean() > error
    assert answered >= 40
    assert broken <= 8


def grouped(groups: int, each: int, seed: int) -> tuple[Any, Any, Any]:
    """Rows of a group are equal but for a hair, so they are right or wrong together."""
    scores, y = drawn(groups, seed)
    noise = 1e-6 * np.random.default_rng(seed).normal(size=(groups * each, 2))
    return (
        np.repeat(scores, each, axis=0) + noise,
        np.repeat(y, each),
        np.arange(groups * each) // each,
    )


def test_rows_that_err_together_promise_no_more_than_their_groups() -> None:
    scores, y = drawn(40_000, 999)
    sure, wrong = confidence(scores, RULE), RULE.choices(scores) != y
    broken: dict[bool, int] = {True: 0, False: 0}
    told: dict[bool, int] = {True: 0, False: 0}
    for seed in range(40):
        rows, truth, groups = grouped(150, 20, seed)
        for known in (True, False):
            found = learn(rows, truth, RULE, groups if known else None)
            assert found is not None
            try:
                least = found.least(0.08).confidence
            except OptionError:
                continue
            told[known] += 1
            broken[known] += wrong[sure >= least].mean() > 0.08
    assert broken[True] <= 4 < broken[False] and told[True] > 10
    found = learn(*grouped(150, 20, 0)[:2], RULE, grouped(150, 20, 0)[2])
    assert found is not None and found.alike == pytest.approx(20, rel=0.1)
    assert type(found).from_json(found.to_json()) == found
    fewer, many = (
        risk_coverage(rows, truth, RULE, resamples=100, clusters=each) for each in (groups, None)
    )
    assert fewer.area == many.area
    assert fewer.area_high - fewer.area_low > 2 * (many.area_high - many.area_low)
    assert fewer.points[-1].high - fewer.points[-1].low > 2 * (
        many.points[-1].high - many.points[-1].low
    )


def test_what_is_refused_is_told_what_would_be_answered() -> None:
    found = learn(*drawn(400, 0), RULE)
    assert found is not None
    with pytest.raises(OptionError, match="not even without a wrong answer") as told:
        found.least(0.001)
    least = float(str(told.value).split("ask for ")[1])
    assert found.least(least).bound <= least < 0.13


def test_numbers_and_few_rows_have_no_steps() -> None:
    assert learn(np.ones((50, 1)), np.ones(50), Decision("regression")) is None
    assert learn(*drawn(FEWEST - 1, 0), RULE) is None


def test_ties_stand_or_fall_together() -> None:
    scores, y = np.zeros((100, 2)), np.arange(100) % 2
    found = learn(scores, y, RULE)
    assert found is not None and [step.answered for step in found.steps] == [1.0]


def test_the_curve_rises_to_the_error_of_all_and_its_area_lies_between() -> None:
    scores, y = drawn(1000, 0)
    curve = risk_coverage(scores, y, RULE, resamples=100)
    last = curve.points[-1]
    assert last.answered == 1
    assert last.error == pytest.approx((RULE.choices(scores) != y).mean())
    assert curve.points[5].error < last.error
    assert curve.best < curve.area < last.error
    assert curve.area_low < curve.area < curve.area_high
    assert all(p.low <= p.error <= p.high for p in curve.points)


def test_rows_of_equal_confidence_enter_together_whatever_their_order() -> None:
    y = np.repeat([0, 1], [200, 100])
    always = np.tile([1.0, 0.0], (300, 1))
    mixed = np.random.default_rng(0).permutation(300)
    sorted_by_class = risk_coverage(always, y, RULE, resamples=200)
    shuffled = risk_coverage(always, y[mixed], RULE, resamples=200)
    assert sorted_by_class.points == shuffled.points
    (only,) = sorted_by_class.points
    assert (only.answered, only.error) == (1.0, pytest.approx(1 / 3))
    assert answered_at(sorted_by_class, 0.05) == (0.0, 0.0, 0.0)
    for curve in (sorted_by_class, shuffled):
        assert curve.area == pytest.approx(1 / 3)
        assert 0.26 < curve.area_low < 0.30 and 0.37 < curve.area_high < 0.41
    # halves of two confidences, sorted by class within each
    sure = np.repeat([4.0, 1.0], 50)[:, None] * np.array([[1.0, 0.0]])
    y = np.tile(np.repeat([0, 1], [40, 10]), 2)
    curve = risk_coverage(sure, y, RULE, resamples=20)
    assert [p.answered for p in curve.points] == [0.5, 1.0]
    assert curve.area == pytest.approx(0.2)


def test_what_share_can_be_answered_at_an_error() -> None:
    curve = risk_coverage(*drawn(1000, 0), RULE, resamples=50)
    share, low, high = answered_at(curve, 0.05)
    assert 0 < low <= share <= high < 1
    assert answered_at(curve, 1.0)[0] == 1 and answered_at(curve, -1)[0] == 0


def test_rows_that_could_not_be_read_are_wrong_and_least_sure() -> None:
    scores, y = drawn(200, 0)
    scores[:20] = np.nan
    curve = risk_coverage(scores, y, RULE, resamples=20)
    assert curve.points[-1].error > curve.points[-6].error
