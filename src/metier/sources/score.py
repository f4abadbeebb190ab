"""How well frozen features suit a task: scores from one forward pass, to shortlist sources by.

A score takes features (n, width) and targets as `Task.encode` gives them: int64 (n,) for classes,
float32 (n, labels) of 0 and 1 for several labels, float32 (n,) for numbers. Higher is better. A
score compares sources on the same rows; its size says nothing across data sets. Each raises
DataError when the targets of the rows are all the same.

Where a score was published for classes only, numbers are cut into slices of equal size (as sliced
inverse regression does; Li, 1991) and several labels are averaged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metier.errors import DataError
from metier.types import Floats

Score = Callable[[Floats, NDArray[Any]], float]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

SLICES = 10
"""Slices that a numeric target is cut into where a score needs classes."""
NEIGHBOURS = 5
FOLDS = 5
PENALTIES = tuple(10.0**e for e in np.arange(-4.0, 1.01, 0.5))
"""Ridge penalties that are tried, as shares of the mean eigenvalue of the features' Gram matrix."""


def logme(features: Floats, targets: NDArray[Any]) -> float:
    """Log of the maximum evidence a row, of a Bayesian linear model (You et al., 2021, "LogME").

    One against the rest for classes and labels, averaged; numbers are standardised first, so that
    their unit does not matter. The evidence is a function of one ratio, that of the precisions of
    prior and noise, and its maximum is searched for: the published fixed-point iteration can end
    in a lower one, below what a model without any feature has.

    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 50)
    >>> near, far = rng.normal(y[:, None], 0.1, (100, 4)), rng.normal(size=(100, 4))
    >>> logme(near, y) > logme(far, y)
    True
    """
    columns = _columns(targets)
    if _shape_of(targets) == "number":
        columns = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    n = len(columns)
    left, values = _spectrum(np.asarray(features, dtype=np.float64))
    inside = (left.T @ columns) ** 2
    outside = np.maximum((columns**2).sum(axis=0) - inside.sum(axis=0), 0.0)
    evidence = _highest_evidence(values[:, None], inside, outside, n)
    return float(evidence.mean()) / n


def h_score(features: Floats, targets: NDArray[Any]) -> float:
    """Spread of the class means against the spread of all features (Bao et al., 2019, "H-score").

    The covariance is shrunk as Ibrahim et al. (2022, "Newer is not always better") propose, with
    the amount of Ledoit and Wolf (2004), so that it can be trusted with fewer rows than features.
    """
    labelings = _labelings(targets)
    centred = _centred(features)
    if not centred.any():
        return 0.0
    n, width = centred.shape
    small = n < width
    gram = centred @ centred.T if small else centred.T @ centred
    amount, level = _shrinkage(centred, gram)
    shrunk = gram * ((1 - amount) / n)
    shrunk.flat[:: len(shrunk) + 1] += (amount + 1e-12) * level
    found = []
    for classes in labelings:
        sizes = np.bincount(classes)
        members = np.eye(len(sizes))[classes] / sizes
        means = gram @ members if small else centred.T @ members
        # With few rows, m' S^-1 m of a mean m = X'a is a' (XX' scaled and shrunk)^-1 XX'a.
        spread = (np.linalg.solve(shrunk, means) * (members if small else means)).sum(axis=0)
        found.append((1 - amount) * float(spread @ sizes) / n)
    return float(np.mean(found))


def nearest_mean(features: Floats, targets: NDArray[Any]) -> float:
    """Leave-one-out accuracy of the class whose mean is nearest by cosine.

    For several labels the balanced accuracy of "with" against "without", averaged over labels; for
    numbers the R² of answering with the mean of the nearest slice.
    """
    unit = _unit(features)
    shape = _shape_of(targets)
    found = []
    for classes in _labelings(targets):
        nearest = _nearest_class(unit, classes)
        if shape == "number":
            sizes = np.bincount(classes)
            means = np.bincount(classes, weights=targets) / sizes
            found.append(_explained(means[nearest][:, None], _columns(targets)))
        elif shape == "labels":
            right = [(nearest[classes == c] == c).mean() for c in (0, 1)]
            found.append(float(np.mean(right)))
        else:
            found.append(float((nearest == classes).mean()))
    return float(np.mean(found))


