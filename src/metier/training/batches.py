"""Batches by length under a budget: no step computes on padding that could be avoided."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

POOL = 64
"""Batches' worth of shuffled rows that are sorted by length together: wide enough that neighbours
are of nearly one length, narrow enough that an epoch's order stays random."""


def budgeted(
    rows: NDArray[np.int64], costs: NDArray[np.int64], budget: int
) -> Iterator[NDArray[np.int64]]:
    """Yield all rows in batches of like cost, each at most `budget` when padded to its longest."""
    order = np.argsort(costs, kind="stable")[::-1]
    yield from _cut(rows[order], costs[order], len(rows), budget)


def shuffled(
    costs: NDArray[np.int64], size: int, budget: int, seed: tuple[int, ...]
) -> list[NDArray[np.int64]]:
    """Return one epoch's batches: at most `size` rows and `budget` cost, padded, in random order.

    The same seed gives the same batches, so that a run can be resumed in the middle of an epoch.

    >>> sorted(int(r) for b in shuffled(np.array([3, 1, 2]), 2, 100, (0,)) for r in b)
    [0, 1, 2]
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(costs))
    found: list[NDArray[np.int64]] = []
    for start in range(0, len(order), size * POOL):
        pool = order[start : start + size * POOL]
        # Noise keeps equal rows from meeting in every epoch.
        noisy = costs[pool] * random.uniform(0.95, 1.05, len(pool))
        pool = pool[np.argsort(noisy, kind="stable")]
        found.extend(_cut(pool, costs[pool], size, budget))
    return [found[i] for i in random.permutation(len(found))]


def pieces(
    rows: NDArray[np.int64], costs: NDArray[np.int64], budget: int
) -> list[NDArray[np.int64]]:
    """Cut a batch into as few pieces of as many rows as keep to a budget when padded to the longest
    of all; one row a piece where not even that does. `costs` are those of `rows`.

    >>> [len(piece) for piece in pieces(np.arange(9), np.full(9, 10), 40)]
    [3, 3, 3]
    """
    most = max(1, budget // int(costs.max()))
    order = rows[np.argsort(costs, kind="stable")]
    return list(np.array_split(order, -(-len(rows) // most)))


def _cut(
    rows: NDArray[np.int64], costs: NDArray[np.int64], size: int, budget: int
) -> Iterator[NDArray[np.int64]]:
    start = 0
    longest = 0
    for end in range(len(rows)):
        longest = max(longest, int(costs[end]))
        if end > start and (end - start >= size or longest * (end - start + 1) > budget):
            yield rows[start:end]
            start, longest = end, int(costs[end])
    if start < len(rows):
        yield rows[start:]
