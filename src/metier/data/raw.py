"""What reading gives: the frame as it was found, before any column has a role."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from metier.types import Finding


@dataclass(frozen=True)
class Raw:
    """Data as read.

    Args:
        frame: the columns, in the order of the data; one row for each row given.
        base: the folder that image paths in `frame` are relative to, if there is one.
        name: a short name of the data, for titles and run folders.
        fingerprint: SHA-256 of the content, in hex.
        warnings: plain sentences on what was odd but could be read.
        odd: what was found of cells that are not what training decided.
    """

    frame: pl.DataFrame
    base: Path | None
    name: str
    fingerprint: str
    warnings: tuple[str, ...] = ()
    odd: tuple[Finding, ...] = ()


def finite(column: pl.Series) -> pl.Series:
    """Return a column in which numbers that are not finite are missing.

    >>> finite(pl.Series([1.5, float("inf"), float("nan")])).to_list()
    [1.5, None, None]
    """
    return column.set(~column.is_finite(), None) if column.dtype.is_float() else column


def enumerate_some(items: list[str], limit: int = 10) -> str:
    """Join the first items for a message, and count the rest.

    >>> enumerate_some(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    shown = ", ".join(items[:limit])
    rest = len(items) - limit
    return f"{shown} and {rest} more" if rest > 0 else shown
