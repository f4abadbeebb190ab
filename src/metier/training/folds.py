"""Rows set aside within the training rows, for stopping and for choosing a regularisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.types import Rows, Table

Fold = tuple[Rows, Rows]
"""Row numbers to fit on, and to judge on."""


def inner_folds(
    table: Table, targets: NDArray[Any], folds: int, seed: int, share: float = 0.2
) -> list[Fold]:
    """Cut training rows into folds: by time or by group where the table has one, else stratified.

    With a time column there is one fold only, whose last `share` of the rows judges. With
    `folds=1` there is one fold with about that share of the rows. Too few rows for even one fold
    give an empty list.
    """
    n = len(table)
    if n < 4:
        return []
    roles = table.roles
    if roles.time is not None:
        order = table.frame[roles.time].arg_sort().to_numpy().astype(np.int64)
        cut = n - max(1, round(n * share))
        return [(order[:cut], order[cut:])]
    rng = np.random.default_rng(seed)
    parts = max(2, min(n, folds if folds > 1 else round(1 / share)))
    place = (
        _by_group(table.frame[roles.group].to_list(), parts, rng)
        if roles.group is not None
        else _stratified(targets, parts, rng)
    )
    found = [(np.flatnonzero(place != k), np.flatnonzero(place == k)) for k in range(parts)]
    found = [(fit, judge) for fit, judge in found if len(fit) and len(judge)]
    return found[:folds]


def _by_group(groups: Sequence[Any], parts: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Deal whole groups to parts."""
    names, inverse = np.unique(np.array([str(g) for g in groups]), return_inverse=True)
    dealt = rng.permutation(len(names)) % parts
    return np.asarray(dealt[inverse], dtype=np.int64)


def _stratified(targets: NDArray[Any], parts: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Deal rows to parts in the order of their target, so that each part gets its share."""
    shuffled = rng.permutation(len(targets))
    keys = targets if targets.ndim == 1 else targets.sum(axis=1)
    order = shuffled[np.argsort(keys[shuffled], kind="stable")]
    place = np.empty(len(targets), dtype=np.int64)
    dealt = np.concatenate([rng.permutation(parts) for _ in range(-(-len(targets) // parts))])[
        : len(targets)
    ]
    place[order] = dealt
    return place
