"""Shapes of answer: what a target column holds, and what a model learns from it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from metier.errors import DataError
from metier.registry import find
from metier.runtime.postprocess import TaskKind
from metier.types import Rows, Table, Task


@runtime_checkable
class Knowing(Protocol):
    """A task that can tell which rows it is able to encode."""

    def known(self, table: Table) -> NDArray[np.bool_]:
        """Return True for each row whose target `encode` takes."""
        ...


def build(kind: TaskKind, table: Table, metric: str | None = None) -> Task:
    """Make the task of a kind from labelled rows; `metric`, when given, is the deciding one.

    Raises DataError when the target column does not hold that kind of answer. Whether the metric
    exists and fits is for `metier.evidence.metrics.find` to say.
    """
    task: Task = find("tasks", kind).from_table(table, metric)
    if kind == "binary" and task.kind != "binary":
        raise DataError(
            f"column {table.roles.target[0]!r}: a binary task has two classes, this column has "
            f"{len(task.labels)}; use --task multiclass"
        )
    return task


def named(kind: TaskKind, labels: tuple[str, ...], metric: str | None = None) -> Task:
    """Make the task of a kind from its labels alone, as a bundle names them.

    Without rows the spread of a numeric target is not known, and 1 is taken.
    """
    task: Task = find("tasks", kind).from_labels(labels, metric)
    return task


def known_rows(task: Task, table: Table) -> Rows:
    """Return the rows of a table, in order, whose target the task can encode.

    A test file given by the user may hold labels that training never saw, or none: leave those
    rows out, and say so. A task that cannot tell is taken to know them all.
    """
    if not isinstance(task, Knowing):
        return np.arange(len(table), dtype=np.int64)
    return np.flatnonzero(task.known(table)).astype(np.int64)
