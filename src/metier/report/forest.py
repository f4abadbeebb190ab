"""Values of several groups one below the other, each with its interval, on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from metier.report.plots import WIDTH, Axis, axis_over
from metier.report.svg import hover, picture, tag, text
from metier.report.wording import shorten

NAMES, RIGHT, LINE, BELOW = 142, 14, 26, 30
"""Pixels: for the names at the left, free at the right, between two lines, and for the axis."""
LETTERS = 19
"""Letters of a name that fit."""


@dataclass(frozen=True)
class Line:
    """One value with its interval; a hollow one is not judged by. `note` is told on hovering."""

    name: str
    value: float
    low: float
    high: float
    hollow: bool = False
    note: str = ""


def forest(lines: Sequence[Line], below: str, scale: Axis | None = None) -> Markup:
    """Draw values with their intervals; `below` says what is on the axis."""
    axis = scale or axis_over([v for each in lines for v in (each.low, each.high)], 4)
    height = LINE * len(lines) + BELOW + 16
    parts: list[Markup] = []
    for tick in axis.ticks:
        x = _at(axis, tick)
        parts.append(tag("line", cls="grid", x1=x, x2=x, y1=4, y2=LINE * len(lines) + 6))
        parts.append(text(axis.label(tick), x, LINE * len(lines) + 20, "middle", "tick", 11))
    for place, each in enumerate(lines):
        parts += _line(axis, each, LINE * place + LINE / 2 + 4)
    parts.append(text(below, WIDTH - RIGHT, height - 6, "end", "axis", 11))
    spoken = "; ".join(f"{each.name} {each.note or f'{each.value:.3g}'}" for each in lines)
    return picture(WIDTH, height, parts, f"{below}: {spoken}", cls="forest")


def _line(axis: Axis, each: Line, y: float) -> list[Markup]:
    start, stop = _at(axis, each.low), _at(axis, each.high)
    cls = "dot hollow" if each.hollow else "dot"
    note = hover(each.note) if each.note else None
    return [
        text(shorten(each.name, LETTERS), NAMES - 10, y + 4, "end", "tick", 12),
        tag(
            "line", cls="whisker thin" if each.hollow else "whisker", x1=start, x2=stop, y1=y, y2=y
        ),
        tag("circle", cls=cls, body=note, cx=_at(axis, each.value), cy=y, r=4.5),
    ]


def _at(axis: Axis, value: float) -> float:
    return round(NAMES + axis.share(value) * (WIDTH - NAMES - RIGHT), 1)
