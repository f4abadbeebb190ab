"""How far groups lie apart: demographic parity and equalised odds, with intervals.

For one of K classes: parity is the largest difference, over groups and classes, of how often a
class is answered; odds that of how often a class is found where it is true. With two classes these
are the demographic parity difference and the equalised odds difference (Hardt et al., 2016). With
several labels each is taken as two classes of its own. For numbers both are the largest difference
of the mean absolute error.

Groups below `rates.FEWEST` rows take no part, nor does a rate that stands on fewer than `RATE`
rows. The largest of several differences is above the true one by chance alone, and a bootstrap adds
as much again. So its interval goes from the highest of the lower ends to the highest of the upper
ends of the intervals of all pairs of groups in all rates, at a level for being that many
(Bonferroni): Newcombe's for shares, Welch's for numbers. Beside it stands how often groups that do
not differ lie as far apart (p).

Rows that belong together are one piece of evidence: a rate must stand on two such clusters in each
group, and the intervals of pairs are over clusters (`means.py`). The p-value is then that of the
surest pair, for being that many, where it is larger than that of independent rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metier.evidence import bootstrap
from metier.evidence.answers import Answers, Array
from metier.evidence.compare import holm
from metier.evidence.fairness.means import Means, means_of
from metier.evidence.fairness.rates import FEWEST
from metier.evidence.words import number, percent, points, whole
from metier.types import Finding

Kind = Literal["parity", "odds"]
KINDS: tuple[Kind, ...] = ("parity", "odds")
TITLES: dict[str, str] = {
    "parity": "demographic parity difference",
    "odds": "equalised odds difference",
    "error": "difference of the mean absolute error",
}
RATE = 10
"""Rows that a rate must stand on in a group to be compared."""
RESAMPLES = 1000
SURE = 0.05


def disparities(
    answers: Answers,
    groups: Mapping[str, Sequence[str]],
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    clusters: NDArray[np.int64] | None = None,
) -> list[Finding]:
    """Return parity and odds of each column, named `parity[sex]`; for numbers `error[sex]`.

    `details` say the column, the measure, which groups lie furthest apart in which rate (`high`,
    `low`, `rate`, `label`), `p`, and `p_adjusted` for being several (Holm). A column with fewer
    than two groups of 100 rows has no value. `clusters` (n,) are rows that belong together.
    """
    codes = None if clusters is None else bootstrap.groups(clusters, len(answers))[0]
    found = []
    for column, own in groups.items():
        kinds: tuple[Any, ...] = ("error",) if answers.kind == "regression" else KINDS
        of_column = [
            measure(answers, column, own, each, level, resamples, seed, codes) for each in kinds
        ]
        # Why nothing is judged is the same for all kinds, and told once.
        found += list({each.verdict: each for each in reversed(of_column)}.values())[::-1]
    measured = [each for each in found if each.value is not None]
    adjusted = holm([float(each.details["p"]) for each in measured])
    told = {each.name: _judged(each, p) for each, p in zip(measured, adjusted, strict=True)}
    return [told.get(each.name, each) for each in found]


def measure(
    answers: Answers,
    column: str,
    groups: Sequence[str],
    kind: str,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    codes: NDArray[np.int64] | None = None,
) -> Finding:
    """Return one disparity of one column, not yet adjusted for others.

    `codes` (n,) numbers the clusters that rows come in.
    """
    names, places = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    large = [k for k in range(len(names)) if int((places == k).sum()) >= FEWEST]
    n = int(np.isin(places, large).sum())
    details: dict[str, Any] = {"column": column, "measure": kind}
    name = f"{kind}[{column}]"
    if len(large) < 2:
        told = f"{column}: fewer than two groups have {FEWEST} rows, so none is judged by it"
        return Finding(name, told, n=n, details=details)
    sets = {str(names[k]): np.flatnonzero(places == k) for k in large}
    rates = _rates(answers, sets, kind, codes)
    if not rates:
        least = f"{RATE} rows" + ("" if codes is None else " that do not all belong together")
        told = f"{column}: no rate stands on {least} in two groups, so none is judged by it"
        return Finding(name, told, n=n, details=details)
    apart = max((each.apart() for each in rates), key=lambda each: each.value)
    low, high = _between(rates, level)
    p, counted = _chance(rates, resamples, seed), f"{whole(n)} rows"
    if codes is not None:
        p = max(p, _by_clusters(rates))
        details["clusters"] = len(np.unique(codes[np.concatenate(list(sets.values()))]))
        counted += f" in {whole(details['clusters'])} groups of rows"
    found = {**details, **apart.told(answers), "p": p, "level": level, "groups": len(large)}
    return Finding(name, _verdict(column, kind, apart, low, high, counted, answers),
                   apart.value, low, high, n, details=found)  # fmt: skip


@dataclass(frozen=True)
class _Rate:
    """A rate that is compared: which of them, the groups that it is judged for, `values` (n,) of
    all rows, and for each of these groups the rows that it stands on."""

    place: int
    shares: bool
    names: tuple[str, ...]
    values: Array
    sets: tuple[NDArray[np.int64], ...]
    means: Means

    def apart(self) -> _Apart:
        mean = self.means.mean
        top, bottom = int(mean.argmax()), int(mean.argmin())
        ends = self.names[top], self.names[bottom], float(mean[top]), float(mean[bottom])
        return _Apart(float(mean[top] - mean[bottom]), self.place, *ends)

    def ends(self, level: float) -> tuple[float, float]:
        """Return how far apart the groups are at least, and at most."""
        low, high = (self.means.of_shares if self.shares else self.means.of_numbers)(level)
        two = ~np.eye(len(self.names), dtype=bool)
        return float(low[two].max()), float(high[two].max())


@dataclass(frozen=True)
class _Apart:
    """Where two groups lie furthest apart."""

    value: float
    rate: int
    high: str
    low: str
    highest: float
    lowest: float

    def told(self, answers: Answers) -> dict[str, Any]:
        """What stands in the details of the finding."""
        label = _label(answers, self.rate)
        return {"high": self.high, "low": self.low, "rate": self.rate, "label": label}


def _rates(
    answers: Answers,
    groups: Mapping[str, NDArray[np.int64]],
    kind: str,
    codes: NDArray[np.int64] | None,
) -> list[_Rate]:
    """Return the rates that stand on enough rows in two groups."""
    values, given = _compared(answers, kind)
    found = []
    for place in range(values.shape[1]):
        own = {name: rows[given[rows, place]] for name, rows in groups.items()}
        own = {
            name: rows for name, rows in own.items()
            if len(rows) >= RATE and (codes is None or np.ptp(codes[rows]) > 0)
        }  # fmt: skip
        if len(own) < 2:
            continue
        value, sets = np.asarray(values[:, place], np.float64), tuple(own.values())
        means = means_of(value, sets, codes)
        found.append(_Rate(place, kind != "error", tuple(own), value, sets, means))
    return found


def _compared(answers: Answers, kind: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return what is compared of each row, (n, rates), and whether the row counts for it."""
    if kind == "error":
        error = np.abs(np.asarray(answers.choices) - np.asarray(answers.truth))[:, None]
        return error, np.ones(error.shape, dtype=np.bool_)
    places = [1] if answers.kind == "binary" else list(range(len(answers.labels)))
    true, chosen = (flags[:, places] for flags in (answers.flags, answers.chosen))
    if kind == "parity":
        return chosen, np.ones(chosen.shape, dtype=np.bool_)
    if answers.kind == "multiclass":
        return chosen, true
    return np.hstack([chosen, chosen]), np.hstack([true, ~true])


