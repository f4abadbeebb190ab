"""Temperatures, costs and reliability."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.errors import OptionError
from metier.evidence.metrics import measure
from metier.evidence.uncertainty.calibration import cost_matrix, fit_temperature, reliability
from metier.runtime.postprocess import Decision


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_a_known_temperature_is_found(kind: str, temperature: float) -> None:
    random = np.random.default_rng(0)
    width = 2 if kind == "binary" else 5
    logits = random.normal(size=(6000, width)) * 2
    decision = Decision(kind, tuple("abcde"[:width]))  # type: ignore[arg-type]
    chances = decision.probabilities(logits)
    if kind == "multilabel":
        y = (random.random(chances.shape) < chances).astype(np.float32)
    else:
        y = (random.random((6000, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    found = fit_temperature(logits * temperature, y, decision.kind)
    assert found == pytest.approx(temperature, rel=0.08)


def test_perfect_separation_gives_a_finite_cautious_temperature() -> None:
    y = np.array([0, 1] * 10)
    found = fit_temperature(np.eye(2)[y] * 3.0, y, "binary")
    assert 0.05 < found < 20
    sure = Decision("binary", ("a", "b"), temperature=found).probabilities(np.eye(2)[y] * 3.0)
    assert 0.9 < sure[0, 0] < 0.99


def test_scores_that_know_nothing_are_cooled_to_doubt() -> None:
    random = np.random.default_rng(0)
    found = fit_temperature(random.normal(size=(500, 2)) * 5, random.integers(0, 2, 500), "binary")
    assert found > 5


def test_regression_has_no_temperature() -> None:
    assert fit_temperature(np.ones((3, 1)), np.ones(3), "regression") == 1.0
    assert fit_temperature(np.ones((0, 2)), np.ones(0), "binary") == 1.0


def test_costs_move_the_decision() -> None:
    costs = cost_matrix("fn=5,fp=1", ("healthy", "ill"))
    rule = Decision("binary", ("healthy", "ill"), costs=costs)
    # ill wins from a probability of 1 / (1 + 5) on
    logits = np.log(np.array([[0.80, 0.20], [0.85, 0.15]]))
    assert rule.answers(logits) == ["ill", "healthy"]
    assert cost_matrix(" fp = 2.5 ", ("a", "b")) == ((0.0, 2.5), (1.0, 0.0))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("fn=5,fn=6", "twice"),
        ("tp=1", "none of fn"),
        ("fn", "none of fn"),
        ("", "none of fn"),
        ("fn=many", "no cost"),
        ("fn=-1", "no cost"),
        ("fn=nan", "no cost"),
        ("fn=inf", "no cost"),
        ("fn=0,fp=0", "any answer will do"),
    ],
)
def test_nonsense_is_refused(text: str, why: str) -> None:
    with pytest.raises(OptionError, match=why):
        cost_matrix(text, ("a", "b"))


def test_costs_need_two_classes() -> None:
    with pytest.raises(OptionError, match="two classes, and this target has 3"):
        cost_matrix("fn=5", ("a", "b", "c"))


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        costs = cost_matrix(text, ("a", "b"))
    except OptionError as error:
        assert "\n" not in str(error) or "\n" in text
    else:
        assert costs[0][1] >= 0 <= costs[1][0]


def test_reliability_shows_what_was_claimed_and_what_came_true() -> None:
    random = np.random.default_rng(0)
    chance = random.random(5000)
    y = (random.random(5000) < chance).astype(np.int64)
    scores = np.stack([np.zeros(5000), np.log(chance / (1 - chance))], axis=1)
    bins = reliability(y, scores, Decision("binary", ("a", "b")))
    assert [b.n for b in bins] == [500] * 10
    for b in bins:
        assert abs(b.confidence - b.accuracy) < 0.07
        assert b.low < b.accuracy < b.high
    assert reliability(y, scores[:, :1], Decision("regression")) == []


def test_a_model_that_is_always_equally_sure_has_one_bin() -> None:
    y = np.array([0, 1] * 20)
    bins = reliability(y, np.tile([1.0, 0.0], (40, 1)), Decision("binary", ("a", "b")))
    assert len(bins) == 1
    assert bins[0].accuracy == 0.5


def test_a_fitted_temperature_calibrates() -> None:
    random = np.random.default_rng(3)
    logits = random.normal(size=(4000, 4)) * 2
    rule = Decision("multiclass", tuple("abcd"))
    y = (random.random((4000, 1)) > rule.probabilities(logits).cumsum(axis=1)).sum(axis=1)
    sharp = logits * 4
    fitted = Decision("multiclass", rule.labels, fit_temperature(sharp[:2000], y[:2000], rule.kind))
    before = measure("calibration_error", y[2000:], sharp[2000:], rule)
    after = measure("calibration_error", y[2000:], sharp[2000:], fitted)
    assert after < 0.04 < 0.2 < before
