"""Errors among the answers that are given, when the least sure ones are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from metier.evidence.answers import Array, answers_of
from metier.evidence.bootstrap import design_effect, draws, groups, percentiles, wilson
from metier.runtime.postprocess import Decision
from metier.runtime.selective import Selective, Step, confidence

STEPS = 64
FEWEST = 20
"""Answers below which nothing is said about their share of errors."""
LEVEL = 0.95


@dataclass(frozen=True)
class Point:
    """The surest share of answers: how many of them are wrong, with Wilson's interval."""

    answered: float
    error: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """Errors against the share of rows that is answered, least first.

    Args:
        points: of the curve.
        area: its mean error over all shares; `area_low` to `area_high` its interval.
        best: the area if the wrong answers were the least sure ones.
        n: rows behind it.
    """

    points: tuple[Point, ...]
    area: float
    area_low: float
    area_high: float
    best: float
    n: int


def learn(
    scores: NDArray[Any],
    y: NDArray[Any],
    decision: Decision,
    clusters: NDArray[Any] | None = None,
) -> Selective | None:
    """Return from which confidence on how many answers are wrong, on calibration rows.

    Rows of `clusters` (n,) that err together say as much as fewer rows would (Korn & Graubard,
    1998). None for regression and for too few rows.
    """
    if decision.kind == "regression" or len(y) < FEWEST:
        return None
    sure, wrong = _sure_and_wrong(scores, y, decision)
    alike = design_effect(wrong, clusters)
    order = np.argsort(-sure, kind="stable")
    sure, wrong = sure[order], wrong[order]
    n = len(sure)
    steps = []
    for answered in np.unique(np.linspace(FEWEST, n, min(STEPS, n - FEWEST + 1)).astype(int)):
        least = sure[answered - 1]
        given = int((sure >= least).sum())
        errors = float(wrong[:given].sum())
        told, right = errors / alike, (given - errors) / alike
        bound = float(betaincinv(told + 1, right, LEVEL)) if right > 0 else 1.0
        steps.append(Step(float(least), given / n, errors / given, bound))
    once = {step.confidence: step for step in steps}
    return Selective(tuple(once.values()), n, alike)


def risk_coverage(
    scores: NDArray[Any],
    y: NDArray[Any],
    decision: Decision,
    *,
    seed: int = 0,
    resamples: int = 500,
    points: int = 40,
    clusters: NDArray[Any] | None = None,
) -> Curve:
    """Return the risk-coverage curve (El-Yaniv & Wiener, 2010; Geifman & El-Yaniv, 2017).

    An error is an answer that is not wholly right. Rows without finite scores are never answered
    right and least sure. Rows of equal confidence are answered together or not at all; for the area
    they stand in no order, so each counts as wrong as they are on average. With `clusters` (n,) the
    intervals are over groups of rows.
    """
    sure, wrong = _sure_and_wrong(scores, y, decision)
    order = np.argsort(-sure, kind="stable")
    hits, n, alike = wrong[order], len(wrong), design_effect(wrong, clusters)
    firsts = np.flatnonzero(np.diff(sure[order], prepend=np.inf))
    ends = np.append(firsts[1:], n)
    wished = np.linspace(max(1, n / points), n, min(points, n)).astype(int)
    shares = np.unique(ends[np.searchsorted(ends, wished)])
    sums = np.cumsum(hits)
    found = [
        Point(
            int(k) / n, float(sums[k - 1]) / int(k), *wilson(sums[k - 1] / alike, k / alike, LEVEL)
        )
        for k in shares
    ]
    areas = []
    for weights in draws(n, resamples, seed, clusters):
        own = np.asarray(weights, np.float64)[order]
        areas.append(_areas(own, hits, firsts))
    area = float(_areas(np.ones((n, 1)), hits, firsts)[0])
    low, high = percentiles(np.concatenate(areas), LEVEL, groups(clusters, n)[1])
    best = float((np.cumsum(np.sort(hits)) / np.arange(1, n + 1)).mean())
    return Curve(tuple(found), area, min(low, area), max(high, area), best, n)


def _areas(weights: Array, hits: Array, firsts: NDArray[np.int64]) -> Array:
    """Return the mean error over all shares in each resample: rows (n,) in the order in which they
    are answered, weights (n, resamples), and where rows of one confidence begin."""
    together = np.diff(np.append(firsts, len(hits)))
    rows = np.add.reduceat(weights, firsts, axis=0)
    wrong = np.add.reduceat(weights * hits[:, None], firsts, axis=0)
    wrong = weights * np.repeat(wrong / np.maximum(rows, 1), together, axis=0)
    errors = np.cumsum(wrong, axis=0) / np.maximum(np.cumsum(weights, axis=0), 1)
    return np.asarray((weights * errors).sum(axis=0) / len(hits))


def answered_at(curve: Curve, error: float) -> tuple[float, float, float]:
    """Return the largest share of rows whose answers have at most so many errors, and its interval:
    where the interval of the curve crosses that error.

    0 when even the surest have more.
    """
    told = [max((p.answered for p in curve.points if p.error <= error), default=0.0)]
    told += [max((p.answered for p in curve.points if p.high <= error), default=0.0)]
    told += [max((p.answered for p in curve.points if p.low <= error), default=0.0)]
    return told[0], told[1], told[2]


def _sure_and_wrong(
    scores: NDArray[Any], y: NDArray[Any], decision: Decision
) -> tuple[Array, Array]:
    answers = answers_of(y, scores, decision)
    readable = np.isfinite(scores).all(axis=1)
    sure = confidence(np.where(readable[:, None], scores, 0.0), decision)
    return np.where(readable, sure, 0.0), 1.0 - answers.right