def _between(rates: Sequence[_Rate], level: float) -> tuple[float, float]:
    """Return the interval of the largest difference of all rates."""
    ends = [each.ends(1.0 - (1.0 - level) / _pairs(rates)) for each in rates]
    return max(0.0, *(low for low, _ in ends)), max(high for _, high in ends)


def _by_clusters(rates: Sequence[_Rate]) -> float:
    """Return the p-value of the pair of groups that differs most surely, of all pairs of them."""
    return min(1.0, _pairs(rates) * min(float(each.means.p.min()) for each in rates))


def _pairs(rates: Sequence[_Rate]) -> int:
    """How many pairs of groups are compared, in all rates."""
    return sum(each.means.pairs for each in rates)


def _chance(rates: Sequence[_Rate], resamples: int, seed: int) -> float:
    """Return how often groups that do not differ lie as far apart, in any rate.

    Each rate counts in the spread that chance gives it, so that one which stands on few rows does
    not hide another.
    """
    random = np.random.default_rng((seed, 1))
    null = np.stack([
        _drawn(each, resamples, random) if each.shares
        else _shuffled(each, min(resamples, 200), random)
        for each in rates
    ])  # fmt: skip
    found = np.array([each.apart().value for each in rates])
    centre = null.mean(axis=1, keepdims=True)
    unit = np.maximum(null.std(axis=1, keepdims=True), 1e-12)
    largest = ((null - centre) / unit).max(axis=0)
    own = float(((found[:, None] - centre) / unit).max())
    return float((1 + (largest >= own - 1e-9).sum()) / (1 + len(largest)))


