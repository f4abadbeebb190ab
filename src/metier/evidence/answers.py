"""The truth beside what was answered, and one or many weighted samples of it.

Every metric is a function of a `Sample`: rows with weights, one column of weights a resample. With
weights of one it is the metric itself; with bootstrap counts it is a thousand of them at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from metier.evidence.areas import areas
from metier.runtime.postprocess import Decision, TaskKind

Array = NDArray[np.float64]
NO_ANSWER = -1
"""The choice for a row that could not be read: no class, and no flag of a label."""
Prices = tuple[tuple[float, ...], ...]
"""What errors cost, `prices[truth][answer]`; empty when all cost the same."""


@dataclass(frozen=True)
class Answers:
    """What n rows are, and what a model said about them.

    Args:
        kind: the shape of the answer.
        labels: label names in the order of the columns; empty for regression.
        truth: class indices (n,), 0/1 flags (n, labels), or values (n,).
        choices: decisions, shaped like `truth`.
        probabilities: (n, outputs); values (n, 1) for regression.
        costs: what errors cost, as in `Decision`; empty when all cost the same.
    """

    kind: TaskKind
    labels: tuple[str, ...]
    truth: NDArray[Any]
    choices: NDArray[Any]
    probabilities: Array
    costs: Prices = ()

    def __len__(self) -> int:
        return len(self.truth)

    @cached_property
    def flags(self) -> NDArray[np.bool_]:
        """The truth as flags (n, labels), whatever the kind."""
        return self._flags(self.truth)

    @cached_property
    def chosen(self) -> NDArray[np.bool_]:
        """The choices as flags (n, labels), whatever the kind."""
        return self._flags(self.choices)

    def _flags(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        if self.kind == "multilabel":
            return np.asarray(values > 0, dtype=np.bool_)
        same = np.asarray(values)[:, None] == np.arange(len(self.labels))
        return np.asarray(same, dtype=np.bool_)

    @cached_property
    def right(self) -> Array:
        """1.0 for each row that is answered right, all its labels included, else 0.0."""
        same = self.truth == self.choices
        return np.asarray(same if same.ndim == 1 else same.all(axis=1), dtype=np.float64)

    @cached_property
    def tallies(self) -> tuple[csr_array, csr_array, csr_array]:
        """Sparse (labels, n) matrices that count hits, truths and choices."""
        hits = self.flags & self.chosen
        return _sparse(hits), _sparse(self.flags), _sparse(self.chosen)

    def balanced_rows(self) -> float:
        """The number of evenly spread rows that would say as much as these do about a mean over
        classes: K² / Σ 1/nₖ, over the classes that occur."""
        if self.kind == "regression":
            return float(len(self))
        support = self.flags.sum(axis=0)
        if self.kind == "multilabel":
            support = np.concatenate([support, len(self) - support])
        support = support[support > 0]
        return float(len(support) ** 2 / (1.0 / support).sum()) if len(support) else 0.0


def _sparse(flags: NDArray[np.bool_]) -> csr_array:
    return csr_array(flags.T.astype(np.float32))


def ratio(part: Array, whole: Array, of_nothing: float = 0.0) -> Array:
    """Return part / whole, and `of_nothing` where the whole is not above 0."""
    found = np.full(np.shape(part), of_nothing)
    np.divide(part, whole, out=found, where=np.asarray(whole > 0))
    return found


def answers_of(
    y: NDArray[Any], scores: NDArray[Any], decision: Decision, prices: Prices | None = None
) -> Answers:
    """Put the truth beside what scores and a decision rule answer.

    `y` is what `Task.encode` returns, `scores` are (n, outputs). A row whose scores are not finite
    could not be read. It has no answer, which is never right, and all classes are equally likely;
    in regression the mean of the other predictions stands for it. Errors cost what `prices` say, or
    when None what the decision was made by. Raises ValueError when the lengths differ, or no row at
    all has finite scores.
    """
    if len(y) != len(scores):
        raise ValueError(f"{len(y)} targets but {len(scores)} rows of scores")
    values = np.array(scores, dtype=np.float64)
    unread = ~np.isfinite(values).all(axis=1)
    if len(values) and unread.all():
        raise ValueError(f"none of the {len(values)} rows has finite scores")
    values[unread] = values[~unread].mean() if decision.kind == "regression" else 0.0
    choices = np.array(decision.choices(values))
    if decision.kind != "regression":
        choices[unread] = NO_ANSWER
    return Answers(
        kind=decision.kind,
        labels=decision.labels,
        truth=np.asarray(y),
        choices=choices,
        probabilities=decision.probabilities(values),
        costs=decision.costs if prices is None else prices,
    )


@dataclass(frozen=True)
class Counts:
    """For each label and resample, (labels, resamples): hits, truths and choices."""

    hits: Array
    truths: Array
    choices: Array


@dataclass(frozen=True)
class Sample:
    """Answers with row weights (n, resamples): each column is one resample."""

    answers: Answers
    weights: NDArray[Any]

    @cached_property
    def total(self) -> Array:
        """The number of rows in each resample."""
        return np.asarray(self.weights.sum(axis=0), dtype=np.float64)

    def mean(self, values: NDArray[Any]) -> Array:
        """Return the mean of a value per row in each resample."""
        return np.asarray(self.sums(values[:, None])[0] / self.total)

    def sums(self, values: NDArray[Any]) -> Array:
        """Return the sums (m, resamples) of m values per row, given as (n, m)."""
        return np.asarray(np.asarray(values, self.weights.dtype).T @ self.weights, np.float64)

    @cached_property
    def counts(self) -> Counts:
        """Hits, truths and choices of each label."""
        return Counts(
            *(np.asarray(tally @ self.weights, np.float64) for tally in self.answers.tallies)
        )

    @cached_property
    def areas(self) -> tuple[Array, Array]:
        """Areas under the ROC curve and average precisions, each (labels, resamples).

        Of the positive class alone in a binary task.
        """
        answers = self.answers
        columns = [1] if answers.kind == "binary" else range(len(answers.labels))
        found = [
            areas(answers.probabilities[:, k], answers.flags[:, k], self.weights) for k in columns
        ]
        return np.array([roc for roc, _ in found]), np.array([ap for _, ap in found])


def whole(answers: Answers) -> Sample:
    """Return the rows themselves as a sample: one column of ones."""
    return Sample(answers, np.ones((len(answers), 1)))
