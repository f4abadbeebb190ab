from __future__ import annotations

import numpy as np
import pytest

from metier.evidence.unlabelled.closeness import closeness

REAL = np.random.default_rng(0).random(300) + 0.5


def test_rows_as_far_away_as_real_ones_give_nobody_away() -> None:
    found = closeness(np.concatenate([REAL, REAL[:100]]), REAL)
    assert found.low < 1.0 < found.high and found.copies == 0 and found.n == 400
    (finding,) = found.findings
    assert finding.level == "info" and finding.value == found.ratio


@pytest.mark.parametrize(("made", "copies"), [(np.full(50, 0.01), 0), (np.zeros(50), 50)])
def test_copies_and_near_copies_are_told(made: np.ndarray, copies: int) -> None:
    found = closeness(made, REAL)
    (finding,) = found.findings
    assert finding.level == "warning" and found.copies == copies and found.near == 1.0
    assert found.high < 1.0 and ("copies" in finding.verdict) == bool(copies)


def test_real_rows_that_are_all_the_same_divide_by_nothing() -> None:
    found = closeness(np.ones(10), np.zeros(20))
    assert np.isfinite([found.ratio, found.low, found.high, found.near]).all()
