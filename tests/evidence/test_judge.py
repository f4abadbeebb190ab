"""Sentences that say what the numbers say, no more and no less."""

from __future__ import annotations

import numpy as np
import pytest

from metier.evidence.compare import Comparison, Verdict, paired
from metier.evidence.judge import gains, judge
from metier.evidence.metrics import interval
from metier.runtime.postprocess import Decision
from metier.types import Finding


def found(name: str = "accuracy", value: float = 0.912, n: int = 3080) -> Finding:
    return Finding(name, "", value, value - 0.011, value + 0.010, n, details={"level": 0.95})


def against(
    verdict: Verdict, difference: float, half: float, b: float, p: float, metric: str = "accuracy"
) -> Comparison:
    low, high = difference - half, difference + half
    return Comparison(metric, difference, low, high, p, 3080, verdict, b + difference, b)


BETTER = against("better", 0.243, 0.015, 0.669, 1e-30)
TIE = against("not distinguishable", 0.004, 0.012, 0.908, 0.5)
WORSE = against("worse", -0.031, 0.012, 0.943, 1e-6)


def test_the_headline_reads_as_a_physician_would_want_it() -> None:
    (headline,) = judge(found(), {"generalist": BETTER})
    assert headline.name == "verdict"
    assert headline.level == "info"
    assert headline.verdict == (
        "The specialist answers 91.2 % of 3,080 test rows right (95 % interval 90.1 to 92.2): "
        "24.3 points more than the general model (22.8 to 25.8), 73 % of its errors gone."
    )


def test_an_error_is_told_as_less() -> None:
    c = against("better", 0.8, 0.2, 3.1, 1e-9, "rmse")
    c = Comparison("rmse", 0.8, 0.6, 1.0, 1e-9, 400, "better", a=2.3, b=3.1)
    specialist = Finding("rmse", "", 2.3, 2.1, 2.5, 400, details={"level": 0.95})
    (headline,) = judge(specialist, {"linear": c}, rows="out-of-fold rows")
    assert headline.verdict == (
        "The specialist has a root mean squared error of 2.30 on 400 out-of-fold rows "
        "(95 % interval 2.10 to 2.50): 0.800 less than a linear model without any pretraining "
        "(0.600 to 1.00), 26 % of its error gone."
    )


def test_a_tie_with_the_generalist_is_called_one() -> None:
    (headline,) = judge(found(), {"generalist": TIE})
    assert "not distinguishable from the general model (difference 0.4 points, −0.8 to 1.6)" in (
        headline.verdict
    )
    assert headline.level == "warning"


def test_losing_to_no_transfer_is_negative_transfer() -> None:
    names = {f.name: f for f in judge(found(), {"generalist": BETTER, "classical": WORSE})}
    assert names["negative_transfer"].level == "problem"
    assert names["negative_transfer"].verdict == (
        "Negative transfer: a classical model without any pretraining does better, by 3.1 points "
        "(1.9 to 4.3); prefer it."
    )
    alone = judge(found(), {"generalist": BETTER, "classical": WORSE}, transfer=False)
    assert [f.name for f in alone] == ["verdict"]


def test_a_tie_with_no_transfer_is_a_warning() -> None:
    last = judge(found(), {"generalist": BETTER, "classical": TIE})[-1]
    assert (last.name, last.level) == ("negative_transfer", "warning")


def test_a_specialist_that_learned_nothing_is_told_so() -> None:
    last = judge(found(), {"majority": TIE})[-1]
    assert (last.name, last.level) == ("learned_nothing", "problem")
    assert "always giving the same answer" in last.verdict


def test_the_runner_up_is_named() -> None:
    last = judge(found(), {"generalist": BETTER}, runner_up=("lora", TIE))[-1]
    assert last.name == "runner_up"
    assert last.verdict.startswith("Not distinguishable from the runner-up (lora)")


