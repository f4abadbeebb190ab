"""A confusion matrix told three ways: as a heat map, by its worst pairs, and class by class."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from metier.report.content import Confusion
from metier.report.svg import hover, picture, tag, text
from metier.report.wording import number, shorten

MOST_CLASSES = 100
"""Above this a matrix says less than its pairs."""


def heat_map(confusion: Confusion) -> Markup | None:
    """Draw a confusion matrix, each row shaded by its shares; None above 100 classes.

    Right answers lie on the diagonal in one colour, errors beside it in another. Empty cells are
    not drawn, so that the size grows with the errors and not with the square of the classes.
    """
    n = len(confusion.labels)
    if not 0 < n <= MOST_CLASSES:
        return None
    cell = (
        48
        if n <= 4
        else 34
        if n <= 9
        else 26
        if n <= 16
        else 20
        if n <= 30
        else 12
        if n <= 60
        else 10
    )
    letters = 11.5 if n <= 16 else 10.5 if n <= 30 else 9.5 if n <= 60 else 9
    names = [shorten(label, 22) for label in confusion.labels]
    gutter = max(64, round(max(len(name) for name in names) * letters * 0.56) + 22)
    parts = _map_names(names, cell, gutter, letters)
    for i, row in enumerate(confusion.matrix):
        total = sum(row) or 1
        for j, count in enumerate(row):
            if count:
                parts.append(_cell(confusion, i, j, count / total, cell, gutter, n <= 30))
    side = gutter + n * cell + 2
    right = sum(confusion.matrix[i][i] for i in range(n))
    spoken = f"Confusion matrix of {n} classes: {right} of {_total(confusion)} rows are right"
    return picture(side, side, parts, spoken, cls="heat")


def _cell(
    confusion: Confusion, i: int, j: int, share: float, cell: int, gutter: int, figures: bool
) -> Markup:
    count = confusion.matrix[i][j]
    x, y = gutter + j * cell, gutter + i * cell
    note = hover(
        f"{confusion.labels[i]} answered as {confusion.labels[j]}: {count} rows, {share:.0%}"
    )
    kind, least = ("right", 0.12) if i == j else ("wrong", 0.22)
    shade = f"{least + (1 - least) * share:.2f}"
    drawn = tag(
        "rect",
        cls=kind,
        body=note,
        x=x + 0.5,
        y=y + 0.5,
        width=cell - 1,
        height=cell - 1,
        fill_opacity=shade,
    )
    if not figures:
        return drawn
    ink = "figure light" if share > 0.55 else "figure"
    letters = 11.5 if cell >= 26 else 9
    return drawn + text(str(count), x + cell / 2, y + cell / 2 + 4, "middle", ink, letters)


def _map_names(names: Sequence[str], cell: int, gutter: int, letters: float) -> list[Markup]:
    n, parts = len(names), []
    for k, name in enumerate(names):
        middle = gutter + (k + 0.5) * cell
        parts.append(text(name, gutter - 6, middle + letters * 0.35, "end", "", letters))
        turn = f"translate({middle + letters * 0.35:.1f} {gutter - 6}) rotate(-90)"
        parts.append(text(name, 0, 0, "start", "", letters, transform=turn))
    side = n * cell
    for k in range(5, n, 5):
        at = gutter + k * cell
        parts.append(tag("line", cls="guide", x1=at, x2=at, y1=gutter, y2=gutter + side))
        parts.append(tag("line", cls="guide", x1=gutter, x2=gutter + side, y1=at, y2=at))
    parts.append(tag("rect", cls="frame", x=gutter, y=gutter, width=side, height=side))
    parts.append(text("answer →", gutter, 10, "start", "axis", 11))
    turn = f"translate(10 {gutter}) rotate(-90)"
    parts.append(text("← truth", 0, 0, "end", "axis", 11, transform=turn))
    return parts


def _total(confusion: Confusion) -> int:
    return sum(map(sum, confusion.matrix))


def confused_pairs(confusion: Confusion, most: int = 8) -> list[tuple[str, str, int, float]]:
    """Return (truth, answer, count, share of the truth's rows), the most confused pair first."""
    pairs = [
        (confusion.labels[i], confusion.labels[j], count, count / sum(row))
        for i, row in enumerate(confusion.matrix)
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(pairs, key=lambda pair: (-pair[2], -pair[3], pair[:2]))[:most]


def per_class(confusion: Confusion) -> list[tuple[str, str, str, int]]:
    """Return (label, recall, precision, rows), the lowest recall first."""
    found = []
    for i, label in enumerate(confusion.labels):
        rows = sum(confusion.matrix[i])
        said = sum(row[i] for row in confusion.matrix)
        right = confusion.matrix[i][i]
        recall = right / rows if rows else None
        precision = right / said if said else None
        found.append((recall, label, precision, rows))
    found.sort(key=lambda each: (each[0] is None, each[0] or 0.0, each[1]))
    return [
        (label, number(recall, (1.0,)), number(precision, (1.0,)), rows)
        for recall, label, precision, rows in found
    ]
