"""The words of many rows, remembered without naming one, and how many of a row's are new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.runtime.signals import Doubles, Hashes

IN_ROWS = 2
"""A word is known when so many other rows have it."""
MOST_WORDS = 8192
BITS_A_WORD = 16


@dataclass(frozen=True)
class Known:
    """The words of many rows, as a Bloom filter of their hashes (Bloom, 1970): no word is named."""

    bits: NDArray[np.uint8]

    @classmethod
    def of(cls, hashes: Hashes) -> Known:
        """Remember words."""
        size = 1 << max(8, int(np.ceil(np.log2(max(1, len(hashes)) * BITS_A_WORD))))
        flags = np.zeros(size, dtype=bool)
        for place in _places(hashes, size):
            flags[place] = True
        return cls(np.packbits(flags))

    def new_shares(self, rows: Sequence[Hashes]) -> Doubles:
        """Return the share of new words in each row, NaN where there is none at all."""
        sizes = np.array([len(row) for row in rows], dtype=np.int64)
        together = np.concatenate([*rows, np.zeros(0, np.uint32)])
        flags = np.unpackbits(self.bits)
        there = np.ones(len(together), dtype=bool)
        for place in _places(together, len(flags)):
            there &= flags[place].astype(bool)
        owners = np.repeat(np.arange(len(rows)), sizes)
        return _divided(np.bincount(owners, ~there, len(rows)), sizes)


def _places(hashes: Hashes, size: int) -> list[NDArray[np.int64]]:
    """Two places for each hash among so many bits, a power of two."""
    first = hashes.astype(np.uint64)
    second = (first * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
    return [(each & np.uint64(size - 1)).astype(np.int64) for each in (first, second)]


def _divided(counts: NDArray[Any], sizes: NDArray[np.int64]) -> Doubles:
    return np.where(sizes > 0, counts / np.maximum(sizes, 1), np.nan)


def known_words(rows: Sequence[Hashes]) -> tuple[Known, Doubles]:
    """Return the words that enough rows have, and each row's share of words that others lack."""
    own = [np.unique(row) for row in rows]
    empty = np.zeros(0, np.uint32)
    names, counts = np.unique(np.concatenate([*own, empty]), return_counts=True)
    often = names[counts >= IN_ROWS]
    most = often[np.argsort(-counts[counts >= IN_ROWS], kind="stable")][:MOST_WORDS]
    # A row does not vouch for its own words: for it they are known when others have them as well.
    beside = np.sort(np.intersect1d(most, names[counts > IN_ROWS]))
    news = [float((~np.isin(row, beside)).sum()) for row in rows]
    sizes = np.array([len(row) for row in rows], dtype=np.int64)
    return Known.of(most), _divided(np.array(news), sizes)
