"""Metrics that average an error: of probabilities, and of numbers. One value a resample."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from metier.evidence.answers import Answers, Array, Sample, ratio

SMALLEST = float(np.finfo(np.float64).eps)
"""Probabilities are kept this far from 0 and 1, so that one sure mistake does not cost infinity."""


def log_loss(sample: Sample) -> Array:
    """Return the mean negative log-likelihood; with several labels, the mean over them."""
    answers = sample.answers
    sure = np.clip(answers.probabilities, SMALLEST, 1.0 - SMALLEST)
    if answers.kind != "multilabel":
        return sample.mean(-np.log(sure[np.arange(len(answers)), answers.truth]))
    return sample.mean(-np.where(answers.flags, np.log(sure), np.log1p(-sure)).mean(axis=1))


def brier(sample: Sample) -> Array:
    """Return the Brier score: the mean squared error of the probabilities.

    Binary: of the positive class. Several classes: summed over them. Several labels: their mean.
    """
    answers = sample.answers
    squared = (answers.probabilities - answers.flags) ** 2
    if answers.kind == "binary":
        return sample.mean(squared[:, 1])
    if answers.kind == "multilabel":
        return sample.mean(squared.mean(axis=1))
    return sample.mean(squared.sum(axis=1))


def claims(answers: Answers) -> tuple[Array, Array, int]:
    """Return what a model claims and what came true: confidences (m,), outcomes (m,), and how many
    claims a row makes.

    Binary: the probability of the positive class, against whether the row is positive. Several
    classes: that of the likeliest one, against whether it is right. Several labels: each one's.
    """
    if answers.kind == "binary":
        return answers.probabilities[:, 1], (answers.truth == 1).astype(np.float64), 1
    if answers.kind == "multilabel":
        outcomes = answers.flags.astype(np.float64).ravel()
        return answers.probabilities.ravel(), outcomes, len(answers.labels)
    best = answers.probabilities.argmax(axis=1)
    outcomes = (best == answers.truth).astype(np.float64)
    return answers.probabilities[np.arange(len(answers)), best], outcomes, 1


def even_bins(confidences: Array, bins: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return a bin number for each confidence; bins hold equally many, and ties stay together."""
    edges = np.unique(np.quantile(confidences, np.arange(1, bins) / bins))
    _, found = np.unique(np.searchsorted(edges, confidences), return_inverse=True)
    return found.astype(np.int64)


def squared_calibration_error(sample: Sample, bins: int = 15) -> Array:
    """Return the debiased squared calibration error, which can be just below 0.

    The mean over equally filled bins of (confidence - outcome)², less what chance alone puts
    there (Kumar, Liang & Ma, 2019, "Verified uncertainty calibration"; bins of equal mass as
    Roelofs et al., 2022, advise). Its root is the metric `calibration_error`.
    """
    confidences, outcomes, each = claims(sample.answers)
    place = even_bins(confidences, min(bins, max(1, len(confidences) // 10)))
    rows = np.repeat(np.arange(len(sample.answers)), each)
    shape = (int(place.max()) + 1, len(sample.answers))

    def per_bin(values: Array) -> Array:
        return np.asarray(csr_array((values, (place, rows)), shape=shape) @ sample.weights)

    counts = per_bin(np.ones(len(place)))
    safe = np.maximum(counts, 1.0)
    confidence, outcome = per_bin(confidences) / safe, per_bin(outcomes) / safe
    chance = outcome * (1.0 - outcome) / np.maximum(counts - 1.0, 1.0)
    terms = (confidence - outcome) ** 2 - chance
    return np.asarray((counts * terms).sum(axis=0) / counts.sum(axis=0))


def root(values: Array) -> Array:
    """Return square roots, 0 for what is negative."""
    return np.asarray(np.sqrt(np.maximum(values, 0.0)))


def mae(sample: Sample) -> Array:
    """Return the mean absolute error."""
    return sample.mean(np.abs(_residuals(sample.answers)))


def mean_squared_error(sample: Sample) -> Array:
    """Return the mean squared error; its root is the metric `rmse`."""
    return sample.mean(_residuals(sample.answers) ** 2)


def rmse(sample: Sample) -> Array:
    """Return the root of the mean squared error."""
    return root(mean_squared_error(sample))


def r2(sample: Sample) -> Array:
    """Return the share of the variance that is explained; 0 is as good as the mean."""
    truth = sample.answers.truth.astype(np.float64)
    centred = truth - truth.mean()
    first, second, squared = sample.sums(
        np.stack([centred, centred**2, _residuals(sample.answers) ** 2], axis=1)
    )
    spread = second - first**2 / sample.total
    return np.asarray(1.0 - ratio(squared, spread, np.nan))


def _residuals(answers: Answers) -> Array:
    return np.asarray(answers.choices, np.float64) - np.asarray(answers.truth, np.float64)
