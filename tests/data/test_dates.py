"""Dates written as text: read alike at training, in other files and at predict."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.data.dates import _CLOCKS, _FORMATS, parse_dates
from metier.data.raw import Raw
from metier.data.table import build_table
from metier.errors import DataError
from metier.runtime.dates import read_moment
from metier.types import Roles

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
@pytest.mark.parametrize("clock", ["", " 13:05", " 13:05:09.123456"])
def test_two_digits_are_a_year_of_now(cell: str, format: str, clock: str) -> None:
    """They were years of the first century, because four digits are tried first."""
    found = parse_dates(pl.Series([cell + clock] * 3))
    assert found is not None
    assert found.format.startswith(format)
    assert found.moments.dt.date().to_list() == [date(2024, 12, 31)] * 3


def test_the_first_of_all_days_is_left_what_it_is() -> None:
    """Some programs write it for a missing date."""
    found = parse_dates(pl.Series(["2024-12-31", "0001-01-01"]))
    assert found is not None
    assert found.moments.dt.year().to_list() == [2024, 1]
