"""What would spoil the result, found before any training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metier.data.columns import check_columns
from metier.data.duplicates import equal_clusters, members, near_clusters
from metier.data.leakage import find_leaks, find_told_labels
from metier.data.mislabels import find_mislabels
from metier.data.numbers import with_units
from metier.data.table import row_numbers, target_keys, with_absolute_paths
from metier.data.vectors import plain_features
from metier.types import Finding, Roles, Table, Task

SAMPLE = 20_000
"""Rows that checks which need features look at; more are sampled, and that is said."""
TINY = 10
SHARED = "duplicates in test"
KNOWN_BY_HEART = 0.1
"""The share of test rows that may be among the training rows, beyond what chance explains, before
their score proves nothing: it makes errors look a tenth fewer than they are."""
_IMBALANCE = 10.0
_FENCE = 5.0
Level = Literal["info", "warning", "problem"]
_SHARED_TOLD: dict[Level, str] = {
    "info": "no more than so few different rows repeat each other by chance",
    "warning": "the test set is left as it is, so its score may be too good",
    "problem": (
        "the test set is left as it is, and what is measured on it proves nothing: give rows that "
        "were not learned from"
    ),
}


def check(
    table: Table,
    task: Task,
    *,
    test: Table | None = None,
    features: Callable[[Table], NDArray[Any]] | None = None,
    seed: int = 0,
    clusters: NDArray[np.int64] | None = None,
) -> list[Finding]:
    """Look for what would spoil the result; nothing is changed.

    Args:
        table: the training rows.
        task: how targets are read.
        test: rows of a test set, compared with the training rows.
        features: gives (n, d) features of a table; plain ones are counted when None.
        seed: decides samples and folds.
        clusters: `near_clusters(table)` when it is known already.

    Returns:
        Findings, the gravest first. `rows` are row numbers of the data given, from 0.
    """
    classes = task.encode(table) if task.kind in ("binary", "multiclass") else None
    equal = equal_clusters(table)
    findings = [
        *_duplicates(table, equal, clusters),
        *([] if test is None else shared_rows(table, test)),
        *_contradictions(table, equal),
        *_leaks(table, classes, seed),
        *check_columns(table),
    ]
    if classes is not None:
        findings += _classes(table, task, classes)
        findings += _mislabels(table, task, classes, features, seed)
    elif task.kind == "multilabel":
        findings += _labels(table, task)
    else:
        findings += _outliers(table)
    order = {"problem": 0, "warning": 1, "info": 2}
    return sorted(findings, key=lambda finding: order[finding.level])


def _found(
    table: Table,
    name: str,
    verdict: str,
    rows: Iterable[int] | NDArray[np.integer[Any]],
    level: Level = "warning",
    value: float | None = None,
    **details: Any,
) -> Finding:
    places = row_numbers(table)[np.asarray(list(rows), dtype=np.int64)]
    return Finding(
        name,
        verdict,
        value=float(len(places)) if value is None else value,
        n=len(table),
        level=level,
        rows=tuple(int(place) for place in places),
        details=details,
    )


def _duplicates(
    table: Table, clusters: NDArray[np.int64], alike: NDArray[np.int64] | None
) -> list[Finding]:
    found = []
    equal = members(clusters)
    if equal:
        rows = np.concatenate(equal)
        kept = table.roles.modality != "tabular"
        note = "they stay on one side of every split" if kept else "they are only flagged"
        verdict = f"{len(rows)} rows are in {len(equal)} groups with equal inputs; {note}"
        groups = _groups(table, equal)
        found.append(_found(table, "exact duplicates", verdict, rows, "info", groups=groups))
    if table.roles.modality == "tabular":
        return found
    alike = near_clusters(table) if alike is None else alike
    near = [g for g in members(alike) if len(np.unique(clusters[g])) > 1]
    if near:
        rows = np.concatenate(near)
        verdict = (
            f"{len(rows)} rows are in {len(near)} groups of near-duplicates; they stay on one side "
            "of every split"
        )
        groups = _groups(table, near)
        found.append(_found(table, "near duplicates", verdict, rows, "info", groups=groups))
    return found


def _groups(table: Table, groups: Sequence[NDArray[np.int64]]) -> list[list[int]]:
    places = row_numbers(table)
    return [[int(places[i]) for i in group] for group in groups[:100]]


def shared_rows(table: Table, test: Table) -> list[Finding]:
    """Name training rows that are in the test set too: the proof would be too good.

    Rows of tables may be equal by chance: as many of them as the training rows repeat each other.
    Beyond that it is a warning, and a problem where so many are known that nothing is proven.
    """
    by_chance = table.roles.modality == "tabular"
    both = _stack(table, test)
    clusters = equal_clusters(both) if by_chance else near_clusters(both)
    ours, theirs = clusters[: len(table)], clusters[len(table) :]
    shared = np.intersect1d(ours, theirs)
    if not len(shared):
        return []
    rows, again = (np.flatnonzero(np.isin(part, shared)) for part in (ours, theirs))
    chance = _equal_by_chance(ours, len(test)) if by_chance else 0.0
    many = len(again) - chance > KNOWN_BY_HEART * len(test)
    level: Level = "problem" if many else "warning" if len(again) > chance else "info"
    share = len(again) / len(test)
    verdict = (
        f"{len(again):,} of {len(test):,} test rows ({share:.1%}) are in the training rows too"
        f"{'' if by_chance else ', or nearly'}; {_SHARED_TOLD[level]}"
    )
    test_rows = [int(row) for row in row_numbers(test)[again]]
    return [_found(table, SHARED, verdict, rows, level, share, test_rows=test_rows)]


def _equal_by_chance(clusters: NDArray[np.int64], n: int) -> float:
    """The most of `n` further rows that equal one of some rows by chance: the share of those that
    equal another one, and two standard errors."""
    alone = np.isin(clusters, np.flatnonzero(np.bincount(clusters) == 1))
    share = 1.0 - float(alone.mean())
    return n * share + 2.0 * float(np.sqrt(n * share * (1.0 - share)))


def _stack(one: Table, two: Table) -> Table:
    """Put the inputs and targets of two tables together; image paths are made absolute."""
    frames = [with_absolute_paths(table).inputs for table in (one, two)]
    both = pl.concat(frames, how="vertical_relaxed")
    roles = Roles(one.roles.inputs, one.roles.target[:1] if two.roles.target else ())
    keys = [pl.Series(n, target_keys(one) + target_keys(two), pl.String) for n in roles.target]
    return Table(both.with_columns(keys), roles)


def _contradictions(table: Table, clusters: NDArray[np.int64]) -> list[Finding]:
    keys = target_keys(table)
    groups = [g for g in members(clusters) if len({keys[int(i)] for i in g}) > 1]
    if not groups:
        return []
    rows = np.concatenate(groups)
    verdict = f"{len(rows)} rows in {len(groups)} groups have equal inputs but different targets"
    told = _groups(table, groups)
    level: Level = "info" if table.roles.modality == "tabular" else "warning"
    return [_found(table, "contradicting labels", verdict, rows, level, groups=told)]


def _leaks(table: Table, classes: NDArray[np.int64] | None, seed: int) -> list[Finding]:
    if len(table.roles.target) != 1 or isinstance(
        table.frame[table.roles.target[0]].dtype, pl.List
    ):
        return []
    found = [
        _found(
            table,
            "target leakage",
            f"column {leak.column!r} gives the target away almost alone ({leak.value:.1%} of the "
            "error gone): leave it out unless it is known when predicting",
            leak.rows,
            "warning" if classes is None else "problem",
            leak.value,
            column=leak.column,
        )
        for leak in find_leaks(table, classes, seed)
    ]
    if classes is not None:
        found += [
            _found(
                table,
                "target leakage",
                f"the label stands in column {leak.column!r} of {leak.value:.0%} of the rows: take "
                "it out of the text unless it is there when predicting",
                leak.rows,
                "problem",
                leak.value,
                column=leak.column,
            )
            for leak in find_told_labels(table, target_keys(table))
        ]
    return found


def _classes(table: Table, task: Task, classes: NDArray[np.int64]) -> list[Finding]:
    counts = np.bincount(classes, minlength=len(task.labels))
    return [
        *_units(table, task),
        *_tiny(table, task, counts, lambda k: np.flatnonzero(classes == k)),
        *_imbalance(table, task, counts),
    ]


def _units(table: Table, task: Task) -> list[Finding]:
    if not with_units(task.labels):
        return []
    verdict = (
        f"the labels look like numbers with a unit ({task.labels[0]!r}), and each is a class of "
        "its own: write plain numbers for a regression"
    )
    return [_found(table, "numbers with units", verdict, (), "warning", float(len(task.labels)))]


def _labels(table: Table, task: Task) -> list[Finding]:
    marks = task.encode(table)
    counts = marks.sum(axis=0).astype(np.int64)
    return _tiny(table, task, counts, lambda k: np.flatnonzero(marks[:, k] > 0))


def _tiny(
    table: Table, task: Task, counts: NDArray[np.int64], rows_of: Callable[[int], NDArray[np.int64]]
) -> list[Finding]:
    tiny = [k for k in range(len(task.labels)) if 0 < counts[k] < TINY]
    if not tiny:
        return []
    told = {task.labels[k]: int(counts[k]) for k in tiny}
    shown = ", ".join(f"{label} ({count})" for label, count in list(told.items())[:10])
    verdict = f"{len(tiny)} classes have fewer than {TINY} rows: {shown}"
    rows = np.concatenate([rows_of(k) for k in tiny])
    return [_found(table, "tiny classes", verdict, rows, "warning", float(len(tiny)), counts=told)]


def _imbalance(table: Table, task: Task, counts: NDArray[np.int64]) -> list[Finding]:
    present = np.flatnonzero(counts)
    most, least = present[counts[present].argmax()], present[counts[present].argmin()]
    ratio = float(counts[most] / counts[least])
    if ratio < _IMBALANCE:
        return []
    verdict = (
        f"class {task.labels[most]!r} has {ratio:.0f} times the rows of {task.labels[least]!r} "
        f"({counts[most]} and {counts[least]})"
    )
    told = {task.labels[k]: int(counts[k]) for k in present}
    return [_found(table, "imbalance", verdict, (), "info", ratio, counts=told)]


def _mislabels(
    table: Table,
    task: Task,
    classes: NDArray[np.int64],
    features: Callable[[Table], NDArray[Any]] | None,
    seed: int,
) -> list[Finding]:
    chosen = np.arange(len(table))
    if len(table) > SAMPLE:
        chosen = np.sort(np.random.default_rng(seed).choice(len(table), SAMPLE, replace=False))
    looked = table.take(chosen)
    vectors = plain_features(looked) if features is None else features(looked)
    found = find_mislabels(vectors, classes[chosen], seed)
    if not len(found.rows):
        return []
    among = "" if len(table) == len(chosen) else f" in a sample of {len(chosen)}"
    verdict = (
        f"{len(found.rows)} rows{among} are likely labelled wrongly, the likeliest first (judged "
        f"by a simple classifier that agrees with {found.accuracy:.0%} of the labels)"
    )
    told = [
        {"given": task.labels[classes[chosen[row]]], "likelier": task.labels[label]}
        for row, label in zip(found.rows, found.likelier, strict=True)
    ]
    return [_found(table, "label errors", verdict, chosen[found.rows], suggestions=told)]


def _outliers(table: Table) -> list[Finding]:
    target = table.frame[table.roles.target[0]].cast(pl.Float64).to_numpy()
    low, high = np.quantile(target, [0.25, 0.75])
    spread = high - low
    if spread <= 0:
        return []
    far = np.maximum(low - target, target - high) / spread
    rows = np.flatnonzero(far > _FENCE)
    if not len(rows):
        return []
    rows = rows[np.argsort(-far[rows], kind="stable")]
    verdict = (
        f"{len(rows)} targets lie more than {_FENCE:g} quartile ranges outside the middle half "
        f"({low:g} to {high:g}), the farthest first"
    )
    return [_found(table, "target outliers", verdict, rows, examples=[f"{target[rows[0]]:g}"])]
