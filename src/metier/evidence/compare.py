"""Which of two models is better, judged row by row on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, ndtri, stdtr

from metier.evidence import bootstrap, unanimous
from metier.evidence.answers import Answers, Array, Prices, Sample, answers_of, whole
from metier.evidence.catalogue import METRICS, Metric, find
from metier.evidence.intervals import RESAMPLES, affordable
from metier.runtime.postprocess import Decision

Verdict = Literal["better", "worse", "not distinguishable"]
SAME = 1e-9
"""An interval that is this narrow beside the difference is as wide as rounding makes it."""


@dataclass(frozen=True)
class Comparison:
    """Model a against model b on the same rows.

    Args:
        metric: the name of the metric.
        difference: how much better a is, in the metric's unit: above 0 is better, whichever way
            the metric points.
        low: the lower end of the interval of the difference.
        high: its upper end.
        p: the two-sided p-value of no difference.
        n: the number of rows.
        verdict: what a is, compared with b, when this is the only comparison.
        a: the metric of a.
        b: the metric of b.
        level: the coverage of the interval.
    """

    metric: str
    difference: float
    low: float
    high: float
    p: float
    n: int
    verdict: Verdict
    a: float
    b: float
    level: float = 0.95

    @property
    def defined(self) -> bool:
        """Whether the metric is defined on these rows, so that anything was compared."""
        return bool(np.isfinite([self.difference, self.low, self.high]).all())

    @property
    def error(self) -> float:
        """The standard error of the difference, as its interval tells it."""
        return (self.high - self.low) / (2.0 * -float(ndtri((1.0 - self.level) / 2.0)))

    @property
    def error_gone(self) -> float | None:
        """The share of b's error that a does not make; None where b makes none."""
        best = METRICS[self.metric].best
        error = abs(best - self.b) if best is not None else 0.0
        return self.difference / error if error > 0 else None


def paired(
    name: str,
    y: NDArray[Any],
    scores_a: NDArray[Any],
    scores_b: NDArray[Any],
    decision_a: Decision,
    decision_b: Decision,
    *,
    level: float = 0.95,
    resamples: int = 2 * RESAMPLES,
    seed: int = 0,
    clusters: NDArray[Any] | None = None,
    prices: Prices | None = None,
) -> Comparison:
    """Compare two models on the same rows.

    Accuracy of independent rows: McNemar's exact test, with the interval of Bonett & Price (2012).
    Everything else: a paired bootstrap of rows, or of whole groups with `clusters` (n,); a sign
    test where all resamples agree. The interval of what the test takes for chance holds 0. `y` is
    what `Task.encode` returns, scores are (n, outputs). Where the two were made by different costs,
    `prices` say which ones both pay.

    >>> y = np.array([0, 1] * 50)
    >>> right, wrong = np.eye(2)[y], np.eye(2)[1 - y]
    >>> half = np.where(np.arange(100)[:, None] < 50, right, wrong)
    >>> rule = Decision("binary", ("no", "yes"))
    >>> paired("accuracy", y, right, half, rule, rule).verdict
    'better'
    """
    metric = find(name, decision_a.kind)
    a = answers_of(y, scores_a, decision_a, prices)
    b = answers_of(y, scores_b, decision_b, prices)
    value_a, value_b = (float(metric.value(whole(each))[0]) for each in (a, b))
    sign = 1.0 if metric.higher_is_better else -1.0
    difference = sign * (value_a - value_b)
    if metric.per_row and clusters is None:
        low, high, p = _by_mcnemar(a.right, b.right, level)
    else:
        drawn = sign * _drawn(metric, a, b, resamples, seed, clusters)
        _, size = bootstrap.groups(clusters, len(a))
        low, high = bootstrap.percentiles(drawn, level, size)
        if high - low <= SAME * abs(difference):
            low, high, p = unanimous.judged(metric, a, b, level, clusters)
        else:
            p = _p_of(drawn, difference, size)
            low, high = min(low, difference), max(high, difference)
    if p >= 1.0 - level:  # the two follow from different procedures, and the test decides
        low, high = min(low, 0.0), max(high, 0.0)
    return Comparison(
        name,
        difference,
        low,
        high,
        p,
        len(a),
        _verdict(low, high, p, level),
        value_a,
        value_b,
        level,
    )


def _verdict(low: float, high: float, p: float, level: float) -> Verdict:
    if p >= 1.0 - level or not (low > 0 or high < 0):
        return "not distinguishable"
    return "better" if low > 0 else "worse"


