"""Two methods on the same test rows: the gap, its interval, and whether chance explains it.

Seeds and rows are both drawn by chance, so the interval of a gap is over both: a seed that is
common to all rows, or draws the labelled ones, is no less a chance than which rows are tested. The
gap is in points: of accuracy, or of R² (explained variance) in a regression, which makes sets
comparable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import records

DRAWS = 9999
RESAMPLES = 2000
AT_ONCE = 500


@dataclass(frozen=True)
class Gap:
    """How much better a is than b in points, its 95 % interval, and the two-sided p-value."""

    points: float
    low: float
    high: float
    p: float
    n: int


def compare(
    a: Mapping[str, Any], b: Mapping[str, Any], seeds: Sequence[int], folder: Path
) -> Gap | None:
    """Compare two methods of one set over seeds that both have; None without predictions."""
    held = [
        tuple(records.losses({**key, "seed": seed}, folder) for key in (a, b)) for seed in seeds
    ]
    pairs = [(x, y) for x, y in held if x is not None and y is not None]
    if not pairs:
        return None
    scale = spread({**a, "seed": seeds[0]}, folder)
    return judge(np.stack([y - x for x, y in pairs]) * 100 / scale)


def judge(led: NDArray[np.float64]) -> Gap:
    """Return the mean of how far a method led, (seeds, rows), with its interval and p-value.

    One seed: a bootstrap of rows and a sign-flip test, which for right or wrong answers is
    McNemar's. Several: Student's interval and test over seeds and rows.
    """
    return _of_rows(led[0]) if len(led) == 1 else Mean.of(led).gap()


@dataclass(frozen=True)
class Mean:
    """The mean of what was measured on seeds and rows that cross.

    Args:
        value: the mean.
        seeds: its variance as the spread of seeds tells it.
        freedom: the degrees of freedom of that.
        rows: its variance by what is common to a row on all seeds.
        n: rows.
    """

    value: float
    seeds: float
    freedom: float
    rows: float
    n: int

    @classmethod
    def of(cls, led: NDArray[np.float64]) -> Mean:
        """The mean over (seeds, rows), at least two of each."""
        k, n = led.shape
        by_seed, by_row = led.mean(axis=1), led.mean(axis=0)
        rest = led - by_seed[:, None] - by_row + led.mean()
        both = float((rest**2).sum()) / ((k - 1) * (n - 1)) / (k * n)
        rows = max(float(by_row.var(ddof=1)) / n - both, 0.0)
        return cls(float(led.mean()), float(by_seed.var(ddof=1)) / k, k - 1.0, rows, n)

    def gap(self) -> Gap:
        """The same as an interval and the p-value at which it would end at 0."""
        from scipy.optimize import brentq

        half = self._half(0.05)
        far, least = abs(self.value), 1e-9
        if far <= self._half(1.0):
            p = 1.0
        elif far >= self._half(least):
            p = least
        else:
            p = float(brentq(lambda level: self._half(level) - far, least, 1.0))
        return Gap(self.value, self.value - half, self.value + half, p, self.n)

    def _half(self, level: float) -> float:
        """Half of the interval that misses with this chance: few seeds by Student, many rows by
        Gauss, as the margins of independent errors add up."""
        from scipy.stats import norm, t

        by_seed, by_row = t.isf(level / 2, self.freedom), norm.isf(level / 2)
        return float(np.sqrt(by_seed**2 * self.seeds + by_row**2 * self.rows))


def _of_rows(differences: NDArray[np.float64]) -> Gap:
    random = np.random.default_rng(0)
    n = len(differences)
    mean = float(differences.mean())
    counts = (random.integers(0, n, (size, n)) for size in _sizes(RESAMPLES))
    means = np.concatenate([differences[rows].mean(axis=1) for rows in counts])
    low, high = np.percentile(means, [2.5, 97.5])
    told = differences[differences != 0]
    return Gap(mean, float(low), float(high), _by_flips(told, random), n)


def spread(key: Mapping[str, Any], folder: Path) -> float:
    """Return what a squared error is measured against: the variance of the truth; 1 for labels."""
    with np.load(records.predictions_path(key, folder), allow_pickle=False) as held:
        truth = held["truth"]
    return 1.0 if truth.dtype == np.uint16 else float(truth.var())


def _by_flips(told: NDArray[np.float64], random: np.random.Generator) -> float:
    if len(told) == 0:
        return 1.0
    observed = abs(told.sum()) - 1e-9
    reached = 0
    for size in _sizes(DRAWS):
        signs = random.choice(np.array([-1.0, 1.0]), (size, len(told)))
        reached += int((np.abs(signs @ told) >= observed).sum())
    return (reached + 1) / (DRAWS + 1)


def _sizes(total: int) -> list[int]:
    return [min(AT_ONCE, total - start) for start in range(0, total, AT_ONCE)]
