"""What was tried to make a specialist smaller: the Pareto front, and the page of `compress`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup

from metier.evidence.catalogue import METRICS
from metier.report import wording
from metier.report.assets import render
from metier.report.plots import HEIGHT, WIDTH, Panel, axis_over, frame
from metier.report.svg import hover, picture, tag, text
from metier.search.front import Compression, Shrunk, Side, milliseconds, pareto

Along = Literal["size", "latency"]


@dataclass(frozen=True)
class Compressed:
    """A run of `metier compress`, told to a person.

    Args:
        name: of the run.
        created: when it ended, ISO 8601.
        command: the command line that made it.
        metric: the deciding one.
        compression: what was tried and taken.
        rows_used: which rows did what, a sentence.
        bundle: the folder of what is handed over.
        digest: what ``metier load --expect`` takes.
        parent: the digest of the bundle it was made from.
        proof: a sentence on rows that not even the choice among the chains used; "" without.
        notes: sentences on what a person should know.
        versions: of the libraries.
    """

    name: str
    created: str
    command: str
    metric: str
    compression: Compression
    rows_used: str
    bundle: str
    digest: str
    parent: str
    proof: str = ""
    notes: tuple[str, ...] = ()
    versions: Mapping[str, str] | None = None


def render_compressed(told: Compressed) -> str:
    """Return the page of a run of `metier compress` as a complete HTML document."""
    return render("compressed.html", told.created, filters(), told=told)


def filters() -> dict[str, Callable[..., Any]]:
    """What the templates of this section need."""
    return {
        "bytes": wording.size,
        "milliseconds": milliseconds,
        "figure": wording.number,
        "front": front_plot,
        "candidates": _lines,
        "loss_unit": lambda metric: METRICS[metric].loss_unit,
    }


def _lines(found: Compression) -> list[dict[str, Any]]:
    """One line a candidate: the parent first, then what was tried, in its order."""
    best = pareto(found.parent, found.tried)
    parent: dict[str, Any] = {
        "name": "as it was",
        "state": "chosen" if found.chosen == "" else "baseline",
        "side": found.parent,
        "front": "" in best,
        "loss": "",
        "reason": "",
    }
    others = [
        {
            "name": each.name,
            "state": "chosen" if each.name == found.chosen else each.state,
            "side": each.side,
            "front": each.name in best,
            "loss": loss_told(each),
            "reason": each.reason,
        }
        for each in found.tried
    ]
    return [parent, *others]


def loss_told(each: Shrunk) -> str:
    """Return what was gained against the specialist as it was, with their interval."""
    if each.loss is None:
        return ""
    told = f"{-each.loss:+.2f}"
    if each.loss_low is None or each.loss_high is None:
        return told
    return f"{told} ({-each.loss_high:+.2f} to {-each.loss_low:+.2f})"


def front_plot(found: Compression, along: Along) -> Markup:
    """Draw quality against size or latency; the stair joins what nothing else beats in both.

    Up is better: what is gained against the specialist as it was, with the paired interval.
    """
    value = _megabytes if along == "size" else _latency
    measured = [each for each in found.tried if each.side is not None and each.loss is not None]
    sides = [found.parent, *(each.side for each in measured if each.side is not None)]
    limit = _limit(found, along)
    across = axis_over((0.0, *(value(side) for side in sides), *limit), 4)
    ends = [v for e in measured for v in (e.loss, e.loss_low, e.loss_high) if v is not None]
    panel = Panel(across, axis_over((0.0, *(-v for v in ends)), 4), HEIGHT)
    unit = "MB" if along == "size" else "ms a row"
    parts = frame(panel, unit, f"{found.unit} gained")
    parts += _limits(panel, limit)
    parts += _stair(panel, [(value(found.parent), 0.0), *_points(measured, value)])
    parts += [_mark(panel, each, value, found.chosen) for each in measured]
    (x, y), note = panel.at(value(found.parent), 0.0), f"as it was: {found.parent.told()}"
    cls = "dot" if found.chosen == "" else "dot parent"
    parts.append(tag("circle", cls=cls, body=hover(note), cx=x, cy=y, r=5))
    gained = f"{found.unit.capitalize()} gained"
    spoken = f"{gained} against {along}, {len(measured)} candidates and the parent"
    return picture(WIDTH, HEIGHT, parts, spoken, cls="front")


def _megabytes(side: Side) -> float:
    return side.bytes / 1e6


def _latency(side: Side) -> float:
    return 1e3 * side.latency


def _limit(found: Compression, along: Along) -> tuple[float, ...]:
    asked = found.limits.size if along == "size" else found.limits.latency
    if asked is None:
        return ()
    return (asked / 1e6,) if along == "size" else (asked * 1e3,)


def _limits(panel: Panel, limit: tuple[float, ...]) -> list[Markup]:
    """A line where the limit lies."""
    parts = []
    for each in limit:
        (x, low), (_, high) = panel.at(each, panel.up.low), panel.at(each, panel.up.high)
        parts.append(tag("line", cls="ideal", x1=x, x2=x, y1=low, y2=high))
        parts.append(text("limit", x + 4, high + 10, "start", "tick", 11))
    return parts


def _points(
    measured: Sequence[Shrunk], value: Callable[[Side], float]
) -> list[tuple[float, float]]:
    return [(value(e.side), -e.loss) for e in measured if e.side is not None and e.loss is not None]


def _stair(panel: Panel, points: Sequence[tuple[float, float]]) -> list[Markup]:
    """Join the points that no other beats in both directions."""
    best: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or y > best[-1][1]:
            best.append((x, y))
    corners: list[tuple[float, float]] = []
    for x, y in best:
        if corners:
            corners.append(panel.at(x, best[best.index((x, y)) - 1][1]))
        corners.append(panel.at(x, y))
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    return [tag("polyline", cls="line stair", points=path)] if len(best) > 1 else []


def _mark(panel: Panel, each: Shrunk, value: Callable[[Side], float], chosen: str) -> Markup:
    assert each.side is not None and each.loss is not None
    x, y = panel.at(value(each.side), -each.loss)
    parts = []
    if each.loss_low is not None and each.loss_high is not None:
        _, top = panel.at(0, -each.loss_low)
        _, bottom = panel.at(0, -each.loss_high)
        parts.append(tag("line", cls="whisker thin", x1=x, x2=x, y1=bottom, y2=top))
    note = hover(f"{each.name}: {each.side.told()}, {-each.loss:+.2f} {each.unit}; {each.state}")
    parts.append(tag("circle", cls="dot", body=note, cx=x, cy=y, r=4.5))
    state = "chosen" if each.name == chosen else each.state
    return tag("g", cls=state, body=Markup("").join(parts))
