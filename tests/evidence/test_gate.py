"""The gate: what is slower, or worse beyond what may be lost, is rejected."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from metier.evidence.gate import Cost, Gate, PairCost, Ratio, judge
from metier.runtime.postprocess import Decision

RULE = Decision("binary", ("no", "yes"))
EVEN = Ratio(1.0, 0.99, 1.01)
FAST = Ratio(0.5, 0.48, 0.53)
SLOW = Ratio(1.4, 1.35, 1.46)


def cost(**changes: Any) -> PairCost:
    """A child that takes half the time and a quarter of the bytes."""
    one = Cost(0.004, 0.005, 0.006, 0.007, 300.0, 10**8, 4 * 10**6)
    plain = PairCost(one, one, FAST, FAST, FAST, 0.9, 0.25, 2, 20)
    return replace(plain, **changes)


def scores(n: int, *wrong: int) -> Any:
    """Targets of n rows and scores that get the named rows wrong."""
    found = np.eye(2)[np.arange(n) % 2].astype(np.float32)
    found[list(wrong)] = 1 - found[list(wrong)]
    return found


def decide(n: int, lost: int, gained: int = 0, **changes: Any) -> Gate:
    """The gate's decision when a child gets `lost` rows wrong that its parent gets right, and
    `gained` rows right that the parent gets wrong."""
    measured = cost(**{k: changes.pop(k) for k in list(changes) if k in PairCost.__annotations__})
    return judge(
        measured,
        metric="accuracy",
        targets=np.arange(n) % 2,
        parent=scores(n, *range(gained)),
        child=scores(n, *range(n - lost, n)),
        decision=RULE,
        **changes,
    )


def test_as_good_and_faster_passes() -> None:
    gate = decide(1000, 4, 3)
    assert gate.accepted and gate.loss == pytest.approx(0.1)
    assert gate.low < 0 < gate.high and gate.n == 1000 and gate.unit == "points"
    assert "0.500 times as long (0.480 to 0.530)" in gate.reason
    assert "0.10 points of accuracy lost" in gate.reason


@pytest.mark.parametrize(
    ("n", "lost", "gained", "accepted"),
    [
        (1000, 0, 0, True),  # the same answers
        (1000, 0, 9, True),  # better
        (1000, 5, 0, True),  # sure to be lost, and allowed
        (1000, 12, 0, False),  # sure to be lost, and too much
        (1000, 24, 12, False),  # twice its standard error
        (60, 1, 0, True),  # one row more or less never decides
        (300, 7, 5, True),  # too much, were it not noise
        (40, 6, 1, False),  # few rows, and yet plain
    ],
)
def test_what_may_be_lost(n: int, lost: int, gained: int, accepted: bool) -> None:
    gate = decide(n, lost, gained)
    assert gate.accepted is accepted
    assert gate.loss == pytest.approx(100 * (lost - gained) / n)
    if not accepted:
        assert "at most 0.500 points may be" in gate.reason


def test_the_user_says_what_may_be_lost() -> None:
    assert decide(1000, 12, max_loss=1.5).accepted
    assert not decide(1000, 3, max_loss=0.2).accepted


@pytest.mark.parametrize("where", ["latency", "latency_one", "time"])
def test_slower_than_the_parent_is_rejected_whatever_was_wanted(where: str) -> None:
    """What 8-bit arithmetic is on a processor that has no instructions for it."""
    measured = {"latency": EVEN, "latency_one": EVEN, "time": EVEN, where: SLOW}
    for wanted in ("speed", "size"):
        gate = decide(1000, 0, wanted=wanted, **measured)
        assert not gate.accepted and gate.reason.startswith("slower than its parent")
        assert "1.40 times as long (1.35 to 1.46)" in gate.reason


def test_slower_within_noise_is_not_slower() -> None:
    noisy = Ratio(1.2, 0.98, 1.5)
    assert decide(1000, 0, wanted="size", latency=noisy, latency_one=noisy, time=noisy).accepted


def test_many_rows_may_take_longer_where_one_is_faster() -> None:
    assert decide(1000, 0, time=SLOW).accepted


def test_smaller_alone_passes_when_size_is_wanted() -> None:
    even = {"latency": EVEN, "latency_one": EVEN, "time": EVEN}
    gate = decide(1000, 0, **even)
    assert not gate.accepted and gate.reason.startswith("smaller, but not faster than its parent")
    assert decide(1000, 0, wanted="size", **even).accepted
    gate = decide(1000, 0, wanted="size", bytes=1.01)
    assert not gate.accepted and gate.reason == "not smaller than its parent"


def test_all_reasons_are_told() -> None:
    gate = decide(1000, 50, latency=SLOW)
    assert "points of accuracy lost" in gate.reason and "slower than its parent" in gate.reason


def test_errors_are_told_in_per_cent_of_the_parents() -> None:
    truth = np.linspace(0, 10, 400)
    noise = np.where(np.arange(400) % 2, 1.0, -1.0)
    rule = Decision("regression")

    def gate(more: float) -> Gate:
        return judge(
            cost(),
            metric="rmse",
            targets=truth,
            parent=(truth + noise)[:, None],
            child=(truth + (1 + more) * noise)[:, None],
            decision=rule,
        )

    assert gate(0.004).accepted and gate(0.004).loss == pytest.approx(0.4)
    worse = gate(0.05)
    assert not worse.accepted and worse.unit == "per cent"
    assert "5.00 % of root mean squared error lost" in worse.reason
    better = gate(-0.05)
    assert better.accepted and "5.00 % of root mean squared error gained" in better.reason


def test_a_metric_that_cannot_be_told_lets_nothing_pass() -> None:
    gate = judge(
        cost(),
        metric="roc_auc",
        targets=np.zeros(20, dtype=np.int64),
        parent=scores(20),
        child=scores(20),
        decision=RULE,
    )
    assert not gate.accepted and "cannot be told on these 20 rows" in gate.reason
    assert json.loads(json.dumps(gate.to_json(), allow_nan=False))["loss"] is None


def test_of_a_parent_without_any_error_every_clear_loss_is_too_much() -> None:
    def judged(wrong: int) -> Gate:
        rule = replace(RULE, costs=((0.0, 1.0), (5.0, 0.0)))
        return judge(
            cost(),
            metric="cost",
            targets=np.arange(200) % 2,
            parent=20 * scores(200),
            child=20 * scores(200, *range(wrong)),
            decision=rule,
            max_loss=10.0,
        )

    assert judged(0).accepted and judged(0).loss == 0.0
    worse = judged(60)
    assert not worse.accepted and "its parent makes no error (200 rows)" in worse.reason
    assert json.loads(json.dumps(worse.to_json(), allow_nan=False))["loss"] is None


def test_the_decision_is_plain_data() -> None:
    gate = decide(1000, 12)
    data = json.loads(json.dumps(gate.to_json(), allow_nan=False))
    assert data["accepted"] is False and data["loss"] == pytest.approx(1.2)
    assert data["cost"]["latency"] == {"value": 0.5, "low": 0.48, "high": 0.53}
    assert data["cost"]["parent"]["bytes"] == 4 * 10**6 and data["max_loss"] == 0.5
