"""Figures as small inline SVG, coloured by the page's own style sheet.

Not matplotlib: its figures carry fixed colours (so no dark mode), fonts as paths and 30-100 kB
each; these follow the reader's colour scheme, stay sharp in print and weigh a few kB.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from metier.report.content import Bin, Curve, Scatter
from metier.report.svg import hover, picture, tag, text
from metier.report.wording import number

WIDTH, HEIGHT, SQUARE = 340, 220, 324
"""A figure fits a narrow phone without being scaled down, so that its letters stay readable."""
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 38
MOST_POINTS = 1500


@dataclass(frozen=True)
class Axis:
    """A linear scale from values to positions, with round ticks, or with `words` at them."""

    low: float
    high: float
    ticks: tuple[float, ...]
    words: tuple[str, ...] = ()

    def share(self, value: float) -> float:
        """Where a value lies, from 0 (`low`) to 1 (`high`), held inside."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def holds(self, value: float) -> bool:
        """Whether a value lies on the scale."""
        return self.low <= value <= self.high

    def label(self, tick: float) -> str:
        """Return a tick as short as it can be, all of one axis alike: 0.25, 40, 12k, 3M."""
        if self.words:
            return self.words[self.ticks.index(tick)]
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
        size = max(abs(low), abs(high))
        half = 0.5 * (size if size > 1e-12 else 1.0)
        low, high = low - half, high + half
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
            tag("rect", cls="band", x=f"{left:.2%}", y=0, width=f"{right - left:.2%}", height=24)
        )
    parts.append(tag("line", cls="rail", x1="0%", x2="100%", y1=12, y2=12))
    if zero:
        at = axis.percent(0.0)
        parts.append(tag("line", cls="zero", x1=at, x2=at, y1=0, y2=24))
    if low is not None and high is not None and axis.low < high and low < axis.high:
        start, stop = axis.percent(low), axis.percent(high)
        parts.append(tag("line", cls="whisker", x1=start, x2=stop, y1=12, y2=12))
    parts.append(_dot(axis, value))
    spoken = f"{number(value)}" + (
        f", interval {number(low)} to {number(high)}" if low is not None else ""
    )
    return picture("100%", 24, parts, spoken, cls=f"bar {_direction(low, high) if zero else ''}")


def _dot(axis: Axis, value: float) -> Markup:
    """Draw a value, or an arrow at the edge that it lies beyond."""
    if axis.holds(value):
        return tag("circle", cls="dot", cx=axis.percent(value), cy=12, r=4.5)
    if value < axis.low:
        return tag("path", cls="beyond", d="M-4 12l8 -5v10z")
    arrow = tag("path", cls="beyond", d="M4 12l-8 -5v10z")
    return tag("svg", body=arrow, x="100%", overflow="visible")


def _direction(low: float | None, high: float | None) -> str:
    """Say whether an interval lies wholly above zero, wholly below, or neither."""
    if low is not None and low > 0:
        return "up"
    return "down" if high is not None and high < 0 else ""


def learning_curve(curve: Curve) -> Markup:
    """Draw training (dashed) and validation (solid) over the steps."""
    panel = Panel(axis_over(curve.steps, 4), axis_over((*curve.train, *curve.valid), 4), HEIGHT)
    parts = frame(panel, "step", curve.measure)
    for cls, series in (("train", curve.train), ("valid", curve.valid)):
        points = [
            panel.at(x, y) for x, y in zip(curve.steps, series, strict=False) if math.isfinite(y)
        ]
        if not points:
            continue
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(tag("polyline", cls=f"line {cls}", points=path))
        if len(points) <= 25:
            parts += [
                tag("circle", cls=f"knot {cls}", cx=f"{x:.1f}", cy=f"{y:.1f}", r=2.4)
                for x, y in points
            ]
    ends = [
        f"{name} ends at {number(series[-1])}"
        for name, series in (("training", curve.train), ("validation", curve.valid))
        if series
    ]
    return picture(WIDTH, HEIGHT, parts, f"{curve.measure} of {curve.name}: {', '.join(ends)}")


def reliability_diagram(bins: Sequence[Bin]) -> Markup:
    """Draw how often answers of a confidence are right; the line is what would be perfect.

    Whiskers are Wilson's 95 % intervals of a share; the area of a dot grows with its rows.
    """
    unit = Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0))
    panel = Panel(unit, unit, SQUARE)
    parts = frame(panel, "confidence", "share right")
    (x0, y0), (x1, y1) = panel.at(0, 0), panel.at(1, 1)
    parts.append(tag("line", cls="ideal", x1=x0, y1=y0, x2=x1, y2=y1))
    most = max((each.n for each in bins), default=1)
    for each in bins:
        if each.n == 0:
            continue
        low, high = wilson(each.accuracy, each.n)
        x, y = panel.at(each.confidence, each.accuracy)
        _, bottom = panel.at(0, low)
        _, top = panel.at(0, high)
        note = f"{each.n} rows: confidence {each.confidence:.2f}, right {each.accuracy:.2f}"
        parts.append(tag("line", cls="whisker thin", x1=x, x2=x, y1=bottom, y2=top))
        radius = f"{2.5 + 5 * math.sqrt(each.n / most):.1f}"
        parts.append(tag("circle", cls="dot", body=hover(note), cx=x, cy=y, r=radius))
    spoken = "; ".join(f"{b.confidence:.2f} stated, {b.accuracy:.2f} right" for b in bins if b.n)
    return picture(WIDTH, SQUARE, parts, f"Reliability diagram: {spoken}")


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
    parts = frame(panel, "truth", "prediction")
    (x0, y0), (x1, y1) = panel.at(both.low, both.low), panel.at(both.high, both.high)
    parts.append(tag("line", cls="ideal", x1=x0, y1=y0, x2=x1, y2=y1))
    stride = max(1, math.ceil(len(scatter.truth) / MOST_POINTS))
    for truth, answer in zip(scatter.truth[::stride], scatter.prediction[::stride], strict=True):
        x, y = panel.at(truth, answer)
        parts.append(tag("circle", cls="point", cx=f"{x:.1f}", cy=f"{y:.1f}", r=2.6))
    spoken = f"Prediction against truth of {len(scatter.truth)} rows"
    return picture(WIDTH, SQUARE, parts, spoken)


def frame(panel: Panel, below: str, beside: str) -> list[Markup]:
    """Draw the grid of a panel, its ticks, and what its two axes are called."""
    across, up = panel.across, panel.up
    parts: list[Markup] = []
    for tick in up.ticks:
        (x0, y), (x1, _) = panel.at(across.low, tick), panel.at(across.high, tick)
        parts.append(tag("line", cls="grid", x1=x0, x2=x1, y1=y, y2=y))
        parts.append(text(up.label(tick), x0 - 6, y + 4, "end", "tick", 11))
    for tick in across.ticks:
        x, y = panel.at(tick, up.low)
        parts.append(tag("line", cls="grid", x1=x, x2=x, y1=y, y2=y + 4))
        parts.append(text(across.label(tick), x, y + 16, "middle", "tick", 11))
    x, y = panel.at(across.high, up.low)
    parts.append(text(below, x, y + 32, "end", "axis", 11))
    _, top = panel.at(across.low, up.high)
    turn = f"translate(9 {top}) rotate(-90)"
    parts.append(text(beside, 0, 0, "end", "axis", 11, transform=turn))
    return parts
