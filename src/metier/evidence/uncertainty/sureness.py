"""How sure a model is and with what right, measured on rows that it was not calibrated on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.evidence.bootstrap import wilson
from metier.evidence.metrics import interval
from metier.evidence.uncertainty.calibration import Bin, reliability
from metier.evidence.uncertainty.consistency import consistency
from metier.evidence.uncertainty.coverage import (
    ByLabel,
    Covered,
    coverage_finding,
    coverages,
    measure_coverage,
)
from metier.evidence.uncertainty.selective import Curve, Point, answered_at, risk_coverage
from metier.evidence.words import percent, sentence, whole
from metier.runtime.conformal import Conformal
from metier.runtime.doubt import Doubt
from metier.runtime.postprocess import Decision, TaskKind
from metier.types import Finding

FEWEST = 20
"""Rows below which nothing is said."""
ERRORS = (0.01, 0.05, 0.1)
"""Shares of errors for which it is told how many rows can be answered."""


@dataclass(frozen=True)
class Sureness:
    """All that was measured.

    Args:
        kind: the shape of the answer.
        n: rows.
        bins: of the reliability diagram, as (confidence, right, n, low, high).
        coverages: one for each coverage looked at, ascending.
        asked: the coverage that the bundle was made for.
        curve: errors against the share that is answered; None for numbers.
        findings: the claims, for `--json` and any page.
    """

    kind: TaskKind
    n: int
    bins: tuple[tuple[float, float, int, float, float], ...] = ()
    coverages: tuple[Covered, ...] = ()
    asked: float = 0.9
    curve: Curve | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def main(self) -> Covered | None:
        """What came of the coverage that the bundle was made for."""
        return next((each for each in self.coverages if each.asked == self.asked), None)


def sureness_of(
    y: NDArray[Any],
    scores: NDArray[Any],
    decision: Decision,
    doubt: Doubt,
    luck: NDArray[np.float64],
    unlike: NDArray[np.bool_] | None = None,
    *,
    alarm: float = 0.0,
    seed: int = 0,
    clusters: NDArray[Any] | None = None,
) -> Sureness:
    """Measure how sure a model is.

    Args:
        y: the truth (n,) or (n, labels).
        scores: raw scores (n, outputs); rows that could not be read are left out.
        decision: that of the bundle, for exactly these rows where it goes by group.
        doubt: what the bundle knows; without calibration scores there are no coverages.
        luck: a number from 0 to 1 a row (`runtime.conformal.luck_of`).
        unlike: (n,) which rows the bundle calls unlike those of training, where it was asked.
        alarm: the share of rows like those that is called so, wrongly; 0 when nothing can be told.
        seed: of resampling.
        clusters: (n,) groups of rows that belong together, for the intervals of calibration and of
            errors among the surest.
    """
    readable = np.isfinite(scores).all(axis=1)
    y, scores, luck = y[readable], scores[readable], luck[readable]
    if decision.own:
        decision = replace(decision, own=tuple(np.asarray(decision.own)[readable].tolist()))
    if len(y) < FEWEST:
        told = f"{len(y)} rows are too few to say how sure it is: give {FEWEST} or more"
        few = Finding("too_few_rows", sentence(told), n=len(y), level="warning")
        return Sureness(decision.kind, len(y), findings=(few,))
    bins: tuple[Bin, ...] = tuple(reliability(y, scores, decision))
    groups = None if clusters is None else clusters[readable]
    found = _calibration(y, scores, decision, seed, groups)
    covered: tuple[Covered, ...] = ()
    asked = 0.9
    if doubt.conformal is not None:
        asked = doubt.conformal.coverage
        covered = tuple(
            measure_coverage(doubt.conformal, scores, y, decision, luck, each, seed=seed)
            for each in coverages(doubt.conformal)
        )
        found += [coverage_finding(each, decision.kind) for each in covered if each.asked == asked]
        if asked > doubt.conformal.highest:
            found.append(_out_of_reach(doubt.conformal))
    curve = None
    if decision.kind != "regression":
        curve = risk_coverage(scores, y, decision, seed=seed, clusters=groups)
        found += _selective(curve)
    if unlike is not None and alarm:
        found.append(_unlike(unlike[readable], alarm))
    plain = tuple((b.confidence, b.accuracy, b.n, b.low, b.high) for b in bins)
    return Sureness(decision.kind, len(y), plain, covered, asked, curve, tuple(found))


def _out_of_reach(conformal: Conformal) -> Finding:
    told = (
        f"a coverage of {percent(conformal.coverage)} % cannot be promised by "
        f"{whole(conformal.n)} calibration rows, at most {percent(conformal.highest)} %: give more "
        "rows or a lower --coverage"
    )
    return Finding(
        "coverage_out_of_reach",
        sentence(told),
        conformal.highest,
        n=conformal.n,
        level="warning",
        details={"asked": conformal.coverage},
    )


def _calibration(
    y: NDArray[Any],
    scores: NDArray[Any],
    decision: Decision,
    seed: int,
    clusters: NDArray[Any] | None,
) -> list[Finding]:
    test = consistency(y, scores, decision, seed=seed)
    if test is None:
        return []
    error = interval("calibration_error", y, scores, decision, seed=seed, clusters=clusters)
    return [error, test]


def _selective(curve: Curve) -> list[Finding]:
    told = (
        "answering the surest rows first, the mean error over all shares answered is "
        f"{percent(curve.area)} % (95 % interval {percent(curve.area_low)} to "
        f"{percent(curve.area_high)}, {whole(curve.n)} rows); it would be {percent(curve.best)} % "
        "if all wrong answers were the least sure ones"
    )
    found = [
        Finding(
            "risk_coverage_area",
            sentence(told),
            curve.area,
            curve.area_low,
            curve.area_high,
            curve.n,
        )
    ]
    for error in ERRORS:
        share, low, high = answered_at(curve, error)
        text = (
            f"with at most {100 * error:g} % wrong among its answers it can answer "
            f"{percent(share)} % of rows, the surest (95 % interval {percent(low)} to "
            f"{percent(high)})"
        )
        details = {"error": error}
        name = f"answered_at_{100 * error:g}"
        found.append(Finding(name, sentence(text), share, low, high, curve.n, details=details))
    return found


def _unlike(unlike: NDArray[np.bool_], alarm: float) -> Finding:
    hits, n = int(unlike.sum()), len(unlike)
    low, high = wilson(hits, n, 0.95)
    told = (
        f"{percent(hits / n)} % of {whole(n)} rows are called unlike the training data (95 % "
        f"interval {percent(low)} to {percent(high)}); of rows like those {percent(alarm)} % are, "
        "wrongly"
    )
    more = low > alarm
    if more:
        told = f"{told}: some of these rows are of another kind, or the bundle is too strict"
    level: Any = "warning" if more else "info"
    return Finding(
        "unlike", sentence(told), hits / n, low, high, n, level, details={"alarm": alarm}
    )


def sureness_from_json(data: Mapping[str, Any]) -> Sureness:
    """Build it again from its JSON."""
    curve = data["curve"]
    if curve is not None:
        curve = Curve(**{**curve, "points": tuple(Point(**p) for p in curve["points"])})
    covered = tuple(
        Covered(**{**each, "labels": tuple(ByLabel(**label) for label in each["labels"])})
        for each in data["coverages"]
    )
    return Sureness(
        kind=data["kind"],
        n=data["n"],
        bins=tuple(tuple(each) for each in data["bins"]),
        coverages=covered,
        asked=data["asked"],
        curve=curve,
        findings=tuple(
            Finding(**{**each, "rows": tuple(each["rows"])}) for each in data["findings"]
        ),
    )