def knn(features: Floats, targets: NDArray[Any]) -> float:
    """Leave-one-out accuracy of the five nearest neighbours by cosine, weighed by similarity.

    For numbers and for several labels the R² of the neighbours' weighed mean.
    """
    columns = _columns(targets)
    unit = _unit(features)
    alike = unit @ unit.T
    np.fill_diagonal(alike, -np.inf)
    k = min(NEIGHBOURS, len(unit) - 1)
    near = np.argpartition(alike, -k, axis=1)[:, -k:]
    # Shifted to be positive: the order of neighbours breaks ties, their number decides.
    weights = np.take_along_axis(alike, near, axis=1) + 2.0
    votes = np.einsum("nk,nkc->nc", weights / weights.sum(axis=1, keepdims=True), columns[near])
    return _judged(votes, columns, targets)


def ridge_probe(features: Floats, targets: NDArray[Any]) -> float:
    """Five-fold cross-validated accuracy of ridge regression on one column a class.

    For numbers and for several labels its R². All penalties and folds come from one eigenvalue
    decomposition: a row left out with its fold B has the residual (I - H_BB)^-1 (y - Hy)_B, where H
    is the hat matrix on all rows, which is exact for a penalised least squares. The penalty with
    the lowest cross-validated squared error is taken.
    """
    columns = _columns(targets)
    centred = _centred(features)
    left, values = _spectrum(centred)
    place = _fold_of(targets)
    offset = columns.mean(axis=0)
    inside = left.T @ (columns - offset)
    best, lowest = np.zeros_like(columns), np.inf
    for penalty in np.asarray(PENALTIES) * values.sum() / len(centred):
        kept = values / (values + penalty)
        residual = columns - offset - left @ (kept[:, None] * inside)
        for fold in range(int(place.max()) + 1):
            rows = np.flatnonzero(place == fold)
            hat = (left[rows] * kept) @ left[rows].T + 1.0 / len(columns)
            residual[rows] = np.linalg.solve(np.eye(len(rows)) - hat, residual[rows])
        error = float((residual**2).sum())
        if error < lowest:
            best, lowest = columns - residual, error
    return _judged(best, columns, targets)


SCORES: dict[str, Score] = {
    "logme": logme,
    "h_score": h_score,
    "nearest_mean": nearest_mean,
    "knn": knn,
    "ridge_probe": ridge_probe,
}
"""Every score by name, cheap ones and dear ones alike: all together take seconds on 2,000 rows."""


def _shape_of(targets: NDArray[Any]) -> Literal["classes", "labels", "number"]:
    if targets.ndim == 2:
        return "labels"
    return "classes" if np.issubdtype(targets.dtype, np.integer) else "number"


def _columns(targets: NDArray[Any]) -> Doubles:
    """What is to be predicted as float64 (n, columns): one a class, one a label, or the number."""
    shape = _shape_of(targets)
    if shape == "classes":
        classes = np.unique(targets, return_inverse=True)[1]
        columns = np.eye(int(classes.max(initial=0)) + 1)[classes]
    else:
        columns = np.asarray(targets, dtype=np.float64).reshape(len(targets), -1)
    varying = columns[:, columns.min(axis=0) < columns.max(axis=0)]
    if varying.shape[1] == 0:
        raise DataError(
            "the rows that sources are scored on all have the same target: give more rows of others"
        )
    return varying


def _labelings(targets: NDArray[Any]) -> list[Ints]:
    """The targets as divisions of the rows into classes 0, 1, ..., none of them empty."""
    columns = _columns(targets)
    shape = _shape_of(targets)
    if shape == "labels":
        return [column.astype(np.int64) for column in columns.T]
    if shape == "classes":
        return [np.unique(targets, return_inverse=True)[1].astype(np.int64)]
    slices = max(2, min(SLICES, len(targets) // SLICES))
    edges = np.quantile(targets, np.arange(1, slices) / slices)
    cut = np.searchsorted(edges, targets, side="right")
    return [np.unique(cut, return_inverse=True)[1].astype(np.int64)]


def _centred(features: Floats) -> Doubles:
    doubles = np.asarray(features, dtype=np.float64)
    return np.asarray(doubles - doubles.mean(axis=0))


def _unit(features: Floats) -> Floats:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, 1e-12), dtype=np.float32)


