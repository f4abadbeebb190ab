"""What the data say of rows, written as answers are, so that both can be set side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl

from metier.data.raw import Raw
from metier.data.table import build_table, row_numbers
from metier.errors import DataError
from metier.road.labelled import target_of, task_of
from metier.runtime.session import Bundle
from metier.tasks import known_rows
from metier.types import Roles, Rows, Table, Task


def truth_of(raw: Raw, bundle: Bundle, numbers: Rows) -> tuple[str | None, ...]:
    """Return the truth of some rows of the data; None where it is missing or cannot be read.

    A label that the bundle does not know is written as it is in the data.
    """
    names = target_of(bundle)
    if not names or any(name not in raw.frame.columns for name in names):
        return (None,) * len(numbers)
    some = replace(raw, frame=raw.frame.select(names)[numbers])
    roles = Roles({}, names, separator=bundle.manifest.facts.get("separator"))
    try:
        table, _ = build_table(some, roles, bundle.task_kind)
        told = _told(table, task_of(bundle))
    except DataError:  # missing in every row, or written as this task never is
        return (None,) * len(numbers)
    return tuple(told.get(place) for place in range(len(numbers)))


def in_words(answer: Any) -> str:
    """Return an answer as a page writes it.

    >>> in_words(["app", "bill"]), in_words([]), in_words(1 / 3)
    ('app, bill', 'none', '0.333333')
    """
    if isinstance(answer, float):
        return f"{answer:.6g}"
    return ", ".join(map(str, answer)) or "none" if isinstance(answer, list) else str(answer)


def _told(table: Table, task: Task) -> dict[int, str]:
    """What can be told, by the place of the row: labels that the bundle knows in its own words and
    order, others and numbers as they are written."""
    places, known, target = row_numbers(table).tolist(), known_rows(task, table), table.target
    if task.kind == "regression":
        return {places[i]: str(table.frame[table.roles.target[0]][i]) for i in known.tolist()}
    found: dict[int, str] = {}
    if isinstance(target, pl.Series):
        found.update(zip(places, map(in_words, target.to_list()), strict=True))
    for i, value in zip(known.tolist(), task.encode(table.take(known)).tolist(), strict=True):
        found[places[i]] = in_words(_answer(task, value))
    return found


def _answer(task: Task, value: Any) -> Any:
    """The label or labels that an encoded target stands for."""
    if task.kind == "multilabel":
        return [label for label, flag in zip(task.labels, value, strict=True) if flag]
    return task.labels[value]
