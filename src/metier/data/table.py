"""From raw data and roles to a table that every later step can rely on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metier.data.dates import of_our_years, parse_dates
from metier.data.images import look
from metier.data.labels import SEPARATORS, label_parts, split_labels
from metier.data.numbers import known_cells
from metier.data.raw import Raw
from metier.errors import DataError
from metier.runtime.columns import category_text, to_numbers
from metier.types import Finding, Kind, Roles, Rows, Table

ROW = "__row__"
"""A column beside the user's own: the number of the row in the data given, from 0."""

LARGEST_WHOLE = 2**53
"""From here on, floats are no longer all of the whole numbers."""
WIDE = ("Int128", "UInt128")
"""Types of whole numbers that numpy does not have, by name: older versions of polars have not both.
What is no number but a name (a group, a category) stays exact."""


def row_numbers(table: Table) -> Rows:
    """Return where each row of a table was in the data given (0-based)."""
    if ROW in table.frame.columns:
        return table.frame[ROW].cast(pl.Int64).to_numpy()
    return np.arange(len(table), dtype=np.int64)


def clusters_of(table: Table, rows: Rows | None = None) -> NDArray[np.int64] | None:
    """Return the group number of some rows of a table (None: all), for intervals over groups.

    A row whose group is missing is a group of its own. None where nothing can be told by groups:
    no column has that role, these data (a test file) lack it, or all rows are of one group.
    """
    name = table.roles.group
    if name is None or name not in table.frame.columns:
        return None
    codes = group_codes(table.frame[name])
    own = codes if rows is None else codes[rows]
    return own if len(np.unique(own)) > 1 else None


def group_codes(groups: pl.Series) -> NDArray[np.int64]:
    """Return a number for each row, the same for those of one group; a missing group is its own."""
    codes = groups.cast(pl.String).fill_null("").rank("dense").cast(pl.Int64).to_numpy()
    alone = groups.is_null().to_numpy()
    found = np.where(alone, codes.max(initial=0) + 1 + np.arange(len(groups)), codes)
    return np.asarray(found, dtype=np.int64)


def build_table(raw: Raw, roles: Roles, task: str | None = None) -> tuple[Table, list[Finding]]:
    """Type the columns as their roles ask, and leave out rows that cannot be learned from.

    Numbers become numbers, dates moments, categories and texts strings. A multi-label target
    becomes a list of strings, whether it was a list or parts joined by `|` or `;`. Rows without a
    target or time, and rows whose image does not open, are left out and named in a finding.

    Args:
        raw: the data as read.
        roles: the part of each column; `target` may be empty (for prediction). Dates are read as
            `dates` says and labels split at `separator`; where roles do not say it, the table's
            roles say what was found.
        task: the task where it is known; it decides whether joined labels are split.

    Raises:
        DataError: the target is missing everywhere, or no row is left.
    """
    findings = [Finding("reading", warning, level="warning") for warning in raw.warnings]
    findings += raw.odd
    frame = raw.frame if ROW in raw.frame.columns else raw.frame.with_row_index(ROW)
    findings += _odd_numbers(frame, roles)
    dates = dict(roles.dates)
    typed = [_typed(frame[name], kind, dates) for name, kind in roles.inputs.items()]
    findings += _undated(frame, typed, roles)
    frame = frame.with_columns(typed)
    if roles.time is not None and roles.inputs.get(roles.time) != "date":
        frame = frame.with_columns(read_moments(frame[roles.time], dates))
    roles = replace(roles, dates=dates)
    frame, dropped = _without_missing(frame, roles)
    findings += dropped
    if len(roles.target) == 1:
        roles = replace(roles, separator=_separator(frame[roles.target[0]], task, roles.separator))
        frame = frame.with_columns(_target(frame[roles.target[0]], roles.separator, findings))
    frame, broken = _without_broken_images(frame, roles, raw.base)
    findings += broken
    if frame.height == 0:
        raise DataError("no row is left to learn from: see that targets and images are there")
    return Table(frame, roles, raw.base), findings


def target_keys(table: Table) -> list[str]:
    """Return each row's target as one string, equal when targets are equal."""
    target = table.target
    if isinstance(target, pl.DataFrame):
        return [repr(row) for row in target.cast(pl.Int64).rows()]
    if isinstance(target.dtype, pl.List):
        return ["|".join(sorted(labels)) for labels in target.to_list()]
    return target.cast(pl.String).to_list()


def with_absolute_paths(table: Table) -> Table:
    """Return the same rows with image paths that need no base, so that tables can be joined."""
    if table.base is None:
        return table
    columns = table.columns()
    images = [name for name, kind in table.roles.inputs.items() if kind == "image"]
    paths = [pl.Series(name, columns[name], dtype=pl.String) for name in images]
    return replace(table, frame=table.frame.with_columns(paths), base=None)


def _typed(column: pl.Series, kind: Kind, dates: dict[str, str]) -> pl.Series:
    if kind == "number":
        held = column.dtype.is_numeric() and str(column.dtype) not in WIDE
        return column if held else _numbers(column)
    if kind == "date":
        return read_moments(column, dates)
    return _texts(column) if kind == "category" else column.cast(pl.String, strict=False)


def _numbers(column: pl.Series) -> pl.Series:
    """Numbers written as text, read as at predict."""
    if column.dtype != pl.String:
        return column.cast(pl.Float64, strict=False)
    return pl.Series(column.name, to_numbers(column.to_list())).fill_nan(None)


