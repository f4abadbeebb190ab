"""Labelled rows, and rows whose labels a model has said, in one table to learn from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metier.evidence.answers import Array
from metier.tasks.labels import spell
from metier.training.folds import MADE
from metier.training.weighing import weighed
from metier.types import Roles, Table, Task


def joined(
    labelled: Table, unlabelled: Table, answers: NDArray[Any], task: Task, weights: Array
) -> Table:
    """Return the labelled rows, then the others with what was answered for them.

    Args:
        labelled: rows with labels, of weight 1 or of the weight that they have.
        unlabelled: rows that have the input columns.
        answers: encoded as `Task.encode` does: (m,) for classes, (m, labels) flags.
        task: what is answered.
        weights: (m,) how much the answered rows count, beside a labelled one's 1.

    A row that was answered is in a group of its own, so that none decides where a labelled one goes
    when rows are held out; and it judges nothing.
    """
    own, others = _with_paths(labelled), _with_paths(unlabelled)
    roles = labelled.roles
    frame = others.frame.select(list(roles.inputs)).with_columns(_answered(roles, answers, task))
    if task.kind != "multilabel":
        own = _with(own, spell(own.frame[roles.target[0]]))
    if roles.group is not None and roles.group not in roles.inputs:
        names = [f"unlabelled {place}" for place in range(len(others))]
        frame = frame.with_columns(pl.Series(roles.group, names))
        own = _with(own, own.frame[roles.group].cast(pl.String))
    if MADE not in own.frame.columns:
        own = _with(own, pl.Series(MADE, np.zeros(len(own), dtype=bool)))
    frame = frame.with_columns(pl.lit(value=True).alias(MADE))
    frame = frame.with_columns(_typed_as(own.frame[column.name], column) for column in frame)
    whole = pl.concat([own.frame, frame], how="diagonal_relaxed")
    before = np.ones(len(own)) if labelled.weights is None else labelled.weights
    made = replace(own, frame=whole, roles=replace(roles, weight=None))
    # They follow from the inputs, and pictures need not be read again for them.
    made.__dict__["digests"] = np.concatenate([labelled.digests, unlabelled.digests])
    found = weighed(made, np.concatenate([before / before.mean(), weights]))
    found.__dict__["digests"] = made.digests
    return found


def _answered(roles: Roles, answers: NDArray[Any], task: Task) -> list[pl.Series]:
    """The answers as target columns."""
    names = roles.target
    if task.kind != "multilabel":
        return [pl.Series(names[0], [task.labels[int(code)] for code in answers])]
    if len(names) > 1:
        return [pl.Series(name, answers[:, j].astype(np.int64)) for j, name in enumerate(names)]
    lists = [[task.labels[j] for j in np.flatnonzero(row)] for row in answers]
    return [pl.Series(names[0], lists, dtype=pl.List(pl.String))]


def _typed_as(own: pl.Series, column: pl.Series) -> pl.Series:
    """A column in the type of the labelled one; numbers in theirs, which may be the wider one."""
    if own.dtype.is_numeric() and column.dtype.is_numeric():
        return column
    return column.cast(own.dtype)


def _with(table: Table, column: pl.Series) -> Table:
    return replace(table, frame=table.frame.with_columns(column))


def _with_paths(table: Table) -> Table:
    """The same rows with image paths that need no base."""
    if table.base is None:
        return table
    found = table.columns()
    paths = [pl.Series(n, found[n]) for n, kind in table.roles.inputs.items() if kind == "image"]
    return replace(table, frame=table.frame.with_columns(paths), base=None)
