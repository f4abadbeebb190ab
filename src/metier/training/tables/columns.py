"""Fitting how table columns become numbers, on training rows only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from metier.runtime.columns import (
    ColumnKind,
    ColumnSpec,
    Numbers,
    category_text,
    to_dates,
    to_numbers,
)
from metier.types import Table

MOST_CODES = 4096
"""Categories of a column that a booster tells apart; the rarer ones count as unseen."""
MOST_INDICATORS = 128
"""Categories of a column that get a weight of their own in a linear model."""


def fit_codes(table: Table) -> Numbers:
    """Return numbers for boosters: numbers and dates as they are, categories as codes.

    Text and image columns are left out. Codes go by how often a category occurs.
    """
    columns = table.columns()
    return Numbers(
        tuple(
            ColumnSpec(name, kind, "code", vocabulary=_vocabulary(columns[name], MOST_CODES))
            if kind == "category"
            else ColumnSpec(name, kind, "raw", format=table.roles.dates.get(name, ""))
            for name, kind in _usable(table)
        )
    )


def fit_scaled(table: Table) -> Numbers:
    """Return numbers for linear models: scaled ones with 0 for missing, indicators for categories,
    and a mark for each column that misses cells in some but not all rows."""
    columns = table.columns()
    specs: list[ColumnSpec] = []
    for name, kind in _usable(table):
        cells, format = columns[name], table.roles.dates.get(name, "")
        if kind == "category":
            vocabulary = _vocabulary(cells, MOST_INDICATORS)
            specs.append(ColumnSpec(name, kind, "onehot", vocabulary=vocabulary))
            known = np.array([category_text(cell) is not None for cell in cells], dtype=bool)
        else:
            values = to_dates(cells)[:, -1] if kind == "date" else to_numbers(cells)
            mean, scale = _center_and_scale(values)
            specs.append(
                ColumnSpec(name, kind, "scaled", fill=0.0, mean=mean, scale=scale, format=format)
            )
            known = ~np.isnan(values)
        if known.any() and not known.all():
            specs.append(ColumnSpec(name, kind, "missing", format=format))
    return Numbers(tuple(specs))


def _usable(table: Table) -> list[tuple[str, ColumnKind]]:
    kinds = ("number", "category", "date")
    return [(n, cast(ColumnKind, k)) for n, k in table.roles.inputs.items() if k in kinds]


def _vocabulary(cells: Sequence[Any], most: int) -> tuple[str, ...]:
    """Return the commonest categories, ties in the order of their names."""
    counts = Counter(text for text in map(category_text, cells) if text is not None)
    return tuple(sorted(counts, key=lambda text: (-counts[text], text))[:most])


def _center_and_scale(values: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    if not known.size:
        return 0.0, 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = float(known.mean()), float(known.std())
    if not (np.isfinite(mean) and np.isfinite(scale)):
        return 0.0, float(np.abs(known).max())
    return mean, scale if scale > 0 else 1.0
