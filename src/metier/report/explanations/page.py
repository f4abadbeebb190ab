"""What a bundle's answers come from, and how far to believe it, as sections of a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from metier.evidence.explanations.explained import Explained
from metier.evidence.explanations.faithful import Faithfulness
from metier.evidence.explanations.overall import FEWEST, Area, Importance
from metier.report.document import Block, Document, Figures, Folded, Grid, Section, Told, Words
from metier.report.explanations.attributed import (
    area_map,
    curve_pair,
    signed,
    size_bar,
)
from metier.report.explanations.claims import CLAIMS
from metier.report.explanations.methods import AWAY, HOW, is_plural, title_of
from metier.report.explanations.rows import rows_section
from metier.report.explanations.terms import terms_section
from metier.report.plots import axis_over
from metier.report.wording import number


def explanation_document(found: Explained, command: str, versions: dict[str, str]) -> Document:
    """Return the page of `metier explain`."""
    level, state = _state(found.faithful)
    return Document(
        kind="metier explain",
        name=found.bundle,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        level=level,
        state=state,
        headline=_headline(found),
        basis=_basis(found),
        sections=explanation_sections(found),
        notes=(
            "An explanation says what the model's answer depends on, not what causes the truth.",
        ),
        command=command,
        versions=versions,
    )


def explanation_sections(found: Explained) -> tuple[Section, ...]:
    """Return the sections of the page: rows first, then what matters overall, then how far to
    believe it."""
    sections = [rows_section(found), overall_section(found)]
    if found.glass is not None:
        sections.append(terms_section(found.glass, found.labels))
    return (*sections, faith_section(found))


def look_section(found: Explained) -> Section:
    """Return what a model looks at, and how far to believe it, in one section without any row, and
    without words that would give one away: for an audit."""
    told = [each for each in found.findings if each.name in ("faithfulness", "shares_sum")]
    shared = tuple(each for each in found.overall.importances if each.size.n >= FEWEST)
    overall = overall_section(replace(found, overall=replace(found.overall, importances=shared)))
    return Section("looks-at", "What it looks at", (Told(tuple(told)), *overall.blocks))


def _state(faithful: Faithfulness | None) -> tuple[Literal["good", "neutral", "bad"], str]:
    if faithful is None or not math.isfinite(faithful.gain.low):
        return "neutral", "Not measured on enough rows"
    if faithful.gain.low > 0:
        return "good", "More faithful than chance"
    if faithful.gain.high < 0:
        return "bad", "Less faithful than chance"
    return "neutral", "Not distinguishable from chance"


def _headline(found: Explained) -> str:
    name = title_of(found.method)
    lead = f"{name[:1].upper()}{name[1:]}"
    faithful = found.faithful
    if faithful is None:
        return f"{lead} explain {len(found.rows)} rows; there was no time to measure how well."
    verb = "find" if is_plural(found.method) else "finds"
    if faithful.gain.low > 0:
        gain = number(faithful.gain.value)
        return f"{lead} {verb} what the answers depend on: better than chance by {gain}."
    return f"{lead} cannot be told from chance here: do not read much into these pictures."


def _basis(found: Explained) -> str:
    how = "asked for"
    if found.tried:
        best = found.tried[0].method == found.method
        tie = "chosen among those that no other can be told to be more faithful than"
        how = "chosen as the most faithful" if best else tie
    rows = f"{len(found.rows)} row{'s' if len(found.rows) != 1 else ''} shown"
    measured = f"; believability measured on {found.faithful.gain.n}" if found.faithful else ""
    return (
        f"{HOW[found.method]} The method was {how}; {rows}{measured}, {found.overall.n} explained."
    )


def overall_section(found: Explained) -> Section:
    """Return what matters over all rows explained, and for each label."""
    overall = found.overall
    told = f"Taken together over {overall.n} rows of the data."
    if overall.importances:
        told += (
            " A bar is the mean size of a part's share with its 95 % interval, over the rows that "
            "have the part."
        )
    blocks: list[Block] = [Words(told)]
    labels = list(dict.fromkeys(each.label for each in overall.importances))
    for label in labels:
        own = [each for each in overall.importances if each.label == label]
        grid = _importance_grid(own, label)
        blocks.append(
            grid if label is None or len(labels) <= 4 else Folded(f"Answers {label!r}", (grid,))
        )
    if overall.areas:
        blocks.append(Figures(tuple((area_map(area), _area_told(area)) for area in overall.areas)))
    if not labels and not overall.areas:
        blocks.append(Words("No word stands in enough rows to be told of."))
    return Section("overall", "Over all rows", tuple(blocks))


def _importance_grid(found: Sequence[Importance], label: str | None) -> Grid:
    axis = axis_over([0.0, *(e.size.high for e in found), *(e.size.value for e in found)])
    rows = tuple(
        (each.name, size_bar(axis, each.size), number(each.size.value, (axis.high,)),
         signed(each.toward, axis.high), str(each.size.n))
        for each in found
    )  # fmt: skip
    caption = "All answers" if label is None else f"Answers {label!r}"
    return Grid(
        caption, ("part", "", "size", "toward the answer", "rows"), rows, frozenset({2, 3, 4})
    )


def _area_told(area: Area) -> str:
    who = "All answers" if area.label is None else f"Answers {area.label!r}"
    return f"{who}: where in the picture the shares lie ({area.n} rows)"


def faith_section(found: Explained) -> Section:
    """Return how far the explanations can be believed, in words, curves and numbers."""
    kinds = {player.kind for row in found.rows for player in row.players}
    away = " ".join(
        words
        for kind, words in AWAY.items()
        if kind in kinds or (kind == "tabular" and kinds - {"text", "image"})
    )
    blocks: list[Block] = [Told(tuple(f for f in found.findings if f.name in CLAIMS))]
    faithful = found.faithful
    if faithful is not None:
        blocks.append(
            Words(
                "Parts are taken away from each row, those that matter most first, and put back "
                "into nothing in the same order. If the explanation is right, the answer falls, or "
                f"rises, at once; the dashed line is what random orders do. {away}"
            )
        )
        blocks.append(Figures(curve_pair(faithful, found.task == "regression")))
    if found.tried:
        blocks.append(_tried(found.tried))
    if found.skipped:
        told = tuple((title_of(name), why) for name, why in found.skipped.items())
        blocks.append(Folded("Methods that were not tried", (Grid("", ("method", "why"), told),)))
    return Section("faith", "How far to believe it", tuple(blocks))


def _tried(found: Sequence[Faithfulness]) -> Grid:
    axis = axis_over([0.0, *(v for e in found for v in (e.gain.low, e.gain.high, e.gain.value))])
    rows = tuple(
        (title_of(each.method), size_bar(axis, each.gain, zero=True),
         *(number(v.value, (axis.high,)) for v in (each.gain, each.deletion, each.insertion)))
        for each in found
    )  # fmt: skip
    n = found[0].gain.n
    return Grid(
        f"What each method gains over random orders on the {n} rows that chose (95 % intervals); "
        "the one taken is judged above on other rows",
        ("method", "", "gain", "taking away", "putting back"),
        rows,
        frozenset({2, 3, 4}),
    )
