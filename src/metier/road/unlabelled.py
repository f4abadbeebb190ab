"""Rows without labels on the road: as many as there is time to look at, and how unlike they are.

Where they come from elsewhere, they are taken for the rows that the specialist is for: candidates
are then compared, and calibrated, on labelled rows that weigh by how common they are among them
(importance-weighted validation; Sugiyama et al., 2007). No label of those rows is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metier.cache import Cache
from metier.data.vectors import plain_features
from metier.evidence.unlabelled.shift import FOLDS, Shift, clipped, effective, measure_shift
from metier.evidence.words import whole
from metier.road.pace import Shown, features_of
from metier.search.clock import Clock
from metier.search.race import Race
from metier.types import Floats, Roles, Source, Table

FIELD = "unlabeled"
"""The field of a strategy that takes them."""
FOR_LOOKING = 0.15
"""Share of the time left that the first pass of the networks over them may take."""
FEWEST_EFFECTIVE, SHARE_EFFECTIVE = 50, 0.1
"""With weights worth fewer rows than this, or a smaller share of them, weighing would be noise."""
FEWEST_OVERLAP = 0.5
"""With labelled rows that can stand for a smaller share of the others than this, as well."""
MOST_TIMES, FEWEST = 5, 5000
"""So many rows without labels for each one with a label, or so many, are enough."""


@dataclass(frozen=True)
class Pool:
    """Rows without labels that strategies may learn from, and what is to be said of them."""

    table: Table | None = None
    notes: tuple[str, ...] = ()
    shift: Shift | None = None
    weights: NDArray[np.float64] | None = None

    @property
    def given(self) -> dict[str, Any]:
        """What strategies have a field for."""
        return {} if self.table is None else {FIELD: self.table}


def draw_pool(table: Table | None, labelled: int, shown: Shown, clock: Clock, seed: int) -> Pool:
    """Draw the rows without labels that there is time for; they need no more than a sample."""
    if table is None:
        return Pool()
    most = max(MOST_TIMES * labelled, FEWEST)
    if clock.budget is not None and shown.paces:
        each = sum(shown.paces[name] for name in shown.sources)
        most = min(most, max(int(FOR_LOOKING * clock.left / max(each, 1e-9)), labelled))
    if len(table) <= most:
        return Pool(table)
    rows = np.sort(np.random.default_rng((seed, len(table))).permutation(len(table))[:most])
    told = f"{most:,} of the {len(table):,} unlabelled rows are used, drawn by chance"
    return Pool(table.take(rows), (told,))


def look_at(pool: Pool, race: Race, shown: Shown) -> Pool:
    """Measure how unlike the labelled rows the others are, and what each of those weighs for it."""
    rows = np.arange(len(race.table)) if shown.rows is None else shown.rows
    if pool.table is None or min(len(rows), len(pool.table)) < 2 * FOLDS:
        return pool
    source = next(iter(shown.sources.values()), None)
    if source is None and race.table.roles.modality == "image":
        return pool  # no network had time to look at them
    own, others = _features(race.table.take(rows), pool.table, race.cache, source)
    classes, names = None, race.task.labels
    if race.task.kind in ("binary", "multiclass"):
        classes = race.targets[rows].astype(np.int64)
    shift = measure_shift(own, others, seed=race.seed, classes=classes, names=names)
    if not shift.shifted:
        return replace(pool, shift=shift)
    weights = np.ones(len(race.table))
    weights[rows] = clipped(shift.weights)
    worth = effective(weights[rows])
    enough = max(FEWEST_EFFECTIVE, SHARE_EFFECTIVE * len(rows))
    if worth < enough or shift.overlap < FEWEST_OVERLAP:
        told = (
            "the unlabelled rows come from elsewhere, and hardly any labelled row is like them: "
            "candidates are compared on the labelled rows as they are"
        )
        return replace(pool, shift=shift, notes=(*pool.notes, told))
    told = (
        "the unlabelled rows come from elsewhere and are taken for those that the specialist is "
        "for: candidates are compared on labelled rows weighed by how common they are there, worth "
        f"{whole(worth)} of {whole(len(rows))}"
    )
    return replace(pool, shift=shift, weights=weights, notes=(*pool.notes, told))


def _features(
    own: Table, others: Table, cache: Cache, source: Source | None
) -> tuple[Floats, Floats]:
    """Features of both in one space: those of a source, plain ones where there is none."""
    if source is not None and own.roles.modality != "tabular":
        return features_of(source, own, cache), features_of(source, others, cache)
    roles = Roles(own.roles.inputs)
    parts = [each.frame.select(list(roles.inputs)) for each in (own, others)]
    both = plain_features(Table(pl.concat(parts, how="vertical_relaxed"), roles))
    return both[: len(own)], both[len(own) :]
