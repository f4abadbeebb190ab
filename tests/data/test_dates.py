"""Dates written as text: read alike at training, in other files and at predict."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.data.dates import _CLOCKS, _FORMATS, parse_dates
from metier.data.raw import Raw
from metier.data.table import build_table
from metier.errors import DataError
from metier.evidence.words import quoted
from metier.runtime.dates import read_moment
from metier.types import Roles, Table

FORMATS = [
    *_FORMATS,
    *(f"{day} {clock}" for day in _FORMATS for clock in _CLOCKS),
    "%Y-%m-%dT%H:%M:%S%.f%#z",
]


def written(moment: datetime, format: str) -> str:
    return moment.strftime(
        format.replace("%.f", f".{moment.microsecond:06}").replace("%#z", "+02:30")
    )


@settings(max_examples=300, deadline=None)
@given(
    moments=st.lists(st.datetimes(datetime(1970, 1, 1), datetime(2069, 12, 31)), min_size=1),
    format=st.sampled_from(FORMATS),
)
def test_the_runtime_reads_what_training_reads(moments: list[datetime], format: str) -> None:
    cells = [written(moment, format) for moment in moments]
    found = parse_dates(pl.Series(cells), format)
    assert found is not None
    assert found.moments.to_list() == [read_moment(cell, format) for cell in cells]
    assert found.moments.null_count() == 0


@settings(max_examples=300, deadline=None)
@given(
    cells=st.lists(st.from_regex(r"\A[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,5}\Z"), min_size=1),
    format=st.sampled_from(_FORMATS),
)
def test_the_runtime_leaves_out_what_training_leaves_out(cells: list[str], format: str) -> None:
    good = written(datetime(2024, 2, 1), format)
    column = pl.Series([*cells, *[good] * (25 * len(cells))])
    found = parse_dates(column, format)
    assert found is not None
    assert found.moments[: len(cells)].to_list() == [read_moment(cell, format) for cell in cells]


def raw(*days: str | None) -> Raw:
    frame = pl.DataFrame({"day": pl.Series(days, dtype=pl.String), "label": ["a"] * len(days)})
    return Raw(frame, None, "rows", "")


def test_other_files_are_read_as_the_training_file_was() -> None:
    """In this file alone, month and day cannot be told apart."""
    roles = Roles({"day": "date"}, ("label",))
    training, _ = build_table(raw("13/02/2024", "03/04/2024"), roles)
    assert training.frame["day"].dt.month().to_list() == [2, 4]
    assert training.roles.dates == {"day": "%d/%m/%Y"}
    test, _ = build_table(raw("03/04/2024", None, "2024-05-06"), training.roles)
    assert test.frame["day"].dt.month().to_list() == [4, None, 5]
    empty, _ = build_table(raw(None, None), training.roles)
    assert empty.frame["day"].dtype == pl.Datetime("us")
    with pytest.raises(DataError, match="2024-12-31"):
        build_table(raw("12/31/2024"), training.roles)


def test_a_column_of_dates_that_is_a_time_is_read_alike_too() -> None:
    roles = Roles({}, ("label",), time="day")
    training, _ = build_table(raw("13/02/2024", "03/04/2024"), roles)
    test, _ = build_table(raw("03/04/2024"), training.roles)
    assert test.frame["day"].dt.month().to_list() == [4]


@pytest.mark.parametrize(
    ("cell", "format"),
    [
        ("31.12.24", "%d.%m.%y"),
        ("12/31/24", "%m/%d/%y"),
        ("31/12/24", "%d/%m/%y"),
        ("31-12-24", "%d-%m-%y"),
        ("31-DEC-24", "%d-%b-%y"),
        ("31 December 24", "%d %B %y"),
        ("Dec 31, 24", "%b %d, %y"),
    ],
)
@pytest.mark.parametrize("clock", ["", " 13:05", " 13:05:09.123456", " 1:05 PM", " 13:05 UTC"])
def test_two_digits_are_a_year_of_now(cell: str, format: str, clock: str) -> None:
    """They were years of the first century, because four digits are tried first."""
    found = parse_dates(pl.Series([cell + clock] * 3))
    assert found is not None
    assert found.format.startswith(format)
    assert found.moments.dt.date().to_list() == [date(2024, 12, 31)] * 3


@pytest.mark.parametrize(
    ("cells", "hours"),
    [
        (["01/31/2024 10:05 AM", "02/01/2024 12:05 pm", "02/01/2024 12:00 AM"], [10, 12, 0]),
        (["31.01.2024 1:05:30PM", "01.02.2024 11:00:00 PM", "01.02.2024 09:00:00 AM"], [13, 23, 9]),
        (
            ["2024-01-31 10:00:00 UTC", "2024-02-01 23:00:00 UTC", "2024-02-01 00:00:00 GMT"],
            [10, 23, 0],
        ),
        (
            ["2024-01-31 10:00:00.5+02:00", "2024-02-01 23:00:00Z", "2024-02-01 01:00:00 UTC"],
            [8, 23, 1],
        ),
        (["31 Jan 2024 10:00 UTC", "1 Feb 2024 23:00 UTC", "1 Feb 2024 05:30 UTC"], [10, 23, 5]),
    ],
)
def test_halves_of_days_and_utc_are_read(cells: list[str], hours: list[int]) -> None:
    found = parse_dates(pl.Series(cells))
    assert found is not None
    assert found.moments.dt.date().to_list() == [date(2024, 1, 31), *[date(2024, 2, 1)] * 2]
    assert found.moments.dt.hour().to_list() == hours
    assert [read_moment(cell, found.format) for cell in cells] == found.moments.to_list()


@pytest.mark.parametrize("cell", ["01/31/2024 13:05 PM", "01/31/2024 00:05 AM"])
def test_an_hour_that_no_half_of_a_day_has_is_no_moment(cell: str) -> None:
    found = parse_dates(pl.Series([cell, *["01/31/2024 10:05 AM"] * 30]))
    assert found is not None
    assert found.moments.null_count() == 1
    assert read_moment(cell, found.format) is None


def test_the_first_of_all_days_is_left_what_it_is() -> None:
    """Some programs write it for a missing date."""
    found = parse_dates(pl.Series(["2024-12-31", "0001-01-01"]))
    assert found is not None
    assert found.moments.dt.year().to_list() == [2024, 1]


@pytest.mark.parametrize(
    ("cell", "others"),
    [
        ("0001-01-01T00:00:00+01:00", "2024-01-31T00:00:00+01:00"),
        ("9999-12-31T23:30-01:00", "2024-01-31T00:00-01:00"),
        ("0000-01-01", "2024-01-31"),
    ],
)
def test_moments_of_no_year_that_the_runtime_has_are_missing(cell: str, others: str) -> None:
    """They were read all the same, and every strategy failed on them."""
    told = told_of(pl.Series([others] * 40 + [cell]))
    assert told == f"column 'when': 1 cell is no date and counts as missing, such as {cell!r}"


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_moments_that_were_stored_as_such_are_of_our_years_too(unit: Any) -> None:
    days = pl.Series([19_000] * 40 + [5_000_000], dtype=pl.Int64).cast(pl.Date)
    assert "counts as missing" in told_of(days)
    if unit != "ns":
        assert "counts as missing" in told_of(days.cast(pl.Datetime(unit)))
        assert "counts as missing" in told_of(days.cast(pl.Datetime(unit, "UTC")))
    kept = days.head(40).cast(pl.Datetime(unit))
    assert built(kept).frame["when"].null_count() == 0


def test_a_time_of_no_year_leaves_its_row_out() -> None:
    days = pl.Series("when", [19_000 + k for k in range(40)] + [5_000_000]).cast(pl.Date)
    frame = pl.DataFrame({"when": days, "y": ["a"] * 41, "x": [1.0] * 41})
    found, _ = build_table(
        Raw(frame, None, "rows", ""), Roles({"x": "number"}, ("y",), time="when")
    )
    assert len(found) == 40


def built(column: pl.Series) -> Table:
    raw = Raw(pl.DataFrame({"when": column}), None, "rows", "")
    return build_table(raw, Roles({"when": "date"}))[0]


def told_of(column: pl.Series) -> str:
    """What building says of a column whose last cell is no date; Python can hold what is left."""
    raw = Raw(pl.DataFrame({"when": column}), None, "rows", "")
    found, (finding,) = build_table(raw, Roles({"when": "date"}))
    assert found.frame["when"].to_list()[-1] is None and finding.rows == (len(column) - 1,)
    return quoted(finding)
