"""A shift is seen where there is one, not where there is none, and its weights undo it."""

from __future__ import annotations

import numpy as np
import pytest

from metier.errors import DataError
from metier.evidence.unlabelled.shift import HEAVIEST, clipped, effective, measure_shift


def rows(n: int, seed: int, move: float = 0.0, wide: float = 1.0, d: int = 4) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(n, d)) * wide
    found[:, 0] += move
    return found.astype(np.float32)


def test_rows_of_one_kind_show_no_shift() -> None:
    found = [measure_shift(rows(80, 2 * s), rows(120, 2 * s + 1), seed=s) for s in range(20)]
    assert sum(each.p < 0.05 for each in found) <= 2
    assert not any(each.shifted and each.auc_low > 0.6 for each in found)
    assert np.mean([each.effective for each in found]) > 40


def test_a_moved_column_is_seen_and_weighed() -> None:
    own, others = rows(400, 0), rows(500, 1, move=1.0)
    shift = measure_shift(own, others, seed=0)
    assert shift.shifted and shift.p < 1e-6
    assert shift.auc_low < shift.auc < shift.auc_high and shift.auc_low > 0.65
    # Two normal distributions one apart: the best classifier errs on 31 % of the rows.
    assert shift.distance_low < 2 * (1 - 2 * 0.309) + 0.1 and shift.distance > 0.4
    assert shift.weights.shape == (400,) and shift.weights.mean() == pytest.approx(1.0)
    weighed = float(np.average(own[:, 0], weights=shift.weights))
    assert abs(weighed - others[:, 0].mean()) < 0.5 * abs(own[:, 0].mean() - others[:, 0].mean())
    assert shift.effective < 300


def test_rows_that_differ_in_width_only_are_told_apart() -> None:
    assert measure_shift(rows(300, 0), rows(300, 1, wide=2.0), seed=0).shifted


def test_nothing_in_common_warns_that_weights_say_little() -> None:
    shift = measure_shift(rows(100, 0), rows(100, 1, move=12.0), seed=0)
    assert shift.distance > 1.8 and shift.effective < 100
    by_name = {each.name: each for each in shift.findings}
    assert by_name["shift"].level == "warning"
    assert all(each.n for each in shift.findings)


def test_missing_and_constant_columns_are_borne() -> None:
    own, others = rows(60, 0), rows(60, 1)
    own[::3, 1], others[:, 2] = np.nan, np.inf
    own[:, 3] = others[:, 3] = 7.0
    shift = measure_shift(own, others, seed=0)
    assert np.isfinite(shift.weights).all() and 0 <= shift.p <= 1


def test_the_same_seed_measures_the_same() -> None:
    one, two = (measure_shift(rows(90, 0), rows(70, 1, 0.3), seed=3) for _ in range(2))
    assert one.p == two.p and (one.weights == two.weights).all()


def test_too_few_rows_are_refused_in_one_line() -> None:
    with pytest.raises(DataError, match="too few to compare"):
        measure_shift(rows(50, 0), rows(9, 1), seed=0)


def test_weights_are_clipped_and_counted() -> None:
    weights = clipped(np.array([1e9, *np.ones(999)]))
    assert weights.mean() == pytest.approx(1.0) and weights.max() <= 1.01 * HEAVIEST
    assert effective(np.ones(7)) == pytest.approx(7.0)
