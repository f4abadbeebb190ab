"""Before learning: rows weigh so that group and label say nothing about each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from metier.evidence.answers import Array
from metier.runtime.groups import joined
from metier.space import Float, tune
from metier.training.around import FormInnerGives, FormsInnerTakes, learned_within, sensitive_groups
from metier.training.weighing import weighed
from metier.types import Modality, Problem, Run, Specialist, Strategy, Task

LIGHTEST, HEAVIEST = 0.1, 10.0
"""What a row may weigh: a cell with hardly a row in it must not decide everything."""
TENTHS = 4
"""A number counts as so many labels, cut at its quantiles."""


@dataclass(frozen=True)
class Reweigh:
    """Let an inner strategy learn from reweighed rows (Kamiran and Calders, 2012).

    A row of group g and label y weighs P(g) P(y) / P(g, y): what is rarer in a group than in all
    counts for more. Several labels weigh by the mean over them.

    Args:
        inner: what learns; boost for tables and finetune for the rest when None.
        strength: 1 makes group and label independent, 0 changes nothing.
    """

    inner: Strategy | None = None
    strength: float = tune(1.0, Float(0.1, 1.5))

    accepts = FormsInnerTakes("source", "net", "booster")
    gives = FormInnerGives()
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "image", "tabular")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        """Weigh the training rows and let the inner strategy learn.

        Raises ChainError when no column of the rows is sensitive.
        """
        table = problem.train
        groups = joined(list(sensitive_groups(table, "reweigh").values()))
        weights = weigh(groups, problem.task, problem.task.encode(table)) ** self.strength
        notes = {"lightest": float(weights.min()), "heaviest": float(weights.max())}
        fairer = replace(problem, train=weighed(table, weights))
        return learned_within("reweigh", self, start, fairer, run, notes)


def weigh(groups: list[str], task: Task, targets: NDArray[Any]) -> Array:
    """Return the weight of each row, (n,)."""
    codes = np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1]
    if task.kind == "multilabel":
        columns = [_of_label(codes, (targets[:, j] > 0).astype(int)) for j in range(task.outputs)]
        return np.asarray(np.mean(columns, axis=0))
    if task.kind == "regression":
        cuts = np.quantile(targets, np.arange(1, TENTHS) / TENTHS)
        targets = np.searchsorted(cuts, targets)
    return _of_label(codes, targets)


def _of_label(groups: NDArray[np.int64], labels: NDArray[Any]) -> Array:
    labels = np.unique(labels, return_inverse=True)[1]
    cells = np.zeros((groups.max() + 1, labels.max() + 1))
    np.add.at(cells, (groups, labels), 1.0)
    n = len(groups)
    expected = cells.sum(axis=1, keepdims=True) * cells.sum(axis=0, keepdims=True) / n
    found = expected / np.maximum(cells, 1.0)
    return np.asarray(found[groups, labels].clip(LIGHTEST, HEAVIEST))
