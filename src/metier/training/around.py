"""What strategies share that change how another one learns."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, overload

from metier.data.sensitive import groups_of
from metier.errors import ChainError, DataError, Pruned
from metier.registry import find
from metier.types import (
    Form,
    Modality,
    Problem,
    Run,
    Specialist,
    Step,
    Strategy,
    Table,
    nothing_to_report,
)

INNER = "inner"


def inner_of(inner: Strategy | None, modality: Modality) -> Strategy:
    """Return the inner strategy, or the usual one for these inputs when none was named."""
    if inner is not None:
        return inner
    usual: Strategy = find("strategies", "boost" if modality == "tabular" else "finetune")()
    return usual


class FormsInnerTakes:
    """What a wrapper `accepts`: those of its own forms that its inner strategy takes.

    All of them when none was named, since which is the usual one depends on the inputs.
    """

    def __init__(self, *own: Form) -> None:
        self.own = own

    @overload
    def __get__(self, wrapper: None, owner: type) -> FormsInnerTakes: ...
    @overload
    def __get__(self, wrapper: Any, owner: type) -> tuple[Form, ...]: ...
    def __get__(self, wrapper: Any, owner: type) -> FormsInnerTakes | tuple[Form, ...]:
        if wrapper is None:
            return self
        inner: Strategy | None = getattr(wrapper, INNER)
        return self.own if inner is None else tuple(f for f in self.own if f in inner.accepts)


class FormInnerGives:
    """What a wrapper `gives`: the form that its inner strategy gives; that of tables when none was
    named."""

    @overload
    def __get__(self, wrapper: None, owner: type) -> FormInnerGives: ...
    @overload
    def __get__(self, wrapper: Any, owner: type) -> Form: ...
    def __get__(self, wrapper: Any, owner: type) -> FormInnerGives | Form:
        return self if wrapper is None else inner_of(getattr(wrapper, INNER), "tabular").gives


def has_late_head(strategy: Strategy | None) -> bool:
    """Whether what learns in the end fits its head only afterwards.

    A strategy says so with ``late_head``. Until then its network answers nothing, and whoever reads
    its scores beside the labelled rows learns nothing from them.
    """
    found: Any = strategy
    while getattr(found, INNER, None) is not None:
        found = getattr(found, INNER)
    return bool(getattr(found, "late_head", False))


def sensitive_groups(table: Table, name: str) -> dict[str, list[str]]:
    """Return the group of each row by each sensitive column.

    Raises ChainError when no column is sensitive: the strategy `name` has nobody to be fair to.
    """
    groups = groups_of(table)
    if not groups:
        raise ChainError(f"{name} needs a sensitive column: name one with --sensitive")
    return groups


def learned_within(
    name: str,
    strategy: Any,
    start: Specialist,
    problem: Problem,
    run: Run,
    notes: Mapping[str, Any],
) -> Specialist:
    """Let the inner strategy learn; return what it made, as one step of this name.

    Its notes are handed on beside the own ones, so that it settles as if it stood alone.
    """
    began = time.monotonic()
    inner = inner_of(strategy.inner, start.source.modality)
    made = inner(start, problem, run)
    return as_one_step(name, strategy, start, made, time.monotonic() - began, notes)


def as_one_step(
    name: str,
    strategy: Any,
    start: Specialist,
    made: Specialist,
    seconds: float,
    notes: Mapping[str, Any],
) -> Specialist:
    """Return what an inner strategy made of `start` as one step of this name, in its lineage.

    Raises ChainError when the inner strategy made no model.
    """
    if made.model is None or len(made.lineage) <= len(start.lineage):
        raise ChainError(f"the inner strategy of {name} gave no model")
    last = made.lineage[-1]
    parameters = {**told(strategy), INNER: {"strategy": last.strategy, **last.parameters}}
    step = Step(name, parameters, seconds, {**last.notes, **notes})
    return replace(made, lineage=(*start.lineage, step))


def told(strategy: Any) -> dict[str, Any]:
    """Return a wrapper's own parameters as a lineage names them: of rows, how many there were."""
    own = {f.name: getattr(strategy, f.name) for f in fields(strategy) if f.name != INNER}
    return {key: len(value) if isinstance(value, Table) else value for key, value in own.items()}


def without_stopping(inner: Strategy) -> Strategy:
    """Return a strategy that runs all of its epochs: rows to stop by would know the loss of the
    labels only, which what goes around it gives up some of."""
    made: Any = inner
    changes: dict[str, Any] = {}
    if "patience" in {f.name for f in fields(made)}:
        changes["patience"] = 0
    if getattr(made, INNER, None) is not None:
        changes[INNER] = without_stopping(getattr(made, INNER))
    patient: Strategy = replace(made, **changes) if changes else inner
    return patient


FEWEST = 2
"""Rows without labels that there have to be: one says nothing of how rows are spread."""


def rows_for(name: str, unlabeled: Table | None, train: Table) -> Table:
    """Return the rows without labels that a strategy learns from.

    Raises ChainError when there are none, and DataError for fewer than two or other columns.
    """
    if unlabeled is None:
        raise ChainError(f"{name} learns from rows without labels: give some with --unlabeled")
    if len(unlabeled) < FEWEST:
        raise DataError(
            f"{name}: {len(unlabeled)} row without a label says nothing; give {FEWEST} or more"
        )
    missing = [column for column in train.roles.inputs if column not in unlabeled.frame.columns]
    if missing:
        raise DataError(f"{name}: the rows without labels have no column {missing[0]!r}")
    return unlabeled


def part_of(run: Run, share: float, name: str) -> Run:
    """Return the context of one of several fits, which may take a share of the time that is left;
    it keeps its state in a folder of this name. Raises Pruned when time is over."""
    folder = None if run.folder is None else run.folder / name
    part = replace(run, folder=folder, report=nothing_to_report)
    if part.deadline is None:
        return part
    now = time.monotonic()
    if now > part.deadline:
        raise Pruned("out of time")
    return replace(part, deadline=now + share * (part.deadline - now))
