"""Two methods on the same test rows: the gap, its interval, and whether chance explains it.

The loss of a row is averaged over seeds first, so that seeds do not count as rows. The gap is in
points: of accuracy, or of R² (explained variance) in a regression, which makes sets comparable.
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
    return judge(np.mean([y - x for x, y in pairs], axis=0) * 100 / scale)


def judge(differences: NDArray[np.float64]) -> Gap:
    """Return the mean difference of rows with a bootstrap interval and the p-value of a sign-flip
    test, which for one seed and right or wrong answers is McNemar's test."""
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
