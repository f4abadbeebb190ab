"""What strategies share that change how another one learns."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from metier.data.sensitive import groups_of
from metier.errors import ChainError
from metier.registry import find
from metier.types import Form, Modality, Problem, Run, Specialist, Step, Strategy, Table

INNER = "inner"


def inner_of(inner: Strategy | None, modality: Modality) -> Strategy:
    """Return the inner strategy, or the usual one for these inputs when none was named."""
    if inner is not None:
        return inner
    usual: Strategy = find("strategies", "boost" if modality == "tabular" else "finetune")()
    return usual


def gives_of(inner: Strategy | None) -> Form:
    """Return the form that comes out; that of tables when no inner strategy was named."""
    return inner_of(inner, "tabular").gives


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
    if made.model is None or len(made.lineage) <= len(start.lineage):
        raise ChainError(f"the inner strategy of {name} gave no model")
    last = made.lineage[-1]
    own = {f.name: getattr(strategy, f.name) for f in fields(strategy) if f.name != INNER}
    parameters = {**own, INNER: {"strategy": last.strategy, **last.parameters}}
    step = Step(name, parameters, time.monotonic() - began, {**last.notes, **notes})
    return replace(made, lineage=(*start.lineage, step))
