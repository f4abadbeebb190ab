"""CSV and its relatives: separator, header and ragged rows are found; polars reads."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice

import polars as pl

from metier.data.encodings import TextFile
from metier.data.numbers import CODE, MISSING, ODD, known_cells
from metier.data.quoting import Rules, count_widths, find_swallowing
from metier.data.raw import enumerate_some
from metier.errors import DataError
from metier.types import Kind

SEPARATORS = (",", ";", "\t", "|")
HUGE_CELL = 1_000_000
_INTEGER = r"^-?(0|[1-9][0-9]*)$"
_DECIMAL = r"^-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_COMMA_DECIMAL = r"^-?[0-9]+(,[0-9]+)?$"
_BATCH = 20_000


def read_delimited(
    file: TextFile, known: Mapping[str, Kind] | None = None
) -> tuple[pl.DataFrame, list[str]]:
    """Read a delimited text file; numbers become numbers, everything else keeps its spelling.

    Columns whose kind is `known` are text, as they are written; where semicolons separate cells, a
    comma in a number is decimal, and becomes a point.

    Returns the frame and warnings. Raises DataError when there is no row below the header.
    """
    with _wide_cells():
        rules = Rules(find_separator(file))
        frame, warnings = _read_cells(file, rules)
    if frame.height == 0:
        raise DataError(f"{file.path} has a header but no rows: add labelled examples below it")
    kinds, comma = known or {}, rules.separator == ";"
    guessed = type_columns(frame.drop(kinds, strict=False), decimal_comma=comma)
    written = [frame[name] for name in frame.columns if name in kinds]
    if comma:
        written = [_with_point(c) if kinds[c.name] == "number" else c for c in written]
    return frame.with_columns(*guessed, *written), warnings


def _read_cells(file: TextFile, rules: Rules) -> tuple[pl.DataFrame, list[str]]:
    """Read all cells as text; what stands askew is set right where that is safe, and told."""
    header = _header(file, rules)
    names, warnings = name_columns(header)
    frame, ragged = _read_rows(file, rules, names)
    if swallowing := find_swallowing(file, rules, frame):
        plain = replace(rules, quoted=False)
        fits = _header(file, plain) == header and _fits(file, plain, len(names))
        warnings.append(_tell_swallowing(swallowing, fits))
        if fits:
            frame, ragged = _read_rows(file, plain, names)
    if ragged and len(names) > 1 and _fits(file, rules, len(names) + 1):
        named = _without_row_names(file, rules, names)
        if named is not None:
            told = (
                f"the rows have {len(names) + 1} cells and the header {len(names)}: the first "
                "cell of each row was taken for its name and left out"
            )
            return named, [*warnings, told]
    if ragged:
        warnings.append(
            f"{len(ragged)} rows do not have {len(names)} cells; missing ones were left empty and "
            f"extra ones dropped (lines {enumerate_some([str(n) for n in ragged])})"
        )
    return frame, warnings


def _fits(file: TextFile, rules: Rules, width: int) -> bool:
    """Tell whether every row below the header has so many cells."""
    return set(count_widths(file, rules)) - {0} == {width}


def _tell_swallowing(rows: list[int], fits: bool) -> str:
    told = enumerate_some([str(row) for row in rows])
    if fits:
        return (
            f"a lone quotation mark would have swallowed the rows after it (row {told}): in this "
            "file the marks were read as text"
        )
    return (
        f"a cell holds what looks like whole rows (row {told}): a lone quotation mark may have "
        "swallowed them; close it, or write it twice"
    )


def _without_row_names(file: TextFile, rules: Rules, names: list[str]) -> pl.DataFrame | None:
    """Leave out first cells that have no name; None where it is the last cells that say nothing."""
    frame, _ = _read_plainly(file, rules, ["", *names])
    return None if frame[names[-1]].is_null().all() else frame.drop("")


def find_separator(file: TextFile) -> str:
    """Return the separator under which the first lines agree best with the header.

    A file of one column, in which no separator occurs in the header, is read with a comma.
    """
    default = "\t" if file.path.suffix.lower() in (".tsv", ".tab") else ","
    best, best_score = default, 0.0
    for separator in sorted(SEPARATORS, key=lambda s: s != default):
        with file.lines() as lines:
            rows = [row for row in islice(csv.reader(lines, delimiter=separator), 200) if row]
        if not rows or len(rows[0]) < 2:
            continue
        agreeing = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
        if agreeing > best_score + 1e-9:
            best, best_score = separator, agreeing
    return best


def name_columns(header: list[str]) -> tuple[list[str], list[str]]:
    """Make column names unique and non-empty; returns the names and what was changed.

    >>> name_columns(["a", "a", ""])[0]
    ['a', 'a_2', 'column_3']
    """
    names: list[str] = []
    warnings: list[str] = []
    taken = {cell.strip() for cell in header}
    for position, cell in enumerate(header, start=1):
        wanted = cell.strip() or f"column_{position}"
        name, number = wanted, 2
        while name in names or (name != wanted and name in taken):
            name, number = f"{wanted}_{number}", number + 1
        if name != wanted:
            warnings.append(
                f"column name {wanted!r} occurs twice; column {position} is now {name!r}"
            )
        names.append(name)
    return names, warnings


def type_columns(frame: pl.DataFrame, *, decimal_comma: bool = False) -> pl.DataFrame:
    """Turn text columns into numbers where every cell is one or is missing.

    Codes with leading zeros (`007`) stay text, and so do true and false.
    """
    return frame.with_columns(
        _as_numbers(column, decimal_comma) for column in frame if column.dtype == pl.String
    )


def _as_numbers(column: pl.Series, decimal_comma: bool) -> pl.Series:
    if not _all_match(column.head(1000), decimal_comma):
        return _with_points(column) if decimal_comma else column
    cells = known_cells(column)
    known = cells.drop_nulls()
    if known.is_empty() or known.str.contains(CODE).any():
        return column
    if known.str.contains(_INTEGER).all():
        numbers = cells.cast(pl.Int64, strict=False)
    elif known.str.contains(_DECIMAL).all():
        numbers = cells.cast(pl.Float64, strict=False)
    elif decimal_comma and known.str.contains(_COMMA_DECIMAL).all():
        numbers = cells.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    else:
        return _with_points(column) if decimal_comma else column
    return numbers if numbers.null_count() == cells.null_count() else column


def _with_points(column: pl.Series) -> pl.Series:
    """Write numbers with a point where nearly all cells are such with a comma; odd ones stay."""
    cells = known_cells(column)
    numbers = cells.str.contains(_COMMA_DECIMAL).fill_null(value=False)
    odd = len(cells) - cells.null_count() - int(numbers.sum())
    if odd >= ODD * int(numbers.sum()) or not cells.filter(numbers).str.contains(",").any():
        return column
    return cells.str.replace(",", ".", literal=True).zip_with(numbers, column)


def _all_match(cells: pl.Series, decimal_comma: bool) -> bool:
    """Decide from a few cells whether looking at all of them is worth while."""
    pattern = re.compile(f"{_DECIMAL}|{_COMMA_DECIMAL}" if decimal_comma else _DECIMAL)
    stripped = (cell.strip() for cell in cells.drop_nulls())
    return all(cell in MISSING or pattern.match(cell) for cell in stripped)


def _header(file: TextFile, rules: Rules) -> list[str]:
    with file.lines() as lines:
        for row in csv.reader(lines, delimiter=rules.separator, quoting=rules.quoting):
            if row:
                return row
    raise DataError(f"{file.path} is empty: give a file with a header line and rows")


def _read_rows(file: TextFile, rules: Rules, names: list[str]) -> tuple[pl.DataFrame, list[int]]:
    """Read with polars; where it disagrees with the plain rules of CSV, read with those."""
    try:
        frame = pl.read_csv(
            file.source(),
            separator=rules.separator,
            quote_char=rules.mark,
            infer_schema=False,
            glob=False,
        )
    except pl.exceptions.PolarsError:
        return _read_plainly(file, rules, names)
    if frame.width != len(names):
        return _read_plainly(file, rules, names)
    frame.columns = names
    gaps = frame.height and frame[names[-1]].null_count()
    if gaps and set(count_widths(file, rules)) != {len(names)}:
        return _read_plainly(file, rules, names)
    return _without_empty(frame), []


def _read_plainly(file: TextFile, rules: Rules, names: list[str]) -> tuple[pl.DataFrame, list[int]]:
    """Read with Python's csv module, batch by batch; blank lines are no rows."""
    width = len(names)
    schema = dict.fromkeys(names, pl.String)
    ragged: list[int] = []
    parts: list[pl.DataFrame] = [pl.DataFrame(schema=schema)]
    with file.lines() as lines:
        reader = csv.reader(lines, delimiter=rules.separator, quoting=rules.quoting)
        numbered = ((reader.line_num, row) for row in reader if row)
        next(numbered, None)
        while batch := list(islice(numbered, _BATCH)):
            ragged += [line for line, row in batch if len(row) != width]
            rows = [[*row[:width], *[None] * (width - len(row))] for _, row in batch]
            parts.append(pl.DataFrame(rows, schema=schema, orient="row"))
    return _without_empty(pl.concat(parts)), ragged


def _without_empty(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.when(pl.all() != "").then(pl.all()))


@contextmanager
def _wide_cells() -> Iterator[None]:
    """Let csv read cells of any size, and put its limit back."""
    before = csv.field_size_limit(1 << 30)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def warn_of_huge_cells(frame: pl.DataFrame) -> list[str]:
    """Name the cells that hold more than a million characters."""
    warnings = []
    for column in frame:
        if column.dtype == pl.String:
            sizes = column.str.len_bytes()
            rows = (sizes > HUGE_CELL).arg_true().to_list()
            if rows:
                largest = int(sizes.drop_nulls().to_numpy().max())
                warnings.append(
                    f"column {column.name!r} has cells of up to {largest / 1e6:.0f} MB "
                    f"(rows {enumerate_some([str(r) for r in rows])})"
                )
    return warnings


def _with_point(column: pl.Series) -> pl.Series:
    return column.str.strip_chars().str.replace(r"^(-?[0-9]+),([0-9]+)$", "$1.$2")
