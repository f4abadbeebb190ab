"""Would more labels help? A learning curve, and what it says of rows that are not there yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.evidence import bootstrap
from metier.evidence.answers import Array, Sample, answers_of, whole
from metier.evidence.catalogue import Metric, find
from metier.evidence.compare import Comparison, paired
from metier.evidence.intervals import affordable
from metier.evidence.metrics import interval
from metier.evidence.words import number, points
from metier.runtime.postprocess import Decision
from metier.types import Finding

RESAMPLES = 1000
LEVEL = 0.95
POWERS: Array = np.arange(0.1, 2.01, 0.1)
"""Exponents of the power law that are tried."""
TIMES = {2: "twice", 4: "four times"}
"""How many times the rows there are it is looked ahead."""
FEWEST_POINTS = 3


@dataclass(frozen=True)
class Learned:
    """The deciding metric after learning from so many rows; `expected` when it was worked out."""

    rows: int
    value: float
    low: float
    high: float
    expected: bool = False


@dataclass(frozen=True)
class MoreLabels:
    """What labels have brought, and what more of them would.

    Args:
        metric: the deciding one.
        recipe: what was fitted.
        points: measured on the same n rows, fewest first, then those that were worked out.
        gains: what twice and four times the rows are expected to bring, better being positive.
        last: what the second half of the rows brought, paired on the n rows.
        n: rows that judge.
    """

    metric: str
    recipe: str
    points: tuple[Learned, ...]
    gains: tuple[Finding, ...]
    last: Finding
    n: int

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What it says, as claims."""
        return (*self.gains, self.last)


def look_ahead(
    metric: str,
    recipe: str,
    y: NDArray[Any],
    scores: Sequence[NDArray[Any]],
    sizes: Sequence[int],
    decision: Decision,
    *,
    seed: int = 0,
    clusters: NDArray[Any] | None = None,
) -> MoreLabels | None:
    """Extrapolate a learning curve by a power law, error = a rows^-b + c (Hestness et al., 2017).

    None for a metric without a best value, from which an error could be told, and for fewer than
    three sizes. The interval is that of the rows that judge, resampled; which rows were learned
    from adds to it, and is not in it.

    Args:
        metric: the deciding one.
        recipe: what was fitted, in words.
        y: encoded targets of the n rows that judge.
        scores: (n, outputs) of each fit.
        sizes: rows that each fit learned from, rising; the last is all there are.
        decision: how scores become answers.
        seed: of the resamples.
        clusters: (n,) groups of rows that belong together; whole ones are resampled.
    """
    found = find(metric, decision.kind)
    if found.best is None or len(sizes) < FEWEST_POINTS:
        return None
    once, drawn = _errors(found, y, scores, decision, seed, clusters)
    _, size = bootstrap.groups(clusters, len(y))
    rows = np.asarray(sizes, dtype=np.float64)
    ahead = np.array([rows[-1], *(k * rows[-1] for k in TIMES)])
    best = _predicted(rows, once[:, None], ahead)[:, 0]
    many = _predicted(rows, drawn, ahead)
    sign = -1.0 if found.higher_is_better else 1.0
    measured = [
        interval(metric, y, each, decision, seed=seed, clusters=clusters) for each in scores
    ]
    points_ = [
        Learned(size, _known(each.value), _known(each.low), _known(each.high))
        for size, each in zip(sizes, measured, strict=True)
    ]
    for at, value, values in zip(ahead[1:], best[1:], many[1:], strict=True):
        low, high = bootstrap.percentiles(found.best + sign * values, LEVEL, size)
        points_.append(Learned(int(at), float(found.best + sign * value), low, high, expected=True))
    gains = tuple(
        _gain(found, k, float(best[0] - best[i]), many[0] - many[i], len(y), size)
        for i, k in enumerate(TIMES, start=1)
    )
    last = paired(
        metric, y, scores[-1], scores[-2], decision, decision, seed=seed, clusters=clusters
    )
    return MoreLabels(
        metric, recipe, tuple(points_), gains, _last(found, last, sizes[-2], sizes[-1]), len(y)
    )


