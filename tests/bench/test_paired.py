"""Two methods on the same rows: intervals that know of seeds and of rows."""

from __future__ import annotations

import numpy as np
import pytest

from bench.paired import judge


def led(random: np.random.Generator, seeds: int, rows: int, by_seed: float) -> np.ndarray:
    """Leads of 1 point in the mean, by seed and row, with what both share and the rest."""
    shared = 1.0 + by_seed * random.normal(size=(seeds, 1)) + 5.0 * random.normal(size=(1, rows))
    return np.asarray(shared + 10.0 * random.normal(size=(seeds, rows)))


@pytest.mark.parametrize(("seeds", "by_seed"), [(2, 1.0), (3, 0.0), (3, 1.0), (10, 1.0)])
def test_intervals_hold_the_truth_as_often_as_they_say(seeds: int, by_seed: float) -> None:
    random = np.random.default_rng(seeds)
    gaps = [judge(led(random, seeds, 400, by_seed)) for _ in range(300)]
    held = np.mean([g.low <= 1.0 <= g.high for g in gaps])
    assert held > 0.915  # 95 %, less three standard errors of 300 tries
    assert all((g.p < 0.05) == (g.low > 0 or g.high < 0) for g in gaps)


def test_one_seed_is_judged_by_its_rows() -> None:
    right = np.zeros((1, 100))
    right[0, :8], right[0, 8:10] = 100.0, -100.0
    gap = judge(right)
    assert gap.points == pytest.approx(6.0) and gap.low < 6.0 < gap.high
    assert gap.p == pytest.approx(0.109, abs=0.01)  # McNemar's exact test of 8 against 2
