"""How sure a model is, on a page: reliability, sets, and what can be answered at which error."""

from __future__ import annotations

from markupsafe import Markup, escape

from metier.evidence.uncertainty.coverage import Covered
from metier.evidence.uncertainty.selective import Curve
from metier.evidence.uncertainty.sureness import Sureness
from metier.report.content import Bin
from metier.report.document import Block, Figures, Folded, Grid, Section, Told, Words
from metier.report.plots import (
    HEIGHT,
    WIDTH,
    Axis,
    Panel,
    axis_over,
    frame,
    interval_bar,
    reliability_diagram,
)
from metier.report.svg import hover, picture, tag
from metier.report.wording import number
from metier.types import Finding

UNIT = Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0))
ANSWERED = "answered_at_"
SHOWN = 12
"""Labels that are shown at once."""


def sureness_sections(found: Sureness) -> tuple[Section, ...]:
    """Return what a person should know about how sure the model is; none when nothing was said."""
    if not found.findings:
        return ()
    told = tuple(each for each in found.findings if not each.name.startswith(ANSWERED))
    blocks: list[Block] = [Words(_opening(found)), Told(told)]
    drawn = _drawn(found)
    if drawn:
        blocks.append(Figures(drawn))
    answered = [each for each in found.findings if each.name.startswith(ANSWERED)]
    if answered:
        blocks.append(_answered(answered))
    if found.coverages:
        blocks += _coverage(found)
    return (Section("sureness", "How sure it is", tuple(blocks)),)


def _answered(found: list[Finding]) -> Grid:
    rows = tuple(
        (
            f"{100 * each.details['error']:g} %",
            f"{100 * (each.value or 0):.1f} %",
            _percents(each.low or 0, each.high or 0),
        )
        for each in found
    )
    head = ("At most so many answers wrong", "Rows that can be answered", "Interval")
    return Grid("What share can be answered, the surest first", head, rows, frozenset({1, 2}))


def _opening(found: Sureness) -> str:
    rows = f"Measured on {found.n:,} rows that the calibration has not used."
    if found.kind == "regression":
        return (
            f"{rows} An interval is asked to hold the true value with some probability; whether it "
            "does is counted here. metier predict --coverage gives one for each row."
        )
    return (
        f"{rows} A confidence is worth something when answers with 80 % are right 80 times in 100. "
        "A set holds all labels that may be true, as often as was asked; metier predict --coverage "
        "gives one for each row, and --abstain leaves answers empty where there is doubt."
    )


def _drawn(found: Sureness) -> tuple[tuple[Markup, str], ...]:
    drawn = []
    if found.bins:
        bins = [Bin(confidence, right, n) for confidence, right, n, _, _ in found.bins]
        words = (
            "How often claims came true, by the confidence that was stated. On the dashed line "
            "they mean what they say; whiskers are 95 % intervals, larger dots stand for more rows."
        )
        drawn.append((reliability_diagram(bins), words))
    if found.curve is not None:
        words = (
            "Share of wrong answers when only the surest are given: all of them at the right edge. "
            f"The band is a 95 % interval; the mean height is {100 * found.curve.area:.1f} %."
        )
        drawn.append((risk_curve(found.curve), words))
    return tuple(drawn)


def risk_curve(curve: Curve) -> Markup:
    """Draw errors among the answers against the share of rows that is answered."""
    up = axis_over([0.0, *(100 * min(p.high, 1.0) for p in curve.points)], 4)
    panel = Panel(Axis(0.0, 100.0, (0.0, 25.0, 50.0, 75.0, 100.0)), up, HEIGHT)
    parts = frame(panel, "% of rows answered", "% wrong")
    top = [panel.at(100 * p.answered, 100 * p.high) for p in curve.points]
    bottom = [panel.at(100 * p.answered, 100 * p.low) for p in curve.points]
    outline = " ".join(f"{x},{y}" for x, y in (*top, *reversed(bottom)))
    parts.append(tag("polygon", cls="band", points=outline))
    line = [panel.at(100 * p.answered, 100 * p.error) for p in curve.points]
    parts.append(tag("polyline", cls="line valid", points=" ".join(f"{x},{y}" for x, y in line)))
    for point, (x, y) in zip(curve.points, line, strict=True):
        note = f"{100 * point.answered:.0f} % answered: {100 * point.error:.1f} % wrong"
        parts.append(tag("circle", cls="knot valid", body=hover(note), cx=x, cy=y, r=1.8))
    last = curve.points[-1]
    spoken = f"Of all answers {100 * last.error:.1f} % are wrong; of the surest " + ", ".join(
        f"{100 * p.answered:.0f} % of rows {100 * p.error:.1f} %" for p in curve.points[::10]
    )
    return picture(WIDTH, HEIGHT, parts, spoken)


def _coverage(found: Sureness) -> list[Block]:
    regression = found.kind == "regression"
    head = ["Asked", "Held", "Interval", "Held, and what chance allows", "Mean size"]
    head += [] if regression else ["One label", "No label"]
    axis = axis_over(
        100 * v for c in found.coverages for v in (c.low, c.high, c.band_low, c.band_high)
    )
    rows = tuple(_row(each, axis, found.kind == "regression") for each in found.coverages)
    blocks: list[Block] = [
        Grid("Coverage asked for, in % of rows", tuple(head), rows, frozenset({1, 2, 4, 5, 6})),
        Words(
            "The shaded band holds 95 of 100 such tests when rows are like those of calibration "
            "(Beta-binomial, by the number of rows of both). "
            + (
                ""
                if regression
                else "A set without a label is no fault: where answers are right "
                "more often than was asked, the least likely rows are left out; ask for more."
            )
        ),
    ]
    main = found.main
    if main is not None and main.labels:
        blocks.append(_by_label(main, found.kind))
    return blocks


def _row(each: Covered, axis: Axis, regression: bool) -> tuple[str | Markup, ...]:
    bar = interval_bar(
        axis,
        100 * each.covered,
        100 * each.low,
        100 * each.high,
        (100 * each.band_low, 100 * each.band_high),
    )
    cells: list[str | Markup] = [
        f"{100 * each.asked:g} %",
        f"{100 * each.covered:.1f} %",
        _percents(each.low, each.high),
        bar,
        number(each.size),
    ]
    if not regression:
        cells += [f"{100 * each.singles:.1f} %", f"{100 * each.empties:.1f} %"]
    return tuple(cells)


def _by_label(main: Covered, kind: str) -> Block:
    weakest = sorted(main.labels, key=lambda label: label.covered)
    rows = tuple(
        (
            label.label,
            f"{100 * label.covered:.1f} %",
            _percents(label.low, label.high),
            f"{label.n:,}",
            _promise(label.own, label.band_low, label.band_high),
        )
        for label in weakest
    )
    head = ("Label", "Held", "Interval", "Rows", "Promised for it alone; chance allows")
    line = f"By label at {100 * main.asked:g} %: all {len(rows)}"
    caption = f"Of the rows of a label, how many had it in their set at {100 * main.asked:g} %"
    grid = Grid(caption, head, rows, frozenset({1, 2, 3}))
    return grid if len(rows) <= SHOWN else Folded(line, (grid,))


def _percents(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f}"


def _promise(own: bool, low: float, high: float) -> Markup:
    if not own:
        return Markup("no: it had too few rows of its own")
    return escape(f"yes; {_percents(low, high)} %")