def _drawn(rate: _Rate, times: int, random: np.random.Generator) -> Array:
    """Return how far apart the groups are when all of them have the share of all rows, (times,)."""
    rows = rate.means.rows
    shared = float(rate.means.mean @ rows / rows.sum())
    counts = random.binomial(rows[:, None].astype(np.int64), shared, (len(rows), times))
    return np.asarray(np.ptp(counts / rows[:, None], axis=0))


def _shuffled(rate: _Rate, times: int, random: np.random.Generator) -> Array:
    """Return how far apart the groups are when rows are dealt to them at random, (times,)."""
    pooled = rate.values[np.concatenate(rate.sets)]
    ends = np.cumsum([len(rows) for rows in rate.sets])[:-1]
    dealt = [np.split(random.permutation(pooled), ends) for _ in range(times)]
    return np.array([np.ptp([own.mean() for own in each]) for each in dealt])


def _label(answers: Answers, rate: int) -> str:
    if answers.kind == "regression":
        return ""
    return answers.labels[1] if answers.kind == "binary" else _nth(answers.labels, rate)


def _nth(labels: Sequence[str], rate: int) -> str:
    return labels[rate % len(labels)]


def _verdict(
    column: str,
    kind: str,
    apart: _Apart,
    low: float,
    high: float,
    counted: str,
    answers: Answers,
) -> str:
    if kind == "error":
        return (
            f"{column}: the mean absolute error is {number(apart.highest)} for {apart.high} and "
            f"{number(apart.lowest)} for {apart.low}, {number(apart.value)} apart "
            f"({number(low)} to {number(high)}, {counted})"
        )
    label = _label(answers, apart.rate)
    where = ""
    if kind == "odds":
        alarms = answers.kind != "multiclass" and apart.rate >= (
            1 if answers.kind == "binary" else len(answers.labels)
        )
        where = f" where {'it is not true' if alarms else 'it is true'}"
    return (
        f"{column}: {label!r} is answered{where} in {percent(apart.highest)} % of {apart.high} and "
        f"{percent(apart.lowest)} % of {apart.low}: {TITLES[kind]} {points(apart.value)} points "
        f"({points(low)} to {points(high)}, {counted})"
    )


def _judged(found: Finding, p: float) -> Finding:
    """Say whether chance explains a disparity, all of them considered."""
    sure = p < SURE
    tail = "more than chance explains" if sure else "chance alone can explain it"
    told = f"{found.verdict}; {tail} ({_p(p)})"
    details = {**found.details, "p_adjusted": p}
    return replace(found, verdict=told, level="warning" if sure else "info", details=details)


def _p(p: float) -> str:
    return "p < 0.01" if p < 0.01 else f"p {p:.2f}"


def worst(found: Sequence[Finding], columns: Sequence[str], kind: str) -> Finding | None:
    """Return the largest disparity of a kind over single columns; None where none is judged."""
    own = [
        each
        for each in found
        if each.value is not None
        and each.details.get("measure") == kind
        and each.details.get("column") in columns
    ]
    return max(own, key=lambda each: each.value or 0.0, default=None)
