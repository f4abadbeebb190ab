"""Temperature or a rising line, whichever rows that chose neither speak for."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.evidence.metrics import measure
from metier.evidence.uncertainty.isotonic import FEWEST, fit_calibration, fit_isotonic
from metier.runtime.postprocess import Decision

PLAIN = Decision("binary", ("no", "yes"))


def drawn(n: int, seed: int, bent: bool) -> tuple[Any, Any]:
    """Margins whose truth follows a sigmoid, or one half that is squeezed."""
    random = np.random.default_rng(seed)
    margins = 3 * random.normal(size=n)
    share = 1 / (1 + np.exp(-margins / 1.5))
    if bent:
        share = np.where(margins < 0, 0.25 * share, 0.15 + 0.4 * share)
    y = (random.random(n) < share).astype(int)
    return np.stack([np.zeros(n), margins], axis=1).astype(np.float32), y


def test_a_line_is_taken_where_a_temperature_cannot_do() -> None:
    found = fit_calibration(*drawn(2000, 0, bent=True), PLAIN)
    assert found.isotonic
    scores, y = drawn(20_000, 1, bent=True)
    cooled = replace(found, isotonic=())
    assert measure("log_loss", y, scores, found) < measure("log_loss", y, scores, cooled) - 0.01
    assert measure("calibration_error", y, scores, found) < 0.04


@pytest.mark.parametrize("n", [FEWEST - 1, 2000])
def test_a_temperature_stays_where_it_does(n: int) -> None:
    found = fit_calibration(*drawn(n, 0, bent=False), PLAIN)
    assert not found.isotonic
    assert found.temperature == pytest.approx(1.5, rel=0.3)


def test_few_rows_or_one_class_have_no_line() -> None:
    scores, y = drawn(FEWEST - 1, 0, bent=True)
    assert not fit_calibration(scores, y, PLAIN).isotonic
    scores, y = drawn(2000, 0, bent=True)
    assert not fit_calibration(scores, np.zeros_like(y), PLAIN).isotonic
    several = Decision("multilabel", ("a", "b"))
    flags = np.stack([y, 1 - y], axis=1).astype(np.float32)
    assert not fit_calibration(scores, flags, several).isotonic
    assert fit_calibration(scores[:, :1], scores[:, 0], Decision("regression")).temperature == 1


def test_unreadable_rows_are_left_out() -> None:
    scores, y = drawn(2000, 0, bent=True)
    scores[::5] = np.nan
    assert fit_calibration(scores, y, PLAIN).isotonic


@given(st.integers(0, 10_000), st.integers(20, 400))
def test_what_was_ranked_stays_ranked(seed: int, n: int) -> None:
    scores, y = drawn(n, seed, bent=bool(seed % 2))
    knots = np.array(fit_isotonic(scores, y))
    assert (np.diff(knots, axis=0) > 0).all()
    rule = replace(PLAIN, temperature=1.5, isotonic=tuple(map(tuple, knots.tolist())))
    margins = np.sort(np.random.default_rng(seed).normal(size=50) * 8)
    shares = rule.probabilities(np.stack([np.zeros(50), margins], axis=1))
    assert (np.diff(shares[:, 1]) >= 0).all() and (shares > 0).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1)


def test_the_line_is_data_and_old_data_have_none() -> None:
    rule = replace(PLAIN, isotonic=((-1.0, -2.0), (1.0, 0.5)), temperature=2.0)
    data = json.loads(json.dumps(rule.to_json()))
    assert Decision.from_json(data) == rule
    assert "isotonic" not in PLAIN.to_json()
    # at the knots, between them, and beyond with the slope of the temperature
    margins = np.array([-1.0, 0.0, 1.0, 3.0])
    scores = np.stack([np.zeros(4), margins], axis=1)
    shares = rule.probabilities(scores)[:, 1]
    np.testing.assert_allclose(np.log(shares / (1 - shares)), [-2, -0.75, 0.5, 1.5])


@pytest.mark.parametrize("levels", [2, 3, 7, 30])
def test_rows_of_one_score_are_one_point_in_any_order(levels: int) -> None:
    random = np.random.default_rng(levels)
    scores, y = drawn(1200, levels, bent=True)
    scores = np.round(scores * levels / 12) * 12 / levels
    knots = fit_isotonic(scores, y)
    assert len({margin for margin, _ in knots}) == len(knots)
    for _ in range(5):
        order = random.permutation(len(y))
        assert fit_isotonic(scores[order], y[order]) == knots


def test_a_step_of_equal_scores_tells_their_share() -> None:
    margins, shares = np.repeat([-2.0, 0.5, 3.0], 300), np.repeat([0.1, 0.4, 0.8], 300)
    y = (np.tile(np.arange(300), 3) < 300 * shares).astype(int)
    scores = np.stack([np.zeros(900), margins], axis=1)
    rule = replace(PLAIN, isotonic=fit_isotonic(scores, y))
    found = rule.probabilities(scores)[:, 1]
    np.testing.assert_allclose(found, shares, atol=0.01)
