"""The means of sets of rows that share none, and intervals of how far each two lie apart.

Shares: Newcombe (1998, method 10). Other means: Welch (1947). Where rows come in groups, what each
group moves a mean by is one piece of evidence (Liang and Zeger, 1986), in Student's t with as many
degrees of freedom as the set of fewer groups gives; of shares, the wider interval counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from metier.evidence.answers import Array
from metier.evidence.bootstrap import wilson

Ends = tuple[Array, Array]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Means:
    """What k sets of rows have for a mean.

    Args:
        mean: (k,) the means.
        rows: (k,) the rows behind each.
        error: (k, k) the standard error of the difference of each two.
        freedom: (k, k) the degrees of freedom of that error.
        grouped: whether rows come in groups.
    """

    mean: Array
    rows: Array
    error: Array
    freedom: Array
    grouped: bool = False

    @property
    def apart(self) -> Array:
        """How much higher each mean is than each other, (k, k)."""
        return np.asarray(self.mean[:, None] - self.mean[None, :])

    @property
    def pairs(self) -> int:
        """How many two of them there are."""
        return len(self.mean) * (len(self.mean) - 1) // 2

    def of_shares(self, level: float) -> Ends:
        """Return the ends of each difference, (k, k), where the means are shares."""
        ends = [wilson(p * n, n, level) for p, n in zip(self.mean, self.rows, strict=True)]
        low, high = np.array(ends).T
        down, up = self.mean - low, high - self.mean
        below = np.hypot(down[:, None], up[None, :])
        low, high = self.apart - below, self.apart + below.T
        if not self.grouped:
            return low, high
        lower, upper = self.of_numbers(level)
        return np.clip(lower, -1.0, low), np.clip(upper, high, 1.0)

    def of_numbers(self, level: float) -> Ends:
        """Return the ends of each difference, (k, k), of means of any numbers."""
        half = -stdtrit(self.freedom, (1 - level) / 2) * self.error
        return self.apart - half, self.apart + half

    @property
    def p(self) -> Array:
        """The two-sided p-value of no difference of each two, (k, k)."""
        apart, found = np.abs(self.apart), np.zeros(self.error.shape)
        np.divide(apart, self.error, out=found, where=self.error > 0)
        found[(self.error == 0) & (apart > 0)] = np.inf
        return np.asarray(2.0 * stdtr(self.freedom, -found))


def means_of(
    values: Array, sets: Sequence[NDArray[np.int64]], codes: NDArray[np.int64] | None = None
) -> Means:
    """Return the means of `values` (n,) over sets of its rows, of two rows each or more.

    `codes` (n,) numbers the groups that rows come in, from 0 on; a set needs two of them.
    """
    rows = np.array([float(len(each)) for each in sets])
    mean = np.array([values[each].mean() for each in sets])
    if codes is not None:
        return Means(mean, rows, *_by_groups(values, mean, sets, codes), grouped=True)
    own = np.array([values[each].var(ddof=1) for each in sets]) / rows
    both = own[:, None] + own[None, :]
    parts = own**2 / (rows - 1)
    freedom = np.full(both.shape, np.inf)
    np.divide(both**2, parts[:, None] + parts[None, :], out=freedom, where=both > 0)
    return Means(mean, rows, np.sqrt(both), freedom)


def student(values: Array, level: float, codes: NDArray[np.int64] | None = None) -> Interval:
    """Return the ends of the mean of `values` (n,), of two rows or more.

    `codes` (n,) numbers the groups that rows come in, from 0 on; there must be two.
    """
    mean, n = float(values.mean()), len(values)
    if codes is None:
        error, freedom = float(values.std(ddof=1)) / n**0.5, n - 1.0
    else:
        (moved,), (many,) = _moved(values, np.array([mean]), [np.arange(n)], codes)
        error, freedom = float(np.sqrt((moved**2).sum())), float(many) - 1.0
    half = -float(stdtrit(freedom, (1 - level) / 2)) * error
    return mean - half, mean + half


def _by_groups(
    values: Array, mean: Array, sets: Sequence[NDArray[np.int64]], codes: NDArray[np.int64]
) -> tuple[Array, Array]:
    """Return the standard errors of differences and their degrees of freedom, both (k, k).

    A group with rows in two sets moves both of their means, which the difference takes off.
    """
    moved, many = _moved(values, mean, sets, codes)
    shared = moved @ moved.T
    own = np.diag(shared)
    both = np.maximum(own[:, None] + own[None, :] - 2.0 * shared, 0.0)
    return np.sqrt(both), np.minimum(many[:, None], many[None, :]) - 1.0


def _moved(
    values: Array, mean: Array, sets: Sequence[NDArray[np.int64]], codes: NDArray[np.int64]
) -> tuple[Array, Array]:
    """Return how far each group moves the mean of each set, (k, groups), and of how many groups
    a set is, (k,)."""
    size = int(codes.max()) + 1
    many = np.array([float(len(np.unique(codes[each]))) for each in sets])
    moved = np.stack([
        np.bincount(codes[each], values[each] - m, size) / len(each) * np.sqrt(c / (c - 1.0))
        for each, m, c in zip(sets, mean, many, strict=True)
    ])  # fmt: skip
    return moved, many
