"""Figures as small inline SVG, coloured by the page's own style sheet.

Not matplotlib: its figures carry fixed colours (so no dark mode), fonts as paths and 30-100 kB
each; these follow the reader's colour scheme, stay sharp in print and weigh a few kB.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from metier.report.content import Bin, Confusion, Curve, Scatter
from metier.report.wording import number

WIDTH, HEIGHT, SQUARE = 340, 220, 324
"""A figure fits a narrow phone without being scaled down, so that its letters stay readable."""
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 38
MOST_CLASSES = 100
MOST_POINTS = 1500


@dataclass(frozen=True)
class Axis:
    """A linear scale from values to positions, with round ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def share(self, value: float) -> float:
        """Where a value lies, from 0 (`low`) to 1 (`high`), held inside."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def holds(self, value: float) -> bool:
        """Whether a value lies on the scale."""
        return self.low <= value <= self.high

    def label(self, tick: float) -> str:
        """Return a tick as short as it can be, all of one axis alike: 0.25, 40, 12k, 3M."""
        largest = max(abs(each) for each in self.ticks)
        for size, letter in ((1e7, "M"), (1e4, "k")):
            if largest >= size:
                return f"{tick / (1e6 if letter == 'M' else 1e3):g}{letter if tick else ''}"
        return f"{tick:.6g}"

    def percent(self, value: float) -> str:
        """Where a value lies, as SVG and CSS take it."""
        return f"{100 * self.share(value):.2f}%"


@dataclass(frozen=True)
class Panel:
    """The plane between two axes, in a figure of a given height in pixels."""

    across: Axis
    up: Axis
    height: int

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the position of a pair of values, from the top left, in pixels."""
        wide, tall = WIDTH - LEFT - RIGHT, self.height - TOP - BOTTOM
        return (
            round(LEFT + self.across.share(x) * wide, 1),
            round(self.height - BOTTOM - self.up.share(y) * tall, 1),
        )


def axis_over(values: Iterable[float | None], most: int = 5) -> Axis:
    """Return an axis with round ends that holds all values.

    >>> axis_over([0.13, 0.94]).ticks
    (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    """
    known = [v for v in values if v is not None and math.isfinite(v)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if high - low < 1e-12 * max(1.0, abs(high)):
        low, high = low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)
    step = _round_step((high - low) / most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(float(f"{k * step:.12g}") for k in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks)


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)


def interval_bar(
    axis: Axis,
    value: float,
    low: float | None,
    high: float | None,
    band: tuple[float, float] | None = None,
    zero: bool = False,
) -> Markup:
    """Draw a value with its interval across the full width of its cell.

    `band` shades the interval to compare with, so that overlap is seen; `zero` marks no gain.
    """
    parts: list[Markup] = []
    if band is not None:
        left, right = axis.share(band[0]), axis.share(band[1])
        parts.append(
            _tag("rect", cls="band", x=f"{left:.2%}", y=0, width=f"{right - left:.2%}", height=24)
        )
    parts.append(_tag("line", cls="rail", x1="0%", x2="100%", y1=12, y2=12))
    if zero:
        at = axis.percent(0.0)
        parts.append(_tag("line", cls="zero", x1=at, x2=at, y1=0, y2=24))
    if low is not None and high is not None and axis.low < high and low < axis.high:
        left, right = axis.percent(low), axis.percent(high)
        parts.append(_tag("line", cls="whisker", x1=left, x2=right, y1=12, y2=12))
    parts.append(_dot(axis, value))
    spoken = f"{number(value)}" + (
        f", interval {number(low)} to {number(high)}" if low is not None else ""
    )
    return _svg("100%", 24, parts, spoken, cls=f"bar {_direction(low, high) if zero else ''}")


def _dot(axis: Axis, value: float) -> Markup:
    """Draw a value, or an arrow at the edge that it lies beyond."""
    if axis.holds(value):
        return _tag("circle", cls="dot", cx=axis.percent(value), cy=12, r=4.5)
    if value < axis.low:
        return _tag("path", cls="beyond", d="M-4 12l8 -5v10z")
    arrow = _tag("path", cls="beyond", d="M4 12l-8 -5v10z")
    return _tag("svg", body=arrow, x="100%", overflow="visible")


def _direction(low: float | None, high: float | None) -> str:
    """Say whether an interval lies wholly above zero, wholly below, or neither."""
    if low is not None and low > 0:
        return "up"
    return "down" if high is not None and high < 0 else ""


