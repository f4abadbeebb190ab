"""What users hand over (lists, dicts, frames) to columns, in the order and number of the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metier.errors import DataError
from metier.runtime.manifest import InputColumn
from metier.runtime.preprocess import joined_texts

MISSING = ("NAType", "NaTType")
"""Types of the missing values of pandas, known by name so that pandas is not imported."""


@dataclass(frozen=True)
class Rows:
    """Columns by name, how many rows, the input columns that were not given, unreadable rows."""

    columns: dict[str, list[Any]]
    count: int
    absent: tuple[str, ...] = ()
    reasons: Mapping[int, str] | None = None


def to_rows(given: Any, wanted: Sequence[InputColumn]) -> Rows:
    """Find the wanted columns in what was given; extra columns are ignored, missing ones empty.

    Args:
        given: a list of texts or image paths (for a bundle with one such column; the others are
            then missing), a list of dicts, a mapping of columns, or a data frame (pandas, polars,
            pyarrow, datasets).
        wanted: the input columns of the bundle.

    Raises:
        DataError: when it is none of these, the columns differ in length, or none is known.
    """
    if isinstance(given, str | bytes | Path):
        raise DataError("predict takes a list of rows, not one value: write [row]")
    if isinstance(given, Mapping):
        return _from_columns(given, list(given), wanted)
    if callable(collect := getattr(given, "collect", None)):
        given = collect()
    names = getattr(given, "column_names", None)
    if names is None:
        names = getattr(given, "columns", None)
    if names is not None:
        return _from_columns(given, list(names), wanted)
    try:
        rows = list(given)
    except TypeError:
        raise DataError(
            f"predict takes a list, a mapping of columns or a data frame, not {_type(given)}"
        ) from None
    if any(isinstance(row, Mapping) for row in rows):
        return _from_dicts(rows, wanted)
    return _from_values(rows, wanted)


def of_no_text(columns: Mapping[str, Sequence[Any]], wanted: Sequence[InputColumn]) -> list[int]:
    """Return the rows without any text, where texts are all that is read.

    >>> of_no_text({"a": ["x", " ", None]}, [InputColumn("a", "text")])
    [1, 2]
    """
    if not wanted or any(column.kind != "text" for column in wanted):
        return []
    texts = joined_texts(columns, [column.name for column in wanted])
    return [row for row, text in enumerate(texts) if not text.strip()]


def told_of_no_text(rows: int) -> str:
    """Say that so many rows have no text, and what that means for their answers."""
    held = f"{rows} rows have" if rows > 1 else "1 row has"
    return f"{held} no text and got the answer of an empty one"


def readable(cell: Any) -> Any:
    r"""Return the cell; in texts, halves of characters, which no tokenizer reads, become "?".

    Python and JSON can spell them, and cutting a text in the middle of an emoji leaves one.

    >>> readable(["ok", "\ud83d hi", 7])
    ['ok', '? hi', 7]
    """
    if isinstance(cell, str):
        return cell if cell.isascii() else cell.encode("utf-8", "replace").decode()
    return [readable(each) for each in cell] if isinstance(cell, list) else cell


def _from_columns(given: Any, names: list[Any], wanted: Sequence[InputColumn]) -> Rows:
    present = [column.name for column in wanted if column.name in names]
    columns = {name: _cells(given[name], name) for name in present}
    lengths = {name: len(cells) for name, cells in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise DataError(f"the columns differ in length: {told}; give every row every column")
    if not present:
        refuse_unknown([str(name) for name in names], wanted)
    count = next(iter(lengths.values()), 0)
    return _with_absent(columns, count, wanted)


def _from_dicts(rows: list[Any], wanted: Sequence[InputColumn]) -> Rows:
    reasons = {
        i: f"a row of type {_type(row)} among dicts"
        for i, row in enumerate(rows)
        if not isinstance(row, Mapping)
    }
    names = {name for row in rows if isinstance(row, Mapping) for name in row}
    if names and not any(column.name in names for column in wanted):
        refuse_unknown(sorted(map(str, names)), wanted)
    columns = {
        column.name: [row.get(column.name) if isinstance(row, Mapping) else None for row in rows]
        for column in wanted
        if column.name in names
    }
    found = _with_absent(columns, len(rows), wanted)
    return Rows(found.columns, found.count, found.absent, reasons)


def _from_values(rows: list[Any], wanted: Sequence[InputColumn]) -> Rows:
    """Plain values are texts or paths of images: they belong to the one column of that kind."""
    meant = [column for column in wanted if column.kind in ("text", "image")]
    if len(wanted) == 1:
        meant = list(wanted)
    if len(meant) != 1:
        names = ", ".join(repr(column.name) for column in wanted)
        raise DataError(f"this bundle reads the columns {names}: give dicts or a data frame")
    return _with_absent({meant[0].name: rows}, len(rows), wanted)


def _with_absent(columns: dict[str, list[Any]], count: int, wanted: Sequence[InputColumn]) -> Rows:
    absent = tuple(column.name for column in wanted if column.name not in columns)
    found = {
        column.name: [_cell(cell, column) for cell in columns[column.name]]
        for column in wanted
        if column.name in columns
    }
    return Rows({**found, **{name: [None] * count for name in absent}}, count, absent)


def refuse_unknown(names: Sequence[str], wanted: Sequence[InputColumn]) -> None:
    """Raise DataError for rows of which no column is one that a bundle reads."""
    needed = ", ".join(repr(column.name) for column in wanted)
    told = ", ".join(repr(name) for name in names[:10]) or "none"
    raise DataError(
        f"none of the columns that this bundle reads ({needed}) is there (found: {told})"
    )


def _cells(column: Any, name: str) -> list[Any]:
    if isinstance(column, str | bytes | Mapping):
        raise DataError(f"column {name!r} is {_type(column)}, not a list of cells")
    if isinstance(column, np.ndarray) and column.dtype.kind == "M":
        column = column.astype("datetime64[us]")  # of nanoseconds, a list has plain numbers
    for method in ("to_pylist", "to_list", "tolist"):
        turn = getattr(column, method, None)
        if callable(turn):
            column = turn()
            break
    else:
        if getattr(column, "columns", None) is not None:
            raise DataError(f"two columns have the name {name!r}: rename one")
    try:
        return list(column)
    except TypeError:
        raise DataError(f"column {name!r} is {_type(column)}, not a list of cells") from None


def _cell(cell: Any, column: InputColumn) -> Any:
    if type(cell).__name__ in MISSING:
        return None
    return cell if column.kind == "image" else readable(cell)  # a path is what it is


def _type(value: Any) -> str:
    return type(value).__name__
