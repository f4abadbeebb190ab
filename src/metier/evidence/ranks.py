"""Metrics of order: areas under curves, and Spearman's correlation. One value a resample."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.evidence.answers import Array, Sample, ratio


def roc_auc(sample: Sample) -> Array:
    """Return the area under the ROC curve: how often a positive row ranks before a negative one.

    With several classes or labels: the mean over those that have both sides, each against the
    rest.
    """
    return _mean_over_labels(sample, _roc_auc)


def average_precision(sample: Sample) -> Array:
    """Return the average precision: the mean over positives of the precision at their rank.

    With several classes or labels: the mean over those that have both sides, each against the
    rest.
    """
    return _mean_over_labels(sample, _average_precision)


def _mean_over_labels(sample: Sample, area: Any) -> Array:
    answers = sample.answers
    columns = [1] if answers.kind == "binary" else range(len(answers.labels))
    found = np.zeros(sample.weights.shape[1])
    seen = np.zeros(sample.weights.shape[1])
    for k in columns:
        value = area(answers.probabilities[:, k], answers.flags[:, k], sample.weights)
        seen += np.isfinite(value)
        found += np.nan_to_num(value)
    return ratio(found, seen, np.nan)


class _Ranking:
    """Rows from the highest score to the lowest, with running weights at the positive ones.

    Only positions of positive rows are looked at, so the work is one running sum over the rows.
    """

    def __init__(self, scores: Array, positive: NDArray[np.bool_], weights: NDArray[Any]) -> None:
        order = np.argsort(-scores, kind="stable")
        ranked, flags = scores[order], positive[order]
        new = np.concatenate([[True], ranked[1:] != ranked[:-1], [True]])
        edges = np.flatnonzero(new)
        group = np.cumsum(new[:-1])[flags] - 1
        start, end = edges[group], edges[group + 1]
        running = np.zeros((len(order) + 1, weights.shape[1]), weights.dtype)
        np.cumsum(weights[order], axis=0, out=running[1:])
        self.weights = weights[order][flags]
        positives = np.zeros((len(self.weights) + 1, weights.shape[1]), weights.dtype)
        np.cumsum(self.weights, axis=0, out=positives[1:])
        before = np.concatenate([[0], np.cumsum(flags)])
        self.all_above, self.all_through = running[start], running[end]
        self.positive_above, self.positive_through = (
            positives[before[start]],
            positives[before[end]],
        )
        self.positives = positives[-1].astype(np.float64)
        self.negatives = running[-1].astype(np.float64) - self.positives


def _roc_auc(scores: Array, positive: NDArray[np.bool_], weights: NDArray[Any]) -> Array:
    ranking = _Ranking(scores, positive, weights)
    above = ranking.all_above - ranking.positive_above
    through = ranking.all_through - ranking.positive_through
    lost = np.einsum("ir,ir->r", ranking.weights, above + through) / 2.0
    pairs = ranking.positives * ranking.negatives
    return ratio(pairs - lost, pairs, np.nan)


def _average_precision(scores: Array, positive: NDArray[np.bool_], weights: NDArray[Any]) -> Array:
    ranking = _Ranking(scores, positive, weights)
    precision = ranking.positive_through / np.maximum(ranking.all_through, 1)
    total = np.einsum("ir,ir->r", ranking.weights, precision).astype(np.float64)
    found = ratio(total, ranking.positives, np.nan)
    found[ranking.negatives == 0] = np.nan
    return found


def spearman(sample: Sample) -> Array:
    """Return Spearman's rank correlation of truth and prediction; 0 when one of them is constant.

    A resampled row counts as often as it was drawn, ties sharing their mean rank.
    """
    answers, weights = sample.answers, sample.weights
    middle = (sample.total + 1.0) / 2.0
    truth = _mid_ranks(answers.truth, weights) - middle
    guess = _mid_ranks(answers.choices, weights) - middle
    together = (weights * truth * guess).sum(axis=0)
    spread = np.sqrt((weights * truth**2).sum(axis=0) * (weights * guess**2).sum(axis=0))
    return ratio(together, spread)


def _mid_ranks(values: NDArray[Any], weights: NDArray[Any]) -> Array:
    """Return the mean rank (n, resamples) of each row among the rows of its resample."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    size = np.add.reduceat(weights[order].astype(np.float64), starts, axis=0)
    below = np.cumsum(size, axis=0) - size
    return np.asarray((below + (size + 1.0) / 2.0)[group])
