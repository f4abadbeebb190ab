"""Numbers written as text: where a column is one of numbers but for some odd cells."""

from __future__ import annotations

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
