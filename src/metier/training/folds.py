"""Rows set aside within the training rows, for stopping and for choosing a regularisation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.data.table import group_codes
from metier.types import Rows, Table

Fold = tuple[Rows, Rows]
"""Row numbers to fit on, and to judge on."""
MADE = "__made__"
"""A column that says which rows, or whose labels, were made up: they may be learned from, and judge
nothing."""


def inner_folds(
    table: Table, targets: NDArray[Any], folds: int, seed: int, share: float = 0.2
) -> list[Fold]:
    """Cut training rows into folds: by time or by group where the table has one, else stratified.

    With a time column there is one fold only, whose last `share` of the rows judges. With
    `folds=1` there is one fold with about that share of the rows, or as near to it as whole groups
    come: one that is larger than that judges only where every group is. A row whose group is
    missing is a group of its own, and rows that were made up judge nothing. Too few rows or groups
    for even one fold give an empty list.
    """
    n = len(table)
    if n < 4:
        return []
    roles = table.roles
    real = ~table.frame[MADE].to_numpy() if MADE in table.frame.columns else np.ones(n, dtype=bool)
    if roles.time is not None:
        order = table.frame[roles.time].arg_sort().to_numpy().astype(np.int64)
        cut = n - max(1, round(n * share))
        late = order[cut:][real[order[cut:]]]
        return [(order[:cut], late)] if len(late) else []
    rng = np.random.default_rng(seed)
    parts = max(2, min(n, folds if folds > 1 else round(1 / share)))
    if roles.group is None:
        place = _stratified(targets, parts, rng)
    else:
        codes = group_codes(table.frame[roles.group])
        place = _dealt(codes, parts, rng) if folds > 1 else _parted(codes, n * share, rng)
    found = [
        (np.flatnonzero(place != k), np.flatnonzero((place == k) & real)) for k in range(parts)
    ]
    found = [(fit, judge) for fit, judge in found if len(fit) and len(judge)]
    return found[:folds]


def _dealt(codes: NDArray[np.int64], parts: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Deal whole groups to parts of about the same size: the largest first, each to the part that
    has the fewest rows."""
    _, inverse, sizes = np.unique(codes, return_inverse=True, return_counts=True)
    shuffled = rng.permutation(len(sizes))
    held = [0] * parts
    part_of = np.empty(len(sizes), dtype=np.int64)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")].tolist():
        part_of[group] = held.index(min(held))
        held[part_of[group]] += int(sizes[group])
    return np.asarray(part_of[inverse], dtype=np.int64)


def _parted(codes: NDArray[np.int64], wanted: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Deal whole groups to part 0 where that brings it nearer to the rows wanted, and the others to
    part 1. No group of more rows than that is in part 0, unless all are: then it is the smallest.
    """
    _, inverse, sizes = np.unique(codes, return_inverse=True, return_counts=True)
    shuffled = rng.permutation(len(sizes))
    part_of = np.ones(len(sizes), dtype=np.int64)
    held = 0
    for group in shuffled.tolist():
        size = int(sizes[group])
        if size <= wanted and abs(held + size - wanted) < abs(held - wanted):
            part_of[group] = 0
            held += size
    if not held:
        part_of[shuffled[sizes[shuffled].argmin()]] = 0
    return np.asarray(part_of[inverse], dtype=np.int64)


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
