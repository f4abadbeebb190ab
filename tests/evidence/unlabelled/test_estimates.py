"""Estimates for rows without labels, against the truth that they do not see."""

from __future__ import annotations

import numpy as np
import pytest

from metier.evidence.unlabelled.estimates import (
    agreement_estimate,
    confidence_estimate,
    weighted_estimate,
)
from metier.evidence.unlabelled.shift import measure_shift
from metier.runtime.postprocess import Decision

RULE = Decision("binary", ("no", "yes"))


def world(n: int, centre: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows whose answer is a coin near 0 and sure far away; a model that knows the true chances."""
    random = np.random.default_rng(seed)
    x = random.normal(centre, 1.0, n)
    y = (random.random(n) < 1 / (1 + np.exp(-2 * x))).astype(np.int64)
    return x, y, np.stack([-x, x], axis=1)


def test_weights_move_the_estimate_to_the_other_rows() -> None:
    x, y, scores = world(1500, 0.0, 0)
    other, truth, _ = world(1500, 1.5, 1)
    shift = measure_shift(x[:, None], other[:, None], seed=0)
    right = (scores.argmax(axis=1) == y).astype(float)
    found = weighted_estimate(right, shift.weights)
    reached = ((other > 0) == truth).mean()
    assert found.low <= reached <= found.high
    assert abs(found.value - reached) < 0.5 * abs(right.mean() - reached)
    assert found.effective < found.n and "count for" in found.finding.verdict


def test_even_weights_give_the_plain_mean() -> None:
    values = np.random.default_rng(0).random(200)
    found = weighted_estimate(values, np.ones(200))
    assert found.value == pytest.approx(values.mean()) and found.low < found.value < found.high
    perfect = weighted_estimate(np.ones(40), np.ones(40))
    assert perfect.value == 1.0 and perfect.low < 1.0


def test_confidence_tells_what_will_be_reached() -> None:
    _, y, scores = world(1500, 0.0, 0)
    other, truth, theirs = world(1500, 1.5, 1)
    found = confidence_estimate(scores, y, theirs, RULE)
    reached = ((other > 0) == truth).mean()
    assert abs(found.value - reached) < 0.05 and found.low < found.value < found.high


def test_nothing_right_or_all_right_is_borne() -> None:
    _, y, scores = world(50, 0.0, 0)
    wrong = np.where(y[:, None] == np.array([0, 1]), -1.0, 1.0)
    assert confidence_estimate(wrong, y, scores, RULE).value == 0.0
    assert confidence_estimate(-wrong, y, -wrong, RULE).value == 1.0
    with pytest.raises(ValueError, match="no one confidence"):
        confidence_estimate(scores, y, scores, Decision("regression", ()))


def test_two_models_agree_as_counted() -> None:
    one = np.array([[1.0, 0.0]] * 8 + [[0.0, 1.0]] * 2)
    found = agreement_estimate(one, np.array([[1.0, 0.0]] * 10), RULE)
    assert found.value == 0.8 and found.low < 0.8 < found.high and found.n == 10
