"""What a person is told of an explanation: words, numbers, warnings, and nothing unescaped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from metier.deploy.additive import Additive, Term
from metier.evidence.explanations.attribution import Attribution
from metier.evidence.explanations.explained import Explained, Nearest, Neighbour, RowExplained
from metier.evidence.explanations.faithful import GRID, Curves, Faithfulness, Mean, Stability
from metier.evidence.explanations.overall import Area, Importance, Overall
from metier.evidence.explanations.players import Cell, Picture, Text
from metier.report.document import Section, render_document
from metier.report.explanations.attributed import (
    picture_pair,
    share_bar,
    signed,
    words_shaded,
)
from metier.report.explanations.claims import findings_of
from metier.report.explanations.page import (
    explanation_document,
    explanation_sections,
    look_section,
)
from metier.report.explanations.terms import terms_section
from metier.runtime.columns import ColumnSpec, Numbers

TEXT = "Truly <b>good</b>, not bad"
CURVES = Curves(1 - GRID, GRID)


def mean(value: float, half: float = 0.05, n: int = 20) -> Mean:
    return Mean(value, value - half, value + half, n, 0.001)


def faithful(gain: Mean, method: str = "shap") -> Faithfulness:
    return Faithfulness(method, gain, gain, gain, CURVES, CURVES)


def row(number: int = 7, tolerance: float | None = 1e-3, missing: float = 0.0) -> RowExplained:
    values = np.array([1.0, 2.0, 0.05, -0.5])
    return RowExplained(
        row=number,
        answer="good",
        label="good",
        chance=0.93,
        truth="bad",
        parts=(Text("text", TEXT),),
        attribution=Attribution(values, 0.0, 2.55 + missing, tolerance),
    )


def found(**changes: Any) -> Explained:
    made = Explained(
        bundle="runs/reviews",
        digest="0" * 64,
        task="binary",
        labels=("bad", "good"),
        method="shap",
        asked="auto",
        tried=(faithful(mean(0.3)), faithful(mean(0.1), "lime")),
        skipped={"gradients": "needs the weights"},
        faithful=faithful(mean(0.2)),
        stable=Stability(mean(0.9), mean(0.8), True),
        rows=(row(),),
        overall=Overall((Importance("good", None, mean(1.2), 0.9),), (), 20),
        nearest=Nearest("by features", {7: (Neighbour(3, 0.9, "good", {"text": "so good"}),)}),
        findings=(),
    )
    made = replace(made, **changes)
    return replace(made, findings=findings_of(made))


def page(explained: Explained) -> str:
    return render_document(explanation_document(explained, "metier explain", {}))


def test_a_page_shows_words_with_their_shares_and_escapes_them() -> None:
    written = page(found())
    assert "&lt;b&gt;good&lt;/b&gt;" in written and "<b>good" not in written
    assert written.count('class="word"') >= 2 and 'class="word against"' in written
    assert '<span class="unseen"> (+2)</span>' in written, "the number is read out"
    assert "Row 7" in written and "0.930" in written and "the data say bad" in written
    assert "The nearest training rows" in written and "so good" in written
    assert "More faithful than chance" in written


def test_small_shares_have_no_colour() -> None:
    drawn = str(words_shaded(row().parts[0], row().attribution.values, 2.0))
    assert 'title="+0.05"' not in drawn and 'title="-0.5"' in drawn


@pytest.mark.parametrize(
    ("gain", "told", "level"),
    [
        (mean(0.2), "More faithful than chance", "good"),
        (mean(0.01), "Not distinguishable from chance", "neutral"),
        (mean(-0.2), "Less faithful than chance", "bad"),
        (Mean(0.2, float("nan"), float("nan"), 1), "Not measured on enough rows", "neutral"),
    ],
)
def test_how_far_to_believe_it_is_said_at_the_top(gain: Mean, told: str, level: str) -> None:
    document = explanation_document(found(faithful=faithful(gain)), "", {})
    assert (document.state, document.level) == (told, level)
    assert told in render_document(document)


def test_without_time_to_measure_it_is_said() -> None:
    explained = found(faithful=None, stable=None, tried=())
    assert explained.findings[0].level == "warning"
    assert "no time to measure" in page(explained)


def test_shares_that_do_not_sum_are_a_warning_that_names_the_rows() -> None:
    whole, broken = found(), found(rows=(row(1), row(2, missing=1.0)))
    sums = {each.name: each for each in whole.findings}["shares_sum"]
    assert sums.level == "info"
    sums = {each.name: each for each in broken.findings}["shares_sum"]
    assert sums.level == "warning" and sums.rows == (2,) and "do not sum" in sums.verdict
    nothing = found(rows=(row(tolerance=None),))
    assert "shares_sum" not in {each.name for each in nothing.findings}


def test_shaky_explanations_are_a_warning() -> None:
    stable = Stability(mean(0.4), mean(0.3), True)
    told = {each.name: each for each in found(stable=stable).findings}["stability"]
    assert told.level == "warning" and told.value == 0.4 and told.n == 20
    same = Stability(mean(1.0), mean(1.0), False)
    told = {each.name: each for each in found(stable=same).findings}["stability"]
    assert "chance plays no part" in told.verdict


def test_an_audit_gets_one_section_without_any_row() -> None:
    section = look_section(found())
    assert isinstance(section, Section) and section.name == "looks-at"
    assert TEXT not in repr(section) and "so good" not in repr(section)


def test_columns_are_bars_and_many_of_them_are_folded() -> None:
    parts = tuple(Cell(f"column{i}", "number", float(i), (0.0,)) for i in range(12))
    made = replace(row(), parts=parts, attribution=Attribution(np.arange(12.0) - 3, 0, 30))
    written = page(found(rows=(made,)))
    assert "The other 4 columns" in written and written.index("column11") < written.index("column3")
    assert signed(-0.5, 1.0) == "−0.500"
    assert 'x="25.00%"' in share_bar(-0.5, 1.0) and 'class="against"' in share_bar(-0.5, 1.0)


def test_a_picture_stands_beside_its_heat() -> None:
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:, 16:] = 255
    part = Picture("photo", pixels)
    values = np.zeros(len(part.players))
    values[part.regions[2, 30]] = 1.0
    (_, seen), (heat, told) = picture_pair(part, values, None, "bees")
    assert seen == "What the model sees" and "'bees'" in told
    assert 'src="data:image/png;base64,' in heat
    assert "lies at the top right" in heat, "the picture is told in words, too"
    again = picture_pair(part, values, np.ones((32, 32)), None)
    assert "a higher value" in again[1][1]
    areas = (Area(None, np.full((8, 8), 1 / 64), 9),)
    assert "where in the picture" in page(found(overall=Overall((), areas, 9)))


def test_the_curves_of_a_glass_box_are_drawn_the_most_important_first() -> None:
    numbers = Numbers(
        (
            ColumnSpec("age", "number", "raw"),
            ColumnSpec("colour", "category", "code", vocabulary=("<red>", "blue")),
            ColumnSpec("same", "number", "raw"),
        )
    )

    def term(features: tuple[int, ...], edges: tuple[Any, ...], size: float) -> Term:
        shape = (*(len(each) + 2 for each in edges), 2)
        scores = np.random.default_rng(0).normal(size=shape)
        return Term(features, edges, scores, np.abs(scores) / 5, size)

    ages, codes = np.array([20, 40, 60], np.float32), np.array([-0.5, 0.5], np.float32)
    none = np.zeros(0, np.float32)
    model = Additive(
        numbers,
        (
            term((0,), (ages,), 0.2),
            term((1,), (codes,), 0.9),
            term((0, 1), (ages, codes), 0.1),
            term((2,), (none,), 0.05),
        ),
        (0.0, 0.0),
    )
    section: Any = terms_section(model, ("no", "yes"))
    figures = section.blocks[1].drawn
    assert [caption.partition(":")[0] for _, caption in figures] == [
        "colour", "age", "age and colour", "same",
    ]  # fmt: skip
    assert "&lt;red&gt;" in figures[0][0] and "error-band" in figures[1][0]
    assert len(explanation_sections(found(glass=model))) == 4
    assert "What the model is" in page(found(glass=model))
