"""The metrics by name, their values, and their intervals.

>>> import numpy as np
>>> from metier.runtime.postprocess import Decision
>>> scores = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 3.0]])
>>> measure("accuracy", np.array([0, 1, 1, 1]), scores, Decision("binary", ("no", "yes")))
0.75
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from metier.evidence.answers import Prices, answers_of, whole
from metier.evidence.catalogue import METRICS, Metric, find, names
from metier.evidence.intervals import RESAMPLES, intervals
from metier.evidence.intervals import per_class as each_class
from metier.runtime.postprocess import Decision
from metier.types import Finding, Task

__all__ = ["METRICS", "RESAMPLES", "Metric", "find", "interval", "measure", "names", "scorecard"]


def measure(name: str, y: NDArray[Any], scores: NDArray[Any], decision: Decision) -> float:
    """Return the value of a metric over all rows.

    `y` is what `Task.encode` returns, `scores` are (n, outputs). NaN where it is not defined (a
    ROC curve of one class only).
    """
    metric = find(name, decision.kind)
    return float(metric.value(whole(answers_of(y, scores, decision)))[0])


def interval(
    name: str,
    y: NDArray[Any],
    scores: NDArray[Any],
    decision: Decision,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    clusters: NDArray[Any] | None = None,
) -> Finding:
    """Return a metric with its interval.

    Shares of rows have Wilson's interval, means of recalls one that follows from it, everything
    else a bootstrap over rows. With `clusters`
    (n,) whole groups are resampled, for rows that are not independent.
    """
    metric = find(name, decision.kind)
    answers = answers_of(y, scores, decision)
    return intervals([metric], answers, level, resamples, seed, clusters)[0]


def scorecard(
    task: Task,
    y: NDArray[Any],
    scores: NDArray[Any],
    decision: Decision,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    clusters: NDArray[Any] | None = None,
    per_class: bool = True,
    prices: Prices | None = None,
) -> list[Finding]:
    """Return every metric of a task with its interval, the deciding one first.

    Errors cost what `prices` say, or when None what the decision was made by.

    With `per_class`, precision, recall and F1 of each label follow, named `recall[label]`, with
    the label in `details["label"]` and the number of its rows as `n`.
    """
    metrics = [find(name, decision.kind) for name in task.metrics]
    answers = answers_of(y, scores, decision, prices)
    found = intervals(metrics, answers, level, resamples, seed, clusters)
    if per_class and decision.kind != "regression":
        found += each_class(answers, level, resamples, seed, clusters)
    return found
