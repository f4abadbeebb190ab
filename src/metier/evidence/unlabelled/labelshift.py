"""How common each class is among unlabelled rows, if rows of a class look alike everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, softmax

from metier.evidence.answers import Array
from metier.evidence.bootstrap import percentiles
from metier.evidence.compare import holm
from metier.evidence.uncertainty.calibration import fit_temperature
from metier.evidence.words import percent, sentence, whole
from metier.threads import few_threads
from metier.types import Finding

FOLDS = 5
ROUNDS = 200
"""Steps of the estimate at most; it is nearly always done long before."""
CLOSE = 1e-5
RESAMPLES = 200
MOST_NAMED = 5
CHANCE = 0.05


@dataclass(frozen=True)
class ClassShare:
    """The share of one class among the labelled rows, and the one estimated among the others.

    `changed` says whether the two differ by more than chance, adjusted for being several (Holm).
    """

    name: str
    before: float
    now: float
    low: float
    high: float
    changed: bool


@dataclass(frozen=True)
class LabelShift:
    """The shares of all classes, and on how many labelled and unlabelled rows they rest."""

    classes: tuple[ClassShare, ...]
    labelled: int
    unlabelled: int

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The classes that became more or less common, the furthest first; or that none did."""
        rows = f"estimated on {whole(self.unlabelled)} unlabelled rows"
        changed = sorted(
            (each for each in self.classes if each.changed), key=lambda c: -abs(c.now - c.before)
        )
        if not changed:
            said = f"no class is seen to be more or less common than among labelled rows, {rows}"
            return (Finding("label_shift", sentence(said), 0.0, n=self.unlabelled),)
        return tuple(
            Finding(
                f"label_shift[{each.name}]",
                f"{each.name}: {percent(each.before)} % of the labelled rows and "
                f"{percent(each.now)} % of the others (95 % interval {percent(each.low)} to "
                f"{percent(each.high)}, {rows}).",
                each.now,
                each.low,
                each.high,
                self.unlabelled,
                "warning",
                details={"label": each.name, "before": each.before},
            )
            for each in changed[:MOST_NAMED]
        )


def label_shift_from_json(data: Mapping[str, Any]) -> LabelShift:
    """Build it again from what `report.content.to_json` makes of it."""
    return LabelShift(**{**data, "classes": tuple(ClassShare(**each) for each in data["classes"])})


def estimate_shares(
    labelled: Array,
    unlabelled: Array,
    classes: NDArray[np.int64],
    names: Sequence[str],
    *,
    seed: int,
) -> LabelShift | None:
    """Estimate the share of each class among unlabelled rows (Saerens et al., 2002).

    Probabilities of a cross-fitted logistic regression on features (n, d) and (m, d), calibrated
    until their mean over the labelled rows is what is known of those, are weighed until they agree
    with the shares they imply, which is maximum likelihood where rows of a class look alike in
    both sets (Alexandari et al., 2020). Intervals resample the rows of both. None when some class
    has fewer rows than there are folds.
    """
    counts = np.bincount(classes, minlength=len(names))
    if len(names) < 2 or counts.min() < FOLDS:
        return None
    with few_threads(labelled.size):
        own, others = _log_odds(labelled, unlabelled, classes, seed)
    heat = fit_temperature(own, classes, "multiclass")
    before = counts / counts.sum()
    offsets = _offsets(own / heat, before)
    own, others = (softmax(each / heat + offsets, axis=1) for each in (own, others))
    now = shares_of(others, before)
    random = np.random.default_rng((seed, 29))
    drawn = np.stack(
        [
            shares_of(
                others[random.integers(0, len(others), len(others))],
                own[random.integers(0, len(own), len(own))].mean(axis=0),
                now,
            )
            for _ in range(RESAMPLES)
        ]
    )
    return _told(names, before, now, drawn, len(labelled), len(unlabelled))


def _offsets(log_odds: Array, shares: Array) -> Array:
    """Return what is added to log odds (n, k) so that their mean probabilities are the shares (k,)
    of the classes.

    Where a class is called too often, rows without any shift seem to hold more of it.
    """
    offsets = np.zeros(len(shares))
    for _ in range(ROUNDS):
        found = softmax(log_odds + offsets, axis=1).mean(axis=0)
        if np.abs(found - shares).max() < CLOSE:
            break
        offsets += np.log(shares / np.maximum(found, 1e-9))
    return offsets


def shares_of(chances: Array, before: Array, begin: Array | None = None) -> Array:
    """Return the shares of classes (k,) under which chances (m, k), made for the shares `before`,
    are most likely, by expectation and maximisation.

    >>> chances = np.array([[0.9, 0.1]] * 3 + [[0.1, 0.9]])
    >>> shares_of(chances, np.array([0.5, 0.5])).round(1)
    array([0.8, 0.2])
    """
    floor = np.maximum(before, 1e-9)
    now = np.asarray(floor if begin is None else np.maximum(begin, 1e-6), dtype=np.float64)
    for _ in range(ROUNDS):
        weighed = chances * (now / floor)
        after = (weighed / weighed.sum(axis=1, keepdims=True)).mean(axis=0)
        if np.abs(after - now).max() < CLOSE:
            return np.asarray(after)
        now = after
    return now


def _log_odds(
    labelled: Array, unlabelled: Array, classes: NDArray[np.int64], seed: int
) -> tuple[Array, Array]:
    """Log probabilities of the classes: of labelled rows from models that did not learn from them,
    of the others the mean of those models."""
    from sklearn.model_selection import StratifiedKFold

    count = int(classes.max()) + 1
    own, others = np.zeros((len(labelled), count)), np.zeros((len(unlabelled), count))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for fit, held in folds.split(labelled, classes):
        model = _classifier(len(fit)).fit(labelled[fit], classes[fit])
        own[held] = model.predict_log_proba(labelled[held])
        others += model.predict_log_proba(unlabelled) / FOLDS
    return own.clip(-50), others.clip(-50)


def _classifier(n: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=1.0 / np.sqrt(n), max_iter=300, tol=1e-3)


def _told(
    names: Sequence[str], before: Array, now: Array, drawn: Array, labelled: int, unlabelled: int
) -> LabelShift:
    errors = np.sqrt(drawn.std(axis=0) ** 2 + before * (1 - before) / labelled)
    adjusted = holm(list(2 * ndtr(-np.abs(now - before) / np.maximum(errors, 1e-9))))
    found = []
    for k, name in enumerate(names):
        low, high = percentiles(drawn[:, k], 0.95, unlabelled)
        ends = (min(low, now[k]), max(high, now[k]))
        found.append(
            ClassShare(name, float(before[k]), float(now[k]), *ends, bool(adjusted[k] < CHANCE))
        )
    return LabelShift(tuple(found), labelled, unlabelled)
