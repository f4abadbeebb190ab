"""What a bundle's answers come from, and how far to believe it, as sections of a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from markupsafe import Markup

from metier.evidence.explanations.explained import Explained, Nearest, RowExplained
from metier.evidence.explanations.faithful import Faithfulness, Mean
from metier.evidence.explanations.overall import FEWEST, Area, Importance
from metier.evidence.words import sentence
from metier.report.attributed import (
    area_map,
    curve_pair,
    picture_pair,
    share_bar,
    size_bar,
    thumbnail,
    words_shaded,
)
from metier.report.document import Block, Document, Figures, Folded, Grid, Section, Told, Words
from metier.report.plots import axis_over
from metier.report.terms import terms_section
from metier.report.wording import interval, number, shorten
from metier.types import Finding

METHODS = {
    "shap": "Shapley values",
    "lime": "LIME",
    "occlusion": "occlusion",
    "gradients": "integrated gradients",
    "trees": "Shapley values of the trees",
    "terms": "the model's own terms",
}
HOW = {
    "shap": "Each part's share is what it adds to the answer, averaged over orders in which the "
    "parts may come; the shares sum to how far the answer moves.",
    "lime": "Parts are taken away at random, and a linear model of the answers near the row gives "
    "each part its weight.",
    "occlusion": "Each part's share is what the answer loses when that part alone is taken away.",
    "gradients": "The answer is followed from nothing to the row in small steps, and each part "
    "gets what its own change moves; the shares sum to how far the answer moves.",
    "trees": "Each column's share is read off the trees: what it adds, averaged over all orders; "
    "the shares sum to how far the answer moves.",
    "terms": "The model is a sum of one curve a column (and of a few pairs), so each column's "
    "share is exactly what its curve says at this value; a pair is halved between its two.",
}
AWAY = {
    "text": "Words are taken away by leaving them out.",
    "image": "Regions are taken away by putting them out of focus.",
    "tabular": "Columns are taken away by filling in what other rows of the data hold.",
}
MOST_NUMBERS = 80
MOST_COLUMNS = 8
"""Columns of a row that are shown; the others are folded."""


def title_of(method: str) -> str:
    """Return what a method is called in a sentence."""
    return METHODS.get(method, method)


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


def findings_of(found: Explained) -> tuple[Finding, ...]:
    """Return what was found as claims."""
    claims = [_faith(found), _stable(found), _sums(found)]
    return tuple(claim for claim in claims if claim is not None)


def _faith(found: Explained) -> Finding | None:
    faithful = found.faithful
    if faithful is None:
        told = "There was no time to measure how far the explanations can be believed."
        return Finding("faithfulness", told, level="warning")
    gain = faithful.gain
    better = gain.low > 0
    lead = f"Taking away what {title_of(found.method)} name{'' if _many(found.method) else 's'}"
    unit = "of its spread" if found.task == "regression" else "of probability"
    verdict = (
        f"{lead} first moves the answer {'more' if gain.value >= 0 else 'less'} than taking parts "
        f"away in random order: by {number(abs(gain.value))} {unit} on average{_between(gain)}"
    )
    return Finding(
        "faithfulness",
        sentence(verdict),
        gain.value,
        _finite(gain.low),
        _finite(gain.high),
        gain.n,
        level="info" if better else "warning",
        details={"method": found.method, "deletion": faithful.deletion.value,
                 "insertion": faithful.insertion.value, "p": gain.p},
    )  # fmt: skip


def _many(method: str) -> bool:
    return method in ("shap", "gradients", "trees", "terms")


def _stable(found: Explained) -> Finding | None:
    stable = found.stable
    if stable is None:
        return None
    if not stable.drawn:
        told = "Explained again, every row gets the same shares: chance plays no part in the method"
        return Finding("stability", sentence(told), 1.0, 1.0, 1.0, stable.ranks.n)
    ranks = stable.ranks
    told = (
        f"Explained again with other random numbers, the order of the parts agrees by "
        f"{number(ranks.value)} (rank correlation; 1 is the same){_between(ranks)}, and "
        f"{stable.top.value:.0%} of the five that matter most stay"
    )
    low = ranks.value < 0.7
    return Finding(
        "stability", sentence(told), ranks.value, _finite(ranks.low), _finite(ranks.high), ranks.n,
        level="warning" if low else "info", details={"top": stable.top.value},
    )  # fmt: skip


def _sums(found: Explained) -> Finding | None:
    """Whether shares that must sum to the answer do."""
    bound = [row for row in found.rows if row.attribution.tolerance is not None]
    if not bound:
        return None
    broken = tuple(row.row for row in bound if not row.attribution.holds)
    worst = max(row.attribution.error for row in bound)
    if broken:
        told = (
            f"The shares of {len(broken)} of {len(bound)} rows do not sum to what the answer moves "
            f"by (off by up to {number(worst)}): read them with care"
        )
        return Finding(
            "shares_sum", sentence(told), worst, n=len(bound), level="warning", rows=broken
        )
    told = (
        f"The shares of {_rows(len(bound))} shown sum to what the answer moves by (off by "
        f"{worst:.1g} at most)"
    )
    return Finding("shares_sum", sentence(told), worst, n=len(bound))


def _rows(count: int) -> str:
    return f"all {count} rows" if count > 1 else "the row"


def _between(found: Mean) -> str:
    rows = f"{found.n} row{'s' if found.n != 1 else ''}"
    if not math.isfinite(found.low):
        return f" ({rows}: too few for an interval)"
    return f" (95 % interval {interval(found.low, found.high)}, {rows})"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


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
    verb = "find" if _many(found.method) else "finds"
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


def rows_section(found: Explained) -> Section:
    """Return the rows shown, each with what speaks for its answer and what against."""
    unit = (
        "in the unit of the answer"
        if found.task == "regression"
        else "in log-odds of the answer"
        if found.task in ("binary", "multilabel")
        else "of the answer's score above the other labels'"
    )
    key = (
        Markup(
            '<span class="word" style="--w:40%">speaks for the answer</span> &ensp; '
            '<span class="word against" style="--w:40%">speaks against it</span> &ensp; '
        )
        + f"Shares are {unit}."
    )
    blocks: list[Block] = [Words(key)]
    for row in found.rows:
        blocks += _row(row, found.nearest)
    return Section("rows", "Rows", tuple(blocks))


def _row(row: RowExplained, nearest: Nearest) -> list[Block]:
    values, start = row.attribution.values, 0
    top = max((abs(float(v)) for v in values), default=0.0)
    blocks: list[Block] = [Words(_said(row))]
    cells = []
    for part in row.parts:
        own = values[start : start + len(part.players)]
        start += len(part.players)
        kind = part.players[0].kind if part.players else "text"
        if kind == "text":
            blocks.append(Words(words_shaded(part, own, top)))
        elif kind == "image":
            pixels = row.attribution.pixels if len(own) == len(values) else None
            blocks.append(Figures(picture_pair(part, own, pixels, row.label)))
        else:
            cells.append((part.column, shorten(_cell(part), 40), float(own[0])))
    if cells:
        blocks += _bars(cells, top)
    if any(player.kind in ("text", "image") for player in row.players):
        blocks.append(_numbers(row))
    if row.row in nearest.rows:
        blocks.append(_near(row.row, nearest))
    return blocks


def _said(row: RowExplained) -> Markup:
    chance = number(row.chance) if row.label is not None else ""
    wrong = row.truth is not None and row.label is not None and row.truth != row.answer
    truth = ""
    if row.truth is not None:
        truth = Markup(" <span>the data say {}</span>").format(row.truth)
    label = f"for {row.label}: {chance}" if row.label is not None else ""
    cls = "wrong" if wrong else ""
    return Markup(
        '<span class="said"><span class="row">Row {}</span> <strong class="{}">{}</strong> '
        "<span>{}</span>{}</span>"
    ).format(row.row, cls, row.answer, label, truth)


def _cell(part: object) -> str:
    value = getattr(part, "value", None)
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _bars(cells: Sequence[tuple[str, str, float]], top: float) -> list[Block]:
    ordered = sorted(cells, key=lambda each: -abs(each[2]))
    head, rest = ordered[:MOST_COLUMNS], ordered[MOST_COLUMNS:]
    caption = "The columns that matter most" if rest else "Columns, those that matter most first"
    found: list[Block] = [_bar_grid(caption, head, top)]
    if rest:
        total = number(sum(share for *_, share in rest), (top,))
        line = f"The other {len(rest)} columns, {total} together"
        found.append(Folded(line, (_bar_grid("", rest, top),)))
    return found


def _bar_grid(caption: str, cells: Sequence[tuple[str, str, float]], top: float) -> Grid:
    rows = tuple(
        (name, value, share_bar(share, top), signed(share, top)) for name, value, share in cells
    )
    return Grid(caption, ("column", "value", "", "share"), rows, frozenset({3}))


def signed(value: float, top: float) -> str:
    """Return a share with its sign, as precisely as the largest of its company asks for."""
    return f"{'−' if value < 0 else '+'}{number(abs(value), (top,))}"


def _numbers(row: RowExplained) -> Folded:
    attribution = row.attribution
    pairs = sorted(
        zip(row.players, attribution.values.tolist(), strict=True), key=lambda each: -abs(each[1])
    )[:MOST_NUMBERS]
    top = abs(pairs[0][1]) if pairs else 0.0
    rows = tuple((shorten(player.name, 60), signed(value, top)) for player, value in pairs)
    told = (
        f"They sum to {number(float(attribution.values.sum()))}; the answer moves from "
        f"{number(attribution.base)}, when all is taken away, to {number(attribution.output)}."
    )
    return Folded("The shares as numbers", (Grid(told, ("part", "share"), rows, frozenset({1})),))


def _near(row: int, nearest: Nearest) -> Folded:
    found = nearest.rows[row]
    names = list(found[0].inputs) if found else []
    rows = tuple(
        (
            str(each.row),
            each.truth,
            number(each.likeness),
            *(_shown(each.inputs[name], name in nearest.pictures) for name in names),
        )
        for each in found
    )
    head = ("training row", "label", "alike", *names)
    caption = f"Alike: {nearest.told}"
    return Folded("The nearest training rows", (Grid(caption, head, rows, frozenset({2})),))


def _shown(value: str, picture: bool) -> str | Markup:
    drawn = thumbnail(value) if picture else None
    return shorten(value, 160) if drawn is None else drawn


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


CLAIMS = ("faithfulness", "stability", "shares_sum")


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
