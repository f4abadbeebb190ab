"""How unlike the rows without labels are to the labelled ones, on a page."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from metier.evidence.unlabelled.labelshift import ClassShare, LabelShift
from metier.evidence.unlabelled.shift import Shift
from metier.evidence.words import percent
from metier.report.document import Block, Figures, Folded, Grid, Section, Told, Words
from metier.report.forest import Line, forest
from metier.report.plots import HEIGHT, WIDTH, Axis, Panel, axis_over, frame
from metier.report.svg import hover, picture, tag

BINS = 10
MOST_DRAWN = 12
"""Classes whose shares are drawn; the others stand in the table."""


def shift_section(shift: Shift) -> Section:
    """Return what a person should know about the rows that the specialist is wanted for."""
    blocks: list[Block] = [Words(_opening(shift)), Told(shift.findings)]
    words = (
        "How much each row looks like an unlabelled one, to a model that did not learn from it. "
        "Labelled rows are dashed, unlabelled rows solid; of one kind, both lie about the middle."
    )
    drawn = [(chances(shift), words)]
    if shift.labels is not None:
        drawn.append((_shares(shift.labels), "Shares of the classes, estimated without labels."))
    blocks.append(Figures(tuple(drawn)))
    if shift.labels is not None:
        blocks.append(Folded(f"All {len(shift.labels.classes)} classes", (_grid(shift.labels),)))
    return Section("shift", "The rows it is for", tuple(blocks))


def _opening(shift: Shift) -> str:
    counts = f"{len(shift.own):,} labelled rows and {len(shift.others):,} unlabelled ones"
    said = (
        f"A quick model was asked to tell {counts} apart, on rows that it did not learn from. What "
        "it cannot tell apart is no shift."
    )
    if shift.shifted:
        said += (
            " Here it can, so that figures from the labelled rows need not hold for the others: "
            "they say how well the specialist does on rows like those that had labels."
        )
    if shift.labels is not None:
        said += (
            " The shares of the classes are an estimate that holds where the rows of a class look "
            "alike in both sets."
        )
    return said


def chances(shift: Shift) -> Markup:
    """Draw how the chance of being an unlabelled row is spread, for the rows of both sets."""
    sides = (("train", "labelled", shift.own), ("valid", "unlabelled", shift.others))
    counts = {name: _spread(values) for _, name, values in sides}
    up = axis_over([0.0, *(float(v.max()) for v in counts.values())], 4)
    panel = Panel(Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0)), up, HEIGHT)
    parts = frame(panel, "looks like an unlabelled row", "% of rows")
    for cls, name, _ in sides:
        corners = []
        for k, share in enumerate(counts[name].tolist()):
            corners += [panel.at(k / BINS, share), panel.at((k + 1) / BINS, share)]
        points = " ".join(f"{x},{y}" for x, y in corners)
        parts.append(tag("polyline", cls=f"line {cls}", body=hover(name), points=points))
    halves = (f"{percent(float((v > 0.5).mean()))} % of the {name}" for _, name, v in sides)
    spoken = f"More like an unlabelled row than not: {' and '.join(halves)} rows"
    return picture(WIDTH, HEIGHT, parts, spoken)


def _spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of the values in each bin, in per cent."""
    found = np.histogram(values, BINS, (0.0, 1.0))[0]
    return np.asarray(100.0 * found / max(len(values), 1))


def _shares(labels: LabelShift) -> Markup:
    shown = sorted(labels.classes, key=lambda c: -abs(c.now - c.before))[:MOST_DRAWN]
    lines = [
        Line(
            each.name, 100 * each.now, 100 * each.low, 100 * each.high, not each.changed, _on(each)
        )
        for each in shown
    ]
    return forest(lines, "% of the unlabelled rows; hollow: as before")


def _on(each: ClassShare) -> str:
    return (
        f"{percent(each.now)} % ({percent(each.low)} to {percent(each.high)}), "
        f"{percent(each.before)} % of the labelled rows"
    )


def _grid(labels: LabelShift) -> Grid:
    rows = tuple(
        (
            each.name,
            f"{percent(each.before)} %",
            f"{percent(each.now)} %",
            f"{percent(each.low)} to {percent(each.high)}",
            "changed" if each.changed else "",
        )
        for each in sorted(labels.classes, key=lambda c: -c.now)
    )
    head = ("Class", "Labelled rows", "Unlabelled rows", "Interval", "")
    caption = f"Shares of classes among {labels.unlabelled:,} unlabelled rows, estimated"
    return Grid(caption, head, rows, frozenset({1, 2, 3}))
