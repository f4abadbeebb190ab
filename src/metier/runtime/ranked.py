"""Scores of calibration rows, kept small: what a new score is ranked among."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Counts = NDArray[np.int64]

MOST = 512
"""Values that are kept of one lot of scores, most of them among the highest."""


@dataclass(frozen=True)
class Ranked:
    """Scores in ascending order. Of many, some are rounded up to the next one that is kept.

    Rounding up makes every new score look a little less extreme than it is: what is promised of
    the tail (a coverage, a rate of false alarms) holds with room to spare.

    Args:
        values: float32 (m,), ascending, each different.
        counts: int64 (m,), how many scores each stands for.
    """

    values: NDArray[np.float32]
    counts: Counts

    @classmethod
    def of(cls, scores: NDArray[Any], most: int = MOST) -> Ranked:
        """Keep the scores; those that are no numbers are left out."""
        kept = np.asarray(scores, dtype=np.float32)
        values, counts = np.unique(kept[~np.isnan(kept)], return_counts=True)
        if len(values) <= most:
            return cls(values, counts.astype(np.int64))
        last = len(values) - 1
        near = last - np.geomspace(1, len(values), most // 2).astype(np.int64) + 1
        places = np.unique([last, *near, *np.linspace(0, last, most // 2).astype(np.int64)])
        sums = np.cumsum(counts)[places]
        return cls(values[places], np.diff(sums, prepend=0).astype(np.int64))

    @property
    def n(self) -> int:
        """How many scores there were."""
        return int(self.counts.sum())

    @classmethod
    def together(cls, parts: Sequence[Ranked]) -> Ranked:
        """Put several lots of scores into one."""
        values, places = np.unique(
            np.concatenate([own.values for own in parts]), return_inverse=True
        )
        counts = np.bincount(places, np.concatenate([own.counts for own in parts]), len(values))
        return cls(values, counts.astype(np.int64))

    def beyond(self, scores: NDArray[Any]) -> tuple[Counts, Counts]:
        """Return how many scores are higher than each of some, and how many are equal to it."""
        with np.errstate(over="ignore"):  # beyond all others, which infinity is, too
            given = np.asarray(scores, dtype=np.float32)
        total = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.counts)])
        first = total[np.searchsorted(self.values, given, side="left")]
        after = total[np.searchsorted(self.values, given, side="right")]
        return self.n - after, after - first

    def quantile(self, rank: int) -> float:
        """Return the score of a rank, 1 for the lowest; infinity beyond the last."""
        place = int(np.searchsorted(np.cumsum(self.counts), rank))
        return float(self.values[place]) if place < len(self.values) else float("inf")

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON; counts that are all 1 are left out."""
        counts = [] if (self.counts == 1).all() else self.counts.tolist()
        return {"values": written(self.values), "counts": counts}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Ranked:
        """Build it from `to_json()`. Raises KeyError, TypeError or ValueError."""
        values = read(data["values"])
        counts = np.asarray(data["counts"] or np.ones(len(values)), dtype=np.int64)
        if len(counts) != len(values) or (np.diff(values) <= 0).any() or (counts < 1).any():
            raise ValueError("scores out of order")
        return cls(values, counts)


def p_values(scores: NDArray[Any], among: Ranked, luck: NDArray[Any] | None = None) -> Doubles:
    """Return how often a score from the same source would be at least as high.

    Without `luck`, ties count in full and the values are a little too high; with random numbers
    from 0 to 1, shaped like the scores, they are exact (the smoothed p-value of Vovk, Gammerman &
    Shafer, 2005).

    >>> p_values(np.array([2.5]), Ranked.of(np.arange(4.0)))
    array([0.4])
    """
    higher, equal = among.beyond(scores)
    ties = equal + 1 if luck is None else luck * (equal + 1)
    return np.asarray((higher + ties) / (among.n + 1))


def written(values: NDArray[np.float32], kind: Literal["<f4", "<f2"] = "<f4") -> str:
    """Return numbers as text, four or two bytes each, little end first."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode()


def read(text: str, kind: Literal["<f4", "<f2"] = "<f4") -> NDArray[np.float32]:
    """Return the numbers of `written`. Raises ValueError for anything else."""
    found = np.frombuffer(base64.b64decode(text, validate=True), dtype=kind).astype(np.float32)
    if not np.isfinite(found).all():
        raise ValueError("not all numbers are finite")
    return found
