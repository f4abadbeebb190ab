"""The gate: may a smaller specialist take its parent's place?

Nothing is taken for faster or as good because it should be: 8-bit arithmetic is slower than plain
floats on many a processor, and a pruned network may have lost what mattered. Each child is measured
in turns with its parent (`pair`), and compared with it row by row on rows that selection did not
use. The decision is plain data, reason included.

The rule. A child is rejected

1. for quality, when the paired loss exceeds `max_loss` and also its own standard error. A loss
   within `max_loss` is what was allowed. A larger one that is no larger than its standard error
   cannot be told from none: with few rows, one more or less that is answered right would otherwise
   decide. The interval (95 %) is part of the record, and of the reason.
2. for time, when it is slower than its parent beyond noise: the whole interval of the ratio of
   times lies above `NOISE`, for one row at a time with all threads or with one, or for many rows
   together unless one row is faster beyond noise.
3. for nothing gained. With `wanted="speed"` the child must be faster beyond noise, in one row or
   in many together; that it is smaller does not do. With `wanted="size"` it must be smaller.

The loss is in points: hundredths of a metric whose best value is 1. For errors and costs, which
have no such scale (root mean squared error, log loss), it is in per cent of the parent's value.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metier.evidence.catalogue import METRICS, LossUnit
from metier.evidence.compare import Comparison, paired
from metier.evidence.pair import Cost, PairCost, Ratio, measure_pair
from metier.evidence.words import number, whole
from metier.runtime.postprocess import Decision

__all__ = ["Cost", "Gate", "PairCost", "Ratio", "judge", "measure_pair"]

MAX_LOSS = 0.5
"""Points that may be lost when nobody says."""
NOISE = 1.03
"""Ratio of times up to which two bundles are equally fast: where the system puts a program in
memory alone makes this much."""

Wanted = Literal["speed", "size"]


@dataclass(frozen=True)
class Gate:
    """What was decided about a child, and on what grounds.

    Args:
        accepted: whether it may take its parent's place.
        reason: why, in plain words.
        loss: points (or per cent, see `unit`) lost against the parent; below 0 is a gain.
        low: lower end of the 95 % interval of the loss.
        high: its upper end.
        unit: what the loss is counted in.
        metric: the deciding metric.
        n: rows that judged.
        max_loss: what might be lost.
        wanted: what had to be gained.
        cost: what was measured.
    """

    accepted: bool
    reason: str
    loss: float
    low: float
    high: float
    unit: LossUnit
    metric: str
    n: int
    max_loss: float
    wanted: Wanted
    cost: PairCost

    def to_json(self) -> dict[str, Any]:
        """Return the decision as plain data; what is no number becomes null."""
        return {key: _plain(value) for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Loss:
    """A paired loss in its unit, with its interval; `clear` when it is above its standard error.

    Beside a parent that makes no error there is no per cent of one: the loss is infinite then.
    """

    value: float
    low: float
    high: float
    clear: bool
    unit: LossUnit
    metric: str
    n: int

    def told(self) -> str:
        """Return the loss in words."""
        title = METRICS[self.metric].title
        if np.isinf(self.value):
            lost = "lost beyond all bounds, as its parent makes no error"
            return f"{title} {lost} ({whole(self.n)} rows)"
        what = "points" if self.unit == "points" else "%"
        side = "lost" if self.value >= 0 else "gained"
        signed = (self.low, self.high) if self.value >= 0 else (-self.high, -self.low)
        between = " to ".join(_signed(end) for end in signed)
        return (
            f"{_signed(abs(self.value))} {what} of {title} {side} "
            f"(95 % interval {between}, {whole(self.n)} rows)"
        )


def judge(
    cost: PairCost,
    *,
    metric: str,
    targets: NDArray[Any],
    parent: NDArray[Any],
    child: NDArray[Any],
    decision: Decision,
    child_decision: Decision | None = None,
    max_loss: float = MAX_LOSS,
    wanted: Wanted = "speed",
    seed: int = 0,
    clusters: NDArray[Any] | None = None,
) -> Gate:
    """Decide whether a child may take its parent's place, by the rule above.

    Args:
        cost: the two, measured in turns.
        metric: the deciding metric.
        targets: what `Task.encode` returns, of rows that selected neither of the two.
        parent: scores (n, outputs) of these rows.
        child: scores (n, outputs) of the same rows.
        decision: from scores to answers; the child's too, unless it has its own.
        child_decision: the child's own.
        max_loss: points, or per cent, that may be lost.
        wanted: what must be gained.
        seed: of the bootstrap.
        clusters: (n,) groups of rows that belong together.
    """
    loss = measure_loss(
        paired(
            metric,
            targets,
            child,
            parent,
            child_decision or decision,
            decision,
            seed=seed,
            clusters=clusters,
        )
    )
    against = [
        reason
        for reason in (_too_costly(loss, max_loss), _too_slow(cost), _in_vain(cost, wanted))
        if reason
    ]
    reason = "; ".join(against) or f"{_gained(cost)}, {loss.told()}"
    return Gate(
        accepted=not against,
        reason=reason,
        loss=loss.value,
        low=loss.low,
        high=loss.high,
        unit=loss.unit,
        metric=metric,
        n=loss.n,
        max_loss=max_loss,
        wanted=wanted,
        cost=cost,
    )


def measure_loss(found: Comparison) -> Loss:
    """Return what the child of a comparison (its `a`) loses against the parent (its `b`)."""
    unit = METRICS[found.metric].loss_unit

    def scaled(value: float) -> float:
        if unit == "points" or value == 0.0:
            return 100.0 * value
        return 100.0 * value / abs(found.b) if found.b else float(np.copysign(np.inf, value))

    return Loss(
        value=-scaled(found.difference),
        low=-scaled(found.high),
        high=-scaled(found.low),
        clear=-found.difference > found.error,
        unit=unit,
        metric=found.metric,
        n=found.n,
    )


def told_of(loss: Loss | Gate) -> tuple[float | None, float | None, float | None]:
    """A loss and its interval for a record: None where it is beyond all bounds."""
    value = loss.value if isinstance(loss, Loss) else loss.loss
    low, mine, high = (v if np.isfinite(v) else None for v in (loss.low, value, loss.high))
    return mine, low, high


def _too_costly(loss: Loss, most: float) -> str | None:
    if np.isnan(loss.value):
        return f"its {METRICS[loss.metric].title} cannot be told on these {whole(loss.n)} rows"
    if loss.value > most + 1e-9 and loss.clear:
        what = "points" if loss.unit == "points" else "%"
        return f"{loss.told()}, and at most {number(most)} {what} may be"
    return None


def _too_slow(cost: PairCost) -> str | None:
    for ratio, what in (
        (cost.latency, "one row takes"),
        (cost.latency_one, "one row takes, with one thread,"),
    ):
        if ratio.low > NOISE:
            return f"slower than its parent: {what} {_times(ratio)}"
    if cost.time.low > NOISE and not _faster(cost.latency):
        return f"slower than its parent: many rows together take {_times(cost.time)}"
    return None


def _in_vain(cost: PairCost, wanted: Wanted) -> str | None:
    if wanted == "size":
        return None if cost.bytes < 1.0 else "not smaller than its parent"
    if _faster(cost.latency) or _faster(cost.time) or _too_slow(cost):
        return None
    smaller = "smaller, but " if cost.bytes < 1.0 else ""
    return f"{smaller}not faster than its parent: one row takes {_times(cost.latency)}"


def _faster(ratio: Ratio) -> bool:
    return ratio.high < 1.0 / NOISE


def _gained(cost: PairCost) -> str:
    return (
        f"one row takes {_times(cost.latency)}, the folder {number(cost.bytes)} times the bytes of "
        "its parent"
    )


def _times(ratio: Ratio) -> str:
    return f"{number(ratio.value)} times as long ({number(ratio.low)} to {number(ratio.high)})"


def _signed(value: float) -> str:
    """Two decimals, which points have at most, and no minus before nothing."""
    return f"{value:.2f}".replace("-0.00", "0.00")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
