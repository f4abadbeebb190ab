"""The baselines that look at no input: the commonest class, and the mean."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from metier.deploy.layers import Constant
from metier.deploy.linear import LinearModel
from metier.errors import ChainError
from metier.runtime.columns import ColumnSpec, Numbers
from metier.types import Floats, Form, Modality, Problem, Run, Specialist, Step, Table, Task


@dataclass(frozen=True)
class Majority:
    """Answer with how often each class or label occurs in training, whatever the row.

    One row more of each is counted, so that no class is impossible (Laplace's rule of succession).
    """

    accepts: ClassVar[tuple[Form, ...]] = ("source",)
    gives: ClassVar[Form] = "linear"
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "image", "tabular")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        """Count the classes of the training rows. Raises ChainError for a regression."""
        begun = time.monotonic()
        if problem.task.kind == "regression":
            raise ChainError("majority answers with a class: use mean for a regression")
        scores = _log_frequencies(problem.task, problem.task.encode(problem.train))
        return _constant(start, problem.train, scores, "majority", begun)


@dataclass(frozen=True)
class Mean:
    """Answer with the mean of the training targets, or their median where `mae` decides."""

    accepts: ClassVar[tuple[Form, ...]] = ("source",)
    gives: ClassVar[Form] = "linear"
    modalities: ClassVar[tuple[Modality, ...]] = ("text", "image", "tabular")

    def __call__(self, start: Specialist, problem: Problem, run: Run) -> Specialist:
        """Average the targets of the training rows. Raises ChainError when they are classes."""
        begun = time.monotonic()
        if problem.task.kind != "regression":
            raise ChainError("mean answers with a number: use majority for classes")
        targets = problem.task.encode(problem.train).astype(np.float64)
        value = np.median(targets) if problem.task.metrics[0] == "mae" else np.mean(targets)
        return _constant(start, problem.train, np.array([value], np.float32), "mean", begun)


def _log_frequencies(task: Task, targets: NDArray[Any]) -> Floats:
    """Return log frequencies of classes (outputs,), or log odds of labels."""
    n = len(targets)
    if task.kind == "multilabel":
        counts = targets.sum(axis=0)
        return np.asarray(np.log((counts + 1) / (n - counts + 1)), dtype=np.float32)
    counts = np.bincount(targets, minlength=task.outputs)
    return np.asarray(np.log((counts + 1) / (n + task.outputs)), dtype=np.float32)


def _constant(
    start: Specialist, table: Table, scores: Floats, name: str, begun: float
) -> Specialist:
    # A graph needs an input to know how many rows there are; any column will do.
    first = next(iter(table.roles.inputs))
    rows = Numbers((ColumnSpec(first, "number", "missing"),))
    model = LinearModel(rows, Constant(scores, width=1))
    return start.then(model, Step(name, {}, time.monotonic() - begun))
