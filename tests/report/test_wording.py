"""Numbers read well, in every unit and at every size."""

from __future__ import annotations

import doctest
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.report import wording
from metier.types import Finding


def test_docstrings_tell_the_truth() -> None:
    assert doctest.testmod(wording).failed == 0


@pytest.mark.parametrize(
    ("unit", "value", "said"),
    [
        ("bytes", 90_420_000, "90.4 MB"),
        ("seconds", 0.0062, "6.2 ms"),
        ("count", 22_716_296, "22.7 million"),
        ("points", 20.6, "+20.6 points"),
        ("points", -3.0, "-3.0 points"),
        ("percent", 70.2, "70.2 %"),
        ("per second", 512.0, "512.0 / s"),
        ("euro", 3.5, "3.500 euro"),
        ("", 0.91, "0.910"),
    ],
)
def test_units(unit: str, value: float, said: str) -> None:
    assert wording.value_of(Finding("a", "", value, details={"unit": unit})) == said


def test_interval_says_its_unit_once_unless_it_changes() -> None:
    def said(low: float, high: float, unit: str) -> str:
        return wording.interval_of(Finding("a", "", 1.0, low, high, details={"unit": unit}))

    assert said(14.4, 26.7, "points") == "+14.4 to +26.7 points"
    assert said(0.4, 7.1, "seconds") == "400 ms to 7.1 s"
    assert said(0.1, 0.2, "") == "0.100 to 0.200"


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_every_number_can_be_said(value: float) -> None:
    said = wording.number(value)
    assert said == wording.MISSING if not math.isfinite(value) else said


@given(st.floats(min_value=0, max_value=1e15))
def test_sizes_and_times_stay_short(value: float) -> None:
    assert len(wording.size(value)) <= 12
    assert len(wording.count(value)) <= 16
    assert wording.duration(min(value, 1e7))


def test_the_cost_of_answers_is_not_called_as_the_cost_of_running() -> None:
    assert wording.title("cost") == "Mean cost"
