"""The curves of a glass box: all that such a model does, drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from metier.deploy.additive import Additive, Term, terms_by_importance
from metier.evidence.answers import Array
from metier.report.document import Figures, Section, Words
from metier.report.plots import HEIGHT, WIDTH, Axis, Panel, axis_over, frame
from metier.report.svg import hover, picture, tag, text
from metier.report.wording import number, shorten
from metier.runtime.columns import ColumnSpec

MOST = 12
"""Curves that are drawn: the most important ones."""
LINES = 12
"""Categories that are drawn, the commonest ones."""
TAIL = 0.02
"""The share of the span of a column's edges that is left free at both ends of its curve."""
ROW = 22


def terms_section(model: Additive, labels: Sequence[str]) -> Section:
    """Return the curves of a model, the most important first."""
    terms = [term for term in terms_by_importance(model) if term.importance > 0][:MOST]
    output = model.outputs - 1 if len(labels) <= 2 else None
    what = _what(labels)
    told = (
        f"This model is a sum: each column adds to the score {what} what its curve says, and a few "
        "pairs of columns add a little more. The band is one standard error on either side, from "
        "the bags that were averaged. Nothing else decides."
    )
    drawn = []
    for term in terms:
        which = output if output is not None else _widest(term)
        drawn.append((_draw(model, term, which), _caption(model, term, labels, which)))
    return Section("terms", "What the model is", (Words(told), Figures(tuple(drawn))))


def _what(labels: Sequence[str]) -> str:
    if not labels:
        return "(the predicted value)"
    return f"for {labels[1]!r} (in log-odds)" if len(labels) == 2 else "of each label"


def _widest(term: Term) -> int:
    """The label whose score a term moves most."""
    flat = term.scores.reshape(-1, term.scores.shape[-1])
    return int(np.ptp(flat, axis=0).argmax())


def _caption(model: Additive, term: Term, labels: Sequence[str], output: int) -> str:
    names = " and ".join(_owner(model, feature)[1] for feature in term.features)
    label = f", for {labels[output]!r}" if len(labels) > 2 else ""
    missing = float(term.scores[(0,) * len(term.features)][output])
    told = f"; missing: {number(missing)}" if len(term.features) == 1 and missing else ""
    return f"{names}{label}: {number(term.importance)} on average{told}"


def _owner(model: Additive, feature: int) -> tuple[ColumnSpec, str]:
    specs = [(spec, name) for spec in model.preprocess.columns for name in spec.names]
    return specs[feature]


def _draw(model: Additive, term: Term, output: int) -> Markup:
    scores, errors = term.scores[..., output], term.errors[..., output]
    if len(term.features) > 1:
        return _plane(model, term, scores)
    spec, name = _owner(model, term.features[0])
    if spec.encoding == "code":
        return _lines(spec, scores[2:], errors[2:])
    return _steps(name, term.edges[0].astype(np.float64), scores[1:], errors[1:])


