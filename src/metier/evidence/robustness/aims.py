"""What an attack wants of a model: a wrong answer, as its own decision rule decides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.runtime.postprocess import Decision


@dataclass(frozen=True)
class Aim:
    """The truth of some rows, and how scores become answers there.

    Args:
        truth: what `Task.encode` returns, (n,) or (n, labels).
        decision: the bundle's own, thresholds and costs included.
    """

    truth: NDArray[Any]
    decision: Decision

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, rows: NDArray[Any]) -> Aim:
        """Return the aim of some of the rows."""
        return Aim(self.truth[rows], of_rows(self.decision, rows))

    def wrong(self, scores: NDArray[Any]) -> NDArray[np.bool_]:
        """Return whether each row is answered wrong; a number never is, it is only further off."""
        if self.decision.kind == "regression":
            return np.zeros(len(scores), dtype=np.bool_)
        differs = self.decision.choices(scores) != self.truth
        return np.asarray(differs if differs.ndim == 1 else differs.any(axis=1), dtype=np.bool_)

    def harm(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """Return how far each row is pushed towards a wrong answer; more is worse for the model.

        Classes: the margin of the best wrong class over the right one. Labels: how far beyond its
        threshold the label lies that is most wrong, softly (the logarithm of the exponentials added
        up), so that one which nothing moves hides none that moves. Numbers: the absolute error.
        """
        values = np.asarray(scores, dtype=np.float64)
        rows = np.arange(len(values))
        if self.decision.kind == "regression":
            return np.asarray(np.abs(values[:, 0] - self.truth))
        if self.decision.kind == "multilabel":
            beyond = values - cuts(self.decision)
            wrongs = np.where(self.truth > 0, -beyond, beyond)
            return np.asarray(np.logaddexp.reduce(wrongs, axis=1))
        others = values.copy()
        others[rows, self.truth] = -np.inf
        return np.asarray(others.max(axis=1) - values[rows, self.truth])


def cuts(decision: Decision) -> NDArray[np.float64]:
    """Return the scores, one a label of several, from which on a label is given."""
    chances = np.clip(np.asarray(decision.thresholds or [0.5]), 1e-12, 1 - 1e-12)
    return np.asarray(decision.temperature * np.log(chances / (1 - chances)))


def of_rows(decision: Decision, rows: NDArray[Any]) -> Decision:
    """Return the decision for some of the rows that it was made for, where each has its own."""
    if not decision.own:
        return decision
    return replace(decision, own=tuple(np.asarray(decision.own)[rows].tolist()))
