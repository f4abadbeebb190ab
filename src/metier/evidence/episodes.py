"""How far features carry to classes that nobody has seen: few rows a class, the nearest mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from metier.types import Floats, Rows

Classes = Sequence[Rows]
"""The rows of each class of one task."""


@dataclass(frozen=True)
class Shape:
    """What an episode is made of: classes, known rows of each, and rows of each to be answered."""

    ways: int = 5
    shots: int = 5
    queries: int = 10


@dataclass(frozen=True)
class Episode:
    """Rows with known classes (ways, shots), rows to answer (n,), and the class of each of those
    from 0 to ways - 1."""

    support: NDArray[np.int64]
    queries: Rows
    truth: NDArray[np.int64]


def fitting(classes: Classes, shots: int) -> list[Rows]:
    """Return the classes that have the known rows and one to answer."""
    return [rows for rows in classes if len(rows) > shots]


def draw(classes: Classes, shape: Shape, random: np.random.Generator) -> Episode:
    """Draw classes that fit, and their rows. Raises ValueError when there are too few classes."""
    known = fitting(classes, shape.shots)
    if len(known) < shape.ways:
        raise ValueError(f"{len(known)} classes for {shape.ways} ways")
    support, queries, truth = [], [], []
    for place, number in enumerate(random.permutation(len(known))[: shape.ways]):
        rows = random.permutation(known[number])[: shape.shots + shape.queries]
        support.append(rows[: shape.shots])
        queries.append(rows[shape.shots :])
        truth.append(np.full(len(rows) - shape.shots, place))
    return Episode(np.stack(support), np.concatenate(queries), np.concatenate(truth))


def nearest_mean(features: Floats, episode: Episode) -> float:
    """Return the share of queries whose class has the nearest mean, by cosine."""
    unit = unit_length(features)
    means = unit_length(unit[episode.support].mean(axis=1))
    found = (unit[episode.queries] @ means.T).argmax(axis=1)
    return float((found == episode.truth).mean())


def unit_length(features: Floats) -> Floats:
    """Return features scaled to length 1."""
    lengths = np.linalg.norm(features, axis=-1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, 1e-12), dtype=np.float32)


@dataclass(frozen=True)
class Carried:
    """Accuracy of two feature spaces on the same episodes.

    Args:
        before, after: mean accuracies.
        before_low, before_high, after_low, after_high: their intervals.
        difference: how much more the second has.
        low, high: its interval, paired by episode.
        p: the two-sided p-value of no difference.
        n: the episodes.
    """

    before: float
    before_low: float
    before_high: float
    after: float
    after_low: float
    after_high: float
    difference: float
    low: float
    high: float
    p: float
    n: int

    @property
    def verdict(self) -> str:
        """What the second is, compared with the first."""
        if self.low > 0 or self.high < 0:
            return "better" if self.low > 0 else "worse"
        return "not distinguishable"


def carry(
    before: Floats,
    after: Floats,
    tasks: Sequence[Classes],
    shape: Shape,
    episodes: int = 500,
    seed: int = 0,
) -> Carried:
    """Compare two feature spaces of the same rows on the same episodes, drawn task by task.

    Intervals are Student's, over episodes: they say how far the draw of rows and classes out of
    those given matters, not what classes of another kind would do.
    """
    random = np.random.default_rng((seed, 5))
    pairs = []
    for number in range(episodes):
        episode = draw(tasks[number % len(tasks)], shape, random)
        pairs.append((nearest_mean(before, episode), nearest_mean(after, episode)))
    values = np.asarray(pairs)
    first, second = (_interval(values[:, k]) for k in (0, 1))
    gap = values[:, 1] - values[:, 0]
    mean, low, high = _interval(gap)
    error = float(gap.std(ddof=1)) / np.sqrt(len(gap))
    p = float(2 * stdtr(len(gap) - 1, -abs(mean) / error)) if error > 0 else 1.0
    return Carried(*first, *second, mean, low, high, p, episodes)


def _interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    mean = float(values.mean())
    half = float(stdtrit(len(values) - 1, 0.975)) * float(values.std(ddof=1)) / len(values) ** 0.5
    return mean, mean - half, mean + half
