"""Calibrating two classes by a rising line, where rows are enough for more than one number.

Isotonic regression (Zadrozny & Elkan, 2002) with its steps joined at their centres (Oron &
Flournoy, 2017), so that no two scores are thrown together: what was ranked stays ranked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from metier.evidence.losses import SMALLEST
from metier.evidence.uncertainty.calibration import fit_temperature
from metier.runtime.postprocess import Decision

Knots = tuple[tuple[float, float], ...]

FEWEST = 500
"""Rows below which the one number of a temperature is all that is fitted."""
FEWEST_OF_A_CLASS = 50
IN_A_STEP = 10
MOST_KNOTS = 48
FOLDS, ROUNDS = 5, 2
SURE = 1.0
"""Standard errors by which the line has to be better on rows that it was not fitted on."""


def fit_calibration(
    scores: NDArray[Any], y: NDArray[Any], decision: Decision, seed: int = 0
) -> Decision:
    """Return the decision with a temperature, or with a rising line where that pays beyond noise.

    Both are fitted on four fifths of the rows and tried on the rest, for each fifth, twice. The
    line is taken when the log loss of the rows gains at least one standard error and their Brier
    score does not lose.
    """
    cooled = replace(decision, temperature=fit_temperature(scores, y, decision.kind), isotonic=())
    readable = np.isfinite(scores).all(axis=1)
    scores, y = scores[readable], y[readable]
    if decision.kind != "binary" or len(y) < FEWEST:
        return cooled
    if np.bincount(y, minlength=2).min() < FEWEST_OF_A_CLASS:
        return cooled
    losses = _cross_fitted(scores, y, cooled, seed)
    gain, brier = losses[0, 0] - losses[1, 0], losses[0, 1] - losses[1, 1]
    error = float(gain.std(ddof=1)) / np.sqrt(len(gain))
    if gain.mean() <= SURE * error or brier.mean() < 0:
        return cooled
    return replace(cooled, isotonic=fit_isotonic(scores, y))


def fit_isotonic(scores: NDArray[Any], y: NDArray[Any]) -> Knots:
    """Return knots (margin, log odds) of a rising line through logits (n, 2) and the truth (n,).

    Rows of one margin are one point, whatever their order, and a step never ends among them. A
    step's share of positives is taken as Jeffreys would: half a row of either kind more.

    >>> scores = np.stack([np.zeros(40), np.arange(40.0)], axis=1)
    >>> knots = fit_isotonic(scores, (np.arange(40) >= 20).astype(int))
    >>> knots[0][0] < 20 < knots[-1][0] and knots[0][1] < 0 < knots[-1][1]
    True
    """
    margins = np.asarray(scores[:, 1], np.float64) - np.asarray(scores[:, 0], np.float64)
    distinct, place, counts = np.unique(margins, return_inverse=True, return_counts=True)
    hits = np.bincount(place, weights=np.asarray(y, np.float64))
    found = isotonic_regression(hits / counts, weights=counts)
    starts = _coarse(found.blocks, counts)
    sizes = np.add.reduceat(counts, starts)
    positives = np.add.reduceat(hits, starts)
    centres = np.add.reduceat(distinct * counts, starts) / sizes
    shares = (positives + 0.5) / (sizes + 1)
    again = isotonic_regression(shares, weights=sizes)
    starts = again.blocks[:-1]
    weights = np.add.reduceat(sizes, starts)
    x = np.add.reduceat(centres * sizes, starts) / weights
    rising = again.x[starts]
    line = np.log(rising) - np.log1p(-rising)
    return tuple((float(a), float(b)) for a, b in zip(x, line, strict=True))


def _coarse(blocks: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where steps of distinct margins begin, small ones joined with the next, never too many.

    `counts` are the rows of each margin; what is left at the end joins the step before it.
    """
    rows = np.concatenate([[0], np.cumsum(counts)])
    least = max(IN_A_STEP, int(rows[-1]) // MOST_KNOTS)
    starts = [0]
    for border in blocks[1:]:
        if rows[border] - rows[starts[-1]] >= least:
            starts.append(int(border))
    # The last one is the end of all, or the beginning of too small a rest.
    return np.array(starts[:-1] or [0])


def _cross_fitted(
    scores: NDArray[Any], y: NDArray[Any], cooled: Decision, seed: int
) -> NDArray[np.float64]:
    """Log loss and squared error of each row: (temperature or line, which, rows)."""
    losses = np.zeros((2, 2, len(y)))
    for turn in range(ROUNDS):
        folds = np.random.default_rng(seed + turn).permutation(len(y)) % FOLDS
        for fold in range(FOLDS):
            out = folds == fold
            fitted = fit_temperature(scores[~out], y[~out], "binary")
            own = replace(cooled, temperature=fitted)
            rising = replace(own, isotonic=fit_isotonic(scores[~out], y[~out]))
            for k, each in enumerate((own, rising)):
                p = np.clip(each.probabilities(scores[out])[:, 1], SMALLEST, 1 - SMALLEST)
                losses[k, 0, out] -= np.where(y[out] == 1, np.log(p), np.log1p(-p)) / ROUNDS
                losses[k, 1, out] += (p - y[out]) ** 2 / ROUNDS
    return losses
