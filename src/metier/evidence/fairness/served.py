"""Who is served worse, all of it together: groups, how far they lie apart, proxies and slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metier.data.sensitive import groups_of
from metier.data.table import clusters_of
from metier.evidence.answers import Answers
from metier.evidence.fairness.disparity import disparities
from metier.evidence.fairness.proxies import find_proxies, told_by
from metier.evidence.fairness.rates import FEWEST, Group, by_group, intersections
from metier.evidence.fairness.slices import find_slices
from metier.evidence.readable import read_features
from metier.runtime.postprocess import TaskKind
from metier.types import Finding, Table

MOST_READ, MOST_OPENED = 20_000, 2000
"""Rows that regions are looked for in, and those whose pictures are opened for it; of more a sample
says as much."""


@dataclass(frozen=True)
class Served:
    """Who is served worse, on some labelled rows.

    Args:
        kind: the shape of the answer.
        positive: the class that binary rates are about; "" for other tasks.
        columns: the sensitive columns.
        n: the rows.
        on: which rows these are, in words.
        groups: by single column.
        crossed: by pairs of columns.
        disparities: how far groups lie apart, of single columns and of pairs.
        proxies: how well the inputs tell each sensitive column.
        slices: regions nobody named that are served worse, and how many were looked at.
        notes: how groups were made, and other sentences to know first.
    """

    kind: TaskKind
    positive: str
    columns: tuple[str, ...]
    n: int
    on: str
    groups: tuple[Group, ...]
    crossed: tuple[Group, ...]
    disparities: tuple[Finding, ...]
    proxies: tuple[Finding, ...]
    slices: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All claims, as data."""
        rates = (each for group in (*self.groups, *self.crossed) for each in group.measures)
        return (*self.disparities, *self.proxies, *self.slices, *rates)


def serve(
    answers: Answers,
    table: Table,
    *,
    on: str,
    rows: NDArray[np.int64] | None = None,
    notes: tuple[str, ...] = (),
    label: str | None = None,
    seed: int = 0,
    proxies: bool = True,
) -> Served:
    """Measure who is served worse. Rows that `table` groups are one piece of evidence.

    Args:
        answers: the truth of the rows of `table`, and what was answered.
        table: rows with roles that name sensitive columns; none is fine: slices are found anyway.
        on: which rows these are, in words.
        rows: where they stood in the data given; 0, 1, ... when None.
        notes: handed on.
        label: with several classes or labels, the one that is looked at against the rest.
        seed: of resamples and halves.
        proxies: whether there is time to see how well the inputs tell the groups.
    """
    groups, clusters = groups_of(table), clusters_of(table)
    crossed = intersections(groups)
    small = sorted({c for c, own in groups.items() if _smallest(own) < FEWEST})
    told = f"groups under {FEWEST} rows ({', '.join(small)}) are shown and not judged by"
    found: list[Finding] = []
    if groups and proxies:
        inputs = told_by(table)
        found = [
            find_proxies(name, own, inputs, seed=seed, clusters=clusters)
            for name, own in groups.items()
        ]
    return Served(
        kind=answers.kind,
        positive=answers.labels[1] if answers.kind == "binary" else label or "",
        columns=tuple(groups),
        n=len(answers),
        on=on,
        groups=by_group(answers, groups, label, clusters),
        crossed=by_group(answers, crossed, label, clusters),
        disparities=tuple(
            disparities(answers, {**groups, **crossed}, seed=seed, clusters=clusters)
        ),
        proxies=tuple(found),
        slices=tuple(_slices(answers, table, rows, seed)),
        notes=(*notes, *((told,) if small else ())),
    )


def _slices(
    answers: Answers, table: Table, rows: NDArray[np.int64] | None, seed: int
) -> list[Finding]:
    numbers = np.arange(len(table), dtype=np.int64) if rows is None else rows
    most = MOST_OPENED if table.roles.modality == "image" else MOST_READ
    if len(answers) > most:
        some = np.sort(np.random.default_rng((seed, 9)).choice(len(answers), most, False))
        answers, table, numbers = _taken(answers, some), table.take(some), numbers[some]
    features, names = read_features(table)
    return find_slices(answers, features, names, numbers, seed, clusters_of(table))


def _taken(answers: Answers, rows: NDArray[np.int64]) -> Answers:
    return Answers(
        answers.kind, answers.labels, answers.truth[rows], answers.choices[rows],
        answers.probabilities[rows], answers.costs,
    )  # fmt: skip


def _smallest(groups: list[str]) -> int:
    return int(np.unique(np.asarray(groups, dtype=str), return_counts=True)[1].min())