def learning_curve(curve: Curve) -> Markup:
    """Draw training (dashed) and validation (solid) over the steps."""
    panel = Panel(axis_over(curve.steps, 4), axis_over((*curve.train, *curve.valid), 4), HEIGHT)
    parts = _frame(panel, "step", curve.measure)
    for cls, series in (("train", curve.train), ("valid", curve.valid)):
        points = [
            panel.at(x, y) for x, y in zip(curve.steps, series, strict=False) if math.isfinite(y)
        ]
        if not points:
            continue
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(_tag("polyline", cls=f"line {cls}", points=path))
        if len(points) <= 25:
            parts += [
                _tag("circle", cls=f"knot {cls}", cx=f"{x:.1f}", cy=f"{y:.1f}", r=2.4)
                for x, y in points
            ]
    ends = [
        f"{name} ends at {number(series[-1])}"
        for name, series in (("training", curve.train), ("validation", curve.valid))
        if series
    ]
    return _svg(WIDTH, HEIGHT, parts, f"{curve.measure} of {curve.name}: {', '.join(ends)}")


def reliability_diagram(bins: Sequence[Bin]) -> Markup:
    """Draw how often answers of a confidence are right; the line is what would be perfect.

    Whiskers are Wilson's 95 % intervals of a share; the area of a dot grows with its rows.
    """
    unit = Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0))
    panel = Panel(unit, unit, SQUARE)
    parts = _frame(panel, "confidence", "share right")
    (x0, y0), (x1, y1) = panel.at(0, 0), panel.at(1, 1)
    parts.append(_tag("line", cls="ideal", x1=x0, y1=y0, x2=x1, y2=y1))
    most = max((each.n for each in bins), default=1)
    for each in bins:
        if each.n == 0:
            continue
        low, high = wilson(each.accuracy, each.n)
        x, y = panel.at(each.confidence, each.accuracy)
        _, bottom = panel.at(0, low)
        _, top = panel.at(0, high)
        note = f"{each.n} rows: confidence {each.confidence:.2f}, right {each.accuracy:.2f}"
        parts.append(_tag("line", cls="whisker thin", x1=x, x2=x, y1=bottom, y2=top))
        radius = f"{2.5 + 5 * math.sqrt(each.n / most):.1f}"
        parts.append(_tag("circle", cls="dot", body=_title(note), cx=x, cy=y, r=radius))
    spoken = "; ".join(f"{b.confidence:.2f} stated, {b.accuracy:.2f} right" for b in bins if b.n)
    return _svg(WIDTH, SQUARE, parts, f"Reliability diagram: {spoken}")