def _steps(name: str, edges: Array, scores: Array, errors: Array) -> Markup:
    """Draw the curve of a number: a step for each bin, with its band."""
    if not len(edges):
        return picture(WIDTH, HEIGHT, [], f"{name}: {number(float(scores[0]))} whatever the value")
    room = TAIL * float(np.ptp(edges)) or 0.5
    ends = np.concatenate([[edges[0] - room], edges, [edges[-1] + room]])
    low, high = scores - errors, scores + errors
    panel = Panel(axis_over(ends.tolist(), 4), axis_over([*low, *high, 0.0], 4), HEIGHT)
    parts = frame(panel, name, "adds to the score")
    across = np.repeat(ends, 2)[1:-1]
    points = [
        [panel.at(float(x), float(y)) for x, y in zip(across, np.repeat(side, 2), strict=True)]
        for side in (low, high, scores)
    ]
    band = [*points[0], *reversed(points[1])]
    parts.append(tag("polygon", cls="error-band", points=_path(band)))
    (x0, y0), (x1, _) = panel.at(panel.across.low, 0.0), panel.at(panel.across.high, 0.0)
    parts.append(tag("line", cls="ideal", x1=x0, x2=x1, y1=y0, y2=y0))
    parts.append(tag("polyline", cls="stepped", points=_path(points[2])))
    spoken = (
        f"{name}: from {number(float(scores[0]))} below {number(float(edges[0]))} to "
        f"{number(float(scores[-1]))} above {number(float(edges[-1]))}; lowest "
        f"{number(float(scores.min()))}, highest {number(float(scores.max()))}"
    )
    return picture(WIDTH, HEIGHT, parts, spoken)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _lines(spec: ColumnSpec, scores: Array, errors: Array) -> Markup:
    """Draw what each category adds, the commonest ones, with whiskers."""
    names = [shorten(name, 22) for name in spec.vocabulary[:LINES]]
    own, errors = scores[: len(names)], errors[: len(names)]
    gutter = 150
    height = ROW * len(names) + 34
    axis = axis_over([*(own - errors), *(own + errors), 0.0], 4)
    parts = []
    for tick in axis.ticks:
        x = _along(axis, tick, gutter)
        parts.append(tag("line", cls="grid", x1=x, x2=x, y1=4, y2=height - 26))
        parts.append(text(axis.label(tick), x, height - 10, "middle", "tick", 11))
    zero = _along(axis, 0.0, gutter)
    parts.append(tag("line", cls="ideal", x1=zero, x2=zero, y1=4, y2=height - 26))
    for i, (name, value, error) in enumerate(zip(names, own, errors, strict=True)):
        y = 4 + ROW * (i + 0.5)
        left, right = (_along(axis, float(v), gutter) for v in (value - error, value + error))
        note = hover(f"{name}: {number(float(value))} ± {number(float(error))}")
        parts.append(text(name, gutter - 8, y + 4, "end", "", 11))
        parts.append(tag("line", cls="whisker thin", x1=left, x2=right, y1=y, y2=y))
        middle = _along(axis, float(value), gutter)
        parts.append(tag("circle", cls="dot", body=note, cx=middle, cy=y, r=3.5))
    spoken = "; ".join(f"{n} {number(float(v))}" for n, v in zip(names, own, strict=True))
    return picture(WIDTH, height, parts, f"{spec.name}: {spoken}")


def _along(axis: Axis, value: float, gutter: int) -> float:
    return round(gutter + axis.share(value) * (WIDTH - gutter - 14), 1)


def _plane(model: Additive, term: Term, scores: Array) -> Markup:
    """Draw what a pair adds: a cell for each two bins, missing ones left out."""
    own = scores[1:, 1:]
    top = float(np.abs(own).max()) or 1.0
    left, floor, right = 34, HEIGHT - 26, WIDTH - 10
    wide, tall = (right - left) / own.shape[1], (floor - 6) / own.shape[0]
    parts = []
    for i, row in enumerate(own.tolist()):
        for j, value in enumerate(row):
            shade = abs(value) / top
            if shade >= 0.03:
                parts.append(
                    tag("rect", cls="right" if value > 0 else "wrong", x=f"{left + j * wide:.1f}",
                        y=f"{floor - (i + 1) * tall:.1f}", width=f"{wide:.1f}",
                        height=f"{tall:.1f}", fill_opacity=f"{0.9 * shade:.2f}")
                )  # fmt: skip
    frame_of = tag("rect", cls="frame", x=left, y=6, width=right - left, height=floor - 6)
    first, second = (_owner(model, feature)[1] for feature in term.features)
    parts.append(frame_of)
    parts.append(text(second, right, HEIGHT - 8, "end", "axis", 11))
    parts.append(text(first, 0, 0, "end", "axis", 11, transform="translate(22 6) rotate(-90)"))
    low, high = (number(float(value)) for value in (own.min(), own.max()))
    spoken = f"{first} and {second} together add from {low} to {high}"
    return picture(WIDTH, HEIGHT, parts, spoken, cls="heat")
