"""Metrics that count decisions. Each returns one value a resample, with scikit-learn's meaning.

A class that occurs neither in the truth nor among the choices of a resample takes no part in a
mean over classes; a share of nothing counts as 0.
"""

from __future__ import annotations

import numpy as np

from metier.evidence.answers import Array, Sample, ratio


def _over_classes(values: Array, seen: Array) -> Array:
    return ratio((values * seen).sum(axis=0), seen.sum(axis=0))


def precisions(sample: Sample) -> Array:
    """Return how much of what was called a label is that label, (labels, resamples)."""
    return ratio(sample.counts.hits, sample.counts.choices)


def recalls(sample: Sample) -> Array:
    """Return how much of what is a label was called that label, (labels, resamples)."""
    return ratio(sample.counts.hits, sample.counts.truths)


def f1s(sample: Sample) -> Array:
    """Return the harmonic mean of precision and recall of each label, (labels, resamples)."""
    return ratio(2.0 * sample.counts.hits, sample.counts.truths + sample.counts.choices)


def _seen(sample: Sample) -> Array:
    if sample.answers.kind == "multilabel":
        return np.ones_like(sample.counts.truths)
    return ((sample.counts.truths + sample.counts.choices) > 0).astype(np.float64)


def accuracy(sample: Sample) -> Array:
    """Return the share of rows answered right; with several labels a row, all of them right."""
    return sample.mean(sample.answers.right)


def balanced_accuracy(sample: Sample) -> Array:
    """Return the mean recall over the classes that occur."""
    return _over_classes(recalls(sample), (sample.counts.truths > 0).astype(np.float64))


def precision_macro(sample: Sample) -> Array:
    """Return the mean precision over classes."""
    return _over_classes(precisions(sample), _seen(sample))


def recall_macro(sample: Sample) -> Array:
    """Return the mean recall over classes."""
    return _over_classes(recalls(sample), _seen(sample))


def f1_macro(sample: Sample) -> Array:
    """Return the mean F1 over classes."""
    return _over_classes(f1s(sample), _seen(sample))


def precision_micro(sample: Sample) -> Array:
    """Return the precision of all decisions taken together."""
    return ratio(sample.counts.hits.sum(axis=0), sample.counts.choices.sum(axis=0))


def recall_micro(sample: Sample) -> Array:
    """Return the recall of all decisions taken together."""
    return ratio(sample.counts.hits.sum(axis=0), sample.counts.truths.sum(axis=0))


def f1_micro(sample: Sample) -> Array:
    """Return the F1 of all decisions taken together."""
    counts = sample.counts
    return ratio(
        2.0 * counts.hits.sum(axis=0), counts.truths.sum(axis=0) + counts.choices.sum(axis=0)
    )


def precision(sample: Sample) -> Array:
    """Return the precision of the positive class."""
    return np.asarray(precisions(sample)[1])


def recall(sample: Sample) -> Array:
    """Return the recall of the positive class."""
    return np.asarray(recalls(sample)[1])


def f1(sample: Sample) -> Array:
    """Return the F1 of the positive class."""
    return np.asarray(f1s(sample)[1])


def mcc(sample: Sample) -> Array:
    """Return Matthews' correlation coefficient, for any number of classes (Gorodkin, 2004)."""
    counts, total = sample.counts, sample.total
    truths, choices = counts.truths, counts.choices
    covariance = counts.hits.sum(axis=0) * total - (truths * choices).sum(axis=0)
    spread = (total**2 - (truths**2).sum(axis=0)) * (total**2 - (choices**2).sum(axis=0))
    return ratio(covariance, np.sqrt(np.maximum(spread, 0.0)))


def cost(sample: Sample) -> Array:
    """Return the mean cost of an answer: the user's own costs, or 1 for an error without them."""
    answers = sample.answers
    if not answers.costs:
        return 1.0 - accuracy(sample)
    costs = np.asarray(answers.costs)
    # no answer is chosen with index -1: the dearest of the errors
    costs = np.column_stack([costs, costs.max(axis=1)])
    return sample.mean(costs[answers.truth, answers.choices])