def wilson(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's score interval (1927) of a share among `n`.

    >>> tuple(round(each, 3) for each in wilson(0.9, 50))
    (0.786, 0.957)
    """
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def scatter_plot(scatter: Scatter) -> Markup:
    """Draw predictions against the truth; on the line they agree. At most 1,500 points."""
    both = axis_over((*scatter.truth, *scatter.prediction), 4)
    panel = Panel(both, both, SQUARE)
    parts = _frame(panel, "truth", "prediction")
    (x0, y0), (x1, y1) = panel.at(both.low, both.low), panel.at(both.high, both.high)
    parts.append(_tag("line", cls="ideal", x1=x0, y1=y0, x2=x1, y2=y1))
    stride = max(1, math.ceil(len(scatter.truth) / MOST_POINTS))
    for truth, answer in zip(scatter.truth[::stride], scatter.prediction[::stride], strict=True):
        x, y = panel.at(truth, answer)
        parts.append(_tag("circle", cls="point", cx=f"{x:.1f}", cy=f"{y:.1f}", r=2.6))
    spoken = f"Prediction against truth of {len(scatter.truth)} rows"
    return _svg(WIDTH, SQUARE, parts, spoken)


def heat_map(confusion: Confusion) -> Markup | None:
    """Draw a confusion matrix, each row shaded by its shares; None above 100 classes.

    Right answers lie on the diagonal in one colour, errors beside it in another. Empty cells are
    not drawn, so that the size grows with the errors and not with the square of the classes.
    """
    n = len(confusion.labels)
    if not 0 < n <= MOST_CLASSES:
        return None
    cell = 34 if n <= 9 else 26 if n <= 16 else 20 if n <= 30 else 12 if n <= 60 else 10
    letters = 11.5 if n <= 16 else 10.5 if n <= 30 else 9.5 if n <= 60 else 9
    names = [shorten(label, 22) for label in confusion.labels]
    gutter = round(max(len(name) for name in names) * letters * 0.56) + 22
    parts = _map_names(names, cell, gutter, letters)
    for i, row in enumerate(confusion.matrix):
        total = sum(row) or 1
        for j, count in enumerate(row):
            if count:
                parts.append(_cell(confusion, i, j, count / total, cell, gutter, n <= 30))
    side = gutter + n * cell + 2
    right = sum(confusion.matrix[i][i] for i in range(n))
    spoken = f"Confusion matrix of {n} classes: {right} of {_total(confusion)} rows are right"
    return _svg(side, side, parts, spoken, cls="heat")


def _cell(
    confusion: Confusion, i: int, j: int, share: float, cell: int, gutter: int, figures: bool
) -> Markup:
    count = confusion.matrix[i][j]
    x, y = gutter + j * cell, gutter + i * cell
    note = _title(
        f"{confusion.labels[i]} answered as {confusion.labels[j]}: {count} rows, {share:.0%}"
    )
    kind, least = ("right", 0.12) if i == j else ("wrong", 0.22)
    shade = f"{least + (1 - least) * share:.2f}"
    drawn = _tag(
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
    return drawn + _text(str(count), x + cell / 2, y + cell / 2 + 4, "middle", ink, letters)


def _map_names(names: Sequence[str], cell: int, gutter: int, letters: float) -> list[Markup]:
    n, parts = len(names), []
    for k, name in enumerate(names):
        middle = gutter + (k + 0.5) * cell
        parts.append(_text(name, gutter - 6, middle + letters * 0.35, "end", "", letters))
        turn = f"translate({middle + letters * 0.35:.1f} {gutter - 6}) rotate(-90)"
        parts.append(_text(name, 0, 0, "start", "", letters, transform=turn))
    side = n * cell
    for k in range(5, n, 5):
        at = gutter + k * cell
        parts.append(_tag("line", cls="guide", x1=at, x2=at, y1=gutter, y2=gutter + side))
        parts.append(_tag("line", cls="guide", x1=gutter, x2=gutter + side, y1=at, y2=at))
    parts.append(_tag("rect", cls="frame", x=gutter, y=gutter, width=side, height=side))
    parts.append(_text("answer →", gutter, 10, "start", "axis", 11))
    turn = f"translate(10 {gutter}) rotate(-90)"
    parts.append(_text("← truth", 0, 0, "end", "axis", 11, transform=turn))
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


def shorten(text: str, most: int) -> str:
    """Return a text cut to at most `most` characters, with an ellipsis where it was cut."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _frame(panel: Panel, below: str, beside: str) -> list[Markup]:
    across, up = panel.across, panel.up
    parts: list[Markup] = []
    for tick in up.ticks:
        (x0, y), (x1, _) = panel.at(across.low, tick), panel.at(across.high, tick)
        parts.append(_tag("line", cls="grid", x1=x0, x2=x1, y1=y, y2=y))
        parts.append(_text(up.label(tick), x0 - 6, y + 4, "end", "tick", 11))
    for tick in across.ticks:
        x, y = panel.at(tick, up.low)
        parts.append(_tag("line", cls="grid", x1=x, x2=x, y1=y, y2=y + 4))
        parts.append(_text(across.label(tick), x, y + 16, "middle", "tick", 11))
    x, y = panel.at(across.high, up.low)
    parts.append(_text(below, x, y + 32, "end", "axis", 11))
    _, top = panel.at(across.low, up.high)
    turn = f"translate(9 {top}) rotate(-90)"
    parts.append(_text(beside, 0, 0, "end", "axis", 11, transform=turn))
    return parts


def _svg(
    width: int | str, height: int, parts: Sequence[Markup], spoken: str, cls: str = ""
) -> Markup:
    attributes: dict[str, object] = {"width": width, "height": height}
    if isinstance(width, int):
        attributes["viewBox"] = f"0 0 {width} {height}"
    return _tag(
        "svg",
        cls=f"plot {cls}".strip(),
        body=Markup("").join(parts),
        role="img",
        aria_label=spoken,
        **attributes,
    )


def _title(text: str) -> Markup:
    return _tag("title", body=escape(text))


def _text(
    text: str, x: float, y: float, anchor: str, cls: str, letters: float, transform: str = ""
) -> Markup:
    more = {"transform": transform} if transform else {}
    place = {"x": f"{x:g}", "y": f"{y:g}", "text_anchor": anchor, "font_size": f"{letters:g}"}
    return _tag("text", cls=cls, body=escape(text), **place, **more)


def _tag(name: str, cls: str = "", body: Markup | None = None, **attributes: object) -> Markup:
    """Write one element; every attribute and text is escaped, underscores become hyphens."""
    if cls:
        attributes = {"class": cls, **attributes}
    written = "".join(
        f' {key.replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items()
    )
    return Markup(f"<{name}{written}>{body}</{name}>" if body else f"<{name}{written}/>")
