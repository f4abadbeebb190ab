"""Table columns to numbers: for boosters and for linear models, with the same fitted values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from metier.runtime.dates import in_utc, pattern, read_moment
from metier.runtime.preprocess import Arrays, Columns, Encoded, Example, Preprocess, is_missing
from metier.runtime.spellings import Spellings, number_text

ColumnKind = Literal["number", "category", "date"]
Encoding = Literal["raw", "code", "onehot", "scaled", "target", "missing"]
Doubles = NDArray[np.float64]

ALLOWED: dict[str, tuple[str, ...]] = {
    "number": ("raw", "scaled", "missing"),
    "category": ("code", "onehot", "target", "missing"),
    "date": ("raw", "scaled", "missing"),
}
DATE_PARTS = ("year", "month", "day", "weekday", "days")
EPOCH = datetime(1970, 1, 1)
NOTHING = ("", "na", "n/a", "nan", "nat", "null", "none", "inf", "-inf")
"""How programs write that there is no number, and no date."""
FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class ColumnSpec:
    """How one column becomes one or more numbers. A column may have several specs.

    What each encoding gives:

    * ``raw``: a number as it is; a date as year, month, day, weekday (0 is Monday) and days since
      1970.
    * ``scaled``: a number as ``(x - mean) / scale``; a date likewise: mean and scale belong to the
      days since 1970, the other parts are put between 0 and 1 (the year: decades from 2000).
    * ``code``: the place in `vocabulary`, -1 when missing or unseen.
    * ``onehot``: one column for each entry of `vocabulary`; all 0 when missing or unseen.
    * ``target``: the entry of `values` that belongs to the category.
    * ``missing``: 1 where the cell is missing (text in a number column is missing too), else 0.

    Args:
        name: the column.
        kind: what its cells are.
        encoding: what they become.
        vocabulary: known categories, as `category_text` writes them.
        values: for ``target``, one value for each category.
        fill: what stands for a missing value (for ``target`` also for an unseen one), in the unit
            of the output; None gives NaN. ``code`` and ``onehot`` do not look at it.
        mean, scale: for ``scaled``.
        format: how dates are written as text, beside ISO 8601, which is always read.

    Raises:
        ValueError: when kind and encoding do not go together, `values` and `vocabulary` differ in
            length, or `format` is none.
    """

    name: str
    kind: ColumnKind
    encoding: Encoding
    vocabulary: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    fill: float | None = None
    mean: float = 0.0
    scale: float = 1.0
    format: str = ""

    def __post_init__(self) -> None:
        if self.encoding not in ALLOWED.get(self.kind, ()):
            raise ValueError(f"a {self.kind} column cannot be encoded as {self.encoding}")
        if self.encoding == "target" and len(self.values) != len(self.vocabulary):
            raise ValueError(f"{self.name}: one value for each category is needed")
        if self.scale == 0:
            raise ValueError(f"{self.name}: the scale is 0")
        pattern(self.format)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the numbers that come out."""
        if self.encoding == "missing":
            return (f"{self.name} missing",)
        if self.encoding == "onehot":
            return tuple(f"{self.name}={value}" for value in self.vocabulary)
        if self.kind == "date":
            return tuple(f"{self.name} {part}" for part in DATE_PARTS)
        return (self.name,)


