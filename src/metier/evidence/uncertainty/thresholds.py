"""Thresholds for binary and multi-label decisions, moved only where that pays beyond noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.evidence import bootstrap
from metier.evidence.answers import Answers, Array, Sample, answers_of, whole
from metier.evidence.catalogue import Metric, find
from metier.runtime.postprocess import Decision

FOLDS, ROUNDS = 5, 4
FEW = 2000
"""Below this many rows the folds are drawn several times over; above, chance matters less."""
MOST = 20_000
"""More rows than this are sampled: a threshold is one number."""
CANDIDATES = 99
RARE = 5
"""A label with fewer positive rows than this keeps the threshold that all labels share."""
SURE = 1.0
"""A moved threshold has to gain this many standard errors on rows that did not choose it."""


def fit_thresholds(
    scores: NDArray[Any], y: NDArray[Any], decision: Decision, metric: str, seed: int = 0
) -> tuple[float, ...]:
    """Return thresholds that serve a metric better than 0.5 does, or an empty tuple.

    They are chosen on four fifths of the rows and tried on the rest, for each fifth, several times
    over. When the cross-fitted decisions gain at least one standard error, the median is returned:
    one threshold on the probability of `labels[1]` for binary tasks, one a label for
    multi-label ones. A mean over labels (`f1_macro`) has a threshold for each label, rare ones
    excepted; every other metric has one for all.

    Empty as well for metrics that look at no decision, for precision or recall alone (their best
    threshold answers nothing, or everything), and when the user's costs decide already.
    """
    measure = find(metric, decision.kind)
    lopsided = metric.startswith(("precision", "recall"))
    decidable = decision.kind in ("binary", "multilabel") and not decision.costs
    if not decidable or lopsided or measure.needs != "choices":
        return ()
    readable = np.isfinite(scores).all(axis=1)
    scores, y = scores[readable], y[readable]
    if len(y) > MOST:
        rows = np.random.default_rng(seed).choice(len(y), MOST, replace=False)
        scores, y = scores[rows], y[rows]
    if len(y) < 2 * FOLDS:
        return ()
    plain = answers_of(y, scores, replace(decision, thresholds=()))
    chances = plain.probabilities[:, 1:] if decision.kind == "binary" else plain.probabilities
    flags = np.asarray(y).reshape(chances.shape) > 0
    thresholds, choices = _cross_fit(measure, plain, chances, flags, seed)
    if not _pays(measure, plain, choices, seed):
        return ()
    return tuple(float(t) for t in np.median(thresholds, axis=0))


def _cross_fit(
    metric: Metric, plain: Answers, chances: Array, flags: NDArray[np.bool_], seed: int
) -> tuple[Array, list[NDArray[np.int64]]]:
    """Return the thresholds of each fold, and for each round the decisions on unseen rows."""
    random = np.random.default_rng(seed)
    thresholds, rounds = [], []
    for _ in range(ROUNDS if len(flags) < FEW else 1):
        fold = _folds(flags, random)
        choices = np.zeros(chances.shape, np.int64)
        for each in range(FOLDS):
            held = fold == each
            best = _best(metric, plain, chances, flags, np.flatnonzero(~held))
            choices[held] = chances[held] >= best
            thresholds.append(best)
        rounds.append(choices.reshape(plain.truth.shape))
    return np.array(thresholds), rounds


def _folds(flags: NDArray[np.bool_], random: np.random.Generator) -> NDArray[np.int64]:
    """Return a fold for each row, rows with as many positive labels spread evenly."""
    order = np.lexsort((random.random(len(flags)), flags.sum(axis=1)))
    fold = np.empty(len(flags), np.int64)
    fold[order] = np.arange(len(flags)) % FOLDS
    return fold


def _best(
    metric: Metric,
    plain: Answers,
    chances: Array,
    flags: NDArray[np.bool_],
    rows: NDArray[np.int64],
) -> Array:
    """Return the best thresholds (labels,) on some rows."""
    own, truth = chances[rows], flags[rows]
    labels = chances.shape[1]
    common = np.full(labels, _best_common(metric, plain, own, truth))
    if metric.name != "f1_macro" or plain.kind != "multilabel":
        return common
    each = [
        _best_f1(own[:, j], truth[:, j]) if truth[:, j].sum() >= RARE else common[j]
        for j in range(labels)
    ]
    return np.array(each)


def _best_common(metric: Metric, plain: Answers, chances: Array, flags: NDArray[np.bool_]) -> float:
    """Return the one threshold, of up to 99, that serves a metric best; the middle one of ties."""
    candidates = _candidates(chances.ravel())
    values = []
    for threshold in candidates:
        values.append(_value(metric, plain, flags, chances >= threshold))
    return _middle_of_best(candidates, np.array(values) * (1 if metric.higher_is_better else -1))


def _value(
    metric: Metric, plain: Answers, flags: NDArray[np.bool_], chosen: NDArray[np.bool_]
) -> float:
    shape = (len(flags),) if plain.kind == "binary" else flags.shape
    answers = Answers(
        plain.kind,
        plain.labels,
        flags.astype(np.int64).reshape(shape),
        chosen.astype(np.int64).reshape(shape),
        np.zeros((len(flags), len(plain.labels))),
    )
    return float(metric.value(whole(answers))[0])


def _best_f1(chances: Array, positive: NDArray[np.bool_]) -> float:
    """Return the threshold with the best F1 of one label."""
    candidates = _candidates(chances)
    chosen = chances[:, None] >= candidates
    hits = (chosen & positive[:, None]).sum(axis=0)
    f1 = 2.0 * hits / np.maximum(chosen.sum(axis=0) + positive.sum(), 1)
    return _middle_of_best(candidates, f1)


def _candidates(chances: Array) -> Array:
    """Return thresholds between neighbouring probabilities, and 0.5."""
    steps = np.unique(np.quantile(chances, np.linspace(0.0, 1.0, CANDIDATES)))
    return np.unique(np.append((steps[1:] + steps[:-1]) / 2.0, 0.5))


def _middle_of_best(candidates: Array, values: Array) -> float:
    """Return the best candidate; of several, the middle one of the run that is nearest to 0.5."""
    best = np.flatnonzero(values >= values.max() - 1e-12)
    runs = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    middles = [float(candidates[run[len(run) // 2]]) for run in runs]
    return min(middles, key=lambda threshold: abs(threshold - 0.5))


def _pays(metric: Metric, plain: Answers, rounds: list[NDArray[np.int64]], seed: int) -> bool:
    """Return whether cross-fitted decisions beat plain ones by a standard error."""
    moved = [replace(plain, choices=choices) for choices in rounds]
    gains: list[Array] = []
    ones: NDArray[Any] = np.ones((len(plain), 1))
    for weights in (ones, *bootstrap.draws(len(plain), 200, seed)):
        before = metric.value(Sample(plain, weights))
        after = np.mean([metric.value(Sample(each, weights)) for each in moved], axis=0)
        gains.append(after - before)
    sign = 1.0 if metric.higher_is_better else -1.0
    gain, spread = sign * float(gains[0][0]), float(np.concatenate(gains[1:]).std())
    return gain > max(0.0, SURE * spread)
