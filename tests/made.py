"""Finished bundles that were learned in a moment, for tests of what is done with bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metier.cache import Cache
from metier.deploy.bundle import write_bundle
from metier.road.labelled import role_facts
from metier.runtime.postprocess import Decision
from metier.sources.tabular import Tabular
from metier.tasks import build
from metier.types import Problem, Run, Specialist, Strategy, Table


def make_bundle(
    folder: Path,
    strategy: Strategy,
    table: Table,
    kind: Any,
    source: Any = None,
    *,
    seed: int = 0,
    metric: str | None = None,
    **decided: Any,
) -> Path:
    """Learn from a table and write a run folder; `decided` are fields of its `Decision`."""
    task = build(kind, table, metric)
    run = Run(Cache(folder.with_name(f"{folder.name}-cache")), seed=seed)
    start = Specialist(source or Tabular(), task)
    made = strategy(start, Problem(task, table), run)
    write_bundle(
        made,
        folder / "specialist",
        decision=Decision(task.kind, task.labels, **decided),
        sample=table.take(range(min(len(table), 12))),
        card="# A test\n",
        facts={**role_facts(table.roles), "metric": task.metrics[0]},
        table=table,
    )
    return folder
