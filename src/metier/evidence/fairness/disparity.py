"""How far groups lie apart: demographic parity and equalised odds, with intervals.

For one of K classes: parity is the largest difference, over groups and classes, of how often a
class is answered; odds that of how often a class is found where it is true. With two classes these
are the demographic parity difference and the equalised odds difference (Hardt et al., 2016). With
several labels each is taken as two classes of its own. For numbers both are the largest difference
of the mean absolute error.

Groups below `fairness.FEWEST` rows take no part, nor does a rate that stands on fewer than `RATE`
rows. Intervals are from resampling the rows within each group. A largest difference is above zero
by chance alone, so each comes with the share of samples without any difference in which it is as
large (p).
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
) -> list[Finding]:
    """Return parity and odds of each column, named `parity[sex]`; for numbers `error[sex]`.

    `details` say the column, the measure, which groups lie furthest apart in which rate (`high`,
    `low`, `rate`, `label`), `p`, and `p_adjusted` for being several (Holm). A column with fewer
    than two groups of 100 rows has no value.
    """
    found = []
    for column, own in groups.items():
        kinds: tuple[Any, ...] = ("error",) if answers.kind == "regression" else KINDS
        of_column = [measure(answers, column, own, each, level, resamples, seed) for each in kinds]
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
) -> Finding:
    """Return one disparity of one column, not yet adjusted for others."""
    names, codes = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    large = [k for k in range(len(names)) if int((codes == k).sum()) >= FEWEST]
    n = int(np.isin(codes, large).sum())
    details: dict[str, Any] = {"column": column, "measure": kind}
    name = f"{kind}[{column}]"
    if len(large) < 2:
        told = f"{column}: fewer than two groups have {FEWEST} rows, so none is judged by it"
        return Finding(name, told, n=n, details=details)
    rows = [np.flatnonzero(codes == k) for k in large]
    once = [_rates(answers, own, kind, np.ones((len(own), 1))) for own in rows]
    apart = _Apart.find([names[k] for k in large], once)
    if apart is None:
        told = f"{column}: no rate stands on {RATE} rows in two groups, so none is judged by it"
        return Finding(name, told, n=n, details=details)
    drawn = _drawn(answers, rows, kind, resamples, seed)
    low, high = bootstrap.percentiles(drawn, level, min(len(own) for own in rows))
    low, high = max(0.0, min(low, apart.value)), max(high, apart.value)
    p = _chance(answers, rows, kind, once, resamples, seed)
    found = {**details, **apart.told(answers), "p": p, "level": level, "groups": len(large)}
    return Finding(name, _verdict(column, kind, apart, low, high, n, answers),
                   apart.value, low, high, n, details=found)  # fmt: skip


@dataclass(frozen=True)
class Rates:
    """Rates of one group in each resample, (rates, resamples), and the rows behind each rate in
    the group itself, (rates,)."""

    values: Array
    of: Array


@dataclass(frozen=True)
class _Apart:
    """Where two groups lie furthest apart."""

    value: float
    rate: int
    high: str
    low: str
    highest: float
    lowest: float

    @classmethod
    def find(cls, names: Sequence[str], found: Sequence[Rates]) -> _Apart | None:
        values, usable = _stack(found)
        single = values[:, :, 0]
        spread = _spread(values, usable)[:, 0]
        if not np.isfinite(spread).any():
            return None
        rate = int(np.nanargmax(spread))
        own = np.where(usable[:, rate], single[:, rate], np.nan)
        top, bottom = int(np.nanargmax(own)), int(np.nanargmin(own))
        ends = names[top], names[bottom]
        return cls(float(spread[rate]), rate, *ends, float(own[top]), float(own[bottom]))

    def told(self, answers: Answers) -> dict[str, Any]:
        """What stands in the details of the finding."""
        label = _label(answers, self.rate)
        return {"high": self.high, "low": self.low, "rate": self.rate, "label": label}


def _rates(answers: Answers, rows: NDArray[np.int64], kind: str, weights: NDArray[Any]) -> Rates:
    """Return the rates of some rows that a disparity compares, in each resample of these rows."""
    if answers.kind == "regression":
        error = np.abs(np.asarray(answers.choices)[rows] - np.asarray(answers.truth)[rows])
        mean = error @ weights / weights.sum(axis=0)
        return Rates(np.atleast_2d(mean), np.array([float(len(rows))]))
    places = [1] if answers.kind == "binary" else list(range(len(answers.labels)))
    true, chosen = (flags[rows][:, places] for flags in (answers.flags, answers.chosen))
    total = weights.sum(axis=0)
    if kind == "parity":
        selected = chosen.T.astype(weights.dtype) @ weights
        return Rates(np.asarray(selected / total), np.full(len(places), float(len(rows))))
    found = _conditional(true, chosen, weights)
    if answers.kind == "multiclass":
        return found
    alarms = _conditional(~true, chosen, weights)
    return Rates(
        np.concatenate([found.values, alarms.values]), np.concatenate([found.of, alarms.of])
    )


def _conditional(
    given: NDArray[np.bool_], chosen: NDArray[np.bool_], weights: NDArray[Any]
) -> Rates:
    """How often a class is answered where something holds."""
    both = (given & chosen).T.astype(weights.dtype) @ weights
    among = given.T.astype(weights.dtype) @ weights
    values = np.full(both.shape, np.nan)
    np.divide(both, among, out=values, where=among > 0)
    return Rates(values, given.sum(axis=0).astype(np.float64))


def _stack(found: Sequence[Rates]) -> tuple[Array, NDArray[np.bool_]]:
    """Return rates (groups, rates, resamples) and which of them stand on enough rows."""
    usable = np.stack([each.of for each in found]) >= RATE
    return np.stack([each.values for each in found]), usable


def _spread(values: Array, usable: NDArray[np.bool_]) -> Array:
    """Return for each rate and resample how far the groups lie apart, NaN where fewer than two
    groups can be compared."""
    held = np.where(usable[:, :, None], values, np.nan)
    enough = (usable.sum(axis=0) >= 2)[:, None]
    filled_high = np.where(np.isnan(held), -np.inf, held).max(axis=0)
    filled_low = np.where(np.isnan(held), np.inf, held).min(axis=0)
    apart = np.maximum(filled_high - filled_low, 0.0)
    return np.where(enough & np.isfinite(apart), apart, np.nan)


def _largest(values: Array, usable: NDArray[np.bool_]) -> Array:
    """Return the largest spread of each resample."""
    spread = _spread(values, usable)
    return np.asarray(np.where(np.isnan(spread), -np.inf, spread).max(axis=0))


def _drawn(
    answers: Answers, rows: Sequence[NDArray[np.int64]], kind: str, resamples: int, seed: int
) -> Array:
    """Return the disparity in bootstrap samples, drawn within each group."""
    found = []
    for k, own in enumerate(rows):
        parts = [
            _rates(answers, own, kind, weights)
            for weights in bootstrap.draws(len(own), resamples, seed * 1000 + k)
        ]
        values = np.concatenate([part.values for part in parts], axis=1)
        found.append(Rates(values, parts[0].of))
    return _largest(*_stack(found))


def _chance(
    answers: Answers,
    rows: Sequence[NDArray[np.int64]],
    kind: str,
    once: Sequence[Rates],
    resamples: int,
    seed: int,
) -> float:
    """Return how often groups that do not differ lie as far apart, in any rate.

    Each rate counts in the spread that chance gives it, so that one which stands on few rows does
    not hide another.
    """
    random = np.random.default_rng((seed, 1))
    values, usable = _stack(once)
    if answers.kind == "regression":
        null = _shuffled(answers, rows, kind, min(resamples, 200), random)
    else:
        of = np.stack([each.of for each in once])
        hits = np.nan_to_num(values[:, :, 0]) * of
        shared = hits.sum(axis=0) / np.maximum(of.sum(axis=0), 1.0)
        counts = random.binomial(
            of[:, :, None].astype(np.int64), shared[None, :, None], (*of.shape, resamples)
        )
        null = _spread(counts / np.maximum(of[:, :, None], 1.0), usable)
    judged = usable.sum(axis=0) >= 2
    null, found = null[judged], _spread(values, usable)[judged, 0]
    centre = null.mean(axis=1, keepdims=True)
    unit = np.maximum(null.std(axis=1, keepdims=True), 1e-12)
    largest = ((null - centre) / unit).max(axis=0)
    own = float(((found[:, None] - centre) / unit).max())
    return float((1 + (largest >= own - 1e-9).sum()) / (1 + len(largest)))


def _shuffled(
    answers: Answers,
    rows: Sequence[NDArray[np.int64]],
    kind: str,
    times: int,
    random: np.random.Generator,
) -> Array:
    """Return the spread of each rate when rows are dealt to groups at random, (rates, times)."""
    pooled, found = np.concatenate(rows), []
    for _ in range(times):
        lots = [
            _rates(answers, mixed, kind, np.ones((len(mixed), 1)))
            for mixed in _dealt(pooled, rows, random)
        ]
        found.append(_spread(*_stack(lots)))
    return np.concatenate(found, axis=1)


def _dealt(
    pooled: NDArray[np.int64], rows: Sequence[NDArray[np.int64]], random: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Deal all rows anew to groups of the same sizes."""
    mixed = random.permutation(pooled)
    return np.split(mixed, np.cumsum([len(own) for own in rows])[:-1])


def _label(answers: Answers, rate: int) -> str:
    if answers.kind == "regression":
        return ""
    return answers.labels[1] if answers.kind == "binary" else _nth(answers.labels, rate)


def _nth(labels: Sequence[str], rate: int) -> str:
    return labels[rate % len(labels)]


def _verdict(
    column: str, kind: str, apart: _Apart, low: float, high: float, n: int, answers: Answers
) -> str:
    if kind == "error":
        return (
            f"{column}: the mean absolute error is {number(apart.highest)} for {apart.high} and "
            f"{number(apart.lowest)} for {apart.low}, {number(apart.value)} apart "
            f"({number(low)} to {number(high)}, {whole(n)} rows)"
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
        f"({points(low)} to {points(high)}, {whole(n)} rows)"
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
