"""`metier multitask`: several tasks, each by a network of its own or by one that they share."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from metier.cache import Cache
from metier.data.checks import shared_rows
from metier.data.unite import United, unite
from metier.errors import DataError, Pruned
from metier.evidence.words import quoted
from metier.report.content import to_json
from metier.report.multitasked import Multitasked, multitasked_from_json
from metier.road.again import keep_answer, recall
from metier.road.asked import ASKED
from metier.road.intake import met_before, open_sources
from metier.road.multitask.divided import divide
from metier.road.multitask.hybrid import Ending, hand_over, told
from metier.road.multitask.tasks import CACHE, PAGE, Asked, read_tasks
from metier.road.options import Progress
from metier.search.clock import Clock
from metier.search.hybrid import Arena, Fold, compete, fit_ways
from metier.types import Problem, Rows, Table

TAIL = 8.0
"""Seconds kept for a bundle."""


@dataclass(frozen=True)
class Wanted:
    """What was asked. See `metier.api.multitask`."""

    data: Sequence[Any]
    targets: Sequence[str]
    tests: Sequence[Any]
    metrics: Sequence[str]
    group: str | None
    source: str | None
    trials: int | None
    seed: int
    command: str


@dataclass(frozen=True)
class Handed:
    """What several tasks ended in: the folder, and what was found."""

    folder: Path
    found: Multitasked

    @property
    def page(self) -> Path:
        """The report for a person."""
        return self.folder / PAGE

    def bundle(self, task: str) -> Path:
        """The folder that predicts one task."""
        return self.folder / task / "specialist"

    def to_json(self) -> dict[str, Any]:
        """Return what `metier multitask --json` prints."""
        return {"report": str(self.page), **told(self.found)}


def learn_several(wanted: Wanted, folder: Path, progress: Progress, clock: Clock) -> Handed:
    """Learn several tasks and hand over a bundle for each, or find what was handed over before.

    Raises InputError for what cannot be used; nothing is left behind.
    """
    progress.until(clock.deadline(clock.left))
    progress.stage("reading the data")
    tasks = read_tasks(wanted.data, wanted.targets, wanted.tests, wanted.metrics, wanted.group)
    question = _question(wanted, tasks)
    answer = recall(folder, question)
    if answer is not None:
        return Handed(folder, multitasked_from_json(answer))
    for each in tasks:
        for note in (*map(quoted, each.findings), *each.notes):
            progress.warn(f"{each.name}: {note}")
    names = () if wanted.source is None else (wanted.source,)
    source = next(iter(open_sources(tasks[0].table, names).values()))
    united = unite([each.table for each in tasks])
    # Targets of one file are the same rows, which count once.
    rows = unite([united.table, *(each.test for each in tasks if each.test is not None)]).table
    flattered = [finding.verdict for finding in met_before((source,), rows)]
    flattered += _learned_tests(united, tasks)
    for verdict in flattered:
        progress.warn(verdict)
    held, folds = divide(united, tasks, wanted.seed)
    from metier.training.device import best_device

    created, whole = not folder.exists(), False
    fresh = created or not any(folder.iterdir())
    folder.mkdir(parents=True, exist_ok=True)
    try:
        keep_answer(folder, question)
        arena = _arena(united, tasks, held, folds, source, folder, clock, wanted.seed)
        arena = replace(arena, device=best_device())
        progress.stage("learning each task alone and together")
        chosen = compete(arena, wanted.trials, lambda name: progress.trial(name, {}))
        progress.stage("fitting what was chosen and proving it")
        try:
            made = fit_ways(arena, chosen)
        except Pruned as cut:
            raise DataError(f"the budget left no time for the last fits ({cut})") from cut
        progress.stage("writing the bundles and the report")
        proofs = _proofs(united, tasks, held)
        ending = Ending(tasks, arena, chosen, proofs, folder, wanted.command, flattered)
        found, whole = hand_over(ending, *made), True
        keep_answer(folder, question, to_json(found))
        return Handed(folder, found)
    finally:
        shutil.rmtree(folder / CACHE, ignore_errors=True)
        if created and not whole:
            shutil.rmtree(folder, ignore_errors=True)
        elif fresh and not whole:
            (folder / ASKED).unlink(missing_ok=True)


def _question(wanted: Wanted, tasks: Sequence[Asked]) -> dict[str, Any]:
    """What the answer depends on, as plain JSON; the time is free."""
    return {
        "command": "multitask",
        "tasks": [
            [each.name, *each.table.roles.target, each.mark, each.proof, each.task.metrics[0]]
            for each in tasks
        ],
        "group": wanted.group,
        "source": wanted.source,
        "trials": wanted.trials,
        "seed": wanted.seed,
    }


def _learned_tests(united: United, tasks: Sequence[Asked]) -> list[str]:
    """What there is to say of test rows that any task learns from: the shared network learns them
    by the task that has them, and a network of one's own may not."""
    found = []
    for each in tasks:
        if each.test is not None:
            both = unite([united.table, each.test])
            test = both.table.take(both.places[1])
            found += [f"{each.name}: {f.verdict}" for f in shared_rows(united.table, test)]
    return found


def _arena(
    united: United,
    tasks: Sequence[Asked],
    held: Rows,
    judged: Sequence[Rows],
    source: Any,
    folder: Path,
    clock: Clock,
    seed: int,
) -> Arena:
    problems, places = [], []
    for place, each in zip(united.places, tasks, strict=True):
        free = np.flatnonzero(~np.isin(place, held))
        problems.append(Problem(each.task, each.table.take(free)))
        places.append(place[free])
    folds = []
    for rows in judged:
        own = [np.isin(place, rows) for place in places]
        for each, judging in zip(tasks, own, strict=True):
            if not judging.any() or judging.all():
                raise DataError(
                    f"task {each.name!r}: too few distinct rows to learn from some and judge by "
                    "others; add rows or leave it out"
                )
        fold = Fold(
            tuple(np.flatnonzero(~judging) for judging in own),
            tuple(np.flatnonzero(judging) for judging in own),
        )
        folds.append(fold)
    reserve = 0.0 if clock.budget is None else min(TAIL * len(tasks), 0.3 * clock.budget)
    cache = Cache(folder / CACHE)
    return Arena(source, tuple(problems), tuple(folds), cache, clock, reserve, seed)


def _proofs(united: United, tasks: Sequence[Asked], held: Rows) -> list[Table]:
    """The rows of the proof of each task."""
    found = []
    for place, each in zip(united.places, tasks, strict=True):
        own = each.table.take(np.flatnonzero(np.isin(place, held)))
        found.append(own if each.test is None else each.test)
        if not len(found[-1]):
            raise DataError(f"task {each.name!r}: no row is left for the proof; add rows")
    return found
