"""A comparison of two bundles as rows of text, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from metier.evidence.catalogue import METRICS
from metier.evidence.words import number, points
from metier.report import wording
from metier.road.compare import Compared
from metier.types import Finding

Line = dict[str, str]
MOST = 10
RIGHT = {"a": "A", "b": "B", "neither": "neither"}


def metric_lines(found: Compared) -> list[Line]:
    """Every metric of both with its interval, and what B is compared with A."""
    return [
        {
            "metric": METRICS[gain.name].title,
            "A": _measured(one),
            "B": _measured(other),
            "B − A": _signed(gain),
            "B is": str(gain.details["verdict"]),
        }
        for gain, one, other in zip(
            found.differences, found.a.metrics, found.b.metrics, strict=True
        )
    ]


def cost_lines(found: Compared) -> list[Line]:
    """What both cost, measure by measure, and how many times as much B costs."""
    first, second = ({each.name: each for each in side.cost} for side in (found.a, found.b))
    return [
        {
            "cost": wording.title(name),
            "A": wording.value_of(first[name]),
            "B": wording.value_of(second[name]),
            "B / A": _times(first[name].value, second[name].value),
        }
        for name in first
        if name in second
    ]


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


def _times(first: float | None, second: float | None) -> str:
    if not first or second is None:
        return wording.MISSING
    return f"{second / first:.2f}"
