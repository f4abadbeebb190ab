"""Rows that were learned from, known again when they are met by hashes, which tell nothing of them.

They lie beside the weights of a run and are no part of its bundle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from metier.data.raw import Raw
from metier.data.table import build_table, row_numbers
from metier.errors import DataError
from metier.types import Kind, Roles, Rows, Table

MET = "source has seen rows"
"""What a finding is called that says so; its details name the `source`."""
KEPT = 100_000
"""Hashes that are kept at most: the lowest ones, so that the share of them that is met again is
that of all."""


def remember(table: Table) -> dict[str, Any]:
    """Return, as JSON, what rows are known again by: the columns that were hashed, how dates were
    written in them, and hashes."""
    return {
        "columns": _hashed(table),
        "dates": dict(table.roles.dates),
        "rows": sorted(set(row_hashes(table)))[:KEPT],
    }


def _hashed(table: Table) -> dict[str, Kind]:
    """The columns that tell rows apart: what a network reads, or all inputs where none reads."""
    modality = table.roles.modality
    return {n: kind for n, kind in table.roles.inputs.items() if modality in ("tabular", kind)}


def row_hashes(table: Table) -> list[str]:
    """Return a hash a row of its texts, images or cells, whatever the columns are called."""
    hashed = _hashed(table)
    if table.roles.modality == "image":
        alone = table if hashed == table.roles.inputs else replace(table, roles=Roles(hashed))
        keys = [str(digest) for digest in alone.digests.tolist()]
    else:
        columns = [_plain(table.frame[name]).to_list() for name in hashed]
        keys = ["\x1f".join(map(str, row)) for row in zip(*columns, strict=True)]
    return [hashlib.blake2b(key.encode(), digest_size=8).hexdigest() for key in keys]


def _plain(column: pl.Series) -> pl.Series:
    """Whole numbers are other numbers where a gap made a file's column one of fractions."""
    return column.cast(pl.Float64) if column.dtype.is_numeric() else column


def together(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the rows of both are known again by; those of the first alone where their columns
    differ."""
    if not one or one["columns"] != other["columns"]:
        return dict(one or other)
    return {**one, "rows": sorted({*one["rows"], *other["rows"]})[:KEPT]}


def share_met(remembered: Mapping[str, Any], table: Table) -> float:
    """Return the share of the remembered rows that are in a table."""
    known = remembered.get("rows") or ()
    met = set(row_hashes(table)) if known else set()
    return sum(each in met for each in known) / max(len(known), 1)


def rows_met(remembered: Mapping[str, Any], raw: Raw) -> Rows:
    """Return which rows of some data (0-based) are remembered; none when the data lack a column."""
    columns, known = remembered.get("columns") or {}, set(remembered.get("rows") or ())
    if not columns or set(columns) - set(raw.frame.columns):
        return np.zeros(0, dtype=np.int64)
    try:
        table, _ = build_table(raw, Roles(inputs=columns, dates=remembered.get("dates") or {}))
    except DataError:  # a column that held dates now holds something else
        return np.zeros(0, dtype=np.int64)
    met = np.array([each in known for each in row_hashes(table)], dtype=bool)
    found: Rows = row_numbers(table)[met]
    return found
