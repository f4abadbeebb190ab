"""How near made-up rows come to real ones, compared with how near real ones are to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.types import Finding

NOTE = "made_up_distance"
"""Where the notes of a fit keep it."""
NEAR = 0.05
"""The share of real rows that have a nearest one within the distance that counts as near."""
DRAWS = 1000


@dataclass(frozen=True)
class Closeness:
    """Distances of made-up rows to the nearest real one.

    Args:
        ratio: their median, as a share of the median distance of real rows to the nearest other
            one; below 1 they stand closer than real rows do.
        low, high: its 95 % interval, over made-up and real rows.
        near: the share of made-up rows that are as near to a real one as only `NEAR` of the real
            ones are.
        copies: how many are a real row.
        n: how many were made up.
    """

    ratio: float
    low: float
    high: float
    near: float
    copies: int
    n: int

    @property
    def findings(self) -> tuple[Finding, ...]:
        """One claim: whether made-up rows give real ones away."""
        close = self.high < 1.0 or self.near > 2 * NEAR
        verdict = (
            f"made-up rows lie {self.ratio:.2f} times as far from the nearest real row as real "
            f"rows do from each other ({self.low:.2f} to {self.high:.2f}); "
            f"{100 * self.near:.0f} % are as near as only {100 * NEAR:.0f} % of the real ones are"
        )
        if self.copies:
            verdict += f", and {self.copies} are copies"
        return (
            Finding(
                NOTE,
                verdict + (": they give some real rows away" if close else ""),
                self.ratio,
                self.low,
                self.high,
                self.n,
                "warning" if close else "info",
                details=asdict(self),
            ),
        )


def closeness(made: NDArray[Any], real: NDArray[Any], seed: int = 0) -> Closeness:
    """Compare distances to the nearest real row, of made-up rows (m,) and of the real ones among
    themselves (n,)."""
    random = np.random.default_rng(seed)

    def medians(distances: NDArray[Any]) -> NDArray[np.float64]:
        n = len(distances)
        return np.array([np.median(distances[random.integers(0, n, n)]) for _ in range(DRAWS)])

    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.nan_to_num(medians(made) / medians(real), nan=1.0, posinf=1e6)
        ratio = float(np.nan_to_num(np.median(made) / np.median(real), nan=1.0, posinf=1e6))
    low, high = np.quantile(ratios, [0.025, 0.975])
    limit = float(np.quantile(real, NEAR))
    near = float((made <= limit).mean()) if limit > 0 else float((made < real.min()).mean())
    return Closeness(ratio, float(low), float(high), near, int((made <= 1e-9).sum()), len(made))


def noted(notes: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Return what the notes of a fit claim of rows that it made up; nothing where it made none."""
    return Closeness(**notes[NOTE]).findings if NOTE in notes else ()
