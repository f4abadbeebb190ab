"""A learning curve says what more rows would bring, and how unsure that is."""

from __future__ import annotations

import numpy as np
import pytest

from metier.evidence.morelabels import look_ahead
from metier.runtime.postprocess import Decision

RULE = Decision("binary", ("no", "yes"))
SIZES = [100, 200, 400, 800]


def answered(errors: list[float], n: int = 4000) -> tuple[np.ndarray, list[np.ndarray]]:
    """Truth and scores of fits that are wrong for these shares of the rows."""
    rng = np.random.default_rng(0)
    truth, luck = rng.integers(0, 2, n), rng.uniform(size=n)
    return truth, [np.eye(2)[np.where(luck < e, 1 - truth, truth)] * 4 for e in errors]


def test_a_power_law_is_found_again() -> None:
    errors = [0.05 + 2.0 * size**-0.5 for size in SIZES]
    truth, scores = answered(errors)
    found = look_ahead("accuracy", "probe", truth, scores, SIZES, RULE)
    assert found is not None and [p.rows for p in found.points] == [*SIZES, 1600, 3200]
    twice, four = found.gains
    expected = 100 * 2.0 * (800**-0.5 - 1600**-0.5)
    assert twice.low is not None and twice.high is not None and twice.value is not None
    assert twice.low < expected < twice.high and twice.value == pytest.approx(expected, abs=0.8)
    assert four.value is not None and four.value > twice.value
    assert found.points[4].expected and not found.points[3].expected
    assert found.last.value is not None and found.last.value > 0 and found.n == len(truth)
    assert "twice the rows are expected to bring" in twice.verdict


def test_a_flat_curve_promises_nothing() -> None:
    truth, scores = answered([0.2, 0.2, 0.2, 0.2])
    found = look_ahead("accuracy", "probe", truth, scores, SIZES, RULE)
    assert found is not None and found.gains[0].value == 0.0
    assert "cannot be told from nothing" in found.last.verdict


def test_errors_in_the_unit_of_the_target() -> None:
    rng = np.random.default_rng(0)
    truth, noise = rng.normal(size=1000), rng.normal(size=1000)
    scores = [(truth + noise * (0.2 + 8 / size))[:, None] for size in SIZES]
    found = look_ahead("rmse", "boost", truth, scores, SIZES, Decision("regression"))
    assert found is not None and found.points[4].value < found.points[3].value
    assert found.gains[0].value is not None and 0 < found.gains[0].value < 0.02


def test_too_few_points_say_nothing() -> None:
    truth, scores = answered([0.3, 0.2])
    assert look_ahead("accuracy", "probe", truth, scores, SIZES[:2], RULE) is None
