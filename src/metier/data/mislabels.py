"""Rows whose label is likely wrong: confident learning on out-of-fold predictions."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.threads import few_threads

_FOLDS = 5
_MARGIN = 0.5
_SURE = 0.8
_CHANCE = 0.5
_TRIM = 0.01
_STRENGTHS = (1.0, 10.0)
_TEMPERATURES = np.geomspace(0.2, 3.0, 16)

Floats64 = NDArray[np.float64]


@dataclass(frozen=True)
class Mislabels:
    """Rows that are likely labelled wrongly, worst first.

    Args:
        rows: (k,) positions.
        likelier: (k,) the class numbers that suit them better.
        accuracy: how often the classifier that judged agrees with the labels given.
    """

    rows: NDArray[np.int64]
    likelier: NDArray[np.int64]
    accuracy: float


def find_mislabels(features: NDArray[Any], labels: NDArray[np.int64], seed: int = 0) -> Mislabels:
    """Find rows that are likely labelled wrongly.

    Northcutt, Jiang and Chuang, 2021, "Confident learning": a row counts against its label when a
    classifier that did not see it gives another label at least the probability that label has, on
    average, on its own rows (0.8 is always enough, or the surest classes would be beyond doubt).
    Probabilities are calibrated first, margins under 0.5 are left alone, and so are labels that are
    no rarer than the classifier itself expects, so that a weak classifier names few rows.

    Args:
        features: (n, d).
        labels: (n,) class numbers. Classes of fewer than 10 rows are not judged.
        seed: decides the folds.
    """
    counts = np.bincount(labels)
    judged = np.flatnonzero(counts[labels] >= 2 * _FOLDS)
    nothing = np.zeros(0, dtype=np.int64)
    if len(np.unique(labels[judged])) < 2:
        return Mislabels(nothing, nothing, 0.0)
    classes, given = np.unique(labels[judged], return_inverse=True)
    chances = predict_out_of_fold(features[judged], given, seed)
    usual = np.array([chances[given == k, k].mean() for k in range(len(classes))])
    above = np.where(chances >= np.minimum(usual, _SURE), chances, -1.0)
    likely = above.argmax(axis=1)
    place = np.arange(len(given))
    own = chances[place, given]
    margin = above[place, likely] - own
    surprising = own <= _surprise(chances, own)
    rows = np.flatnonzero((likely != given) & (margin >= _MARGIN) & surprising)
    rows = rows[np.argsort(-margin[rows], kind="stable")]
    accuracy = float((chances.argmax(axis=1) == given).mean())
    return Mislabels(judged[rows], classes[likely[rows]], accuracy)


def _surprise(chances: Floats64, own: Floats64) -> float:
    """Return the probability below which at most half of the labels are there by chance.

    A calibrated classifier says itself how many rows should bear a label it thinks unlikely; only
    where at least twice as many do is there something wrong with labels.
    """
    ordered = np.sort(own)
    every = np.sort(chances, axis=None)
    expected = np.concatenate([[0.0], np.cumsum(every)])[np.searchsorted(every, ordered, "right")]
    kept = np.flatnonzero(expected <= _CHANCE * np.arange(1, len(ordered) + 1))
    return float(ordered[kept[-1]]) if len(kept) else -1.0


def predict_out_of_fold(
    features: NDArray[Any], labels: NDArray[np.int64], seed: int = 0
) -> Floats64:
    """Return (n, classes) calibrated probabilities of rows the classifier was not fitted on.

    The classifier is logistic regression; its strength and temperature (Guo et al., 2017) are those
    with the smallest log loss, the worst 1 % of the rows left out, since wrong labels among them
    would make every probability timid.
    """
    values = np.asarray(features, dtype=np.float32)
    values = values - values.mean(axis=0)
    values /= np.sqrt((values**2).mean()) or 1.0
    fold = _folds(labels, seed)
    kept = int(np.ceil((1 - _TRIM) * len(labels)))
    best, best_loss = np.zeros((len(labels), int(labels.max()) + 1)), np.inf
    for strength in _STRENGTHS:
        scores = _score_out_of_fold(values, labels, fold, strength)
        for temperature in _TEMPERATURES:
            chances = _softmax(scores / temperature)
            losses = np.sort(-np.log(chances[np.arange(len(labels)), labels] + 1e-12))
            loss = float(losses[:kept].mean())
            if loss < best_loss:
                best, best_loss = chances, loss
    return best


def _score_out_of_fold(
    values: NDArray[np.float32], labels: NDArray[np.int64], fold: NDArray[np.int64], strength: float
) -> Floats64:
    """Return (n, classes) logits of rows left out; the penalty is per row, as in a head."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    scores = np.zeros((len(labels), int(labels.max()) + 1))
    for k in range(_FOLDS):
        held = fold == k
        model = LogisticRegression(C=strength / np.sqrt((~held).sum()), max_iter=200, tol=1e-3)
        with few_threads(values.size), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = model.fit(values[~held], labels[~held]).decision_function(values[held])
        scores[held] = found if found.ndim == 2 else np.stack([-found / 2, found / 2], axis=1)
    return scores


def _folds(labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Deal the rows of each class out evenly, in random order."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    fold = np.zeros(len(labels), dtype=np.int64)
    fold[order] = np.arange(len(labels)) % _FOLDS
    return fold


def _softmax(scores: Floats64) -> Floats64:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
