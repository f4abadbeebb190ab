"""Intervals: resampled rows or groups, and the score interval of a share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from metier.evidence.answers import Array

CELLS = 2**19
"""Weights are made this many at a time, so that they stay in the processor's cache."""


def groups(clusters: NDArray[Any] | None, n: int) -> tuple[NDArray[np.int64], int]:
    """Return the group number of each row and how many groups there are; a row each for None."""
    if clusters is None:
        return np.arange(n, dtype=np.int64), n
    if len(clusters) != n:
        raise ValueError(f"{n} rows but {len(clusters)} cluster names")
    _, codes = np.unique(np.asarray(clusters).astype(str), return_inverse=True)
    return codes.astype(np.int64), int(codes.max(initial=-1)) + 1


def design_effect(values: NDArray[Any], clusters: NDArray[Any] | None) -> float:
    """Return how many rows of groups say as much about a mean as one independent row does: the
    variance of the mean by groups over that by rows (Kish, 1965), at least 1.

    Where all values are one, nothing tells rows of a group apart: then as many as a group has.

    >>> design_effect(np.repeat([0.0, 1.0, 0.0, 1.0], 5), np.repeat(np.arange(4), 5)) > 4
    True
    >>> design_effect(np.tile([0.0, 1.0], 10), None)
    1.0
    """
    if clusters is None:
        return 1.0
    codes, size = groups(clusters, len(values))
    apart = np.asarray(values, np.float64) - np.mean(values)
    by_rows = float((apart**2).sum())
    if size < 2 or by_rows <= 0:
        return len(values) / max(size, 1)
    by_groups = float((np.bincount(codes, weights=apart, minlength=size) ** 2).sum())
    return max(1.0, by_groups * size / (size - 1) / by_rows)


def draws(
    n: int, resamples: int, seed: int, clusters: NDArray[Any] | None = None
) -> Iterator[NDArray[np.float32]]:
    """Yield weights (n, some): how often each row is drawn in each bootstrap sample.

    With `clusters` (n,) whole groups are drawn, so that rows of one group are not taken for
    independent ones.
    """
    codes, size = groups(clusters, n)
    random = np.random.default_rng(seed)
    step = max(16, CELLS // max(n, 1))
    for start in range(0, resamples, step):
        some = min(step, resamples - start)
        picked = random.integers(0, size, (some, size), dtype=np.int32)
        counts = np.stack([np.bincount(row, minlength=size) for row in picked])
        weights = np.ascontiguousarray(counts.T, dtype=np.float32)
        yield weights if clusters is None else weights[codes]


def percentiles(values: Array, level: float, n: int) -> tuple[float, float]:
    """Return the interval of bootstrap values, a little wider than their plain percentiles.

    The plain ones are too narrow for few rows: the levels are those that make the interval of a
    mean as wide as Student's (Hesterberg, 2015, "What teachers should know about the bootstrap").
    `n` is the number of independent rows or groups. Values that are not numbers are left out.
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    tail = (1.0 - level) / 2.0
    if n > 1:
        tail = float(ndtr(np.sqrt(n / (n - 1)) * stdtrit(n - 1, tail)))
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return float(low), float(high)


def wilson(hits: float, n: float, level: float) -> tuple[float, float]:
    """Return Wilson's score interval of a share: right for few rows, and never a single point.

    >>> low, high = wilson(10, 10, 0.95)
    >>> round(low, 2), round(high, 2)
    (0.72, 1.0)
    """
    if n <= 0:
        return 0.0, 1.0
    z = -float(ndtri((1.0 - level) / 2.0))
    share = hits / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    low = 0.0 if hits <= 0 else max(0.0, float(middle - half))
    high = 1.0 if hits >= n else min(1.0, float(middle + half))
    return low, high