@dataclass(frozen=True)
class Numbers:
    """Columns to one row of numbers; the order is that of `columns`.

    >>> colour = ColumnSpec("colour", "category", "code", vocabulary=("red", "blue"))
    >>> size = ColumnSpec("size", "number", "raw")
    >>> Numbers((colour, size)).matrix({"size": [1, None], "colour": ["blue", "green"]})
    array([[ 1.,  1.],
           [-1., nan]], dtype=float32)
    """

    kind: ClassVar[str] = "columns"

    columns: tuple[ColumnSpec, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the numbers in a row."""
        return tuple(name for spec in self.columns for name in spec.names)

    @property
    def categorical(self) -> tuple[int, ...]:
        """The places in a row that hold category codes."""
        owners = [spec for spec in self.columns for _ in spec.names]
        return tuple(i for i, spec in enumerate(owners) if spec.encoding == "code")

    @cached_property
    def _spellings(self) -> tuple[Spellings, ...]:
        return tuple(Spellings.of(spec.vocabulary) for spec in self.columns)

    def matrix(self, columns: Columns) -> NDArray[np.float32]:
        """Return all rows at once: float32 (n, d)."""
        return self._read(columns)[0]

    def _read(
        self, columns: Columns
    ) -> tuple[NDArray[np.float32], dict[str, list[int]], dict[str, list[int]]]:
        rows = len(columns[self.columns[0].name]) if self.columns else 0
        found = np.empty((rows, len(self.names)), dtype=np.float32)
        unseen: dict[str, list[int]] = {}
        unread: dict[str, list[int]] = {}
        start = 0
        for spec, known in zip(self.columns, self._spellings, strict=True):
            cells = columns[spec.name]
            stop = start + len(spec.names)
            if spec.kind == "category":
                codes, unknown = _codes(cells, known)
                block = _category(spec, codes, cells)
                if unknown and spec.encoding != "missing":
                    unseen[spec.name] = unknown
            elif spec.kind == "date":
                dates = to_dates(cells, spec.format)
                block = _date(spec, dates)
                if odd := _unread(dates[:, 0], cells):
                    unread[spec.name] = odd
            else:
                numbers = to_numbers(cells)
                block = _number(spec, numbers)
                if odd := _unread(numbers, cells):
                    unread[spec.name] = odd
            found[:, start:stop] = np.clip(block, -FLOAT32_MAX, FLOAT32_MAX)
            start = stop
        return found, unseen, unread

    def encode(self, columns: Columns) -> Encoded:
        """Return one vector a row. Every row can be read: what is no number is missing."""
        found, unseen, unread = self._read(columns)
        return Encoded([(row,) for row in found], {}, unseen, unread)

    def cost(self, example: Example) -> int:
        """Every row costs the same."""
        return 1

    def collate(self, examples: Sequence[Example]) -> Arrays:
        """Return `numbers`, float32 (n, d)."""
        return {"numbers": np.stack([example[0] for example in examples])}

    def spec(self) -> dict[str, Any]:
        """Return the columns as JSON."""
        return {"kind": self.kind, "columns": [_column_json(column) for column in self.columns]}

    def files(self) -> dict[str, bytes]:
        """Nothing lies beside the graph."""
        return {}


def category_text(value: Any) -> str | None:
    """Return the category that a cell means, None if it is missing; 1 and 1.0 are the same one.

    >>> [category_text(v) for v in ("Red", 1, 1.0, 2.5, True, None)]
    ['Red', '1', '1', '2.5', 'true', None]
    """
    if isinstance(value, str):
        return value
    if is_missing(value):
        return None
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, float | np.floating):
        return number_text(float(value))
    return str(value)


def to_numbers(cells: Sequence[Any]) -> Doubles:
    """Return cells as float64 (n,); what is missing, infinite or no number is NaN."""
    try:
        found = np.asarray(cells, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        found = np.empty((0, 0))
    if found.shape != (len(cells),):
        found = np.array([_to_number(cell) for cell in cells], dtype=np.float64)
    return np.where(np.isfinite(found), found, np.nan)


def _to_number(cell: Any) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def to_dates(cells: Sequence[Any], format: str = "") -> Doubles:
    """Return dates, date-times and text as `DATE_PARTS`, float64 (n, 5); NaN for what is no date.

    Text is read in the format of the column, and else in ISO 8601.
    """
    found = np.full((len(cells), len(DATE_PARTS)), np.nan)
    for row, cell in zip(found, cells, strict=True):
        moment = _moment(cell, format)
        if moment is not None:
            days = (moment - EPOCH).total_seconds() / 86400
            row[:] = moment.year, moment.month, moment.day, moment.weekday(), days
    return found


def _moment(cell: Any, format: str) -> datetime | None:
    if isinstance(cell, np.datetime64):
        cell = cell.astype("datetime64[us]").item()
    if format and isinstance(cell, Integral):
        cell = str(cell)  # 20241231, where a file's other cells made it a number
    if isinstance(cell, str):
        return read_moment(cell, format)
    if isinstance(cell, datetime):
        return in_utc(cell)
    if isinstance(cell, date):
        return datetime(cell.year, cell.month, cell.day)
    return None


def _unread(found: Doubles, cells: Sequence[Any]) -> list[int]:
    """Return the rows whose cell holds something, and nothing that was found (n,) in it."""
    return [row for row in np.flatnonzero(np.isnan(found)).tolist() if _holds(cells[row])]


def _holds(cell: Any) -> bool:
    return not is_missing(cell) and str(cell).strip().lower() not in NOTHING


def _codes(cells: Sequence[Any], known: Spellings) -> tuple[NDArray[np.int64], list[int]]:
    """Return codes (n,) with -1 for missing and unseen, and the rows that were unseen."""
    codes = np.full(len(cells), -1, dtype=np.int64)
    unseen: list[int] = []
    for row, cell in enumerate(cells):
        text = category_text(cell)
        if text is not None:
            codes[row] = place = known.place(text)
            if place < 0:
                unseen.append(row)
    return codes, unseen


def _category(spec: ColumnSpec, codes: NDArray[np.int64], cells: Sequence[Any]) -> Doubles:
    if spec.encoding == "missing":
        missing = [category_text(cell) is None for cell in cells]
        return np.array(missing, dtype=np.float64)[:, None]
    if spec.encoding == "code":
        return codes[:, None].astype(np.float64)
    if spec.encoding == "onehot":
        return np.equal(codes[:, None], np.arange(len(spec.vocabulary))).astype(np.float64)
    values = np.array([*spec.values, np.nan if spec.fill is None else spec.fill])
    return np.asarray(values[codes][:, None], dtype=np.float64)


def _number(spec: ColumnSpec, numbers: Doubles) -> Doubles:
    found = numbers[:, None]
    if spec.encoding == "missing":
        return np.isnan(found).astype(np.float64)
    if spec.encoding == "scaled":
        found = (found - spec.mean) / spec.scale
    return _filled(found, spec.fill)


def _date(spec: ColumnSpec, found: Doubles) -> Doubles:
    if spec.encoding == "missing":
        return np.isnan(found[:, :1]).astype(np.float64)
    if spec.encoding == "scaled":
        centre = np.array([2000, 1, 1, 0, spec.mean])
        found = (found - centre) / np.array([10, 11, 30, 6, spec.scale])
    return _filled(found, spec.fill)


def _filled(values: Doubles, fill: float | None) -> Doubles:
    return values if fill is None else np.where(np.isnan(values), fill, values)


def _column_json(column: ColumnSpec) -> dict[str, Any]:
    """Leave out what is at its default, so that the manifest stays short."""
    found: dict[str, Any] = {}
    for each in fields(column):
        value = getattr(column, each.name)
        if value != each.default:
            found[each.name] = list(value) if isinstance(value, tuple) else value
    return found


def restore(spec: Mapping[str, Any], folder: Path) -> Preprocess:
    """Build the preprocessor from its `spec()`; `folder` is not looked at."""
    return Numbers(tuple(_column(column) for column in spec["columns"]))


def _column(data: Mapping[str, Any]) -> ColumnSpec:
    tuples = {name: tuple(data[name]) for name in ("vocabulary", "values") if name in data}
    return ColumnSpec(**{**data, **tuples})
