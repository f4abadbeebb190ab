"""Dealing rows out into parts: by share, evenly in every stratum, units whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def hash_rows(content: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Return an order of rows that depends on their content and the seed alone."""
    words = content + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def deal(strata: Ints, units: Ints, hashes: NDArray[np.uint64], shares: Sequence[float]) -> Ints:
    """Return the part (0 to len(shares) - 1) of each row.

    Each stratum is divided by the shares as evenly as whole units allow; the largest units are
    placed first. A stratum of two or more units is not left in one part only, where that can be.

    Args:
        strata: (n,) a class number for each row.
        units: (n,) rows with the same number stay together.
        hashes: (n,) uint64; rows are taken in this order, so that it alone is what chance is.
        shares: the size of each part; they add up to 1.
    """
    _, strata = np.unique(strata, return_inverse=True)
    _, unit, sizes = np.unique(units, return_inverse=True, return_counts=True)
    totals = np.bincount(strata)
    wanted = np.outer(totals, shares)
    have = np.zeros_like(wanted)
    parts = np.full(len(strata), -1, dtype=np.int64)
    _place_units(strata, unit, sizes, hashes, wanted, have, parts)
    alone = sizes[unit] == 1
    _place_rows(strata, np.flatnonzero(alone), hashes, wanted, have, parts)
    _spread(strata, unit, sizes, hashes, parts, len(shares))
    return parts


def _place_units(
    strata: Ints,
    unit: Ints,
    sizes: Ints,
    hashes: NDArray[np.uint64],
    wanted: NDArray[np.float64],
    have: NDArray[np.float64],
    parts: Ints,
) -> None:
    """Place units of several rows, largest first, where their strata lack most."""
    rows = np.flatnonzero(sizes[unit] > 1)
    if not len(rows):
        return
    rows = rows[np.lexsort((hashes[rows], unit[rows]))]
    cuts = np.flatnonzero(np.diff(unit[rows])) + 1
    groups = np.split(rows, cuts)
    groups.sort(key=lambda group: (-len(group), int(hashes[group[0]])))
    totals = wanted.sum(axis=1)
    lack = (wanted - have).sum(axis=0)
    for group in groups:
        classes, counts = np.unique(strata[group], return_counts=True)
        need = ((wanted - have)[classes] / totals[classes, None] * counts[:, None]).sum(axis=0)
        part = int(np.lexsort((-lack, -np.round(need, 9)))[0])
        parts[group] = part
        have[classes, part] += counts
        lack[part] -= len(group)


def _place_rows(
    strata: Ints,
    rows: Ints,
    hashes: NDArray[np.uint64],
    wanted: NDArray[np.float64],
    have: NDArray[np.float64],
    parts: Ints,
) -> None:
    """Fill what each stratum still lacks in each part with single rows, in the order of hashes."""
    if not len(rows):
        return
    rows = rows[np.lexsort((hashes[rows], strata[rows]))]
    lack = (wanted - have).sum(axis=0)
    for group in np.split(rows, np.flatnonzero(np.diff(strata[rows])) + 1):
        stratum = strata[group[0]]
        need = np.maximum(wanted[stratum] - have[stratum], 0)
        need = need / need.sum() * len(group)
        counts = np.floor(need + 1e-9).astype(np.int64)
        rest = need - counts
        extra = np.lexsort((-lack, -np.round(rest, 6)))[: len(group) - int(counts.sum())]
        counts[extra] += 1
        parts[group] = np.repeat(np.arange(len(counts)), counts)
        have[stratum] += counts
        lack -= counts


def _spread(
    strata: Ints,
    unit: Ints,
    sizes: Ints,
    hashes: NDArray[np.uint64],
    parts: Ints,
    count: int,
) -> None:
    """Move one unit of a stratum that fell into one part whole, though it has several."""
    order = np.argsort(strata, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(strata[order])) + 1):
        inside = unit[rows]
        if len(np.unique(parts[rows])) > 1 or count < 2 or (inside == inside[0]).all():
            continue
        smallest = rows[np.lexsort((hashes[rows], sizes[inside]))[0]]
        others = np.bincount(parts, minlength=count).astype(np.float64)
        others[parts[smallest]] = np.inf
        parts[unit == unit[smallest]] = int(np.argmin(others))
