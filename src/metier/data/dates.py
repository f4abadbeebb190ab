"""Dates written as text."""

from __future__ import annotations

import polars as pl

_FORMATS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y%m%d",
    "%d.%m.%Y",
    "%d.%m.%y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d-%m-%Y",
    "%d-%b-%Y",
    "%b %d, %Y",
    "%d %b %Y",
    "%d %B %Y",
    "%B %d, %Y",
    "%Y-%m",
)
_CLOCKS = ("%H:%M:%S%.f", "%H:%M")
_SHARE = 0.95


def parse_dates(column: pl.Series) -> pl.Series | None:
    """Read text as moments, or return None when fewer than 95 % of the cells are dates.

    One format is used for the whole column: the one that reads most cells. Where day and month
    cannot be told apart in any row, the month comes first. Times with a zone become UTC.

    >>> parse_dates(pl.Series(["2024-01-31", "2024-02-01"])).dt.day().to_list()
    [31, 1]
    """
    cells = column.str.strip_chars()
    known = cells.drop_nulls()
    if known.is_empty() or not _looks_like_dates(known):
        return None
    best: pl.Series | None = None
    least = int((1 - _SHARE) * len(known)) + 1
    for format in _candidates(known):
        parsed = _parse(cells, format)
        failed = parsed.null_count() - cells.null_count()
        if failed < least:
            best, least = parsed, failed
        if failed == 0:
            break
    return best


def _looks_like_dates(known: pl.Series) -> bool:
    head = known.head(100)
    enough = head.str.count_matches(r"[0-9]") >= 3
    short = head.str.len_chars() <= 40
    return int((enough & short).sum()) >= _SHARE * len(head)


def _candidates(known: pl.Series) -> list[str]:
    if not known.head(20).str.contains(":").any():
        return list(_FORMATS)
    zoned = ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z"]
    glued = [f"{day}{gap}{clock}" for day in _FORMATS for gap in (" ", "T") for clock in _CLOCKS]
    return glued + zoned


def _parse(cells: pl.Series, format: str) -> pl.Series:
    if "%#z" in format:
        moments = cells.str.to_datetime(format, strict=False, time_unit="us", time_zone="UTC")
        return moments.dt.replace_time_zone(None)
    if ":" in format or "%H" in format:
        return cells.str.to_datetime(format, strict=False, time_unit="us")
    if format == "%Y-%m":
        cells, format = cells + "-01", "%Y-%m-%d"
    return cells.str.to_date(format, strict=False).cast(pl.Datetime("us"))
