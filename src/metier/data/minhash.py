"""Near-duplicate texts in linear time: min-hash signatures, banded, every pair verified.

Broder, 1997, "On the resemblance and containment of documents"; the banding is that of Leskovec,
Rajaraman and Ullman, "Mining of massive datasets", chapter 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

GRAM = 5
"""Characters of a shingle."""
SHORTEST = 20
"""Texts of fewer bytes are compared as wholes: a few shared shingles would say too little."""
LIKENESS = 0.8
"""Share of common shingles (Jaccard) from which two texts count as near-duplicates."""
_BANDS, _DEPTH = 12, 5
_LONG, _STRIDE = 1200, 8
_BATCH_BYTES = 1 << 20
_MIX = np.uint64(0x9E3779B97F4A7C15)

Words = NDArray[np.uint64]


def find_pairs(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield candidate pairs of rows whose shingles may overlap by `LIKENESS` or more.

    A pair of that likeness is missed in fewer than 1 of 100 cases. Rows that share a band are
    paired with the first and the one before, so that the number of pairs is linear in the rows.
    Texts are taken as normalised and distinct. The order of the rows decides which pairs are
    seen: give them in an order that depends on content alone.
    """
    sizes = np.fromiter((len(text) for text in texts), dtype=np.int64, count=len(texts))
    usual = np.flatnonzero((sizes >= SHORTEST) & (sizes <= 1.25 * _LONG))
    long = np.flatnonzero(sizes >= 0.8 * _LONG)
    for rows, stride in ((usual, 1), (long, _STRIDE)):
        bands = _bands(texts, rows, stride)
        for band in range(_BANDS):
            yield from _neighbours(bands[:, band], rows)


def likeness(one: str, two: str) -> float:
    """Return the Jaccard index of the shingles of two texts.

    >>> likeness("the quick brown fox", "the quick brown fox")
    1.0
    """
    a = {one[i : i + GRAM] for i in range(max(1, len(one) - GRAM + 1))}
    b = {two[i : i + GRAM] for i in range(max(1, len(two) - GRAM + 1))}
    return len(a & b) / len(a | b)


def _bands(texts: Sequence[str], rows: NDArray[np.int64], stride: int) -> Words:
    """Return (rows, bands) keys; equal keys in a band make a candidate."""
    found = np.zeros((len(rows), _BANDS), dtype=np.uint64)
    random = np.random.default_rng(0)
    factors = random.integers(1, 1 << 63, size=_BANDS * _DEPTH, dtype=np.uint64) | np.uint64(1)
    start = 0
    while start < len(rows):
        stop, size = start, 0
        batch: list[bytes] = []
        while stop < len(rows) and (size < _BATCH_BYTES or not batch):
            batch.append(texts[rows[stop]].encode("utf-8"))
            size += len(batch[-1])
            stop += 1
        found[start:stop] = _sign(batch, factors, stride)
        start = stop
    return found


def _sign(batch: Sequence[bytes], factors: Words, stride: int) -> Words:
    shingles, starts = _shingles(batch, stride)
    keys = np.zeros((len(batch), _BANDS), dtype=np.uint64)
    for number, factor in enumerate(factors):
        least = np.minimum.reduceat((shingles * factor) >> np.uint64(32), starts)
        band = number // _DEPTH
        keys[:, band] = _mix(keys[:, band] * _MIX + least)
    return keys


def _shingles(batch: Sequence[bytes], stride: int) -> tuple[Words, NDArray[np.int64]]:
    """Return the hashed shingles of all texts, one after the other, and where each text starts.

    With a stride, only the shingles whose hash is divisible by it are kept: the same ones in any
    text. Every text keeps at least one.
    """
    content = np.frombuffer(b"".join(batch), dtype=np.uint8).astype(np.uint64)
    packed = np.zeros(len(content) - GRAM + 1, dtype=np.uint64)
    for offset in range(GRAM):
        packed |= content[offset : len(content) - GRAM + 1 + offset] << np.uint64(8 * offset)
    hashed = _mix(packed)
    lengths = np.array([len(text) for text in batch])
    ends = np.cumsum(lengths)
    first = ends - lengths
    inside = np.ones(len(hashed), dtype=bool)
    for offset in range(1, GRAM):
        crossing = ends[:-1] - offset
        inside[crossing] = False
    if stride > 1:
        inside &= hashed % np.uint64(stride) == 0
        inside[first] = True
    starts = np.concatenate([[0], np.cumsum(inside)])[first]
    return hashed[inside], starts


def _mix(words: Words) -> Words:
    """Scramble 64-bit words (the finaliser of splitmix64)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _neighbours(keys: Words, rows: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    order = np.argsort(keys, kind="stable")
    same = keys[order][1:] == keys[order][:-1]
    heads = np.concatenate([[True], ~same]) if len(order) else np.zeros(0, dtype=bool)
    leader = order[np.maximum.accumulate(np.where(heads, np.arange(len(order)), 0))]
    for place in np.flatnonzero(same):
        row, before, head = order[place + 1], order[place], leader[place + 1]
        yield int(rows[before]), int(rows[row])
        if head != before:
            yield int(rows[head]), int(rows[row])
