"""A page of sections: everything is shown once, and nothing that a user named is taken for HTML."""

from __future__ import annotations

from markupsafe import Markup

from metier.report.document import (
    Document,
    Figures,
    Folded,
    Grid,
    Section,
    Told,
    Words,
    render_document,
)
from metier.types import Finding

HOSTILE = "<script>alert(1)</script>"


def page(*blocks: Words | Grid | Figures | Told | Folded) -> str:
    section = Section("one", HOSTILE, blocks)
    document = Document(
        "metier audit", HOSTILE, "2026-01-02T03:04:05", "good", "Fine", HOSTILE, "On 3 rows.",
        (section,), notes=(HOSTILE,), command=f"metier audit {HOSTILE}",
    )  # fmt: skip
    return render_document(document)


def test_words_of_the_user_are_escaped_wherever_they_stand() -> None:
    found = Finding("one", HOSTILE, level="warning", rows=tuple(range(20)))
    grid = Grid(HOSTILE, (HOSTILE, "n"), ((HOSTILE, HOSTILE),), frozenset({1}))
    html = page(Words(HOSTILE), grid, Told((found,)), Folded(HOSTILE, (Words(HOSTILE),)))
    assert HOSTILE not in html
    assert html.count("&lt;script&gt;alert(1)") >= 11


def test_drawings_go_in_as_they_are_and_columns_of_numbers_stand_at_the_right() -> None:
    drawn = Markup('<svg class="plot"></svg>')
    html = page(
        Figures(((drawn, "what it shows"),)), Grid("c", ("a", "b"), (("x", "1"),), frozenset({1}))
    )
    assert str(drawn) in html and "what it shows" in html
    assert '<td class="num">1</td>' in html and '<th scope="row">x</th>' in html
