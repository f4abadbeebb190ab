"""Numbers written as text: where a column is one of numbers but for some odd cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

FEWEST_NUMBERS = 20
"""Distinct numbers up to which a column may as well be one of classes."""
ODD = 0.1
"""The share of cells that may be no numbers in a column of numbers."""
MISSING = (
    "",
    "NA",
    "N/A",
    "n/a",
    "#N/A",
    "nan",
    "NaN",
    "null",
    "NULL",
    "None",
    "?",
    "-",
    "inf",
    "-inf",
)
"""How people write a missing number. In text and classes these stay what they are."""
CODE = r"^-?0[0-9]"
"""What looks like a number and is none: zeros that lead are there to be kept."""


@dataclass(frozen=True)
class AlmostNumbers:
    """A column of text in which nearly all cells are numbers.

    Args:
        odd: rows of the cells that are none.
        digits: whether any of these holds a digit, as codes do among numbers.
    """

    odd: tuple[int, ...]
    digits: bool


UNIT = r"^(?<before>\D*?)(?<number>-?\d[\d.,' ]*?)(?<after>\D*)$"
"""A number, and what stands before and after it."""


def known_cells(column: pl.Series) -> pl.Series:
    """Return the cells without white space around them, null where a number is missing."""
    cells = column.str.strip_chars()
    return cells.set(cells.is_in(MISSING), None)


def almost_numbers(column: pl.Series) -> AlmostNumbers | None:
    """Tell whether nearly all cells of a column of text are numbers; None where they are not.

    >>> almost_numbers(pl.Series([*map(str, range(30)), "unknown"]))
    AlmostNumbers(odd=(30,), digits=False)
    """
    cells = known_cells(column)
    numbers = cells.cast(pl.Float64, strict=False)
    odd = (cells.is_not_null() & numbers.is_null()).arg_true()
    if (
        len(odd) >= ODD * (len(cells) - cells.null_count())
        or numbers.drop_nulls().n_unique() <= FEWEST_NUMBERS
    ):
        return None
    if cells.filter(numbers.is_not_null()).str.contains(CODE).any():
        return None
    return AlmostNumbers(tuple(odd.to_list()), bool(cells.gather(odd).str.contains(r"[0-9]").any()))


def with_units(labels: Sequence[str]) -> bool:
    """Tell whether labels are numbers that have one unit, before or after them.

    >>> with_units([f"€ {i}.50" for i in range(30)]), with_units([f"A{i}" for i in range(30)])
    (True, False)
    """
    if len(labels) <= FEWEST_NUMBERS:
        return False
    parts = pl.Series(labels).str.extract_groups(UNIT).struct.unnest()
    before, after = parts["before"].str.strip_chars(), parts["after"].str.strip_chars()
    if parts["number"].is_null().any() or before.n_unique() > 1 or after.n_unique() > 1:
        return False
    numbers = parts["number"].str.replace_all(r"[,' ]", "").cast(pl.Float64, strict=False)
    is_code = before[0][-1:].isalnum() or before[0].endswith("#")  # A12, #12
    return bool(before[0] or after[0]) and not is_code and not numbers.is_null().any()
