"""The rows of several tasks divided: a row plays the same part in all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metier.data.dealing import deal, hash_rows
from metier.data.duplicates import join, near_clusters
from metier.data.unite import United
from metier.road.multitask.tasks import Asked
from metier.types import Rows

PROOF = 0.2
"""Of the rows, where there are none of the user's own for the proof."""
MANY = 3000
"""Rows from which one fifth judges; fewer are judged out of three folds."""
FOLDS = 3


def divide(united: United, tasks: Sequence[Asked], seed: int) -> tuple[Rows, list[Rows]]:
    """The rows kept for the proof, and for each fold those that judge, of the united table: a row
    has the same part in all tasks, and near-duplicates and groups stay together."""
    units, hashes = _together(united, tasks), hash_rows(united.table.digests, seed)
    strata = _strata(united, tasks)
    held = np.zeros(len(united.table), dtype=bool)
    if tasks[0].test is None:
        held = deal(strata, units, hash_rows(hashes, 1), [1 - PROOF, PROOF]) == 1
    free = np.flatnonzero(~held)
    count = FOLDS if len(free) < MANY else round(1 / PROOF)
    parts = deal(strata[free], units[free], hash_rows(hashes[free], 2), [1 / count] * count)
    judged = [free[parts == k] for k in range(count)]
    return np.flatnonzero(held), judged if len(free) < MANY else judged[:1]


def _together(united: United, tasks: Sequence[Asked]) -> NDArray[np.int64]:
    """The unit of each row: near-duplicates, and rows of one group in any task."""
    near = near_clusters(united.table)
    grouped = [
        (row, group)
        for place, each in zip(united.places, tasks, strict=True)
        if each.table.roles.group is not None
        for row, group in zip(
            place.tolist(), each.table.frame[each.table.roles.group].cast(pl.String), strict=True
        )
        if group is not None
    ]
    if not grouped:
        return near
    first: dict[object, int] = {}
    linked = [*enumerate(near.tolist()), *grouped]
    return join(len(near), [(row, first.setdefault(unit, row)) for row, unit in linked])


def _strata(united: United, tasks: Sequence[Asked]) -> NDArray[np.int64]:
    """A number for the task and the answer that a row has in the first task that knows it."""
    found = np.full(len(united.table), -1, dtype=np.int64)
    begin = 0
    for place, each in zip(united.places, tasks, strict=True):
        targets = each.task.encode(each.table)
        codes = np.zeros(len(targets), dtype=np.int64)
        if each.task.kind in ("binary", "multiclass"):
            codes = targets.astype(np.int64)
        elif each.task.kind == "regression":
            codes = np.searchsorted(np.quantile(targets, np.arange(0.2, 1, 0.2)), targets)
        fresh = found[place] < 0
        found[place[fresh]] = begin + codes[fresh]
        begin += int(codes.max(initial=0)) + 1
    return found