def _known(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _errors(
    metric: Metric,
    y: NDArray[Any],
    scores: Sequence[NDArray[Any]],
    decision: Decision,
    seed: int,
    clusters: NDArray[Any] | None,
) -> tuple[Array, Array]:
    """How far each fit is from the best value: once (k,), and on the same resamples (k, some)."""
    answers = [answers_of(y, each, decision) for each in scores]
    best = metric.best or 0.0
    once = np.array([abs(best - float(metric.value(whole(each))[0])) for each in answers])
    some = affordable(metric, answers[0], RESAMPLES)
    parts = [
        np.stack([np.abs(best - metric.value(Sample(each, weights))) for each in answers])
        for weights in bootstrap.draws(len(y), some, seed, clusters)
    ]
    drawn = np.concatenate(parts, axis=1)
    return once, drawn[:, np.isfinite(drawn).all(axis=0)]


def _predicted(rows: Array, errors: Array, ahead: Array) -> Array:
    """Fit a rows^-b + c with a, c >= 0 to errors (k, some) and return it at `ahead` (m, some)."""
    some = errors.shape[1]
    best = np.full(some, np.inf)
    found = np.zeros((len(ahead), some))
    for power in POWERS:
        x = (rows / rows[-1]) ** -power
        slope, floor = _line(x, errors)
        missed = ((slope * x[:, None] + floor - errors) ** 2).sum(axis=0)
        better = missed < best
        best = np.where(better, missed, best)
        curve = slope * ((ahead / rows[-1]) ** -power)[:, None] + floor
        found = np.where(better, curve, found)
    return found


def _line(x: Array, errors: Array) -> tuple[Array, Array]:
    """Least squares of errors (k, some) on x (k,), slope and floor not below 0."""
    middle = x - x.mean()
    slope = middle @ errors / max(float(middle @ middle), 1e-12)
    floor = errors.mean(axis=0) - slope * x.mean()
    through_zero = x @ errors / float(x @ x)
    flat = slope < 0
    below = ~flat & (floor < 0)
    slope = np.where(flat, 0.0, np.where(below, through_zero, slope))
    floor = np.where(flat, errors.mean(axis=0), np.where(below, 0.0, floor))
    return slope, floor


def _gain(metric: Metric, times: int, value: float, values: Array, n: int, size: int) -> Finding:
    low, high = bootstrap.percentiles(values, LEVEL, size)
    low, high = min(low, value), max(high, value)
    told = f"{TIMES[times]} the rows are expected to bring {_told(metric, value)}"
    verdict = f"{told} ({_told(metric, low, bare=True)} to {_told(metric, high, bare=True)})"
    unit = {"unit": "points"} if metric.share else {}
    scale = 100.0 if metric.share else 1.0
    return Finding(
        f"more_labels_{times}x", verdict, scale * value, scale * low, scale * high, n, details=unit
    )


def _last(metric: Metric, found: Comparison, half: int, full: int) -> Finding:
    told = f"going from {half:,} to {full:,} rows brought {_told(metric, found.difference)}"
    told += f" ({_told(metric, found.low, bare=True)} to {_told(metric, found.high, bare=True)})"
    if found.verdict == "not distinguishable":
        told += ", which cannot be told from nothing"
    scale, unit = (100.0, {"unit": "points"}) if metric.share else (1.0, {})
    return Finding(
        "last_labels",
        told,
        scale * found.difference,
        scale * found.low,
        scale * found.high,
        found.n,
        details=unit,
    )


def _told(metric: Metric, value: float, *, bare: bool = False) -> str:
    if not metric.share:
        return number(value)
    signed = f"{'-' if value < 0 else ''}{points(value)}"
    return signed if bare else f"{signed} points"
