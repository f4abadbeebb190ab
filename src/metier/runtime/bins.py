"""Values sorted into bins, whose shares can be compared later: numbers and categories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from metier.runtime.signals import Doubles

Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]

BINS = 10
MOST_VALUES = 30
"""Categories that have a bin of their own; the others share one."""
FEWEST_ROWS = 5
"""A category that fewer rows have is not named."""
WIDER = 0.1
"""How far beyond the range seen at training a number may lie, as a share of that range."""


@dataclass(frozen=True)
class Scale:
    """A number in bins of about equal shares; the last bin is of missing values.

    A value below `low` or above `high` is unlike those at training.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    low: float | None = None
    high: float | None = None

    @property
    def harm(self) -> int:
        """Which way is for the worse: -1 down, 1 up, 0 both, told by the bounds that there are."""
        return (self.low is None and self.high is not None) - (
            self.high is None and self.low is not None
        )

    def codes(self, values: Doubles) -> Codes:
        """Return the bin of each value."""
        found = np.searchsorted(self.edges, values, side="left")
        return np.where(np.isnan(values), len(self.edges) + 1, found)

    def unlike(self, values: Doubles) -> Flags:
        """Tell which values lie outside. A missing one does not."""
        low = -np.inf if self.low is None else self.low
        high = np.inf if self.high is None else self.high
        return np.asarray((values < low) | (values > high))

    @property
    def names(self) -> tuple[str, ...]:
        """What each bin holds."""
        if not self.edges:
            return ("any", "missing")
        told = [_number(edge) for edge in self.edges]
        middle = [f"{low} to {high}" for low, high in pairwise(told)]
        return (f"up to {told[0]}", *middle, f"above {told[-1]}", "missing")


@dataclass(frozen=True)
class Choice:
    """A category: a bin for each of `values`, then one each for others, unknown and missing.

    `known` are the categories that the model tells apart; None when it does all.
    """

    values: tuple[str, ...]
    shares: tuple[float, ...]
    known: frozenset[str] | None = None

    def codes(self, values: Sequence[str | None]) -> Codes:
        """Return the bin of each value."""
        places = {value: place for place, value in enumerate(self.values)}
        return np.array([self._code(value, places) for value in values], dtype=np.int64)

    def _code(self, value: str | None, places: Mapping[str, int]) -> int:
        if value is None:
            return len(self.values) + 2
        other = len(self.values) + (self.known is not None and value not in self.known)
        return places.get(value, other)

    def unlike(self, values: Sequence[str | None]) -> Flags:
        """Tell which categories are not known."""
        return np.equal(self.codes(values), len(self.values) + 1)

    @property
    def names(self) -> tuple[str, ...]:
        """What each bin holds."""
        return (*self.values, "others", "unknown", "missing")


def scale_of(values: Doubles, bounds: tuple[float | None, float | None]) -> Scale:
    """Return the bins of values, which lie outside beyond the bounds."""
    there = values[~np.isnan(values)]
    inner = np.linspace(0, 1, BINS + 1)[1:-1]
    edges = (
        tuple(float(edge) for edge in np.unique(np.quantile(there, inner))) if len(there) else ()
    )
    bare = Scale(edges, ())
    return Scale(edges, _shares(bare.codes(values), len(edges) + 2), *bounds)


def choice_of(values: Sequence[str | None], known: frozenset[str] | None) -> Choice:
    """Return the bins of categories, of which some are known."""
    counts = Counter(value for value in values if value is not None)
    often = [v for v, count in counts.most_common(MOST_VALUES) if count >= FEWEST_ROWS]
    if known is not None:
        often = [value for value in often if value in known]
    bare = Choice(tuple(sorted(often)), (), known)
    return Choice(bare.values, _shares(bare.codes(values), len(bare.values) + 3), known)


def _shares(codes: Codes, bins: int) -> tuple[float, ...]:
    counts = np.bincount(codes, minlength=bins)
    return tuple(float(share) for share in counts / max(1, counts.sum()))


def quantile(values: Doubles, share: float) -> float | None:
    """Return a quantile of the values that are there; None where none is."""
    there = values[~np.isnan(values)]
    return float(np.quantile(there, share)) if len(there) else None


def widened(values: Doubles) -> tuple[float | None, float | None]:
    """Return the range of values and a little more."""
    there = values[~np.isnan(values)]
    if not len(there):
        return None, None
    low, high = float(there.min()), float(there.max())
    more = WIDER * (high - low)
    return low - more, high + more


def _number(value: float) -> str:
    return f"{value:.4g}"
