"""What more labels would bring: the learning curve, drawn and told."""

from __future__ import annotations

import math

from markupsafe import Markup

from metier.evidence.morelabels import Learned, MoreLabels
from metier.evidence.words import sentence
from metier.report import wording
from metier.report.document import Figures, Grid, Section, Words
from metier.report.plots import HEIGHT, WIDTH, Axis, Panel, axis_over, frame
from metier.report.svg import hover, picture, tag


def morelabels_section(found: MoreLabels) -> Section:
    """Return the section of the page that says whether more labels would help."""
    told = (
        f"{found.recipe} was fitted on growing parts of the rows and judged on the same "
        f"{found.n:,} rows each time. What is beyond the rows there are is a power law through "
        "these points, which cannot fall; the intervals are those of the rows that judge."
    )
    caption = f"{wording.title(found.metric)} against rows learned from; dashed: worked out"
    verdicts = " ".join(sentence(each.verdict) for each in (*found.gains, found.last))
    rows = tuple(
        (
            f"{each.rows:,}" + (" (expected)" if each.expected else ""),
            wording.number(each.value),
            wording.interval(each.low, each.high),
        )
        for each in found.points
    )
    head = ("Rows", wording.title(found.metric), "95 % interval")
    grid = Grid("The curve in numbers", head, rows, frozenset({1, 2}))
    blocks = (Words(verdicts), Words(told), Figures(((curve(found), caption),)), grid)
    return Section("labels", "Would more labels help?", blocks)


def curve(found: MoreLabels) -> Markup:
    """Draw the metric over the rows, each place twice the rows of the one before."""
    places = tuple(math.log2(each.rows) for each in found.points)
    across = Axis(places[0], places[-1], places, tuple(f"{e.rows:,}" for e in found.points))
    panel = Panel(across, axis_over([v for e in found.points for v in (e.low, e.high)], 4), HEIGHT)
    parts = frame(panel, "rows", wording.title(found.metric))
    known = [e for e in found.points if not e.expected]
    for cls, some in (("valid", known), ("train", found.points[len(known) - 1 :])):
        path = " ".join("{:.1f},{:.1f}".format(*_place(panel, each)) for each in some)
        parts.append(tag("polyline", cls=f"line {cls}", points=path))
    parts += [mark for each in found.points for mark in _marks(panel, each)]
    spoken = "; ".join(f"{e.rows} rows: {wording.number(e.value)}" for e in found.points)
    return picture(WIDTH, HEIGHT, parts, f"Learning curve over rows: {spoken}")


def _place(panel: Panel, each: Learned) -> tuple[float, float]:
    return panel.at(math.log2(each.rows), each.value)


def _marks(panel: Panel, each: Learned) -> list[Markup]:
    x, y = _place(panel, each)
    (_, bottom), (_, top) = (panel.at(math.log2(each.rows), v) for v in (each.low, each.high))
    note = hover(f"{each.rows:,} rows: {wording.number(each.value)}")
    dot = "dot hollow" if each.expected else "dot"
    return [
        tag("line", cls="whisker thin", x1=x, x2=x, y1=bottom, y2=top),
        tag("circle", cls=dot, body=note, cx=x, cy=y, r=4),
    ]
