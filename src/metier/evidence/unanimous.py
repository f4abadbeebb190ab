"""A difference that hardly any resample changes: the bootstrap has no spread to judge it by."""

from __future__ import annotations

from math import hypot
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.evidence import bootstrap, ranks
from metier.evidence.answers import Answers, whole
from metier.evidence.catalogue import Metric
from metier.evidence.intervals import at_the_end

Flags = NDArray[np.bool_]


def judged(
    metric: Metric, a: Answers, b: Answers, level: float, clusters: NDArray[Any] | None
) -> tuple[float, float, float]:
    """Return interval and two-sided p-value of how much better a is, where resamples do not differ.

    The p-value is that of a sign test: the rows that make the difference, or the groups that hold
    one, would be so many coins that fell alike. The interval follows from those of both (Newcombe,
    1998).
    """
    sign = 1.0 if metric.higher_is_better else -1.0
    one, other = (sign * float(metric.value(whole(each))[0]) for each in (a, b))
    difference = one - other
    if difference == 0.0:
        return 0.0, 0.0, 1.0
    better, worse = (a, b) if difference > 0 else (b, a)
    speaking = _speaking(metric, better, worse)
    codes, size = bootstrap.groups(clusters, len(a))
    p = min(1.0, 2.0 ** (1 - len(np.unique(codes[speaking]))))
    (low_a, high_a), (low_b, high_b) = (
        sorted(sign * end for end in at_the_end(metric, sign * value, each, size, level))
        for value, each in ((one, a), (other, b))
    )
    low = difference - hypot(one - low_a, high_b - other)
    return low, difference + hypot(high_a - one, other - low_b), p


def _speaking(metric: Metric, better: Answers, worse: Answers) -> Flags:
    """Return the rows (n,) that make the difference."""
    if metric.compute in (ranks.roc_auc, ranks.average_precision):
        # an order of positives and negatives knows as much as there are of the rarer of the two
        common = better.flags.mean(axis=0) > 0.5
        return np.asarray((better.flags != common).any(axis=1))
    if metric.needs == "probabilities":
        return np.asarray((better.probabilities != worse.probabilities).any(axis=1))
    if better.kind == "regression":
        return np.asarray(better.choices != worse.choices)
    found = better.flags & better.chosen & ~worse.chosen
    return np.asarray((better.right > worse.right) | found.any(axis=1))
