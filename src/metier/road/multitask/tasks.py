"""Several tasks as they were given: columns of one file, or a file each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from metier.data.known import Known
from metier.data.labels import infer_task
from metier.data.raw import Raw
from metier.data.read import read
from metier.data.roles import infer_roles
from metier.data.table import build_table
from metier.errors import DataError, OptionError, suggest
from metier.evidence.metrics import names
from metier.road.asked import ASKED
from metier.road.intake import test_table
from metier.tasks import build
from metier.types import Finding, Table, Task

FEWEST = 40
"""Labelled rows of a task: some to learn from, some to choose by, some to prove with."""
CACHE, PAGE, RESULT = "cache", "report.html", "multitask.json"
"""What lies in the folder of a run beside a folder for each task, and the question."""


@dataclass(frozen=True)
class Asked:
    """One task: its name, its rows, what is learned from them, and rows of its own for the proof.

    `file` tells which file it is from, with the fingerprint `mark`; `proof` is that of its test
    file.
    """

    name: str
    file: str
    mark: str
    table: Table
    task: Task
    test: Table | None
    proof: str | None
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]


def read_tasks(
    data: Sequence[Any],
    targets: Sequence[str],
    tests: Sequence[Any],
    metrics: Sequence[str] = (),
    group: str | None = None,
) -> list[Asked]:
    """Read every task; each is typed for itself.

    One file with several targets gives a task a target. Several files give a task each: with one
    target for all, one for each in order, or found by its name. The deciding metric is one for all
    too, or one for each in order. Every file has the column of groups.

    Raises:
        OptionError: when that does not name two tasks at least, or two of one name, or a metric
            that a task does not have.
        DataError: when a task cannot be learned, or two of them cannot be told apart.
    """
    _refuse_counts(data, targets, tests)
    count = len(targets) if len(data) == 1 else len(data)
    if len(metrics) not in (0, 1, count):
        raise OptionError(
            f"{len(metrics)} metrics for {count} tasks: give one for all, or one for each"
        )
    own_metrics: list[str | None] = [*metrics] or [None]
    deciding = own_metrics if len(own_metrics) == count else own_metrics * count
    raws = [read(each) for each in data]
    found: list[Asked] = []
    if len(raws) == 1:
        columns = raws[0].frame.columns
        proofs = _proofs(tests, raws, [targets], group)
        for target, metric in zip(targets, deciding, strict=True):
            if target not in columns:
                raise DataError(f"no column {target!r} for target{suggest(target, columns)}")
            others = [name for name in targets if name != target]
            pair = [_without(raw, others) for raw in (raws[0], *proofs)]
            proof = pair[1] if proofs else None
            found.append(_typed(target, pair[0], target, proof, metric, group))
    else:
        own = list(targets) if len(targets) == len(raws) else list(targets) * len(raws)
        proofs = _proofs(tests, raws, own or [None] * len(raws), group)
        for k, (raw, name) in enumerate(zip(raws, _names(data, raws), strict=True)):
            proof = proofs[k] if proofs else None
            found.append(_typed(name, raw, own[k] if own else None, proof, deciding[k], group))
    _refuse_names(found)
    _refuse_clashes(found)
    return found


def _proofs(
    tests: Sequence[Any],
    raws: Sequence[Raw],
    targets: Sequence[str | Sequence[str] | None],
    group: str | None,
) -> list[Raw]:
    """Read each test file as the file that it proves."""
    found = []
    for test, raw, target in zip(tests, raws, targets, strict=False):
        known = Known.of_rows(raw.frame, infer_roles(raw, target=target, group=group))
        found.append(read(test, what="test data", known=known))
    return found


def _refuse_counts(data: Sequence[Any], targets: Sequence[str], tests: Sequence[Any]) -> None:
    twice = [name for name, count in Counter(targets).items() if count > 1]
    if twice and len(data) == 1:
        raise OptionError(f"--target {twice[0]}: is named twice; a task is learned once")
    if len(data) == 1 and len(targets) < 2:
        raise OptionError(
            "one task was named: give several --target columns of one file, or several files; for "
            "one task there is `metier specialize`"
        )
    if len(data) > 1 and len(targets) not in (0, 1, len(data)):
        raise OptionError(
            f"{len(targets)} targets for {len(data)} files: give one for all, or one for each"
        )
    if tests and len(tests) != len(data):
        raise OptionError(f"{len(tests)} test files for {len(data)} files: give one for each")


def _without(raw: Raw, names: Sequence[str]) -> Raw:
    """The data without the targets of other tasks, which are no input."""
    return replace(raw, frame=raw.frame.drop(names, strict=False))


def _names(data: Sequence[Any], raws: Sequence[Raw]) -> list[str]:
    """What the tasks of several files are called: the file, or its folder where that is clearer."""
    plain = [raw.name for raw in raws]
    folders = [
        Path(each).resolve().parent.name if isinstance(each, str | Path) else raw.name
        for each, raw in zip(data, raws, strict=True)
    ]
    clash = len(set(plain)) < len(plain)
    return folders if clash and len(set(folders)) == len(folders) else plain


def _typed(
    name: str,
    raw: Raw,
    target: str | None,
    proof: Raw | None,
    metric: str | None,
    group: str | None,
) -> Asked:
    roles = infer_roles(raw, target=target, group=group)
    if roles.modality == "tabular":
        raise DataError(
            f"task {name!r}: there is no text and no image in {raw.name}, and tables share no "
            "network; run `metier specialize` for each"
        )
    table, findings = build_table(raw, roles, None)
    task = build(infer_task(table, None), table, metric)
    if metric is not None and metric not in names(task.kind):
        known = suggest(metric, names(task.kind))
        raise OptionError(
            f"task {name!r}: metric {metric!r} is not defined for {task.kind} tasks{known}"
        )
    if len(table) < FEWEST:
        raise DataError(
            f"task {name!r}: {len(table)} labelled rows, and {FEWEST} are the least; add rows or "
            "leave it out"
        )
    test: Table | None = None
    notes: tuple[str, ...] = ()
    if proof is not None:
        test, notes = test_table(proof, table, task)
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "task"
    mark = None if proof is None else proof.fingerprint
    return Asked(plain, raw.name, raw.fingerprint, table, task, test, mark, tuple(findings), notes)


def _refuse_names(found: Sequence[Asked]) -> None:
    counts = Counter(each.name.casefold() for each in found)
    for each in found:
        if each.name.casefold() in (CACHE, PAGE, RESULT, ASKED):
            raise OptionError(
                f"a task would be called {each.name!r}, which is a file or folder of the run: "
                "rename the file or the column, each task gets a folder of its name"
            )
        if counts[each.name.casefold()] > 1:
            raise OptionError(
                f"two tasks would be called {each.name!r}: rename a file or a column, each task "
                "gets a folder of its name"
            )


def _refuse_clashes(found: Sequence[Asked]) -> None:
    """Refuse two files that ask the same of the same row and tell two answers."""
    known: dict[tuple[str, ...], dict[int, tuple[str, str]]] = {}
    for each in found:
        if each.task.kind not in ("binary", "multiclass"):
            continue
        asks = (*each.table.roles.target, "", *each.task.labels)
        before = known.setdefault(asks, {})
        codes = np.asarray(each.task.encode(each.table))
        answers = [each.task.labels[code] for code in codes]
        for digest, answer in zip(each.table.digests.tolist(), answers, strict=True):
            told = before.get(digest)
            if told is not None and told[1] != answer:
                raise DataError(
                    f"tasks {told[0]!r} and {each.name!r} ask the same with clashing labels: a row "
                    f"is {told[1]!r} in one and {answer!r} in the other; mend it, or rename the "
                    "target of one"
                )
        fresh = {
            digest: (each.name, answer)
            for digest, answer in zip(each.table.digests.tolist(), answers, strict=True)
        }
        known[asks] = {**fresh, **before}
