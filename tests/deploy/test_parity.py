"""When a graph counts as the same as its model."""

from __future__ import annotations

import numpy as np
import pytest

from metier.deploy.parity import certify, compare
from metier.errors import ParityError
from metier.runtime.postprocess import Decision

BINARY = Decision("binary", ("no", "yes"))
VALUE = Decision("regression")


def test_equal_scores_hold():
    scores = np.random.default_rng(0).normal(size=(50, 2))
    parity = certify(scores, scores + 1e-6, BINARY)
    assert parity.rows == 50
    assert parity.agreement == 1
    assert 0 < parity.largest < 2e-6
    assert set(parity.to_json()) == {
        "rows", "largest_score_difference", "tolerance", "answer_agreement"
    }  # fmt: skip


def test_different_scores_and_flipped_answers_do_not():
    scores = np.random.default_rng(0).normal(size=(50, 2))
    with pytest.raises(ParityError, match="does not follow"):
        certify(scores, scores + 0.1, BINARY)
    with pytest.raises(ParityError, match="does not follow"):
        certify(scores, scores[:, ::-1], BINARY)


def test_answers_flip_only_where_scores_are_all_but_equal():
    scores = np.zeros((50, 2))
    other = scores + np.array([0, 1e-6])
    assert not compare(scores, other, BINARY).holds
    scores[1:, 0] = other[1:, 0] = 1
    assert compare(scores, other, BINARY).holds


def test_regression_is_judged_in_its_own_unit():
    values = np.linspace(1e-6, 2e-6, 20)[:, None]
    assert not compare(values, values + 1e-8, VALUE).holds
    big = values * 1e12
    assert compare(big, big + 1, VALUE).holds
    constant = np.full((5, 1), 3e5)
    assert compare(constant, constant.astype(np.float32), VALUE).holds


def test_unreadable_rows_are_left_out_on_both_sides():
    scores = np.array([[1.0, 0.0], [np.nan, np.nan]])
    assert compare(scores, scores, BINARY).rows == 1
    with pytest.raises(ParityError, match="only one"):
        compare(scores, np.ones((2, 2)), BINARY)
    with pytest.raises(ParityError, match="no readable row"):
        compare(scores[1:], scores[1:], BINARY)
    with pytest.raises(ParityError, match="shape"):
        compare(scores, scores[:, :1], BINARY)


@pytest.mark.parametrize(("steps", "holds"), [(0, True), (8, True), (64, False)])
def test_numbers_far_from_zero_may_differ_by_some_steps_of_a_float(steps: int, holds: bool) -> None:
    prices = np.float32(1e5) + np.arange(20, dtype=np.float32)[:, None]
    others = prices + np.float32(steps) * np.spacing(np.float32(1e5))
    assert compare(prices, others, Decision("regression")).holds == holds
