"""Labelled rows held out of a fit, which say whether rows without labels help it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.evidence.answers import Array
from metier.evidence.uncertainty.calibration import fit_temperature
from metier.training.folds import inner_folds
from metier.training.unlabelled.likeness import flattened, likeness
from metier.training.unlabelled.selftaught import losses
from metier.types import Problem, Rows, Run, Specialist, Table

HELD = 0.2
"""The share of the training rows that is held out."""
FEWEST_HELD = 10
"""With fewer rows than this to judge by, nothing is added: chance would decide."""


@dataclass(frozen=True)
class Judges:
    """Rows held out of a fit.

    Args:
        problem: with the rows to fit on.
        table: the rows held out, (k,).
        targets: of the rows held out, as `Task.encode` has them.
        weights: (k,) how like the unlabelled rows they are; all alike where nothing has shifted.
    """

    problem: Problem
    table: Table
    targets: NDArray[Any]
    weights: Array

    def losses(self, made: Specialist, run: Run) -> tuple[Array, float]:
        """The loss of each row held out (k,), and the temperature that it was calibrated by."""
        task = self.problem.task
        scores = made.scores(self.table, run.cache)
        heat = 1.0
        if task.kind != "regression":
            heat = fit_temperature(scores, self.targets, task.kind)
        return losses(scores, self.targets, heat, task), heat


def judges(start: Specialist, problem: Problem, unlabeled: Table, run: Run) -> Judges | str:
    """Hold rows out of a problem; return them, or why they would be too few to judge by."""
    train, targets = problem.train, problem.task.encode(problem.train)
    folds = inner_folds(train, targets, 1, run.seed, HELD)
    fit, held = folds[0] if folds else (np.arange(len(train)), np.arange(0))
    one_class = problem.task.kind in ("binary", "multiclass") and len(np.unique(targets[fit])) < 2
    if len(held) < FEWEST_HELD or one_class:
        return f"{len(held)} rows are too few to judge what is added"
    weights = _likeness(start, problem, unlabeled, held, run)
    return Judges(replace(problem, train=train.take(fit)), train.take(held), targets[held], weights)


def _likeness(start: Specialist, problem: Problem, unlabeled: Table, held: Rows, run: Run) -> Array:
    shift = likeness(start, problem, unlabeled, run)
    if shift is None or not shift.shifted:
        return np.ones(len(held))
    return flattened(shift.weights)[held]
