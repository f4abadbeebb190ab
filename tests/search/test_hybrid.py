"""Which way a task goes."""

from __future__ import annotations

from metier.evidence.compare import Comparison
from metier.search.hybrid import COMMON, choose_ways


def gap(difference: float, error: float = 0.01) -> Comparison:
    """Shared against single, with a standard error."""
    low, high = difference - 1.96 * error, difference + 1.96 * error
    return Comparison(
        "accuracy", difference, low, high, 0.5, 100, "not distinguishable", 0.8, 0.8 - difference
    )


def test_a_tie_goes_to_the_shared_network_and_a_loss_does_not() -> None:
    assert choose_ways([gap(0.02), gap(-0.005), gap(-0.02)]) == ("shared", "shared", "single")


def test_one_task_alone_shares_only_what_it_gains_by() -> None:
    assert choose_ways([gap(-0.005), gap(-0.02)]) == ("single", "single")
    assert choose_ways([gap(0.005), gap(-0.02)]) == ("shared", "single")


def test_both_ways_have_settings_in_common() -> None:
    assert {"rate", "epochs", "blocks", "rows"} <= set(COMMON)
