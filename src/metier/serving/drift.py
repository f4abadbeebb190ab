"""Whether what is asked still looks like what was learned from.

Over the last rows each signal's shares are compared with those at training by the population
stability index (Siddiqi, 2006, "Credit risk scorecards"), with its usual bounds: 0.1 is worth a
look, 0.25 an alarm. Few rows vary by chance, so an index counts only beyond what chance would give
(Yurdakul and Naranjo, 2020, "Statistical properties of the population stability index").
"""

from __future__ import annotations

import math
import threading
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metier.runtime.reference import Reference
from metier.runtime.signals import Signals

Level = Literal["waiting", "steady", "watch", "alarm"]
Doubles = NDArray[np.float64]

WINDOW = 1000
"""The last so many rows are compared."""
FEWEST = 50
"""With fewer rows nothing is said."""
WATCH, ALARM = 0.1, 0.25
"""Bounds of the population stability index."""
MORE_WATCH, MORE_ALARM = 0.05, 0.15
"""Bounds of how many more rows than usual are unlike those of training, as a share."""
CHANCE = 0.001
"""How often all signals together may leave their bounds by chance, when nothing has changed."""
HALF = 0.5
"""Added to every count, so that an empty bin has a share."""


@dataclass(frozen=True)
class Shift:
    """One signal: its index, and the bin that changed most, with its share then and now."""

    signal: str
    index: float
    level: Level
    bin: str
    usual: float
    recent: float


@dataclass(frozen=True)
class Drift:
    """The state of the last `rows` rows; at least `needed` tell something, at most `window` count.

    `unlike` is the share of rows unlike those of training, `unlike_usual` what would be expected.
    """

    level: Level
    rows: int
    needed: int
    window: int
    unlike: float
    unlike_usual: float
    shifts: tuple[Shift, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return asdict(self)


class Monitor:
    """Keeps the bins of the last rows. Rows themselves are not kept."""

    def __init__(self, reference: Reference, window: int = WINDOW) -> None:
        self._reference, self._window = reference, window
        names = [*reference.scales, *reference.choices]
        self._codes = {name: np.zeros(window, dtype=np.int16) for name in names}
        self._unlike = np.zeros(window, dtype=bool)
        self._seen = 0
        self._lock = threading.Lock()

    def observe(self, signals: Signals) -> None:
        """Take in rows with their answers."""
        measured = self._reference.measure(signals)
        codes, unlike = self._reference.codes(measured), self._reference.flags(measured)
        with self._lock:
            rows = np.arange(self._seen, self._seen + len(signals))[-self._window :]
            places = rows % self._window
            for name, found in codes.items():
                self._codes[name][places] = found[-self._window :]
            self._unlike[places] = unlike[-self._window :]
            self._seen += len(signals)

    def report(self) -> Drift:
        """Compare the last rows with those of training."""
        with self._lock:
            rows = min(self._seen, self._window)
            codes = {name: kept[:rows].copy() for name, kept in self._codes.items()}
            unlike = float(self._unlike[:rows].mean()) if rows else 0.0
        usual = self._reference.unlike
        shifts = [self._shift(name, found) for name, found in codes.items()] if rows else []
        shifts.sort(key=lambda shift: -shift.index)
        levels = [shift.level for shift in shifts] + [_level_of_unlike(unlike, usual, rows)]
        return Drift(
            level="waiting" if rows < FEWEST else _worst(levels),
            rows=rows,
            needed=FEWEST,
            window=self._window,
            unlike=unlike,
            unlike_usual=usual,
            shifts=tuple(shifts),
        )

    def _shift(self, name: str, codes: NDArray[np.int16]) -> Shift:
        own = self._reference.scales.get(name) or self._reference.choices[name]
        shares = np.array(own.shares)
        behind = self._reference.rows_behind(name)
        counts = np.bincount(codes, minlength=len(shares)).astype(np.float64)
        index, noise = stability(shares * behind, counts, CHANCE / len(self._codes))
        recent = counts / len(codes)
        most = int(np.abs(recent - shares).argmax())
        level: Level = "waiting"
        if len(codes) >= FEWEST:
            level = _level(index, noise) if self._worse(name, shares, recent) else "steady"
        return Shift(name, index, level, own.names[most], float(shares[most]), float(recent[most]))

    def _worse(self, name: str, usual: Doubles, recent: Doubles) -> bool:
        """More certain answers and fewer new words are no harm; every other change may be."""
        scale = self._reference.scales.get(name)
        if scale is None or scale.harm == 0:
            return True
        return bool(((recent - usual) * np.arange(len(usual))).sum() * scale.harm > 0)


def stability(before: Doubles, after: Doubles, chance: float) -> tuple[float, float]:
    """Return the population stability index of two histograms, and what chance alone may give.

    Args:
        before, after: counts in the same bins.
        chance: how often histograms of the same source may exceed the second number.

    >>> same = np.array([50.0, 50.0])
    >>> stability(same, same, 0.01)[0]
    0.0
    """
    used = (before > 0) | (after > 0)
    before, after = before[used], after[used]
    if len(before) < 2:
        return 0.0, 0.0
    then = (before + HALF) / (before + HALF).sum()
    now = (after + HALF) / (after + HALF).sum()
    index = float(((now - then) * np.log(now / then)).sum())
    weight = 1 / max(before.sum(), 1) + 1 / max(after.sum(), 1)
    return index, weight * _chi_square(len(before) - 1, chance)


def _chi_square(degrees: int, chance: float) -> float:
    """What a chi-squared number exceeds so often (Wilson and Hilferty, 1931)."""
    part = 2 / (9 * degrees)
    root = 1 - part + NormalDist().inv_cdf(1 - chance) * math.sqrt(part)
    return float(degrees * root**3)


def _level(index: float, noise: float) -> Level:
    if index < WATCH or index <= noise:
        return "steady"
    return "watch" if index < ALARM else "alarm"


def _level_of_unlike(share: float, usual: float, rows: int) -> Level:
    """Judge the share by the low end of its interval (Wilson, 1927)."""
    if rows < FEWEST:
        return "waiting"
    z = NormalDist().inv_cdf(1 - CHANCE)
    centre = share + z * z / (2 * rows)
    spread = z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    low = (centre - spread) / (1 + z * z / rows)
    if low <= usual + MORE_WATCH:
        return "steady"
    return "watch" if low <= usual + MORE_ALARM else "alarm"


def _worst(levels: list[Level]) -> Level:
    order: tuple[Level, ...] = ("waiting", "steady", "watch", "alarm")
    return max(levels, key=order.index)
