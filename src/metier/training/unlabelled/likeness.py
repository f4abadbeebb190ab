"""How like rows without labels the labelled ones are, in the features that a strategy sees."""

from __future__ import annotations

import numpy as np
import polars as pl

from metier.data.vectors import plain_features
from metier.evidence.answers import Array
from metier.evidence.unlabelled.shift import FOLDS, Shift, clipped, effective, measure_shift
from metier.training.start import feed_for, fresh_net
from metier.types import Floats, Problem, Roles, Run, Specialist, Table

POWERS = (1.0, 0.75, 0.5, 0.25)
"""What weights are raised to until enough rows carry them."""
ENOUGH = 0.25
"""The effective share of the rows below which weights are made flatter."""


def likeness(start: Specialist, problem: Problem, unlabeled: Table, run: Run) -> Shift | None:
    """Measure how unlike the unlabelled rows are to the training rows; None for too few rows.

    The features are those of the frozen source, or plain ones of a table.
    """
    if min(len(problem.train), len(unlabeled)) < 2 * FOLDS:
        return None
    own, others = features_of(start, problem, unlabeled, run)
    return measure_shift(own, others, seed=run.seed)


def features_of(
    start: Specialist, problem: Problem, unlabeled: Table, run: Run
) -> tuple[Floats, Floats]:
    """Return features of the training rows and of the unlabelled ones, in the same space."""
    if start.source.modality != "tabular":
        model = fresh_net(start, problem)
        own, others = (feed_for(model, t, run).features() for t in (problem.train, unlabeled))
        return own, others
    roles = Roles(problem.train.roles.inputs)
    parts = [table.frame.select(list(roles.inputs)) for table in (problem.train, unlabeled)]
    whole = Table(pl.concat(parts, how="vertical_relaxed"), roles)
    found = plain_features(whole)
    return found[: len(problem.train)], found[len(problem.train) :]


def flattened(weights: Array) -> Array:
    """Return weights raised to the highest power that leaves enough rows a say.

    Flattening them trades a little bias for much variance (Shimodaira, 2000).
    """
    for power in POWERS:
        found = clipped(weights**power)
        if effective(found) >= ENOUGH * len(found):
            return found
    return np.ones(len(weights))
