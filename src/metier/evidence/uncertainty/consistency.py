"""Could probabilities that mean what they say have met with these outcomes?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.evidence.answers import answers_of
from metier.evidence.losses import claims, even_bins
from metier.evidence.words import whole
from metier.runtime.postprocess import Decision
from metier.types import Finding

DRAWS = 2000
BINS = 15
REJECTED = 0.05


def consistency(
    y: NDArray[Any],
    scores: NDArray[Any],
    decision: Decision,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    bins: int = BINS,
) -> Finding | None:
    """Test whether the claims of a model are calibrated (Vaicenavicius et al., 2019).

    Outcomes are drawn as often as the claims say, `draws` times, and the squared calibration error
    of each draw is what chance alone gives. `details["p"]` is the share of draws with at least the
    error that was measured. Binary: the probability of the positive class; several classes: of the
    answer; several labels: each label's, as if independent. None for regression.
    """
    if decision.kind == "regression" or not len(y):
        return None
    confidences, outcomes, _ = claims(answers_of(y, scores, decision))
    place = even_bins(confidences, min(bins, max(1, len(confidences) // 10)))
    counts = np.bincount(place)
    stated = np.bincount(place, confidences) / counts

    def error(came: NDArray[Any]) -> float:
        gaps = stated - np.bincount(place, came, len(counts)) / counts
        return float((counts * gaps**2).sum() / counts.sum())

    random = np.random.default_rng(seed)
    measured = error(outcomes)
    by_chance = np.array(
        [error((random.random(len(place)) < confidences).astype(float)) for _ in range(draws)]
    )
    p = float((1 + (by_chance >= measured * (1 - 1e-12)).sum()) / (1 + draws))
    n = len(y)
    if p < REJECTED:
        told = (
            f"the confidences do not mean what they say: were they right, outcomes as far off on "
            f"{whole(n)} rows would be seen in {100 * p:.2g} of 100 cases"
        )
    else:
        told = (
            f"nothing speaks against the confidences: were they right, outcomes as far off on "
            f"{whole(n)} rows would be seen in {100 * p:.0f} of 100 cases"
        )
    level: Any = "warning" if p < REJECTED else "info"
    verdict = f"{told[0].upper()}{told[1:]} (consistency test)."
    return Finding("calibration_test", verdict, p, n=n, level=level, details={"p": p})
