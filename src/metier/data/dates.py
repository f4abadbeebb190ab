"""Dates written as text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import MAXYEAR, MINYEAR

import polars as pl

from metier.runtime.dates import pattern, read_moment

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
    "%d-%m-%y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%b %d, %Y",
    "%b %d, %y",
    "%d %b %Y",
    "%d %b %y",
    "%d %B %Y",
    "%d %B %y",
    "%B %d, %Y",
    "%B %d, %y",
    "%y-%m-%d",
    "%y/%m/%d",
    "%Y-%m",
)
_CLOCKS = ("%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p")
_ZONED = ("%H:%M:%S%.f%#z", "%H:%M%#z")
_SHARE = 0.95


@dataclass(frozen=True)
class Dates:
    """Text read as moments, and the format in which it was read."""

    moments: pl.Series
    format: str


def parse_dates(column: pl.Series, format: str | None = None) -> Dates | None:
    """Read text as moments, or return None when fewer than 95 % of the cells are dates.

    One format is used for the whole column: the one given, or the one that reads most cells. Where
    day and month cannot be told apart in any row, the month comes first. Cells that it does not
    read may be ISO 8601, as at predict. Times with a zone become UTC. A format that was given
    reads each cell for itself: None then means that not one of them is a date.

    >>> parse_dates(pl.Series(["2024-01-31", "2024-02-01"])).moments.dt.day().to_list()
    [31, 1]
    """
    cells = column.str.strip_chars()
    known = len(cells) - cells.null_count()
    if format is not None:
        moments = _rest(_parse(cells, format), cells, format)
        failed = moments.null_count() - cells.null_count()
        return Dates(moments, format) if failed < max(known, 1) else None
    if known == 0 or not _looks_like_dates(cells.drop_nulls()):
        return None
    best: Dates | None = None
    least = _least(known)
    for each in _candidates(cells.drop_nulls()):
        parsed = _parse(cells, each)
        failed = parsed.null_count() - cells.null_count()
        if failed < least:
            best, least = Dates(parsed, each), failed
        if failed == 0:
            break
    return best and replace(best, moments=_rest(best.moments, cells, best.format))


def _least(known: int) -> int:
    """From how many cells that are no dates on a column is none of dates."""
    return int((1 - _SHARE) * known) + 1


def _looks_like_dates(known: pl.Series) -> bool:
    head = known.head(100)
    enough = head.str.count_matches(r"[0-9]") >= 3
    short = head.str.len_chars() <= 40
    return int((enough & short).sum()) >= _SHARE * len(head)


def _candidates(known: pl.Series) -> list[str]:
    if not known.head(20).str.contains(":").any():
        return list(_FORMATS)
    glued = [f"{day} {clock}" for day in _FORMATS for clock in (*_CLOCKS, *_ZONED)]
    glued += [f"{day}T{clock}" for day in _FORMATS for clock in (*_CLOCKS[:2], *_ZONED)]
    some = known.gather_every(max(1, len(known) // 50))
    return [each for each in glued if 2 * some.str.contains(pattern(each)).sum() > len(some)]


def of_our_years(moments: pl.Series) -> pl.Series:
    """Return moments of which those before the year 1 and after 9999 are missing: they are none at
    predict, where a moment is a `datetime`.

    >>> of_our_years(pl.Series([5_000_000, 0]).cast(pl.Date).cast(pl.Datetime("us"))).to_list()
    [None, datetime.datetime(1970, 1, 1, 0, 0)]
    """
    ours = moments.dt.year().is_between(MINYEAR, MAXYEAR).fill_null(value=False)
    return moments.set(~ours, None)


def _parse(cells: pl.Series, format: str) -> pl.Series:
    """Read those cells that the runtime would read in this format, fast."""
    return of_our_years(_moments(cells, format))


def _moments(cells: pl.Series, format: str) -> pl.Series:
    cells = cells.set(~cells.str.contains(pattern(format)), None)
    if "%p" in format:
        cells = cells.str.to_uppercase().str.replace(r"\s*([AP]M)$", " $1")
    if "%#z" in format:
        cells = cells.str.replace(r"(?i)\s*(UTC|GMT)$", "Z")
        moments = cells.str.to_datetime(format, strict=False, time_unit="us", time_zone="UTC")
        return moments.dt.replace_time_zone(None)
    if "%M" in format:
        return cells.str.to_datetime(format, strict=False, time_unit="us")
    if format == "%Y-%m":
        cells, format = cells + "-01", "%Y-%m-%d"
    return cells.str.to_date(format, strict=False).cast(pl.Datetime("us"))


def _rest(moments: pl.Series, cells: pl.Series, format: str) -> pl.Series:
    """Read the cells that are left as the runtime does."""
    left = (moments.is_null() & cells.is_not_null()).arg_true()
    read = [read_moment(cell, format) for cell in cells.gather(left)]
    return moments.scatter(left, pl.Series(read, dtype=pl.Datetime("us"))) if read else moments
