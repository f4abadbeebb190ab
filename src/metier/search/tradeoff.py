"""Accuracy against disparity of what was tried, and which of it is taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from metier.errors import OptionError
from metier.evidence.catalogue import METRICS
from metier.evidence.fairness.disparity import TITLES, Kind
from metier.evidence.words import points, whole
from metier.types import Finding

State = Literal["tried", "failed", "skipped"]
WORTH_IT = 0.9
"""What misses the limit all the same must leave no more than this of the disparity to be taken."""


@dataclass(frozen=True)
class Fairness:
    """What is asked of a run.

    Args:
        limit: how far groups may lie apart, 0.05 for 5 points; None for no limit.
        kind: what is limited: "parity" or "odds".
        by_group: whether groups may be answered by thresholds of their own.
    """

    limit: float | None = None
    kind: Kind = "odds"
    by_group: bool = False

    def told(self) -> str:
        """Return the limit in words."""
        return f"{TITLES[self.kind]} of at most {points(self.limit or 0.0)} points"


@dataclass(frozen=True)
class Point:
    """One candidate on the rows that choose: the deciding metric, and its disparity.

    Args:
        name: the strategy with its parameters; "" for the specialist as it was.
        state: whether it has figures at all.
        reason: why not.
        value: the deciding metric, with its interval.
        apart: the largest disparity of a sensitive column, with its interval; None where no column
            has two groups to judge.
        column: that column.
        lost: what is lost of the deciding metric against the specialist as it was, in its
            `loss_unit`, paired on the same rows; below 0 is a gain.
        n: rows that judge.
        meets: whether it is within the limit.
    """

    name: str
    state: State = "tried"
    reason: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    apart: float | None = None
    apart_low: float | None = None
    apart_high: float | None = None
    column: str = ""
    lost: float | None = None
    lost_low: float | None = None
    lost_high: float | None = None
    n: int = 0
    meets: bool = False

    @property
    def called(self) -> str:
        """The name as a person reads it."""
        return self.name or "as it was"

    def told(self) -> str:
        """Return the disparity in words."""
        if self.apart is None:
            return "no two groups that can be judged"
        ends = f"{points(self.apart_low or 0.0)} to {points(self.apart_high or 0.0)}"
        return f"{points(self.apart)} points ({ends}) by {self.column}"


@dataclass(frozen=True)
class Tradeoff:
    """All that was tried, and which of it the user gets.

    `chosen` is the name of a point; `met` tells whether it is within the limit; `verdict` says so
    in words; `proof` is the disparity that was measured in the end, on rows nothing was chosen by.
    """

    asked: Fairness
    metric: str
    higher_is_better: bool
    points: tuple[Point, ...]
    chosen: str
    met: bool
    verdict: str
    proof: Finding | None = None


def asked_of(limit: float | None, kind: str, by_group: bool) -> Fairness:
    """Return what was asked from what a user wrote. Raises OptionError for what cannot be."""
    if limit is not None and not (0 <= limit < 1 and math.isfinite(limit)):
        raise OptionError(
            f"--max-disparity {limit:g}: expected a share from 0 to below 1, such as 0.05"
        )
    if kind not in ("parity", "odds"):
        raise OptionError(f"--disparity {kind}: expected parity or odds")
    found: Kind = "parity" if kind == "parity" else "odds"
    return Fairness(limit, found, by_group)


def conclude(
    asked: Fairness, metric: str, higher_is_better: bool, tried: Sequence[Point]
) -> Tradeoff:
    """Choose among what was tried: the most accurate within the limit, the nearest when none is.

    The first point is the specialist as it was.
    """
    sign = 1.0 if higher_is_better else -1.0

    def worth(point: Point) -> tuple[float, float]:
        return sign * (point.value or 0.0), -(point.apart or 0.0)

    parts = asked, metric, higher_is_better, tuple(tried)
    start = tried[0]
    if start.apart is None:
        told = "no column has two groups with rows enough, so the limit binds nobody"
        return Tradeoff(*parts, start.name, True, told)
    measured = [each for each in tried if each.state == "tried" and each.apart is not None]
    within = [each for each in measured if each.meets]
    if within:
        best = max(within, key=worth)
        if best is start:
            told = f"the specialist is within the limit as it is: {best.told()}"
        else:
            told = f"taken is {best.called}: {best.told()}, down from {start.told()}"
            told += f"; {_cost(best, metric)}"
        return Tradeoff(*parts, best.name, True, told)
    nearest = min(measured, key=lambda each: (each.apart or 0.0, -worth(each)[0]))
    if (nearest.apart or 0.0) > WORTH_IT * start.apart:
        nearest = start
    told = (
        f"nothing that was tried keeps to the limit ({asked.told()}); the nearest is "
        f"{nearest.called} with {nearest.told()}"
    )
    if nearest is not start:
        told += f", down from {start.told()}; {_cost(nearest, metric)}"
    return Tradeoff(*parts, nearest.name, False, told)


def _cost(point: Point, metric: str) -> str:
    if point.lost is None or point.lost_low is None or point.lost_high is None:
        return f"measured on {whole(point.n)} rows"
    what = "lost" if point.lost >= 0 else "gained"
    low, high = point.lost_low, point.lost_high
    low, high = (low, high) if point.lost >= 0 else (-high, -low)
    amount = f"{abs(point.lost):.1f} {METRICS[metric].loss_unit}"
    rows = whole(point.n)
    return f"{amount} of the metric {what} ({low:+.1f} to {high:+.1f}, {rows} rows)"


def front(found: Tradeoff) -> tuple[Point, ...]:
    """Return the points that no other beats in both, from the evenest to the most accurate."""
    sign = 1.0 if found.higher_is_better else -1.0
    measured = [p for p in found.points if p.value is not None and p.apart is not None]
    best: list[Point] = []
    for point in sorted(measured, key=lambda p: (p.apart or 0.0, -sign * (p.value or 0.0))):
        if not best or sign * (point.value or 0.0) > sign * (best[-1].value or 0.0):
            best.append(point)
    return tuple(best)
