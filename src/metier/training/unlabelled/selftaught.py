"""What a model says of rows without labels that it is sure enough of, and whether that helps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logsumexp, softmax

from metier.evidence.answers import Array
from metier.evidence.bootstrap import draws, percentiles
from metier.runtime.postprocess import TaskKind
from metier.types import Strategy, Task

CROWD = 3.0
"""No class takes more rows than so many times its share: one that swallows others stops here."""
STRETCH = 4.0
"""Steps of a later round, in those of the first: labels that a model said are many, and easy."""


@dataclass(frozen=True)
class Said:
    """Answers that a model is sure enough of: `rows` (k,) of the unlabelled table, their `answers`
    as `Task.encode` has them, and the calibrated `confidence` (k,)."""

    rows: NDArray[np.int64]
    answers: NDArray[Any]
    confidence: Array


def sure_of(
    scores: NDArray[Any], temperature: float, precision: float, kind: TaskKind, shares: Array
) -> Said:
    """Return what a model is sure of, each class by a threshold of its own.

    A class takes its surest rows as long as their mean calibrated confidence is at least
    `precision`, which is the share of them that is then right; so classes that are hard get a lower
    threshold than easy ones, and are not left out (Zou et al., 2018).

    Args:
        scores: (m, outputs) of the unlabelled rows.
        temperature: that fits the scores to held-out rows.
        precision: the least share of the rows taken that is to be right.
        kind: of the task; of several labels a row counts as a whole, as sure as its least sure one.
        shares: (outputs,) how common the classes are among labelled rows.
    """
    heated = np.asarray(scores, np.float64) / temperature
    if kind == "multilabel":
        chances = expit(heated)
        answers: NDArray[Any] = (chances > 0.5).astype(np.float32)
        confidence = np.maximum(chances, 1 - chances).min(axis=1)
        rows = _surest(np.arange(len(scores)), confidence, precision, len(scores))
        return Said(rows, answers[rows], confidence[rows])
    chances = softmax(heated, axis=1)
    answers, confidence = chances.argmax(axis=1), chances.max(axis=1)
    taken = []
    for k, share in enumerate(shares.tolist()):
        most = max(1, int(CROWD * share * len(scores)))
        taken.append(_surest(np.flatnonzero(answers == k), confidence, precision, most))
    rows = np.sort(np.concatenate(taken))
    return Said(rows, answers[rows], confidence[rows])


def _surest(
    rows: NDArray[np.int64], confidence: Array, precision: float, most: int
) -> NDArray[np.int64]:
    order = rows[np.argsort(-confidence[rows], kind="stable")][:most]
    means = np.cumsum(confidence[order]) / np.arange(1, len(order) + 1)
    return np.sort(order[: int((means >= precision).sum())])


def losses(scores: NDArray[Any], targets: NDArray[Any], temperature: float, task: Task) -> Array:
    """Return the log loss of each row (n,); of several labels the mean over them, of numbers the
    squared error."""
    if task.kind == "regression":
        return np.asarray((np.asarray(scores, np.float64)[:, 0] - targets) ** 2)
    heated = np.asarray(scores, np.float64) / temperature
    if task.kind == "multilabel":
        return np.asarray((np.logaddexp(0.0, heated) - heated * targets).mean(axis=1))
    return np.asarray(logsumexp(heated, axis=1) - heated[np.arange(len(heated)), targets])


@dataclass(frozen=True)
class Gain:
    """How much lower the loss of held-out labelled rows is than without what was added: above 0 is
    better. `n` rows, weighed by how like the unlabelled ones they are."""

    value: float
    low: float
    high: float
    n: int

    @property
    def clear(self) -> bool:
        """Whether it is more than a standard error: what costs more has to lead by that much."""
        return self.value > (self.high - self.low) / (2 * 1.96)

    def told(self) -> dict[str, float]:
        """The same for a lineage."""
        return {"gain": self.value, "low": self.low, "high": self.high, "n": self.n}


def gain_of(before: Array, after: Array, weights: Array, seed: int) -> Gain:
    """Return the paired difference of two models' losses on the same rows, with its interval."""
    difference = before - after
    found = [
        (difference[:, None] * weights[:, None] * some).sum(axis=0)
        / np.maximum((weights[:, None] * some).sum(axis=0), 1e-12)
        for some in draws(len(difference), 500, seed)
    ]
    value = float(np.average(difference, weights=weights))
    low, high = percentiles(np.concatenate(found), 0.95, len(difference))
    return Gain(value, min(low, value), max(high, value), len(difference))


def again(inner: Strategy, notes: Mapping[str, Any], growth: float) -> Strategy:
    """Return a strategy for a later round, on `growth` times as many rows.

    How long to learn is taken from the notes of its first fit, so that no row is held out to stop
    by whose label the model said itself. It takes at most `STRETCH` times the steps of that fit.
    """
    made: Any = inner
    own = {each.name for each in fields(made)}
    found: dict[str, Any] = {}
    if hasattr(made, "settled"):
        found |= {key: value for key, value in made.settled([notes]).items() if key in own}
    if "epochs" in own:
        epochs = float(found.get("epochs", made.epochs))
        found["epochs"] = min(epochs, max(1.0, epochs * STRETCH / growth))
    if getattr(made, "inner", None) is not None:
        found["inner"] = again(made.inner, notes, growth)
    later: Strategy = replace(made, **found)
    return later
