"""How sure a model is, as part of a page."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from metier.evidence.uncertainty.sureness import Sureness
from metier.report.document import Document, Folded, Grid, render_document
from metier.report.sureness import risk_curve, sureness_sections
from tests.evidence.uncertainty.test_sureness import measured


def page(found: Sureness) -> str:
    sections = sureness_sections(found)
    made = Document(
        "metier audit", "n", "2026-01-01T00:00:00+00:00", "good", "s", "h", "b", sections
    )
    return render_document(made)


@pytest.mark.parametrize("kind", ["binary", "multilabel", "regression"])
def test_a_page_of_every_kind(kind: str) -> None:
    found = measured(kind)
    html = page(found)
    HTMLParser().feed(html)
    assert "How sure it is" in html and "Coverage asked for" in html
    assert ("Share of wrong answers" in html) == (kind != "regression")
    assert ("One label" in html) == (kind != "regression")
    assert html.count("<svg") >= 4


def test_nothing_measured_is_no_section() -> None:
    assert sureness_sections(Sureness("binary", 0)) == ()


def test_labels_are_escaped_and_many_of_them_folded() -> None:
    found = measured("binary")
    assert found.main is not None
    label = found.main.labels[0]
    named = replace(found.main, labels=(replace(label, label="<b>x</b>", own=False),))
    html = page(replace(found, coverages=(named,)))
    assert "<b>x" not in html and "&lt;b&gt;x" in html and "too few rows of its own" in html
    many = replace(found.main, labels=tuple(replace(label, label=str(i)) for i in range(40)))
    (section,) = sureness_sections(replace(found, coverages=(many,)))
    assert any(isinstance(block, Folded) for block in section.blocks)
    assert any(isinstance(block, Grid) for block in section.blocks)


def test_the_curve_tells_a_screen_reader_what_it_shows() -> None:
    found = measured("binary")
    assert found.curve is not None
    assert "Of all answers" in risk_curve(found.curve)
