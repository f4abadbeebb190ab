"""Fewer rows, where the time does not allow all."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metier.cache import Cache
from metier.data.splits import UNUSED, Fold, Split
from metier.types import Floats, Rows, Specialist, Table

FIRST = 256
"""Rows that are scored before it is known how long one takes."""


def thin(split: Split, looked: Rows) -> Split:
    """Return a split whose candidates are compared and calibrated on some rows only.

    What may be learned from stays: a candidate that can afford it fits on all rows of a fold. A
    fold that would lose all of its rows keeps them.
    """
    folds = tuple(_thinned(fold, looked) for fold in split.folds)
    scored = np.concatenate([fold.valid for fold in folds])
    purpose = np.full_like(split.purpose, UNUSED)
    for kept in (scored, split.proof):
        purpose[kept] = split.purpose[kept]
    return replace(split, folds=folds, purpose=purpose)


def _thinned(fold: Fold, looked: Rows) -> Fold:
    valid = fold.valid[np.isin(fold.valid, looked)]
    return replace(fold, valid=valid) if len(valid) else fold


def resampled(weights: NDArray[np.float64]) -> Rows:
    """Return places (m,) so that each weight is met by how often its place is there.

    Systematic resampling, without chance; m is the number of rows that the weights are worth (Kish,
    1965), so that tests and intervals do not take copies for rows.

    >>> resampled(np.array([1.0, 1.0, 0.0, 2.0])).tolist()
    [0, 1, 3]
    """
    passed = np.cumsum(weights)
    worth = max(round(float(passed[-1] ** 2 / (weights**2).sum())), 1)
    steps = (np.arange(worth) + 0.5) / worth * passed[-1]
    places = np.searchsorted(passed, steps).clip(max=len(weights) - 1)
    return np.asarray(places, dtype=np.int64)


def score_until(
    specialist: Specialist,
    table: Table,
    rows: Rows,
    cache: Cache,
    deadline: float | None,
    seed: int = 0,
) -> tuple[Rows, Floats]:
    """Score rows of a table, in a random order, for as long as there is time; at least a few.

    Returns the rows that were scored, in order, and their scores. Without a deadline, all.
    """
    if deadline is None or len(rows) <= FIRST:
        return rows, specialist.scores(table.take(rows), cache)
    order = np.random.default_rng(seed).permutation(rows)
    parts: list[Floats] = []
    done, size = 0, FIRST
    while done < len(rows):
        began = time.monotonic()
        part = order[done : done + size]
        parts.append(specialist.scores(table.take(part), cache))
        done += len(part)
        now = time.monotonic()
        each = (now - began) / len(part)
        size = min(2 * size, int((deadline - now) / max(each, 1e-9)))
        if size < 1:
            break
    place = np.argsort(order[:done])
    return order[:done][place], np.concatenate(parts)[place]
