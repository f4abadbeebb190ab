"""Rows without labels: a file of their own, or those of the domain that the specialist is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from metier.data.raw import Raw
from metier.data.table import ROW, build_table
from metier.errors import DataError, suggest
from metier.types import Roles, Table

FEWEST = 2
"""Rows without labels that there have to be: one says nothing of how rows are spread."""


@dataclass(frozen=True)
class Apart:
    """Rows by domain: those that are learned from, and those of the target domain."""

    labelled: Raw
    target: Raw


def set_apart(raw: Raw, column: str, domain: str) -> Apart:
    """Split data by domain. Rows keep their numbers; what reading warned of is told of the first.

    Raises DataError when there is no row of the target domain, one only, or none of another.
    """
    frame = raw.frame.with_row_index(ROW)
    names = frame[column].cast(pl.String)
    known = sorted(set(names.drop_nulls().to_list()))
    if domain not in known:
        raise DataError(
            f"--target-domain {domain}: no row of {column!r} has this value{suggest(domain, known)}"
        )
    ours = (names == domain).fill_null(value=False)
    if int(ours.sum()) < FEWEST:
        raise DataError(
            f"--target-domain {domain}: has one row, and one row says nothing of a domain; give "
            "more with --unlabeled"
        )
    if bool(ours.all()):
        raise DataError(
            f"--target-domain {domain}: every row is of this domain, so nothing is left to learn "
            "from; leave the option out"
        )
    target = replace(raw, frame=frame.filter(ours), warnings=())
    return Apart(replace(raw, frame=frame.filter(~ours)), target)


def pool_table(raw: Raw, roles: Roles, known: Sequence[Table] = ()) -> tuple[Table, int]:
    """Return rows as unlabelled ones, and how many were left out since `known` tables hold them.

    Labels and all other columns that are no inputs are not even kept.

    Raises DataError when an input column is missing, or when fewer than two rows are left.
    """
    for name in roles.inputs:
        if name not in raw.frame.columns:
            raise DataError(
                f"the rows without labels ({raw.name}) have no column {name!r}, which the labelled "
                f"rows have{suggest(name, raw.frame.columns)}"
            )
    kept = [*roles.inputs, *([ROW] if ROW in raw.frame.columns else [])]
    inputs = Roles(roles.inputs, dates=roles.dates)
    table, _ = build_table(replace(raw, frame=raw.frame.select(kept)), inputs)
    alike, *others = _alike([table, *known])
    seen = np.concatenate([np.zeros(0, np.uint64), *(each.digests for each in others)])
    rows = np.flatnonzero(~np.isin(alike.digests, seen))
    if len(rows) < FEWEST:
        raise DataError(
            f"the rows without labels ({raw.name}): {len(rows)} of {len(table)} are not among the "
            "labelled ones; give more"
        )
    return table.take(rows), len(table) - len(rows)


def _alike(tables: Sequence[Table]) -> list[Table]:
    """The same rows with numbers of one type: whole ones are other numbers, by their digests, where
    a gap or a fraction made another file's column one of fractions."""
    numbers = [name for name, kind in tables[0].roles.inputs.items() if kind == "number"]
    mixed = [n for n in numbers if len({table.frame.schema[n] for table in tables}) > 1]
    if not mixed:
        return list(tables)
    cast = pl.col(mixed).cast(pl.Float64)
    return [replace(table, frame=table.frame.with_columns(cast)) for table in tables]
