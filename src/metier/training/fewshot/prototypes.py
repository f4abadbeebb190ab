"""Heads that give a row to the class whose average row lies nearest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.runtime.postprocess import TaskKind
from metier.training.climb import climb
from metier.training.heads import Head, Weights
from metier.types import Floats

SHARPNESSES = (5.0, 7.0, 10.0, 14.0, 20.0, 28.0, 40.0, 56.0, 80.0)
USUAL = 20.0
"""What cosine similarities are multiplied by where no row can be left out to say better."""


def fit_prototypes(
    features: Floats,
    targets: NDArray[Any],
    kind: TaskKind,
    outputs: int,
    weights: Weights = None,
) -> Head:
    """Return the nearest class mean as a linear head (Snell et al., 2017, without training).

    Scores are similarities to the mean direction of each class, times a sharpness that is chosen by
    the log loss of rows that are left out of their own mean. A row counts by its length, in lengths
    of a usual row, since a linear head reads it as it is: where all are of one length, similarities
    are cosines. A label of several is the nearer one of two means: of the rows that have it, and of
    those that do not.

    Args:
        features: (n, width).
        targets: int64 (n,) for classes, (n, outputs) for several labels.
        kind: of the task; there is no class of a number.
        outputs: how many classes or labels there are.
        weights: how much each row counts, (n,).
    """
    unit = _unit(features)
    counts = np.ones(len(unit)) if weights is None else weights
    usual = max(float(np.average(np.linalg.norm(features, axis=1), weights=counts)), 1e-9)
    if kind == "multilabel":
        has = targets > 0
        weight = _unit((has * counts[:, None]).T @ unit)
        weight -= _unit((~has * counts[:, None]).T @ unit)
        return Head(
            (USUAL / usual * weight).astype(np.float32), np.zeros(outputs, np.float32), USUAL
        )
    marks = np.eye(outputs)[targets] * counts[:, None]
    sums = marks.T @ unit
    sharp = _sharpness(unit, features / usual, targets, counts, sums)
    # A class that nobody has seen lies opposite to every row.
    bias = np.where(sums.any(axis=1), 0.0, -sharp).astype(np.float32)
    return Head((sharp / usual * _unit(sums)).astype(np.float32), bias, sharp)


def _sharpness(
    unit: Floats,
    rows: Floats,
    targets: NDArray[Any],
    counts: NDArray[np.float64],
    sums: NDArray[Any],
) -> float:
    """The sharpness with the lowest log loss of rows that their class can spare.

    Args:
        unit: (n, width), the direction of each row.
        rows: (n, width), each row in lengths of a usual one.
        targets: (n,).
        counts: how much each row counts, (n,).
        sums: (classes, width), of the directions of each class.
    """
    spared = np.flatnonzero(np.bincount(targets, minlength=len(sums))[targets] > 1)
    if not len(spared):
        return USUAL
    known = targets[spared]
    near = rows[spared] @ _unit(sums).T
    others = _unit(sums[known] - counts[spared, None] * unit[spared])
    near[np.arange(len(spared)), known] = (rows[spared] * others).sum(axis=1)
    near = near[:, sums.any(axis=1)]
    place = np.searchsorted(np.flatnonzero(sums.any(axis=1)), known)

    def loss(sharp: float) -> float:
        scores = sharp * near
        top = scores.max(axis=1, keepdims=True)
        total = top[:, 0] + np.log(np.exp(scores - top).sum(axis=1))
        return float(
            np.average(total - scores[np.arange(len(place)), place], weights=counts[spared])
        )

    return climb(SHARPNESSES, USUAL, loss)


def _unit(rows: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9))