@pytest.mark.parametrize(
    ("metric", "train", "unseen", "level"),
    [
        ("accuracy", 0.998, 0.851, "warning"),
        ("accuracy", 0.93, 0.90, "info"),
        ("rmse", 0.1, 1.0, "warning"),
        ("rmse", 0.9, 1.0, "info"),
    ],
)
def test_overfitting(metric: str, train: float, unseen: float, level: str) -> None:
    seen = Finding(metric, "", train, train - 0.02, train + 0.01, 512)
    others = Finding(metric, "", unseen, unseen - 0.04, unseen + 0.01, 200)
    last = judge(found(metric), {}, on_train=seen, on_unseen=others)[-1]
    assert last.name == "overfitting"
    assert last.level == level
    assert last.verdict.startswith("Overfitting" if level == "warning" else "No sign")
    assert "on 512 rows it learned from" in last.verdict
    assert "on 200 rows it had not seen" in last.verdict
    # Newcombe's way: the far ends of both, put together as squares.
    assert last.value == pytest.approx(abs(train - unseen)) and last.n == 200
    bounded = metric == "accuracy"
    down, up = (
        (np.hypot(0.02, 0.01), np.hypot(0.01, 0.04))
        if bounded
        else (np.hypot(0.04, 0.01), np.hypot(0.01, 0.02))
    )
    assert (last.low, last.high) == pytest.approx((last.value - down, last.value + up))


def test_overfitting_is_not_told_of_what_is_not_defined() -> None:
    nothing, some = Finding("roc_auc", ""), Finding("roc_auc", "", 0.8, 0.7, 0.9, 100)
    assert [f.name for f in judge(found("roc_auc"), {}, on_train=nothing, on_unseen=some)] == [
        "verdict"
    ]


def test_what_is_not_defined_is_not_called_nothing_learned() -> None:
    rows, y = np.random.default_rng(0).normal(size=(30, 2)), np.zeros(30, np.int64)
    rule = Decision("binary", ("no", "yes"))
    unknown = paired("roc_auc", y, rows, rows[:, ::-1], rule, rule)
    every = dict.fromkeys(("generalist", "majority", "classical"), unknown)
    told = judge(
        interval("roc_auc", y, rows, rule),
        every,
        runner_up=("lora", unknown),
    )
    assert [(f.name, f.level) for f in told] == [("verdict", "warning")]
    assert told[0].verdict == "The ROC-AUC of the specialist is not defined on 30 test rows."
    assert told[0].details["against"] is None
    assert gains(every)[0].verdict == (
        "No comparison with the general model: the ROC-AUC is not defined on these rows."
    )
    known = judge(found(), {"generalist": BETTER, "majority": unknown})
    assert [f.name for f in known] == ["verdict"]


def test_one_lucky_p_among_many_does_not_count() -> None:
    lucky = against("better", 0.02, 0.018, 0.89, 0.03)
    many = {"generalist": lucky, **{name: TIE for name in ("classical", "scratch", "linear")}}
    told = judge(found(), many)[0].verdict
    assert "not distinguishable from the general model" in told
    assert "0.2 to 3.8 taken alone; among several comparisons that may be chance)" in told
    assert "taken alone" not in judge(found(), {"generalist": TIE})[0].verdict


def test_headline_and_gains_count_the_same_comparisons() -> None:
    nearly = against("better", 0.02, 0.018, 0.89, 0.03)
    rivals, second = {"majority": BETTER, "classical": nearly}, ("lora", TIE)
    headline = judge(found(), rivals, runner_up=second)[0]
    told = {each.name: each for each in gains(rivals, second)}
    assert headline.details["against"] == "classical"
    assert told["classical"].details["verdict"] == "not distinguishable"
    assert told["classical"].details["p_adjusted"] == pytest.approx(0.06)
    assert "not distinguishable" in headline.verdict
    assert gains(rivals)[0].details["p_adjusted"] == pytest.approx(0.03)


def test_gains_put_the_strongest_rival_first() -> None:
    rows = gains({"generalist": BETTER, "classical": WORSE, "probe": TIE})
    assert [f.name for f in rows] == ["classical", "probe", "generalist"]
    assert [f.level for f in rows] == ["warning", "info", "info"]
    assert rows[-1].details["error_gone"] == pytest.approx(0.243 / 0.331)
    assert rows[0].verdict.startswith("3.1 points less than")
