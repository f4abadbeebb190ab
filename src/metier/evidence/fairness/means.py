"""The means of sets of rows that share none, and intervals of how far each two lie apart.

Shares: Newcombe (1998, method 10). Other means: Welch (1947).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from metier.evidence.answers import Array
from metier.evidence.bootstrap import wilson

Ends = tuple[Array, Array]


@dataclass(frozen=True)
class Means:
    """What k sets of rows have for a mean.

    Args:
        mean: (k,) the means.
        rows: (k,) the rows behind each.
        error: (k, k) the standard error of the difference of each two.
        freedom: (k, k) the degrees of freedom of that error.
    """

    mean: Array
    rows: Array
    error: Array
    freedom: Array

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
        return self.apart - below, self.apart + below.T

    def of_numbers(self, level: float) -> Ends:
        """Return the ends of each difference, (k, k), of means of any numbers."""
        half = -stdtrit(self.freedom, (1 - level) / 2) * self.error
        return self.apart - half, self.apart + half


def means_of(values: Array, sets: Sequence[NDArray[np.int64]]) -> Means:
    """Return the means of `values` (n,) over sets of its rows, two rows each or more."""
    rows = np.array([float(len(each)) for each in sets])
    mean = np.array([values[each].mean() for each in sets])
    own = np.array([values[each].var(ddof=1) for each in sets]) / rows
    both = own[:, None] + own[None, :]
    parts = own**2 / (rows - 1)
    freedom = np.full(both.shape, np.inf)
    np.divide(both**2, parts[:, None] + parts[None, :], out=freedom, where=both > 0)
    return Means(mean, rows, np.sqrt(both), freedom)