def _spectrum(features: Doubles) -> tuple[Doubles, Doubles]:
    """Left singular vectors (n, k) and squared singular values (k,), zeros left out."""
    n, width = features.shape
    values, vectors = np.linalg.eigh(features @ features.T if n <= width else features.T @ features)
    kept = values > values.max(initial=0.0) * max(n, width) * np.finfo(np.float64).eps
    values, vectors = values[kept], vectors[:, kept]
    return (vectors if n <= width else features @ vectors / np.sqrt(values)), values


def _highest_evidence(values: Doubles, inside: Doubles, outside: Doubles, n: int) -> Doubles:
    """The highest log evidence (columns,) over the ratio of the precisions of prior and noise."""

    def evidence(ratio: Doubles) -> Doubles:
        kept = values / (values + ratio)
        # Squared error and penalty together, by which the noise's own precision is known.
        error = (inside * (1 - kept)).sum(axis=0) + outside
        noise = n / np.maximum(error, 1e-12 * n)
        volume = np.log1p(values / ratio).sum(axis=0)
        return np.asarray(0.5 * (n * np.log(noise) - volume - n - n * np.log(2 * np.pi)))

    place = np.full(inside.shape[1], np.log10(values.mean() if len(values) else 1.0))
    best = np.full(len(place), -np.inf)
    for steps in (np.linspace(-8, 8, 33), np.linspace(-0.5, 0.5, 11)):
        found = np.stack([evidence(10.0 ** (place + step)) for step in steps])
        place = place + steps[found.argmax(axis=0)]
        best = np.maximum(best, found.max(axis=0))
    return best


def _shrinkage(centred: Doubles, gram: Doubles) -> tuple[float, float]:
    """How far to shrink a covariance (0 to 1), and its mean variance (Ledoit and Wolf, 2004)."""
    n, width = centred.shape
    lengths = (centred**2).sum(axis=1)
    level = float(lengths.sum()) / (n * width)
    squares = float((gram**2).sum()) / n**2
    distance = squares - width * level**2
    noise = (float((lengths**2).sum()) / n - squares) / n
    return (min(noise, distance) / distance if distance > 0 else 1.0), level


def _nearest_class(unit: Floats, classes: Ints) -> Ints:
    """The class whose mean is nearest by cosine, each row left out of the mean of its own."""
    n = len(unit)
    sums = np.eye(int(classes.max()) + 1, dtype=np.float32)[classes].T @ unit
    lengths = np.maximum(np.linalg.norm(sums, axis=1), 1e-12)
    alike = unit @ sums.T
    # The sum without the row itself: s - x, with x of length 1.
    own = alike[np.arange(n), classes]
    without = np.sqrt(np.maximum(lengths[classes] ** 2 - 2 * own + 1.0, 1e-12))
    alone = np.bincount(classes)[classes] == 1
    alike = alike / lengths
    alike[np.arange(n), classes] = np.where(alone, -np.inf, (own - 1.0) / without)
    return np.asarray(alike.argmax(axis=1), dtype=np.int64)


def _fold_of(targets: NDArray[Any]) -> Ints:
    """The fold (n,) of each row: dealt in the order of the target, so that each gets its share."""
    n = len(targets)
    shuffled = np.random.default_rng(0).permutation(n)
    keys = targets if targets.ndim == 1 else targets.sum(axis=1)
    place = np.empty(n, dtype=np.int64)
    place[shuffled[np.argsort(keys[shuffled], kind="stable")]] = np.arange(n) % min(FOLDS, n)
    return place


def _judged(predicted: Doubles, columns: Doubles, targets: NDArray[Any]) -> float:
    if _shape_of(targets) == "classes":
        return float((predicted.argmax(axis=1) == columns.argmax(axis=1)).mean())
    return _explained(predicted, columns)


def _explained(predicted: Doubles, columns: Doubles) -> float:
    """R² over all columns together."""
    around = ((columns - columns.mean(axis=0)) ** 2).sum()
    return float(1.0 - ((columns - predicted) ** 2).sum() / around)
