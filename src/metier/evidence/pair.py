"""Two bundles measured in turns on this machine, so that whatever else runs on it meets both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metier.evidence import bootstrap
from metier.evidence.answers import Array
from metier.evidence.cost import Columns, peak_memory, size_of
from metier.runtime.session import load
from metier.threads import cores

SECONDS = 2.4
"""About how long timing a pair may take; memory takes two fresh processes more."""
SETTLING, TIMED = 2, 6
"""Rows in a row that one bundle answers before it is the other's turn. The first ones fetch its
weights into the processor's cache, where a bundle that runs alone has them, and are not counted."""
FEWEST, MOST = 6, 60
"""Turns of each bundle."""
ROWS = 256
RESAMPLES = 1000

Answer = Callable[[Columns], object]


@dataclass(frozen=True)
class Cost:
    """What one bundle costs on this machine.

    Args:
        latency: seconds for one row at a time, the median, with all threads.
        p95: of the same, what 95 of 100 rows take at most.
        latency_one: the median with one thread.
        p95_one: of the same.
        throughput: rows a second when they come together, with all threads.
        memory: most bytes that a fresh process predicting held; None where that cannot be told.
        bytes: of all files of the folder.
    """

    latency: float
    p95: float
    latency_one: float
    p95_one: float
    throughput: float
    memory: int | None
    bytes: int


@dataclass(frozen=True)
class Ratio:
    """A child's figure divided by its parent's, with the 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PairCost:
    """Two bundles, measured in turns.

    Args:
        parent: what the one costs.
        child: what the other costs.
        latency: time of the child over time of the parent, one row at a time, all threads.
        latency_one: the same with one thread.
        time: time of many rows together, all threads; the inverse of the throughput.
        memory: None where memory cannot be told.
        bytes: of the folders.
        threads: what "all threads" are here.
        turns: how often each was timed.
    """

    parent: Cost
    child: Cost
    latency: Ratio
    latency_one: Ratio
    time: Ratio
    memory: float | None
    bytes: float
    threads: int
    turns: int

    def to_json(self) -> dict[str, Any]:
        """Return the measurement as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class _Times:
    """Seconds, (turns, timed), of each side."""

    parent: Array
    child: Array

    def ratio(self) -> Ratio:
        """Return the ratio of the medians; turns are resampled, in which neighbours share noise."""
        turns = len(self.parent)
        picked = np.random.default_rng(0).integers(0, turns, (RESAMPLES, turns))
        drawn = _median(self.child[picked], (1, 2)) / _median(self.parent[picked], (1, 2))
        value = float(np.median(self.child) / np.median(self.parent))
        low, high = bootstrap.percentiles(drawn, 0.95, turns)
        return Ratio(value, min(low, value), max(high, value))


def measure_pair(
    parent: Path,
    child: Path,
    columns: Mapping[str, Sequence[Any]],
    *,
    seconds: float = SECONDS,
) -> PairCost:
    """Measure two bundles in turns: time of one row and of many, peak memory, bytes.

    Args:
        parent: the folder of the one (`specialist/`).
        child: the folder of the other.
        columns: typical rows, as `Bundle.scores` takes them; at least one.
        seconds: about how long timing may take. The fewest turns are taken however long they are.

    Raises:
        BundleError: when one of them cannot be loaded.
        ValueError: when there is no row.
    """
    some = {name: list(values[:ROWS]) for name, values in columns.items()}
    rows = len(next(iter(some.values()), ()))
    if not rows:
        raise ValueError("at least one row is needed to measure what a row costs")
    folders, threads = (parent, child), cores()
    share = seconds / (2 if threads == 1 else 3)
    first, second = (load(folder).scores for folder in folders)
    single = [{name: [values[row]] for name, values in some.items()} for row in range(rows)]
    every = _by_row(first, second, single, share)
    one = every
    if threads > 1:
        alone = [load(folder, threads=1).scores for folder in folders]
        one = _by_row(alone[0], alone[1], single, share)
    count = _rows_together(float(np.median(every.parent)), share, rows)
    together = {name: values[:count] for name, values in some.items()}
    many = _together(first, second, together, share)
    peaks = [peak_memory(folder, some) for folder in folders]
    sizes = [size_of(folder) for folder in folders]
    return PairCost(
        parent=_cost(every.parent, one.parent, many.parent, count, peaks[0], sizes[0]),
        child=_cost(every.child, one.child, many.child, count, peaks[1], sizes[1]),
        latency=every.ratio(),
        latency_one=one.ratio(),
        time=many.ratio(),
        memory=peaks[1] / peaks[0] if peaks[0] and peaks[1] else None,
        bytes=sizes[1] / sizes[0],
        threads=threads,
        turns=len(every.parent),
    )


def _by_row(first: Answer, second: Answer, single: Sequence[Columns], seconds: float) -> _Times:
    """Time single rows, the same ones for both sides of a turn."""

    def turn(answer: Answer, number: int) -> list[float]:
        at = number * TIMED
        rows = [single[(at + k) % len(single)] for k in range(-SETTLING, TIMED)]
        return [_seconds(answer, row) for row in rows][SETTLING:]

    return _in_turns(first, second, turn, seconds, FEWEST)


def _together(first: Answer, second: Answer, columns: Columns, seconds: float) -> _Times:
    return _in_turns(first, second, lambda answer, _: [_seconds(answer, columns)], seconds, 3)


def _in_turns(
    first: Answer,
    second: Answer,
    turn: Callable[[Answer, int], list[float]],
    seconds: float,
    fewest: int,
) -> _Times:
    """Take turns until the time is over. Who begins changes from turn to turn, so that a machine
    that slows down slows both. The first turn warms up and is not counted."""
    ours: list[list[float]] = []
    theirs: list[list[float]] = []
    for number in _until(seconds, fewest + 1):
        sides = ((first, ours), (second, theirs))
        for answer, found in sides if number % 2 else reversed(sides):
            found.append(turn(answer, number))
    return _Times(np.array(ours[1:]), np.array(theirs[1:]))


def _until(seconds: float, fewest: int) -> Iterator[int]:
    end = time.perf_counter() + seconds
    number = 0
    while number < fewest or (number < MOST and time.perf_counter() < end):
        yield number
        number += 1


def _rows_together(latency: float, seconds: float, rows: int) -> int:
    """How many rows make a pass of which several fit into the time."""
    return int(min(rows, max(16, seconds / 8 / max(latency, 1e-9))))


def _seconds(answer: Answer, columns: Columns) -> float:
    start = time.perf_counter()
    answer(columns)
    return time.perf_counter() - start


def _cost(every: Array, one: Array, many: Array, count: int, peak: int | None, size: int) -> Cost:
    return Cost(
        latency=float(np.median(every)),
        p95=float(np.quantile(every, 0.95)),
        latency_one=float(np.median(one)),
        p95_one=float(np.quantile(one, 0.95)),
        throughput=count / float(np.median(many)),
        memory=peak,
        bytes=size,
    )


def _median(values: Array, axes: tuple[int, int]) -> Array:
    return np.asarray(np.median(values, axis=axes))
