"""A comparison of two bundles as rows of text, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from metier.evidence.catalogue import METRICS
from metier.evidence.pair import Ratio
from metier.evidence.words import number, points
from metier.report import wording
from metier.road.bundles.compare import Compared
from metier.types import Finding

Line = dict[str, str]
MOST = 10
RIGHT = {"a": "A", "b": "B", "neither": "neither"}


def metric_lines(found: Compared) -> list[Line]:
    """Every metric of both with its interval, and how much better B is, whichever way it points."""
    return [
        {
            "metric": METRICS[gain.name].title,
            "A": _measured(one),
            "B": _measured(other),
            "B better by": _signed(gain),
            "B is": str(gain.details["verdict"]),
        }
        for gain, one, other in zip(
            found.differences, found.a.metrics, found.b.metrics, strict=True
        )
    ]


def metrics_told(found: Compared) -> str:
    """What was considered in saying what B is, in a sentence; empty for one metric."""
    others = len(found.differences) - 1
    if others < 1:
        return ""
    return (
        f"What B is by {METRICS[found.metric].title} is judged alone; the {others} other metrics "
        "are judged together (Holm's adjustment), their intervals alone."
    )


def cost_lines(found: Compared) -> list[Line]:
    """What both cost, measured in turns, and how many times as much B costs."""
    cost, (a, b) = found.cost, (found.cost.parent, found.cost.child)
    one = _time(a.latency_one, a.p95_one), _time(b.latency_one, b.p95_one)
    lines = [_cost("size", wording.size(a.bytes), wording.size(b.bytes), f"{cost.bytes:.2f}")]
    if cost.threads > 1:
        every = _time(a.latency, a.p95), _time(b.latency, b.p95)
        lines.append(_cost(f"one row, {cost.threads} threads", *every, _ratio(cost.latency)))
    lines.append(_cost("one row, one thread", *one, _ratio(cost.latency_one)))
    many = wording.number(a.throughput), wording.number(b.throughput)
    faster = Ratio(1 / cost.time.value, 1 / cost.time.high, 1 / cost.time.low)
    lines.append(_cost("rows a second, together", *many, _ratio(faster)))
    if cost.memory is not None and a.memory is not None and b.memory is not None:
        sizes = wording.size(a.memory), wording.size(b.memory)
        lines.append(_cost("peak memory", *sizes, f"{cost.memory:.2f}"))
    return lines


def _cost(name: str, a: str, b: str, ratio: str) -> Line:
    return {"cost": name, "A": a, "B": b, "B / A": ratio}


def _time(median: float, p95: float) -> str:
    return f"{wording.duration(median)} (95 of 100: {wording.duration(p95)})"


def _ratio(found: Ratio) -> str:
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"


def row_lines(found: Compared) -> list[Line]:
    """The first rows that differ, with their inputs and who was right."""
    who = "nearer" if found.task == "regression" else "right"
    return [
        {
            "row": str(each.row),
            **{name: wording.shorten(cell, 60) for name, cell in _few(each.inputs).items()},
            "truth": each.truth,
            "A says": each.a,
            "B says": each.b,
            who: RIGHT[each.right],
        }
        for each in found.differing[:MOST]
    ]


def rows_told(found: Compared) -> str:
    """How many rows differ and who was right on them, in a sentence."""
    differ = found.n - found.counts["same"]
    if not differ:
        return f"The two answer all {found.n} rows alike."
    if found.task == "regression":
        return f"A is nearer on {found.counts['a']} rows, B on {found.counts['b']}."
    return (
        f"The two differ on {differ} of {found.n} rows: only A is right on {found.counts['a']}, "
        f"only B on {found.counts['b']}, neither on {found.counts['neither']}."
    )


def _few(inputs: Mapping[str, str]) -> dict[str, str]:
    """As many columns as fit beside the answers."""
    return dict(list(inputs.items())[:3])


def _measured(found: Finding) -> str:
    return f"{wording.number(found.value)} ({wording.interval(found.low, found.high)})"


def _signed(gain: Finding) -> str:
    """A difference and its interval in points or in the metric's unit; above 0 is better."""

    def told(value: float | None) -> str:
        if value is None or value != value:
            return wording.MISSING
        size = points(value) if gain.details["share"] else number(abs(value))
        return f"{'−' if value < 0 else '+' if value > 0 else ''}{size}"

    return f"{told(gain.value)} ({told(gain.low)} to {told(gain.high)})"
