"""Which of what was tried is taken: the most accurate within the limit, or the nearest to it."""

from __future__ import annotations

import pytest

from metier.errors import OptionError
from metier.search.tradeoff import Fairness, Point, asked_of, conclude, front

ASKED = Fairness(0.05)


def point(name: str, value: float, apart: float | None, **more: object) -> Point:
    meets = apart is None or apart <= 0.05
    figures = {"apart_low": 0.0, "apart_high": 0.2, "column": "sex", "n": 400, "meets": meets}
    return Point(name, value=value, apart=apart, **{**figures, **more})  # type: ignore[arg-type]


def test_the_most_accurate_within_the_limit_is_taken() -> None:
    tried = [point("", 0.9, 0.12), point("a", 0.86, 0.01), point("b", 0.88, 0.04)]
    found = conclude(ASKED, "accuracy", True, tried)
    assert found.chosen == "b" and found.met and "down from 12.0 points" in found.verdict
    costly = conclude(ASKED, "rmse", False, tried)
    assert costly.chosen == "a", "lower is better there"


def test_what_is_within_the_limit_as_it_was_stays() -> None:
    found = conclude(ASKED, "accuracy", True, [point("", 0.9, 0.03)])
    assert found.chosen == "" and found.met and "as it is" in found.verdict


def test_the_nearest_is_taken_and_named_when_nothing_is_within() -> None:
    tried = [
        point("", 0.9, 0.2),
        point("a", 0.8, 0.08, lost=10.0, lost_low=8.0, lost_high=12.0),
        Point("b", "skipped", "there was no time"),
    ]
    found = conclude(ASKED, "accuracy", True, tried)
    assert found.chosen == "a" and not found.met
    assert "nothing that was tried keeps to" in found.verdict
    assert "10.0 points of the metric lost (+8.0 to +12.0, 400 rows)" in found.verdict


def test_what_it_costs_is_told_in_the_unit_of_the_metric() -> None:
    lost = point("a", 1.1, 0.01, lost=10.0, lost_low=8.0, lost_high=12.0)
    found = conclude(ASKED, "rmse", False, [point("", 1.0, 0.2), lost])
    assert "10.0 per cent of the metric lost (+8.0 to +12.0, 400 rows)" in found.verdict


def test_what_changes_next_to_nothing_is_not_taken() -> None:
    found = conclude(ASKED, "accuracy", True, [point("", 0.9, 0.2), point("a", 0.89, 0.19)])
    assert found.chosen == "" and not found.met and "the nearest is as it was" in found.verdict


def test_a_limit_binds_nobody_where_no_two_groups_can_be_judged() -> None:
    found = conclude(ASKED, "accuracy", True, [point("", 0.9, None)])
    assert found.met and "binds nobody" in found.verdict


def test_the_front_holds_what_nothing_beats() -> None:
    tried = [point("", 0.9, 0.2), point("a", 0.8, 0.08), point("b", 0.85, 0.07)]
    found = conclude(ASKED, "accuracy", True, tried)
    assert [p.name for p in front(found)] == ["b", ""]


@pytest.mark.parametrize("limit", [-0.1, 1.0, float("nan")])
def test_what_is_no_limit_is_refused(limit: float) -> None:
    with pytest.raises(OptionError, match="from 0 to below 1"):
        asked_of(limit, "odds", False)
    with pytest.raises(OptionError, match="parity or odds"):
        asked_of(0.1, "evens", False)
