"""Which way a task goes."""

from __future__ import annotations

from metier.evidence.compare import Comparison, Verdict
from metier.search.hybrid import COMMON, choose_ways


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


def test_both_ways_have_settings_in_common() -> None:
    assert {"rate", "epochs", "blocks", "rows"} <= set(COMMON)
