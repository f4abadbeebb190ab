"""Areas under the curves of a ranking, for many weightings of its rows at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def areas(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], weights: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the area under the ROC curve and the average precision of each column of weights.

    Rows of equal score share a step of both curves. NaN where a column has no positive row, or
    no negative one. Only positions of positive rows are looked at, so that the work is one
    running sum over the rows (n) for each column.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, flags = scores[order], positive[order]
    new = np.concatenate([[True], ranked[1:] != ranked[:-1], [True]])
    edges = np.flatnonzero(new)
    step = np.cumsum(new[:-1])[flags] - 1
    start, end = edges[step], edges[step + 1]
    sorted_weights = weights[order]
    own = sorted_weights[flags]
    rows, positives = _running(sorted_weights), _running(own)
    before = np.concatenate([[0], np.cumsum(flags)])
    above, through = positives[before[start]], positives[before[end]]
    negatives_passed = (rows[start] - above) + (rows[end] - through)
    total = positives[-1].astype(np.float64)
    others = rows[-1].astype(np.float64) - total
    lost = np.einsum("ir,ir->r", own, negatives_passed) / 2.0
    found = np.einsum("ir,ir->r", own, through / np.maximum(rows[end], 1))
    both = (total > 0) & (others > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        roc = np.where(both, 1.0 - lost / (total * others), np.nan)
        precision = np.where(both, found / total, np.nan)
    return roc, precision


def _running(weights: NDArray[Any]) -> NDArray[Any]:
    """Return running sums that begin with a row of zeros."""
    found = np.zeros((len(weights) + 1, weights.shape[1]), weights.dtype)
    np.cumsum(weights, axis=0, out=found[1:])
    return found
