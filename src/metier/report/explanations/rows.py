"""Explained rows, each with what speaks for its answer and what against."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from metier.evidence.explanations.explained import Explained, Nearest, RowExplained
from metier.report.document import Block, Figures, Folded, Grid, Section, Words
from metier.report.explanations.attributed import (
    picture_pair,
    share_bar,
    signed,
    thumbnail,
    words_shaded,
)
from metier.report.wording import number, shorten

MOST_NUMBERS = 80
MOST_COLUMNS = 8
"""Columns of a row that are shown; the others are folded."""


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
