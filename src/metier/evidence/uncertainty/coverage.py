"""Do sets and intervals hold the truth as often as was asked?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.evidence.bootstrap import draws, percentiles, wilson
from metier.evidence.words import number, percent, sentence, whole
from metier.runtime.conformal import Conformal
from metier.runtime.postprocess import Decision
from metier.types import Finding

LEVEL = 0.95
DRAWS = 20_000
ASKED = (0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class ByLabel:
    """How often the rows of one label had it in their set, with Wilson's interval.

    `own` tells that the label was calibrated on rows of its own: the coverage then holds for it.
    `band_low` to `band_high` is what such a coverage gives in 95 of 100 cases.
    """

    label: str
    covered: float
    low: float
    high: float
    n: int
    own: bool
    band_low: float
    band_high: float


@dataclass(frozen=True)
class Covered:
    """What came of one coverage.

    Args:
        asked: the coverage asked for.
        covered: the share of rows (several labels: of labels that rows have) that it held for.
        low, high: its interval: Wilson's, of a bootstrap over rows where a row has several labels.
        band_low, band_high: where it would lie in 95 of 100 cases, by the rows of calibration and
            of this test (Beta-binomial).
        n: rows.
        size: mean number of labels in a set, or the width of an interval.
        singles, empties: shares of sets with one label and without any; 0 for regression.
        labels: by label, when there are labels.
    """

    asked: float
    covered: float
    low: float
    high: float
    band_low: float
    band_high: float
    n: int
    size: float
    singles: float = 0.0
    empties: float = 0.0
    labels: tuple[ByLabel, ...] = ()

    @property
    def as_expected(self) -> bool:
        """Whether chance explains how far it is from what was asked."""
        return self.band_low <= self.covered <= self.band_high


def coverages(conformal: Conformal, extra: float | None = None) -> tuple[float, ...]:
    """Return the coverages worth looking at that a bundle can promise."""
    wanted = {*ASKED, conformal.coverage} | ({extra} if extra is not None else set())
    return tuple(sorted(c for c in wanted if c <= conformal.highest))


def measure_coverage(
    conformal: Conformal,
    scores: NDArray[Any],
    y: NDArray[Any],
    decision: Decision,
    luck: NDArray[np.float64],
    coverage: float,
    *,
    seed: int = 0,
) -> Covered:
    """Measure one coverage on rows that calibration has not seen, all with finite scores."""
    if decision.kind == "regression":
        return _of_numbers(conformal, scores, y, coverage, seed)
    inside = conformal.sets(scores, decision, luck, coverage)
    flags = y > 0 if decision.kind == "multilabel" else y[:, None] == np.arange(inside.shape[1])
    hits, there = inside & flags, flags.sum()
    covered = float(hits.sum() / max(there, 1))
    low, high = wilson(float(hits.sum()), float(there), LEVEL)
    if decision.kind == "multilabel":
        low, high = _over_rows(hits.sum(axis=1), flags.sum(axis=1), seed)
    groups = conformal.groups(coverage)
    band = _band([(_rows(conformal, g), int(flags[:, g].sum())) for g in groups], coverage, seed)
    sizes = inside.sum(axis=1)
    own = {group[0] for group in groups if len(group) == 1}
    labels = []
    for k, label in enumerate(decision.labels):
        n = int(flags[:, k].sum())
        if not n:
            continue
        found = int(hits[:, k].sum())
        part = _band([(_rows(conformal, (k,)), n)], coverage, seed) if k in own else (0.0, 1.0)
        interval = wilson(found, n, LEVEL)
        labels.append(ByLabel(label, found / n, *interval, n, k in own, *part))
    return Covered(
        coverage,
        covered,
        min(low, covered),
        max(high, covered),
        *band,
        n=len(y),
        size=float(sizes.mean()),
        singles=float((sizes == 1).mean()),
        empties=float((sizes == 0).mean()),
        labels=tuple(labels),
    )


def _of_numbers(
    conformal: Conformal, scores: NDArray[Any], y: NDArray[Any], coverage: float, seed: int
) -> Covered:
    reach = conformal.reach(coverage)
    errors = np.abs(np.asarray(scores[:, 0], np.float64) - y)
    hits = int((errors <= reach).sum())
    rank = np.ceil(round((conformal.n + 1) * coverage, 9)) / (conformal.n + 1)
    band = _band([(conformal.n, len(y))], float(rank), seed)
    low, high = wilson(hits, len(y), LEVEL)
    return Covered(coverage, hits / len(y), low, high, *band, n=len(y), size=2 * reach)


def _rows(conformal: Conformal, group: tuple[int, ...]) -> int:
    return sum(conformal.lots[k].n for k in group)


def _band(parts: list[tuple[int, int]], coverage: float, seed: int) -> tuple[float, float]:
    """Where the share covered lies in 95 of 100 calibrations and tests.

    Each part is a lot of calibration rows and how many test rows it serves. Its coverage is
    Beta-distributed (Vovk, 2012, "Conditional validity of inductive conformal predictors").
    """
    random = np.random.default_rng(seed)
    total = sum(tested for _, tested in parts)
    found = np.zeros(DRAWS)
    for calibrated, tested in parts:
        size = calibrated + 1
        true = random.beta(coverage * size, (1 - coverage) * size, DRAWS)
        found += random.binomial(tested, true)
    low, high = np.quantile(found / max(total, 1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _over_rows(hits: NDArray[Any], there: NDArray[Any], seed: int) -> tuple[float, float]:
    """A bootstrap over rows, whose labels are not independent."""
    drawn = [(hits @ w) / np.maximum(there @ w, 1) for w in draws(len(hits), 1000, seed)]
    return percentiles(np.concatenate(drawn), LEVEL, len(hits))


def coverage_finding(found: Covered, kind: str) -> Finding:
    """Return a coverage as a finding, named `coverage`."""
    what = "intervals" if kind == "regression" else "sets"
    truth = "the labels of a row" if kind == "multilabel" else "the truth"
    told = (
        f"{what} asked to hold {truth} in {percent(found.asked)} % of cases held it in "
        f"{percent(found.covered)} % (95 % interval {percent(found.low)} to {percent(found.high)}, "
        f"{whole(found.n)} rows); {percent(found.band_low)} to {percent(found.band_high)} % is "
        "what chance allows"
    )
    if kind == "regression":
        told = f"{told}; they are {number(found.size)} wide"
    else:
        told = f"{told}; a set has {number(found.size)} labels on average"
    short = found.covered < found.band_low
    if short:
        told = f"{told}: these rows are not like those of calibration"
    elif found.covered > found.band_high:
        told = f"{told}: these rows are easier than those of calibration, or were learned from"
    details = {
        "asked": found.asked,
        "band_low": found.band_low,
        "band_high": found.band_high,
        "size": found.size,
        "level": LEVEL,
    }
    return Finding(
        "coverage",
        sentence(told),
        found.covered,
        found.low,
        found.high,
        found.n,
        "warning" if short else "info",
        details=details,
    )
