"""JSON, JSON Lines, Parquet and Arrow files."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from metier.data.encodings import TextFile
from metier.errors import DataError
from metier.runtime.dates import in_utc
from metier.runtime.rows import readable


def read_json_lines(file: TextFile) -> pl.DataFrame:
    """Read one object a line. Raises DataError with the number of a broken line."""
    try:
        with file.bytes() as lines:
            return pl.read_ndjson(lines, infer_schema_length=None)
    except pl.exceptions.PolarsError:
        return _from_objects(file.path, _parse_lines(file))


def read_json(file: TextFile) -> pl.DataFrame:
    """Read an array of objects, or one object of equally long columns.

    Objects one a line are read too, whatever the file is called.
    """
    with file.lines() as lines:
        text = lines.read()
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip().startswith("{"):
            return read_json_lines(file)
        raise DataError(
            f"{file.path}, line {error.lineno}: broken JSON ({error.msg}): mend that line"
        ) from error
    if isinstance(data, dict) and data and all(isinstance(v, list) for v in data.values()):
        return from_columns(data, str(file.path))
    if isinstance(data, dict):
        data = [data]
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise DataError(f"{file.path} is not an array of objects: write one object for each row")
    return _from_objects(file.path, data)


def read_parquet(path: Path) -> pl.DataFrame:
    """Read a Parquet file. Raises DataError when it is broken."""
    return _read_columns(path, "Parquet", lambda: pl.read_parquet(path, glob=False))


def read_arrow(path: Path) -> pl.DataFrame:
    """Read an Arrow IPC file or stream (Feather too). Raises DataError when it is broken."""
    with path.open("rb") as file:
        is_file = file.read(6) == b"ARROW1"
    read = pl.read_ipc if is_file else pl.read_ipc_stream
    with path.open("rb") as file:  # polars takes a path for a pattern of names
        return _read_columns(path, "Arrow", lambda: read(file))


def from_columns(columns: dict[str, Any], where: str) -> pl.DataFrame:
    """Build a frame from columns. Raises DataError when their lengths differ."""
    lengths = {str(name): len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise DataError(f"{where}: columns differ in length ({told}): give one value for each row")
    named = {str(name): series(str(name), values) for name, values in columns.items()}
    return pl.DataFrame(named)


def series(name: str, values: Any) -> pl.Series:
    """Build a column from any values: moments in UTC, and text from what no column can hold.

    >>> series("a", [10**40, 2]).to_list()[1]
    '2'
    """
    try:
        column = pl.Series(name, values)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        return _texts(name, values)
    except UnicodeEncodeError:
        column = pl.Series(name, [readable(value) for value in values], strict=False)
    if column.dtype != pl.Object:
        return column
    known = [value for value in values if value is not None]
    if all(isinstance(value, datetime) for value in known):
        moments = [value if value is None else in_utc(value) for value in values]
        return pl.Series(name, moments, dtype=pl.Datetime("us"))
    return _texts(name, values)


def _texts(name: str, values: Any) -> pl.Series:
    return pl.Series(name, [None if v is None else str(v) for v in values], dtype=pl.String)


def _read_columns(path: Path, form: str, read: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    try:
        return read()
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise DataError(
            f"{path} is a broken {form} file ({reason}): write it again from where it came from"
        ) from error


def _parse_lines(file: TextFile) -> list[dict[str, Any]]:
    rows = []
    with file.lines() as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(
                    f"{file.path}, line {number}: broken JSON ({error.msg}): mend that line"
                ) from error
            if not isinstance(row, dict):
                raise DataError(
                    f"{file.path}, line {number}: not an object: write one object a line"
                )
            rows.append(row)
    return rows


def _from_objects(path: Path, rows: list[dict[str, Any]]) -> pl.DataFrame:
    if not rows:
        raise DataError(f"{path} holds no rows: add labelled examples")
    names = list(dict.fromkeys(name for row in rows for name in row))
    return from_columns({name: [row.get(name) for row in rows] for name in names}, str(path))
