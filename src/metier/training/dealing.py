"""Batches in which every class that is there comes with several of its rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Deal = Callable[[NDArray[np.int64], int], list[NDArray[np.int64]]]
"""The batches of an epoch, as many in each, from what rows cost and the number of the epoch."""


def evenly(classes: NDArray[Any], rows: int, each: int, budget: int, seed: int) -> Deal:
    """Return a deal of batches of at most `rows` rows that hold `each` rows a class.

    An epoch shows every row at least once; a class with fewer rows than asked shows them again, so
    that none is ever alone. The same seed and epoch give the same batches.

    Args:
        classes: (n,) a class number a row; what is no class (several labels) may share 0.
        rows: of a batch.
        each: rows of a class that come together.
        budget: what a batch may cost when padded to its longest row; two classes at least.
        seed: of the order.
    """
    groups = [np.flatnonzero(classes == label) for label in np.unique(classes)]

    def deal(costs: NDArray[np.int64], epoch: int) -> list[NDArray[np.int64]]:
        random = np.random.default_rng((seed, epoch, 1))
        parts = [part for group in groups for part in _parts(group, each, random)]
        longest = int(costs.max(initial=1))
        width = max(2, min(rows, budget // longest) // each)
        order = random.permutation(len(parts))
        # Batches of nearly one size: a last one with a single class would have nothing to tell it
        # from.
        count = max(1, round(len(parts) / width))
        return [np.concatenate([parts[i] for i in order[k::count]]) for k in range(count)]

    return deal


def _parts(
    rows: NDArray[np.int64], each: int, random: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Cut the rows of a class into parts of `each`, the last one filled up with others of them."""
    shuffled = random.permutation(rows)
    lacking = -len(rows) % each
    if lacking:
        more = random.permutation(rows)
        shuffled = np.concatenate([shuffled, np.resize(more, lacking)])
    return list(shuffled.reshape(-1, each))
