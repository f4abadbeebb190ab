"""Rows of a table that never were: their numbers and categories made up, the rest from the real row
that is nearest."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metier.training.folds import MADE
from metier.types import Rows, Table

ORIGIN = "__origin__"
Numbers = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Cells:
    """What can be made up of some rows.

    Args:
        numbers: (n, columns), not a number where a cell is missing.
        codes: (n, columns), places in the known values of a category; a missing cell is one of
            them.
    """

    numbers: Numbers
    codes: Codes

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, rows: Rows) -> Cells:
        """Return some of the rows."""
        return Cells(self.numbers[rows], self.codes[rows])

    def scaled(self, like: Cells) -> Numbers:
        """Return all columns as coordinates: numbers in the spread that `like` has, and half a
        unit for each of two categories that differ (so that these lie one apart, squared)."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a column without any number
            middle = np.nan_to_num(np.nanmedian(like.numbers, axis=0))
            spread = np.nan_to_num(np.nanstd(like.numbers, axis=0), nan=1.0)
        gaps = np.isnan(self.numbers)
        values = (np.where(gaps, middle, self.numbers) - middle) / np.where(spread > 0, spread, 1.0)
        parts = [values, gaps[:, np.isnan(like.numbers).any(axis=0)].astype(np.float64)]
        for column in range(self.codes.shape[1]):
            width = int(like.codes[:, column].max(initial=0)) + 1
            parts.append(np.eye(width)[self.codes[:, column]] * np.sqrt(0.5))
        return np.concatenate(parts, axis=1)


def read_cells(table: Table) -> tuple[Cells, dict[str, pl.Series]]:
    """Return the numbers and categories of a table, and the known values of each category."""
    frame, n = table.frame, len(table)
    numbers = [frame[name].cast(pl.Float64).to_numpy() for name in numbers_of(table)]
    known = {name: frame[name].unique(maintain_order=True) for name in categories_of(table)}
    codes = []
    for name, values in known.items():
        place = {value: code for code, value in enumerate(values.to_list())}
        codes.append(np.array([place[value] for value in frame[name].to_list()], np.int64))
    stacked = np.stack(numbers, axis=1) if numbers else np.zeros((n, 0))
    stacked = np.where(np.isfinite(stacked), stacked, np.nan)
    return Cells(stacked, np.stack(codes, axis=1) if codes else np.zeros((n, 0), np.int64)), known


def numbers_of(table: Table) -> list[str]:
    """Return the input columns that hold numbers."""
    return [name for name, kind in table.roles.inputs.items() if kind == "number"]


def categories_of(table: Table) -> list[str]:
    """Return the input columns that hold categories."""
    return [name for name, kind in table.roles.inputs.items() if kind == "category"]


def with_made(
    table: Table, made: Cells, parents: Rows, known: dict[str, pl.Series], **others: pl.Series
) -> Table:
    """Return a table and, after its rows, the made ones.

    What is not made up (dates, targets, groups, weights) is that of the parents; `others` are
    further columns by name. Where the rows have no group, a made row is in one with its parent, so
    that rows set aside within the training rows do not judge what was made of them; made rows
    themselves are marked, and judge nothing.

    Args:
        table: the real rows.
        made: the cells that were made up.
        parents: (made,) the real row that each one is nearest to.
        known: the values of each category, as `read_cells` gives them.
        others: columns that were made too, such as a target.
    """
    roles, frame = table.roles, table.frame
    if roles.group is None:
        roles = replace(roles, group=ORIGIN)
        frame = frame.with_columns(pl.Series(ORIGIN, np.arange(len(table))))
    if MADE not in frame.columns:
        frame = frame.with_columns(pl.lit(False).alias(MADE))
    columns = [pl.Series(MADE, np.ones(len(made), dtype=bool))]
    for column, name in enumerate(numbers_of(table)):
        columns.append(_as_before(made.numbers[:, column], frame[name]))
    for column, name in enumerate(categories_of(table)):
        columns.append(known[name].gather(made.codes[:, column]).alias(name))
    columns += [series.alias(name) for name, series in others.items()]
    rows = frame[parents].with_columns(columns)
    return replace(table, frame=pl.concat([frame, rows]), roles=roles)


def _as_before(values: Numbers, column: pl.Series) -> pl.Series:
    """Numbers in the type of a column: whole ones stay whole, and missing cells are empty."""
    if column.dtype.is_integer():
        values = np.rint(values)
    found = pl.Series(column.name, values, dtype=pl.Float64).fill_nan(None)
    return found.cast(column.dtype)


def nearest(rows: Numbers, among: Numbers, leave_own: bool = False) -> tuple[Rows, Numbers]:
    """Return for each row the nearest of others and how far away it is, (rows,) each.

    `leave_own`: both are the same rows, and none is its own neighbour.
    """
    from scipy.spatial import KDTree

    count = 2 if leave_own else 1
    found = KDTree(among).query(rows, k=[count])
    distances, places = (np.asarray(each)[:, 0] for each in found)
    return places.astype(np.int64), distances.astype(np.float64)


def whole(column: pl.Series, values: NDArray[Any]) -> pl.Series:
    """Return made values in the type of a target column."""
    return _as_before(np.asarray(values, dtype=np.float64), column)
