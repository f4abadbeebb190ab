"""Size, speed and quality of what was tried to make a specialist smaller, and which is taken."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from metier.errors import OptionError
from metier.evidence.catalogue import LossUnit
from metier.evidence.words import number

State = Literal["accepted", "rejected", "failed", "skipped"]
MAX_LOSS = 0.5
"""Points of the metric that a smaller specialist may lose when nobody says."""
_BYTES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20}
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True)
class Limits:
    """What the user's device allows.

    Args:
        size: bytes of the whole `specialist/` folder; None for no limit.
        latency: seconds for one row at a time, the median; None for no limit.
        loss: points of the metric (hundredths; per cent of the parent's value for a metric that is
            no share) that may be lost against the specialist as it was.
    """

    size: int | None = None
    latency: float | None = None
    loss: float = MAX_LOSS

    @property
    def given(self) -> bool:
        """Whether there is a limit of size or latency at all."""
        return self.size is not None or self.latency is not None

    @property
    def wanted(self) -> Literal["speed", "size"]:
        """What the gate insists on: a limit of size alone is met by what is no faster."""
        return "size" if self.size is not None and self.latency is None else "speed"

    def excess(self, side: Side) -> float:
        """Return how many times the tightest limit a specialist takes; at most 1 meets all."""
        found = [0.0]
        if self.size is not None:
            found.append(side.bytes / self.size)
        if self.latency is not None:
            found.append(side.latency / self.latency)
        return max(found)

    def told(self) -> str:
        """Return the limits in words."""
        parts = []
        if self.size is not None:
            parts.append(f"at most {megabytes(self.size)}")
        if self.latency is not None:
            parts.append(f"at most {milliseconds(self.latency)} a row")
        return " and ".join(parts) or "no limit of size or latency"


@dataclass(frozen=True)
class Side:
    """What one specialist costs and is worth, on this machine and on the rows that judge.

    Args:
        bytes: of the whole `specialist/` folder.
        latency: seconds for one row at a time, the median.
        p95: of the same.
        latency_one: the median with one thread; None where it was not measured.
        throughput: rows a second when they come together.
        memory: most bytes that a fresh process predicting held; None where that cannot be told.
        value: the deciding metric, with its interval.
        n: rows that judge.
    """

    bytes: int
    latency: float
    p95: float
    latency_one: float | None
    throughput: float
    memory: int | None
    value: float
    low: float | None
    high: float | None
    n: int

    def told(self) -> str:
        """Return the figures in words."""
        return f"{megabytes(self.bytes)}, {milliseconds(self.latency)} a row"


@dataclass(frozen=True)
class Shrunk:
    """One chain that was tried.

    Args:
        name: the strategies.
        state: what the gate, or the clock, said.
        reason: why, in plain words.
        side: its figures; None for what gave no bundle.
        loss: what is lost against the parent, paired on the same rows; below 0 is a gain.
        loss_low: lower end of the interval of the loss.
        loss_high: its upper end.
        meets: whether it is within the limits of size and latency.
        seconds: what trying it took.
        unit: what the loss is counted in.
    """

    name: str
    state: State
    reason: str
    side: Side | None = None
    loss: float | None = None
    loss_low: float | None = None
    loss_high: float | None = None
    meets: bool = False
    seconds: float = 0.0
    unit: LossUnit = "points"


@dataclass(frozen=True)
class Compression:
    """All that was tried, and which of it the user gets.

    `chosen` is the name of a chain, "" for the parent as it was; `met` tells whether it is within
    the limits; `verdict` says so in words.
    """

    limits: Limits
    parent: Side
    tried: tuple[Shrunk, ...]
    chosen: str
    met: bool
    verdict: str

    @property
    def unit(self) -> LossUnit:
        """What losses are counted in."""
        return next((each.unit for each in self.tried if each.loss is not None), "points")


def limits_of(size: str | int | None, latency: str | float | None, loss: float | None) -> Limits:
    """Return limits from what a user wrote. Raises OptionError for what is none."""
    if loss is not None and not 0 <= loss <= 100:
        raise OptionError(f"loss {loss!r}: expected points from 0 to 100")
    return Limits(
        None if size is None else parse_size(size),
        None if latency is None else parse_latency(latency),
        MAX_LOSS if loss is None else loss,
    )


def conclude(limits: Limits, parent: Side, tried: Sequence[Shrunk]) -> Compression:
    """Choose among what was tried.

    Within limits the accepted chain that loses least is taken, the smaller one of equals; the
    parent itself when it meets them. Without limits of size and latency the accepted chain that
    saves most is taken: the geometric mean of how much smaller and how much faster. When nothing
    accepted meets the limits, the nearest to them is taken, and the verdict says what it misses.
    """
    accepted = [each for each in tried if each.state == "accepted" and each.side is not None]
    if limits.given and limits.excess(parent) <= 1:
        told = f"the specialist meets the limits as it is: {parent.told()}"
        return Compression(limits, parent, tuple(tried), "", True, told)
    within = [each for each in accepted if each.meets]
    if limits.given and within:
        best = min(within, key=lambda each: (_loss(each), _side(each).bytes))
        return Compression(limits, parent, tuple(tried), best.name, True, _gain(parent, best))
    if limits.given:
        return _nearest(limits, parent, tried, accepted)
    if accepted:
        best = max(accepted, key=lambda each: saving(parent, _side(each)))
        if saving(parent, _side(best)) > 1:
            return Compression(limits, parent, tuple(tried), best.name, True, _gain(parent, best))
    told = "nothing that was tried is smaller or faster without losing more than allowed"
    return Compression(limits, parent, tuple(tried), "", True, f"{told}: {parent.told()}")


def saving(parent: Side, child: Side) -> float:
    """Return the geometric mean of how many times smaller and faster a child is."""
    return math.sqrt(parent.bytes / child.bytes * parent.latency / child.latency)


def pareto(parent: Side, tried: Sequence[Shrunk]) -> frozenset[str]:
    """Return the names of those that nothing else beats in size, latency and quality at once.

    "" stands for the parent. Quality is what is lost against the parent.
    """
    points = {"": (parent.bytes, parent.latency, 0.0)}
    for each in tried:
        if each.side is not None and each.loss is not None:
            points[each.name] = (each.side.bytes, each.side.latency, each.loss)

    def beaten(name: str) -> bool:
        own = points[name]
        return any(
            other != own and all(a <= b for a, b in zip(other, own, strict=True))
            for other in points.values()
        )

    return frozenset(name for name in points if not beaten(name))


def _nearest(
    limits: Limits, parent: Side, tried: Sequence[Shrunk], accepted: Sequence[Shrunk]
) -> Compression:
    best = min(accepted, key=lambda each: limits.excess(_side(each)), default=None)
    if best is None or limits.excess(_side(best)) >= limits.excess(parent):
        name, figures = "", f"the specialist as it was, {parent.told()}"
    else:
        name, figures = best.name, f"{best.name}, {_side(best).told()}"
    refused = [e for e in tried if e.state == "rejected" and e.meets and e.loss is not None]
    told = f"nothing meets {limits.told()}; the nearest is {figures}"
    if refused:
        least = min(refused, key=_loss)
        told += (
            f" ({least.name} is within them with {_side(least).told()}, and was rejected: "
            f"{least.reason})"
        )
    return Compression(limits, parent, tuple(tried), name, False, told)


def _gain(parent: Side, best: Shrunk) -> str:
    side = _side(best)
    smaller, faster = parent.bytes / side.bytes, parent.latency / side.latency
    change = (
        f"{best.name}: {side.told()}, {smaller:.1f} times smaller and {faster:.1f} times as fast"
    )
    if best.loss is None or best.loss_low is None or best.loss_high is None:
        return change
    what = "losing" if best.loss > 0 else "gaining"
    low, high = sorted((best.loss_low, best.loss_high))
    return (
        f"{change}, {what} {number(abs(best.loss))} {best.unit} "
        f"(loss {number(low)} to {number(high)} on {side.n:,} rows)"
    )


def _side(each: Shrunk) -> Side:
    assert each.side is not None
    return each.side


def _loss(each: Shrunk) -> float:
    return math.inf if each.loss is None else each.loss


def parse_size(text: str | int) -> int:
    """Return bytes: a number, or "800KB", "12MB", "1.5 MiB". Raises OptionError for others.

    >>> parse_size("12MB"), parse_size("1 MiB"), parse_size(500)
    (12000000, 1048576, 500)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", str(text))
    unit = _BYTES.get(match[2].upper()) if match else None
    if match is None or unit is None or float(match[1]) <= 0:
        raise OptionError(f"size {text!r}: expected something like 800KB, 12MB or 20MiB")
    return max(1, int(float(match[1]) * unit))


def parse_latency(text: str | float) -> float:
    """Return seconds: a number of seconds, or "3ms", "0.5s". Raises OptionError for others.

    >>> parse_latency("3ms"), parse_latency("250us"), parse_latency(0.5)
    (0.003, 0.00025, 0.5)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s)?\s*", str(text))
    if match is None or float(match[1]) <= 0:
        raise OptionError(f"latency {text!r}: expected something like 3ms or 0.5s")
    return float(match[1]) * _SECONDS[match[2] or "s"]


def megabytes(count: int) -> str:
    """Return bytes in MB (millions)."""
    return f"{count / 1e6:.3g} MB" if count < 1e8 else f"{count / 1e6:.0f} MB"


def milliseconds(seconds: float) -> str:
    """Return seconds in ms."""
    return f"{1000 * seconds:.3g} ms"
