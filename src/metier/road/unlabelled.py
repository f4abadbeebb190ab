"""Rows without labels on the road: as many as there is time to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from metier.road.pace import Shown
from metier.search.clock import Clock
from metier.types import Table

FIELD = "unlabeled"
"""The field of a strategy that takes them."""
FOR_LOOKING = 0.15
"""Share of the time left that the first pass of the networks over them may take."""
MOST_TIMES, FEWEST = 5, 5000
"""So many rows without labels for each one with a label, or so many, are enough."""


@dataclass(frozen=True)
class Pool:
    """Rows without labels that strategies may learn from, and what is to be said of them."""

    table: Table | None = None
    notes: tuple[str, ...] = ()

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
