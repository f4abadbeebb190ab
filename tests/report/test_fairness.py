"""What is told of who is served worse, and the curve of accuracy against disparity."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from metier.evidence.answers import answers_of
from metier.evidence.fairness.served import Served, serve
from metier.report.content import served_from_json, to_json, tradeoff_from_json
from metier.report.document import Document, render_document
from metier.report.fairness import fairness_lines, fairness_sections, group_rows
from metier.report.forest import Line, forest
from metier.report.tradeoff import tradeoff_section
from metier.runtime.postprocess import Decision
from metier.search.tradeoff import Fairness, Point, Tradeoff, conclude
from metier.types import Finding
from tests.strategies.people import people


@pytest.fixture(scope="module")
def served() -> Served:
    table = people(500)
    truth = (table.frame["hired"] == "yes").to_numpy().astype(int)
    margin = table.frame["town"].to_numpy() + table.frame["skill"].to_numpy()
    scores = np.stack([np.zeros(500), 2 * margin - 1], axis=1)
    answers = answers_of(truth, scores, Decision("binary", ("no", "yes")))
    return serve(answers, table, on="test rows", notes=("a <note>",))


def page(sections: tuple[Any, ...]) -> str:
    return render_document(
        Document("metier audit", "a", "2026-01-01T00:00:00+00:00", "good", "s", "h", "b", sections)
    )


def test_every_part_is_on_the_page(served: Served) -> None:
    sections = fairness_sections(served)
    assert [s.name for s in sections] == ["fairness", "proxies", "slices"]
    told = page(sections)
    for said in (
        "by sex",
        "demographic parity difference",
        "area under the ROC curve",
        "A &lt;note&gt;.",
    ):
        assert said in told
    assert "<note>" not in told and told.count("<svg") >= 3
    assert any("parity" in line for line in fairness_lines(served))


def test_small_groups_are_marked_and_hollow(served: Served) -> None:
    small = tuple(replace(g, small=g.name == "f") for g in served.groups)
    told = page(fairness_sections(replace(served, groups=small)))
    assert "too small to judge" in told and "dot hollow" in told


def test_a_figure_without_an_interval_is_shown_without_one(served: Served) -> None:
    first, *others = served.groups
    bare = tuple(
        replace(each, low=None, high=None) if each.details["measure"] == "calibration" else each
        for each in first.measures
    )
    told = page(fairness_sections(replace(served, groups=(replace(first, measures=bare), *others))))
    assert "+0.0 to +0.0" not in told and "<small></small>" in told


def test_what_is_kept_as_json_comes_back_the_same(served: Served) -> None:
    assert served_from_json(json.loads(json.dumps(to_json(served)))) == served


def tradeoff() -> Tradeoff:
    def at(name: str, value: float, apart: float) -> Point:
        ends = {"low": value - 0.02, "high": value + 0.02, "apart_low": apart / 2}
        more: dict[str, Any] = {**ends, "apart_high": 2 * apart, "column": "sex", "n": 300}
        return Point(name, value=value, apart=apart, meets=apart <= 0.05, **more)

    tried = [at("", 0.9, 0.2), at("a<b", 0.88, 0.04), Point("late", "skipped", "there was no time")]
    return conclude(Fairness(0.05), "accuracy", True, tried)


def test_the_curve_shows_the_limit_and_what_was_taken() -> None:
    told = page((tradeoff_section(tradeoff()),))
    assert (
        ">limit<" in told and "a&lt;b" in told and "chosen" in told and "there was no time" in told
    )
    assert "stair" in told and "Points lost" in told
    errors = page((tradeoff_section(replace(tradeoff(), metric="rmse")),))
    assert "Per cent lost" in errors and "Points lost" not in errors


def test_a_trade_off_comes_back_from_json_the_same() -> None:
    found = replace(tradeoff(), proof=Finding("odds[sex]", "told", 0.1, 0.0, 0.2, 10))
    assert tradeoff_from_json(json.loads(json.dumps(to_json(found)))) == found


def test_values_stand_one_below_the_other_with_their_names() -> None:
    lines = [Line("a", 1.0, 0.5, 1.5), Line("a very long name of a group", 2.0, 1.0, 3.0, True)]
    drawn = forest(lines, "points")
    assert drawn.count("<circle") == 2 and "…" in drawn and "hollow" in drawn


def test_rates_are_one_row_a_group_in_a_terminal(served: Served) -> None:
    rows = group_rows(served.findings)
    assert [row["group"] for row in rows] == [f"sex={g.name}" for g in served.groups]
    assert rows[0]["selected"].count("%") == 1 and "(" in rows[0]["claimed − true"]