def _odd_numbers(frame: pl.DataFrame, roles: Roles) -> list[Finding]:
    """Name the cells of number columns that are no numbers, and were not left out as missing."""
    found = []
    for name, kind in roles.inputs.items():
        if kind != "number" or frame[name].dtype != pl.String:
            continue
        odd = (known_cells(frame[name]).is_not_null() & _numbers(frame[name]).is_null()).arg_true()
        if len(odd):
            many = "1 cell, which counts" if len(odd) == 1 else f"{len(odd)} cells, which count"
            verdict = (
                f"column {name!r} is numbers but for {many} as missing "
                f"(first in row {frame[ROW][odd[0]]})"
            )
            rows = frame[ROW].gather(odd).to_list()
            found.append(_about_rows("odd numbers", verdict, rows, examples=[frame[name][odd[0]]]))
    return found


def _undated(frame: pl.DataFrame, typed: Sequence[pl.Series], roles: Roles) -> list[Finding]:
    """Name the cells of date columns that held something and are missing now."""
    findings = []
    for column in typed:
        given = frame[column.name]
        lost = (column.is_null() & given.is_not_null()).arg_true()
        some = given.gather(lost.head(1)).cast(pl.String)  # Python has no name for every year
        if roles.inputs[column.name] == "date" and len(lost):
            rows = frame[ROW].gather(lost).to_list()
            held = f"{len(rows)} cells are no dates and count"
            held = held if len(rows) > 1 else "1 cell is no date and counts"
            verdict = f"column {column.name!r}: {held} as missing"
            findings.append(_about_rows("odd dates", verdict, rows, examples=some.to_list()))
    return findings


def _texts(column: pl.Series) -> pl.Series:
    """Categories as text, written as at predict."""
    if column.dtype == pl.String:
        return column
    texts = [category_text(cell) for cell in column.to_list()]
    return pl.Series(column.name, texts, dtype=pl.String)


def read_moments(column: pl.Series, dates: dict[str, str]) -> pl.Series:
    """Moments of a date column; numbers (a year, a step) keep their order and stay numbers.

    How text is read is looked up in `dates`, or noted there.
    """
    if column.dtype.is_integer() and column.name in dates:
        column = column.cast(pl.String)  # 20241231 was text where it was beside a word
    if column.dtype == pl.String:
        parsed = parse_dates(column, dates.get(column.name))
        if parsed is not None:
            dates[column.name] = parsed.format
            return parsed.moments
        raise DataError(
            f"column {column.name!r} holds no dates that can be read (such as {column[0]!r}): "
            "write them as 2024-12-31"
        )
    if column.dtype == pl.Date:
        column = column.cast(pl.Datetime("us"))
    if not isinstance(column.dtype, pl.Datetime):
        return column
    if column.dtype.time_zone is not None:
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return of_our_years(column)


def _without_missing(frame: pl.DataFrame, roles: Roles) -> tuple[pl.DataFrame, list[Finding]]:
    findings = []
    for role, names in (("target", roles.target), ("time", [roles.time] if roles.time else [])):
        absent = pl.any_horizontal(pl.col(name).is_null() for name in names) if names else None
        if absent is None:
            continue
        rows = frame.filter(absent)[ROW].to_list()
        if len(rows) == frame.height:
            told = ", ".join(names)
            raise DataError(f"{role} {told!r} is missing in every row: fill it in, or name another")
        if rows:
            frame = frame.filter(~absent)
            verdict = f"{len(rows)} rows have no {role} ({', '.join(names)}) and were left out"
            findings.append(_about_rows(f"missing {role}", verdict, rows))
    return frame, findings


def _separator(column: pl.Series, task: str | None, known: str | None) -> str | None:
    """Return what to split labels at; None where they are not joined, or not to be split."""
    if task not in (None, "multilabel") or isinstance(column.dtype, pl.List):
        return None
    if known is not None or column.dtype != pl.String:
        return known
    forced = task == "multilabel"
    return label_parts(column, forced=forced) or (SEPARATORS[0] if forced else None)


def _target(column: pl.Series, separator: str | None, findings: list[Finding]) -> pl.Series:
    if isinstance(column.dtype, pl.List) and not column.dtype.inner.is_nested():
        return column.cast(pl.List(pl.String)).list.eval(pl.element().drop_nulls())
    if column.dtype.is_nested():
        held = "lists of lists or of objects" if column.dtype == pl.List else "objects"
        raise DataError(f"target {column.name!r} holds {held}: give one value or a list of labels")
    if column.dtype.is_temporal():
        raise DataError(f"target {column.name!r} holds dates: give a class or a number")
    if separator is not None:
        return split_labels(_texts(column), separator)
    whole = column.dtype.is_float() and bool(
        ((column == column.round()) & (column.abs() < LARGEST_WHOLE)).all()
    )
    if whole and any(finding.name == "missing target" for finding in findings):
        return column.cast(pl.Int64)
    return column


def _without_broken_images(
    frame: pl.DataFrame, roles: Roles, base: Path | None
) -> tuple[pl.DataFrame, list[Finding]]:
    broken: dict[int, str] = {}
    for name, kind in roles.inputs.items():
        if kind == "image":
            for position, seen in enumerate(look(frame[name], base)):
                if seen.reason is not None:
                    broken[position] = f"{frame[name][position]}: {seen.reason}"
    if not broken:
        return frame, []
    rows = frame[ROW][list(broken)].to_list()
    if len(rows) == frame.height:
        raise DataError(f"no image opens (first: {next(iter(broken.values()))}): check the files")
    verdict = f"{len(rows)} images do not open and were left out"
    finding = _about_rows("unreadable images", verdict, rows, reasons=list(broken.values()))
    keep = np.setdiff1d(np.arange(frame.height), list(broken))
    return frame[keep], [finding]


def _about_rows(name: str, verdict: str, rows: Sequence[int], **details: list[str]) -> Finding:
    return Finding(
        name,
        verdict,
        value=float(len(rows)),
        n=len(rows),
        level="warning",
        rows=tuple(rows),
        details=details,
    )
