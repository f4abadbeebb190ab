"""Metrics of order. One value a resample."""

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
    return _mean_over_labels(sample.areas[0])


def average_precision(sample: Sample) -> Array:
    """Return the average precision: the mean over positives of the precision at their rank.

    With several classes or labels: the mean over those that have both sides, each against the
    rest.
    """
    return _mean_over_labels(sample.areas[1])


def _mean_over_labels(areas: Array) -> Array:
    defined = np.isfinite(areas)
    return ratio(np.nan_to_num(areas).sum(axis=0), defined.sum(axis=0), np.nan)


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
