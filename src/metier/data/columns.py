"""Checks of single columns: missing values, empty texts, constants and ids."""

from __future__ import annotations

import numpy as np
import polars as pl

from metier.data.numbers import almost_numbers
from metier.data.table import row_numbers
from metier.types import Finding, Table

_MANY = 0.5
_SHOWN = 1000


def check_columns(table: Table) -> list[Finding]:
    """Name columns that are no use, and cells that are missing or empty."""
    return [
        *_unused(table),
        *_missing(table),
        *_empty_texts(table),
        *_repeating_ids(table),
        *_almost_numbers(table),
    ]


def _unused(table: Table) -> list[Finding]:
    found = []
    for name in table.roles.ignored:
        verdict = f"column {name!r} is the same in every row (or no kind of input) and is not used"
        found.append(Finding("constant column", verdict, n=len(table), details={"column": name}))
    for name in table.roles.ids:
        verdict = f"column {name!r} looks like an id and is not used"
        found.append(Finding("id column", verdict, n=len(table), details={"column": name}))
    return found


def _missing(table: Table) -> list[Finding]:
    places = row_numbers(table)
    found = []
    for name, kind in table.roles.inputs.items():
        if kind == "text":
            continue
        rows = np.flatnonzero(table.frame[name].is_null().to_numpy())
        if len(rows):
            share = len(rows) / len(table)
            verdict = f"column {name!r} is missing in {len(rows)} rows ({share:.1%})"
            found.append(
                Finding(
                    "missing values",
                    verdict,
                    value=share,
                    n=len(table),
                    level="warning" if share >= _MANY else "info",
                    rows=tuple(int(place) for place in places[rows[:_SHOWN]]),
                    details={"column": name},
                )
            )
    return found


def _empty_texts(table: Table) -> list[Finding]:
    places = row_numbers(table)
    found = []
    for name, kind in table.roles.inputs.items():
        if kind != "text":
            continue
        empty = table.frame[name].fill_null("").str.strip_chars().str.len_bytes() == 0
        rows = np.flatnonzero(empty.to_numpy())
        if len(rows):
            found.append(
                Finding(
                    "empty texts",
                    f"column {name!r} is empty in {len(rows)} rows",
                    value=float(len(rows)),
                    n=len(table),
                    level="warning",
                    rows=tuple(int(place) for place in places[rows]),
                    details={"column": name},
                )
            )
    return found


def _repeating_ids(table: Table) -> list[Finding]:
    """Name columns such as `user_id` whose rows may have to stay together."""
    if table.roles.group is not None:
        return []
    found = []
    for name, kind in table.roles.inputs.items():
        column = table.frame[name]
        if kind != "category" or not name.lower().endswith(("_id", "id")):
            continue
        distinct = column.n_unique()
        if 10 < distinct < len(table) and column.dtype == pl.String:
            verdict = (
                f"column {name!r} names {distinct} things in {len(table)} rows: if new things come "
                f"when predicting, split by --group {name}"
            )
            found.append(Finding("id column", verdict, n=len(table), details={"column": name}))
    return found


def _almost_numbers(table: Table) -> list[Finding]:
    """Name columns of categories that are all but numbers."""
    places = row_numbers(table)
    found = []
    for name, kind in table.roles.inputs.items():
        column = table.frame[name]
        numbers = almost_numbers(column) if kind == "category" else None
        if numbers is not None and numbers.odd:
            count, first = len(numbers.odd), numbers.odd[0]
            verdict = (
                f"column {name!r} is numbers but for {count} cells (first in row {places[first]}) "
                "and is read as categories: mend those if it is to be numbers"
            )
            rows = tuple(int(places[row]) for row in numbers.odd[:_SHOWN])
            details = {"column": name, "examples": [column[first]]}
            found.append(
                Finding(
                    "odd numbers",
                    verdict,
                    n=len(table),
                    level="warning",
                    rows=rows,
                    details=details,
                )
            )
    return found