def mcnemar(right_a: NDArray[Any], right_b: NDArray[Any]) -> float:
    """Return the exact two-sided p-value that two models are right equally often.

    Only the rows that one of them alone gets right count: under the null each of those is a fair
    coin (McNemar, 1947).

    >>> round(mcnemar(np.array([1, 1, 1, 1, 1, 1, 0, 1]), np.array([0, 0, 0, 0, 0, 0, 0, 1])), 4)
    0.0312
    """
    only_a = int(np.sum((right_a > 0) & ~(right_b > 0)))
    only_b = int(np.sum((right_b > 0) & ~(right_a > 0)))
    if only_a + only_b == 0:
        return 1.0
    return min(1.0, 2.0 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def _by_mcnemar(right_a: Array, right_b: Array, level: float) -> tuple[float, float, float]:
    """Return interval and p-value of a difference of two shares of the same rows."""
    n = len(right_a)
    only_a = (float(np.sum(right_a > right_b)) + 1.0) / (n + 2.0)
    only_b = (float(np.sum(right_b > right_a)) + 1.0) / (n + 2.0)
    z = -float(ndtri((1.0 - level) / 2.0))
    middle = only_a - only_b
    half = z * float(np.sqrt((only_a + only_b - middle**2) / (n + 2.0)))
    difference = float(right_a.mean() - right_b.mean())
    low, high = max(-1.0, middle - half), min(1.0, middle + half)
    return min(low, difference), max(high, difference), mcnemar(right_a, right_b)


def _drawn(
    metric: Metric,
    a: Answers,
    b: Answers,
    resamples: int,
    seed: int,
    clusters: NDArray[Any] | None,
) -> Array:
    """Return bootstrap values of metric(a) - metric(b), both on the same resamples."""
    if metric.per_row and clusters is not None:
        return _drawn_by_group(a.right - b.right, resamples, seed, clusters)
    resamples = affordable(metric, a, resamples)
    parts: list[tuple[Array, Array]] = [
        (metric.compute(Sample(a, weights)), metric.compute(Sample(b, weights)))
        for weights in bootstrap.draws(len(a), resamples, seed, clusters)
    ]
    values = [np.concatenate(part) for part in zip(*parts, strict=True)]
    if metric.finish is not None:
        once = [float(metric.compute(whole(each))[0]) for each in (a, b)]
        values = [
            metric.finish(found - found.mean() + own)
            for found, own in zip(values, once, strict=True)
        ]
    return np.asarray(values[0] - values[1])


def _drawn_by_group(gained: Array, resamples: int, seed: int, clusters: NDArray[Any]) -> Array:
    """Return bootstrap values of a mean over rows; its sum in each group is all that it needs, so
    that many rows take no longer than few."""
    codes, size = bootstrap.groups(clusters, len(gained))
    sums = np.bincount(codes, weights=gained, minlength=size)
    rows = np.bincount(codes, minlength=size)
    drawn = [
        (sums @ weights) / (rows @ weights) for weights in bootstrap.draws(size, resamples, seed)
    ]
    return np.concatenate(drawn)


def _p_of(drawn: Array, difference: float, n: int) -> float:
    """Return the two-sided p-value of a difference from its bootstrap spread (Student's t)."""
    drawn = drawn[np.isfinite(drawn)]
    if n < 2 or len(drawn) < 2 or not np.isfinite(difference):
        return 1.0
    spread = float(drawn.std(ddof=1)) * float(np.sqrt(n / (n - 1)))
    return float(2.0 * stdtr(n - 1, -abs(difference) / spread))


def holm(ps: Sequence[float]) -> tuple[float, ...]:
    """Return p-values adjusted for being several (Holm, 1979), in the order given.

    >>> holm([0.01, 0.04, 0.03])
    (0.03, 0.06, 0.06)
    """
    found = [0.0] * len(ps)
    worst = 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        worst = max(worst, min(1.0, (len(ps) - rank) * ps[i]))
        found[i] = worst
    return tuple(found)


def verdicts(comparisons: Mapping[str, Comparison]) -> dict[str, Verdict]:
    """Return what a is, compared with each of several, p-values adjusted for being several."""
    adjusted = holm([c.p for c in comparisons.values()])
    return {
        name: _verdict(c.low, c.high, p, c.level)
        for (name, c), p in zip(comparisons.items(), adjusted, strict=True)
    }


def indistinguishable(comparisons: Mapping[str, Comparison]) -> tuple[str, ...]:
    """Return the names of those that a cannot be told apart from, all comparisons considered.

    For a choice by size: compare the best with every candidate, and take the smallest of these.
    """
    return tuple(
        name for name, found in verdicts(comparisons).items() if found == "not distinguishable"
    )
