"""How well a model does on rows without labels, as far as that can be said without any.

Three estimates, none of which sees a label of those rows, and each with what it takes for granted:
rows of the labelled set weighed by how common they are among the others (what a row is like decides
its label, in both sets alike), the share of sure answers (confidence means the same in both), and
how often two models agree. They are for choosing among models, not for promising a figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metier.evidence.answers import Array, answers_of
from metier.evidence.bootstrap import draws, percentiles, wilson
from metier.evidence.unlabelled.shift import effective
from metier.evidence.words import number, percent, sentence, whole
from metier.runtime.postprocess import Decision
from metier.types import Finding

LEVEL = 0.95
RESAMPLES = 1000
Method = Literal["weighted", "confidence", "agreement"]
SAID: dict[Method, str] = {
    "weighted": "right on labelled rows, weighed by how common they are among the others",
    "confidence": "sure enough to be right, by the confidence of answers",
    "agreement": "answered alike by both models",
}


@dataclass(frozen=True)
class Estimate:
    """What a model is estimated to reach on rows without labels, with its interval.

    Args:
        method: how it was estimated.
        value: a share of rows from 0 to 1, or a mean of what was given.
        low, high: its 95 % interval. It holds chance only, not what the method takes for granted.
        n: the rows that it rests on.
        effective: how many equally weighed rows would say as much.
    """

    method: Method
    value: float
    low: float
    high: float
    n: int
    effective: float

    @property
    def finding(self) -> Finding:
        """The same as a claim."""
        rows = f"{whole(self.n)} rows"
        if self.effective < 0.999 * self.n:
            rows += f" that count for {number(self.effective)}"
        text = (
            f"{percent(self.value)} % of the unlabelled rows are {SAID[self.method]} (95 % "
            f"interval {percent(self.low)} to {percent(self.high)}, {rows})"
        )
        details = {"effective": self.effective}
        return Finding(
            f"unlabelled_{self.method}",
            sentence(text),
            self.value,
            self.low,
            self.high,
            self.n,
            details=details,
        )


def weighted_estimate(values: Array, weights: Array, *, seed: int = 0) -> Estimate:
    """Return the mean over the unlabelled rows of what is known for labelled ones.

    Importance-weighted validation (Sugiyama et al., 2007), self-normalised, with a bootstrap of
    rows; an interval that resamples whole rows is wide when few of them carry the weight.

    Args:
        values: (n,) what each labelled row gives: 1 for a right answer, or minus a loss.
        weights: (n,) as `Shift.weights` has them.
    """
    n = len(values)
    found = [
        (values[:, None] * weights[:, None] * some).sum(axis=0)
        / np.maximum((weights[:, None] * some).sum(axis=0), 1e-12)
        for some in draws(n, RESAMPLES, seed)
    ]
    value = float(np.average(values, weights=weights))
    known = effective(weights)
    low, high = percentiles(np.concatenate(found), LEVEL, max(2, round(known)))
    if high - low < 1e-12 and set(np.unique(values)) <= {0.0, 1.0}:
        low, high = wilson(value * known, known, LEVEL)
    return Estimate("weighted", value, min(low, value), max(high, value), n, known)


def confidence_estimate(
    scores: NDArray[Any],
    y: NDArray[Any],
    others: NDArray[Any],
    decision: Decision,
    *,
    weights: Array | None = None,
    seed: int = 0,
) -> Estimate:
    """Return the share of unlabelled rows that are answered right, by average thresholded
    confidence (Garg et al., 2022).

    The threshold is the confidence that as many labelled rows exceed as are answered right; the
    estimate is how many of the unlabelled rows exceed it. Both sets are resampled for the interval.

    Args:
        scores: (n, outputs) of labelled rows that the model did not learn from.
        y: their truth, as `Task.encode` returns it.
        others: (m, outputs) scores of the unlabelled rows.
        decision: how scores become answers; its kind must be binary or multiclass.
        weights: (n,) of the labelled rows; None counts all alike.

    Raises ValueError for another kind of answer.
    """
    if decision.kind not in ("binary", "multiclass"):
        raise ValueError(f"a {decision.kind} answer has no one confidence")
    right = answers_of(y, scores, decision).right
    own, theirs = (_sureness(each, decision) for each in (scores, others))
    weighed = np.ones(len(own)) if weights is None else weights
    value = _above(own, right, weighed, theirs, np.ones(len(theirs)))
    random = np.random.default_rng((seed, 31))
    drawn = np.array(
        [
            _above(
                own,
                right,
                weighed * np.bincount(random.integers(0, len(own), len(own)), minlength=len(own)),
                theirs,
                np.bincount(
                    random.integers(0, len(theirs), len(theirs)), minlength=len(theirs)
                ).astype(np.float64),
            )
            for _ in range(RESAMPLES // 2)
        ]
    )
    low, high = percentiles(drawn, LEVEL, min(len(own), len(theirs)))
    n = len(theirs)
    return Estimate("confidence", value, min(low, value), max(high, value), n, float(n))


def agreement_estimate(
    one: NDArray[Any], two: NDArray[Any], decision: Decision, *, level: float = LEVEL
) -> Estimate:
    """Return the share of unlabelled rows that two models answer alike, with Wilson's interval.

    Models of one recipe that learned from other rows agree about as often as they are right, where
    they are calibrated as a pair (Jiang et al., 2022; Baek et al., 2022).
    """
    same = decision.choices(one) == decision.choices(two)
    alike = same if same.ndim == 1 else same.all(axis=1)
    n, hits = len(alike), float(alike.sum())
    low, high = wilson(hits, n, level)
    return Estimate("agreement", hits / max(n, 1), low, high, n, float(n))


def _sureness(scores: NDArray[Any], decision: Decision) -> Array:
    """Minus the entropy of the probabilities, which orders rows better than the highest alone."""
    chances = np.clip(decision.probabilities(scores), 1e-12, 1.0)
    return np.asarray((chances * np.log(chances)).sum(axis=1))


def _above(own: Array, right: Array, weights: Array, theirs: Array, counts: Array) -> float:
    """The share of `theirs` above the sureness that as much of `own` exceeds as is right."""
    total = max(float(weights.sum()), 1e-12)
    wanted = float((right * weights).sum()) / total
    order = np.argsort(-own, kind="stable")
    passed = np.cumsum(weights[order]) / total
    place = int(np.searchsorted(passed, wanted - 1e-12))
    least = own[order[min(place, len(own) - 1)]] if wanted > 0 else np.inf
    return float((counts * (theirs >= least)).sum() / max(float(counts.sum()), 1e-12))
