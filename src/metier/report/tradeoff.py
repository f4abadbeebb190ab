"""Accuracy against disparity: what was tried to keep groups together, drawn and listed."""

from __future__ import annotations

from markupsafe import Markup, escape

from metier.evidence.catalogue import METRICS
from metier.evidence.fairness.disparity import TITLES
from metier.evidence.words import points, sentence
from metier.report import wording
from metier.report.document import Block, Cell, Figures, Grid, Section, Words
from metier.report.plots import HEIGHT, WIDTH, Panel, axis_over, frame
from metier.report.svg import hover, picture, tag, text
from metier.search.tradeoff import Point, Tradeoff, front


def tradeoff_section(found: Tradeoff) -> Section:
    """Return the curve of what was tried, the points behind it, and the verdict."""
    measured = [each for each in found.points if each.value is not None]
    n = measured[0].n if measured else 0
    told = Words(
        f"Asked for was a {found.asked.told()}. Every candidate was judged on the same {n:,} rows, "
        "which it had not learned from and whose answers follow the rule that it would be handed "
        "over with. The limit binds on single columns, among groups of 100 rows and more."
    )
    drawn = [each for each in measured if each.apart is not None]
    figures: tuple[Figures, ...] = ()
    if len(drawn) > 1:
        caption = (
            f"{wording.title(found.metric)} against the {TITLES[found.asked.kind]}; up and left is "
            "better. The stair joins what nothing else beats in both; bars are 95 % intervals."
        )
        figures = (Figures(((curve(found), caption),)),)
    blocks: tuple[Block, ...] = (Words(sentence(found.verdict)), told, *figures, _grid(found))
    return Section("tradeoff", "Accuracy against disparity", blocks)


def curve(found: Tradeoff) -> Markup:
    """Draw the metric against the disparity of each point, and the limit."""
    drawn = [each for each in found.points if each.value is not None and each.apart is not None]
    limit = 100 * (found.asked.limit or 0.0)
    ends = [v for e in drawn for v in (e.low, e.high)]
    across = axis_over([0.0, limit, *(100 * (e.apart_high or 0.0) for e in drawn)], 4)
    panel = Panel(across, axis_over(ends, 4), HEIGHT)
    parts = frame(panel, "points apart", wording.title(found.metric))
    (x, low), (_, high) = panel.at(limit, panel.up.low), panel.at(limit, panel.up.high)
    parts.append(tag("line", cls="ideal", x1=x, x2=x, y1=low, y2=high))
    parts.append(text("limit", x + 4, high + 10, "start", "tick", 11))
    corners: list[tuple[float, float]] = []
    for point in front(found):
        place = panel.at(100 * (point.apart or 0.0), point.value or 0.0)
        if corners:
            corners.append((place[0], corners[-1][1]))
        corners.append(place)
    if len(corners) > 1:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
        parts.append(tag("polyline", cls="line stair", points=path))
    parts += [_mark(panel, each, found) for each in drawn]
    spoken = "; ".join(f"{e.called}: {wording.number(e.value)}, {e.told()}" for e in drawn)
    return picture(WIDTH, HEIGHT, parts, spoken, cls="front")


def _mark(panel: Panel, point: Point, found: Tradeoff) -> Markup:
    apart, value = 100 * (point.apart or 0.0), point.value or 0.0
    x, y = panel.at(apart, value)
    parts = []
    if point.low is not None and point.high is not None:
        (_, bottom), (_, top) = panel.at(apart, point.low), panel.at(apart, point.high)
        parts.append(tag("line", cls="whisker thin", x1=x, x2=x, y1=bottom, y2=top))
    if point.apart_low is not None and point.apart_high is not None:
        left, _ = panel.at(100 * point.apart_low, value)
        right, _ = panel.at(100 * point.apart_high, value)
        parts.append(tag("line", cls="whisker thin", x1=left, x2=right, y1=y, y2=y))
    note = hover(f"{point.called}: {wording.number(value)}, {point.told()}")
    parts.append(tag("circle", cls="dot", body=note, cx=x, cy=y, r=4.5))
    cls = "chosen" if point.name == found.chosen else "accepted" if point.meets else "rejected"
    return tag("g", cls=cls, body=Markup("").join(parts))


def _grid(found: Tradeoff) -> Grid:
    unit = METRICS[found.metric].loss_unit
    head = ("Candidate", wording.title(found.metric), "Points apart", f"{unit.capitalize()} lost")
    rows = tuple(_row(point, found) for point in found.points)
    return Grid("What was tried", head, rows, frozenset({1, 2, 3}))


def _row(point: Point, found: Tradeoff) -> tuple[Cell, ...]:
    badge = Markup("")
    if point.name == found.chosen:
        badge = Markup(' <span class="badge chosen">chosen</span>')
    elif point.meets and point.apart is not None:
        badge = Markup(' <span class="badge accepted">within</span>')
    reason = Markup("<small>{}</small>").format(point.reason) if point.reason else Markup("")
    name = escape(point.called) + badge + reason
    if point.value is None:
        return name, wording.MISSING, wording.MISSING, wording.MISSING
    value = Markup("{}<small>{}</small>").format(
        wording.number(point.value), wording.interval(point.low, point.high)
    )
    apart: Cell = wording.MISSING
    if point.apart is not None:
        apart = Markup("{}<small>{} to {}, by {}</small>").format(
            points(point.apart),
            points(point.apart_low or 0.0),
            points(point.apart_high or 0.0),
            point.column,
        )
    lost: Cell = ""
    if point.lost is not None and point.lost_low is not None and point.lost_high is not None:
        lost = Markup("{}<small>{} to {}</small>").format(
            f"{point.lost:.1f}", f"{point.lost_low:.1f}", f"{point.lost_high:.1f}"
        )
    return name, value, apart, lost
