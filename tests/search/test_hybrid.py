"""Which way a task goes."""

from __future__ import annotations

import numpy as np
import pytest

from metier.evidence.catalogue import METRICS
from metier.evidence.compare import Comparison, Verdict
from metier.runtime.postprocess import Decision
from metier.search.hybrid import COMMON, choose_ways, worth


def gap(difference: float, verdict: Verdict = "not distinguishable") -> Comparison:
    """Shared against single."""
    low, high = difference - 0.02, difference + 0.02
    return Comparison("accuracy", difference, low, high, 0.5, 100, verdict, 0.8, 0.8 - difference)


def test_what_cannot_be_told_apart_is_shared_and_a_loss_is_not() -> None:
    found = choose_ways([gap(0.03, "better"), gap(-0.015), gap(-0.03, "worse")])
    assert found == ("shared", "shared", "single")


def test_one_task_alone_shares_only_what_it_gains_by() -> None:
    assert choose_ways([gap(-0.005), gap(-0.03, "worse")]) == ("single", "single")
    assert choose_ways([gap(0.005), gap(-0.03, "worse")]) == ("shared", "single")


@pytest.mark.parametrize("name", ["rmse", "mae", "r2", "spearman"])
def test_what_scores_are_worth_does_not_depend_on_the_unit_of_the_target(name: str) -> None:
    random = np.random.default_rng(0)
    wanted = random.normal(size=200)
    scores = (wanted + random.normal(size=200))[:, None].astype(np.float32)
    rule = Decision("regression")
    once = worth(METRICS[name], wanted, scores, rule)
    assert worth(METRICS[name], 1000 * wanted, 1000 * scores, rule) == pytest.approx(once, rel=1e-3)
    better = worth(METRICS[name], wanted, wanted[:, None].astype(np.float32), rule)
    assert better > once and better == pytest.approx(METRICS[name].best, abs=1e-6)


def test_both_ways_have_settings_in_common() -> None:
    assert {"rate", "epochs", "blocks", "rows"} <= set(COMMON)
