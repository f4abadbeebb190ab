"""What a glass box learns, and what InterpretML's tables of it mean in ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.deploy.additive import Term, edges_below
from metier.runtime.columns import Numbers
from metier.types import Task

UNLIKELY = -12.0
"""The score of a class that no row has."""
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Goal:
    """What one machine learns.

    Args:
        targets: (n,) class numbers, or values without unit.
        classes: how many; 0 for values.
        first: the score column that it adds to, or the first of them.
        scale, shift: the unit of a value, and what it is counted from.
        known: the classes that occur, in order.
    """

    targets: NDArray[Any]
    classes: int = 0
    first: int = 0
    scale: float = 1.0
    shift: float = 0.0
    known: tuple[int, ...] = ()

    @property
    def constant(self) -> bool:
        """Whether there is nothing to tell apart."""
        return len(self.known) == 1 or (self.classes == 0 and not self.targets.any())

    @property
    def columns(self) -> list[int]:
        """The score columns that the outputs of a machine go to."""
        if self.classes <= 2:
            return [self.first]
        return list(self.known) if len(self.known) > 2 else [self.known[-1]]


def goals_of(task: Task, targets: NDArray[Any]) -> list[Goal]:
    """Say what is to be learned: one goal, or one a label."""
    if task.kind == "regression":
        values = targets.astype(np.float64)
        shift, scale = float(values.mean()), float(values.std()) or 1.0
        return [Goal((values - shift) / scale, scale=scale, shift=shift)]
    if task.kind == "multilabel":
        return [_classes(targets[:, j].astype(np.int64), 2, j) for j in range(task.outputs)]
    return [_classes(targets, task.outputs, 1 if task.kind == "binary" else 0)]


def _classes(targets: NDArray[Any], classes: int, first: int) -> Goal:
    known = tuple(np.unique(targets).tolist())
    return Goal(targets, classes, first, known=known)


def with_gaps(preprocess: Numbers, numbers: NDArray[np.float32]) -> Doubles:
    """Return the numbers with categories that are not there as missing."""
    found = numbers.astype(np.float64)
    for place in preprocess.categorical:
        found[:, place] = np.where(found[:, place] < 0, np.nan, found[:, place])
    return found


def terms_of(
    fitted: Any, goal: Goal, preprocess: Numbers, outputs: int
) -> tuple[list[Term], Doubles]:
    """Return the terms of a machine, and the offset of the scores (outputs,)."""
    widths = _widths(preprocess)
    offset = _unseen(goal, outputs)
    importances = fitted.term_importances()
    offset[goal.columns] = np.atleast_1d(fitted.intercept_) * goal.scale + goal.shift
    found = []
    for i, features in enumerate(fitted.term_features_):
        layouts = [_layout(fitted.bins_[f], len(features) > 1, widths.get(f)) for f in features]
        places = np.ix_(*(place for _, place in layouts))
        scores, errors = (
            _table(np.asarray(values[i])[places], len(features), goal, outputs)
            for values in (fitted.term_scores_, fitted.standard_deviations_)
        )
        edges = tuple(edges for edges, _ in layouts)
        size = float(importances[i]) * goal.scale
        found.append(Term(tuple(int(f) for f in features), edges, scores, errors, size))
    return found, offset


def _table(own: Doubles, features: int, goal: Goal, outputs: int) -> Doubles:
    """Return what a term adds to each score of the task, in the target's unit."""
    table = np.zeros((*own.shape[:features], outputs))
    table[..., goal.columns] = (own if own.ndim > features else own[..., None]) * goal.scale
    return table


def _unseen(goal: Goal, outputs: int) -> Doubles:
    """Return scores that make a class without rows unlikely, and are 0 elsewhere."""
    offset = np.zeros(outputs)
    if goal.classes > 2:
        offset[np.setdiff1d(np.arange(outputs), goal.known)] = UNLIKELY
    return offset


def constant_scores(goal: Goal, outputs: int) -> Doubles:
    """Return the scores of a target with one value."""
    offset = _unseen(goal, outputs)
    if goal.classes == 0:
        offset[0] = goal.shift
    elif goal.classes == 2:
        odds = float(np.log(len(goal.targets) + 1.0))
        offset[goal.first] = odds if goal.known[0] else -odds
    return offset


def _widths(preprocess: Numbers) -> dict[int, int]:
    """The number of known categories at each place that holds codes."""
    owners = [spec for spec in preprocess.columns for _ in spec.names]
    return {place: len(owners[place].vocabulary) for place in preprocess.categorical}


def _layout(
    bins: Sequence[Any], pair: bool, categories: int | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the edges of a column, and for each of our bins its place in InterpretML's table.

    There, 0 is missing, then the bins, and the last one is for what was never seen. Ours begin with
    missing, too; a category that is not there (-1) falls into the first bin after it.
    """
    own = bins[min(len(bins) - 1, int(pair))]
    if categories is None:
        cuts = np.asarray(own, dtype=np.float64)
        return edges_below(cuts), np.arange(len(cuts) + 2)
    places = [0, 0, *(own.get(str(code), -1) for code in range(categories))]
    edges = np.arange(categories, dtype=np.float32) - np.float32(0.5)
    return edges, np.array(places, dtype=np.int64)
