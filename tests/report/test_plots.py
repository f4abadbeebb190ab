"""Figures place their marks where the numbers say, and are well-formed."""

from __future__ import annotations

import doctest
import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.report import plots
from metier.report.content import Bin, Curve, Report, Scatter


def parsed(markup: object) -> ET.Element:
    return ET.fromstring(str(markup))


def with_class(figure: ET.Element, name: str) -> list[ET.Element]:
    return [each for each in figure.iter() if name in (each.get("class") or "").split()]


def test_docstrings_tell_the_truth() -> None:
    assert doctest.testmod(plots).failed == 0


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=20))
def test_axis_holds_all_values_with_few_round_ticks(values: list[float]) -> None:
    axis = plots.axis_over(values)
    slack = 1e-6 * (axis.high - axis.low)
    assert axis.low - slack <= min(values) and max(values) <= axis.high + slack
    assert 2 <= len(axis.ticks) <= 9
    assert all(a < b for a, b in zip(axis.ticks, axis.ticks[1:], strict=False))


def test_axis_of_nothing_and_of_one_value() -> None:
    assert plots.axis_over([None, math.nan]).ticks[0] == 0.0
    for value in (3.0, -2e9, 0.0, 5e-324):
        one = plots.axis_over([value])
        assert one.low < value < one.high


def test_interval_bar_lies_where_it_should() -> None:
    axis = plots.Axis(0.0, 1.0, (0.0, 1.0))
    bar = parsed(plots.interval_bar(axis, 0.5, 0.25, 0.75, band=(0.4, 0.6)))
    (dot,), (whisker,), (band,) = (with_class(bar, n) for n in ("dot", "whisker", "band"))
    assert dot.get("cx") == "50.00%"
    assert (whisker.get("x1"), whisker.get("x2")) == ("25.00%", "75.00%")
    assert (band.get("x"), band.get("width")) == ("40.00%", "20.00%")
    assert bar.get("aria-label") == "0.500, interval 0.250 to 0.750"


def test_value_off_the_scale_becomes_an_arrow() -> None:
    axis = plots.Axis(0.6, 1.0, (0.6, 1.0))
    for value in (0.1, 1.4):
        bar = parsed(plots.interval_bar(axis, value, value - 0.05, value + 0.05))
        assert with_class(bar, "beyond") and not with_class(bar, "dot")
        assert not with_class(bar, "whisker")


@pytest.mark.parametrize(
    ("low", "high", "side"), [(0.1, 0.3, "up"), (-0.3, -0.1, "down"), (-0.1, 0.1, None)]
)
def test_gain_is_coloured_only_when_its_interval_leaves_zero(
    low: float, high: float, side: str | None
) -> None:
    axis = plots.Axis(-1.0, 1.0, (-1.0, 0.0, 1.0))
    classes = parsed(plots.interval_bar(axis, (low + high) / 2, low, high, zero=True)).get("class")
    assert ({"up", "down"} & set((classes or "").split())) == ({side} if side else set())


def test_curve_skips_gaps_and_says_its_ends() -> None:
    curve = Curve("a", (0.0, 1.0, 2.0), (1.0, math.nan, 0.4), (1.0, 0.8, 0.7))
    figure = parsed(plots.learning_curve(curve))
    train, valid = with_class(figure, "line")
    assert len((train.get("points") or "").split()) == 2
    assert len((valid.get("points") or "").split()) == 3
    assert "validation ends at 0.700" in (figure.get("aria-label") or "")


def test_empty_curve_is_still_a_figure() -> None:
    assert not with_class(parsed(plots.learning_curve(Curve("a", ()))), "line")


def test_reliability_leaves_out_empty_bins(tickets: Report) -> None:
    figure = parsed(plots.reliability_diagram((*tickets.reliability, Bin(0.1, math.nan, 0))))
    assert len(with_class(figure, "dot")) == len(tickets.reliability)


def test_wilson_holds_the_share() -> None:
    for share, n in ((0.0, 3), (1.0, 3), (0.37, 40)):
        low, high = plots.wilson(share, n)
        assert 0.0 <= low <= share <= high <= 1.0


def test_scatter_of_very_many_rows_stays_small() -> None:
    values = tuple(np.random.default_rng(0).normal(size=20_000).tolist())
    figure = parsed(plots.scatter_plot(Scatter(values, values)))
    assert 1000 < len(with_class(figure, "point")) <= plots.MOST_POINTS
