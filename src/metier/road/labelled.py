"""Labelled rows as a finished bundle sees them: what `evaluate` and `compare` measure on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.data.raw import Raw
from metier.data.table import build_table, clusters_of, row_numbers
from metier.errors import DataError
from metier.evidence.catalogue import names
from metier.runtime.session import Bundle
from metier.runtime.signals import date_formats
from metier.tasks import known_rows, named
from metier.types import Finding, Floats, Roles, Rows, Table, Task


@dataclass(frozen=True)
class Labelled:
    """Rows whose label a bundle knows.

    Args:
        task: the bundle's task, its deciding metric first.
        table: the rows.
        absent: input columns of the bundle that the data lack.
        findings: what was odd about the rows.
    """

    task: Task
    table: Table
    absent: tuple[str, ...]
    findings: tuple[Finding, ...]

    def __len__(self) -> int:
        return len(self.table)

    @property
    def truth(self) -> NDArray[Any]:
        """The targets as `Task.encode` returns them."""
        return self.task.encode(self.table)

    @property
    def numbers(self) -> Rows:
        """Where each row stood in the data given (0-based)."""
        return row_numbers(self.table)

    @property
    def clusters(self) -> NDArray[np.int64] | None:
        """The groups of rows by which the bundle was made, where the data tell them."""
        return clusters_of(self.table)

    def columns(self) -> dict[str, Any]:
        """The inputs as the bundle takes them; a column that the data lack is missing."""
        empty = {name: [None] * len(self.table) for name in self.absent}
        return {**self.table.columns(), **empty}

    def scores(self, bundle: Bundle) -> Floats:
        """Return the bundle's scores of these rows, NaN where one could not be read."""
        return bundle.scores(self.columns())


def target_of(bundle: Bundle) -> tuple[str, ...]:
    """Return the columns that a bundle was taught to predict."""
    return tuple(str(name) for name in bundle.manifest.facts.get("target", ()))


def role_facts(roles: Roles) -> dict[str, Any]:
    """Return what a bundle keeps for later measurements: the columns of the target and of groups,
    and what stood between labels."""
    separator = {} if roles.separator is None else {"separator": roles.separator}
    group = {} if roles.group is None else {"group": roles.group}
    return {"target": list(roles.target), **separator, **group}


def task_of(bundle: Bundle) -> Task:
    """Return the task of a bundle, the metric that decided in its run first."""
    decided = bundle.manifest.facts.get("metric")
    metric = str(decided) if decided in names(bundle.task_kind) else None
    return named(bundle.task_kind, bundle.labels, metric)


def read_labelled(bundle: Bundle, raw: Raw) -> Labelled:
    """Return the rows that a bundle can be measured on.

    Raises DataError when there is no target column, or no row has a label that the bundle knows.
    """
    targets, found = target_of(bundle), raw.frame.columns
    missing = [name for name in targets if name not in found]
    if missing or not targets:
        raise DataError(f"{raw.name}: no column {(missing or ['target'])[0]!r} to measure against")
    absent = tuple(c.name for c in bundle.manifest.columns if c.name not in found)
    kinds: Any = {c.name: c.kind for c in bundle.manifest.columns if c.name not in absent}
    group = bundle.manifest.facts.get("group")
    roles = Roles(
        kinds,
        targets,
        group=group if group in found else None,
        dates=date_formats(bundle.manifest.preprocess),
        separator=bundle.manifest.facts.get("separator"),
    )
    table, findings = build_table(raw, roles, bundle.task_kind)
    if absent:
        told = f"columns that the bundle reads are missing: {', '.join(absent)}"
        findings.append(Finding("missing_columns", told, level="warning"))
    task = task_of(bundle)
    known = known_rows(task, table)
    if not len(known):
        raise DataError(f"{raw.name}: no row has a label that the bundle knows")
    if len(known) < len(table):
        lost = np.setdiff1d(np.arange(len(table)), known)
        findings.append(_unknown(row_numbers(table)[lost]))
        table = table.take(known)
    return Labelled(task, table, absent, tuple(findings))


def _unknown(rows: Rows) -> Finding:
    told = f"{len(rows)} rows with unknown labels are left out"
    return Finding("unknown_labels", told, n=len(rows), level="warning", rows=tuple(rows.tolist()))
