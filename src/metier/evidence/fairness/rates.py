"""Who is served worse: rates by group, each with its interval and the rows it stands on.

Binary: how often the positive class is answered, and found; how often it is answered in vain; how
often such an answer is right; and what is claimed against what comes true. Several classes: how
often a group is answered right, and of a class that is named all of the above, against the rest.
Several labels: the same label by label. Numbers: how large the error is, and to which side.

Intervals are Wilson's for shares and Student's for means; where rows come in groups, what counts is
what each of these moves a rate by, and for shares the wider interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.evidence import bootstrap
from metier.evidence.answers import NO_ANSWER, Answers, Array
from metier.evidence.fairness.means import student
from metier.evidence.losses import claims
from metier.evidence.words import number, percent, whole
from metier.runtime.groups import JOINT, joined
from metier.types import Finding

FEWEST = 100
"""Rows of a group below which it is shown, and nothing is judged by it."""
LEVEL = 0.95
TITLES = {
    "accuracy": "right",
    "selection_rate": "selected",
    "true_positive_rate": "found (true positive rate)",
    "false_positive_rate": "false alarms (false positive rate)",
    "precision": "right when selected (precision)",
    "calibration": "claimed less came true",
    "label_accuracy": "labels right",
    "mean_absolute_error": "mean absolute error",
    "mean_error": "mean error",
}
"""What a measure is called at the head of a column."""


@dataclass(frozen=True)
class Group:
    """The rows of one group.

    Args:
        column: the sensitive column, or several of them joined.
        name: the value of the group.
        n: its rows.
        small: whether they are too few to judge by.
        measures: each with its interval; a share counts the rows it is a share of as `n`.
    """

    column: str
    name: str
    n: int
    small: bool
    measures: tuple[Finding, ...]


def intersections(groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the groups of each pair of columns, by the joined names of the two."""
    return {
        JOINT.join(pair): joined([groups[name] for name in pair])
        for pair in combinations(groups, 2)
    }


def by_group(
    answers: Answers,
    groups: Mapping[str, Sequence[str]],
    label: str | None = None,
    clusters: NDArray[np.int64] | None = None,
) -> tuple[Group, ...]:
    """Return what each group of each column gets, the largest groups first.

    Args:
        answers: the truth and what was answered, n rows.
        groups: by column, the group of each row.
        label: with several classes or labels, the one that is looked at against the rest.
        clusters: (n,) rows that belong together.
    """
    together = None if clusters is None else bootstrap.groups(clusters, len(answers))[0]
    found = []
    for column, own in groups.items():
        names, codes = np.unique(np.asarray(own, dtype=str), return_inverse=True)
        counts = np.bincount(codes, minlength=len(names))
        for place in np.argsort(-counts, kind="stable"):
            rows = np.flatnonzero(codes == place)
            whose = _Whose(f"{column}={names[place]}", None if together is None else together[rows])
            measured = tuple(_measures(answers, rows, whose, label))
            small = len(rows) < FEWEST
            found.append(Group(column, str(names[place]), len(rows), small, measured))
    return tuple(found)


@dataclass(frozen=True)
class _Whose:
    """A group in words, and of each of its rows with which others it belongs together."""

    group: str
    codes: NDArray[np.int64] | None

    def told(self, n: int, among: NDArray[np.bool_]) -> str:
        """Return how many rows a figure stands on."""
        if self.codes is None:
            return f"{whole(n)} rows"
        return f"{whole(n)} rows in {whole(len(np.unique(self.codes[among])))} groups of rows"


def _measures(
    answers: Answers, rows: NDArray[np.int64], whose: _Whose, label: str | None
) -> list[Finding]:
    if answers.kind == "regression":
        return _errors(answers, rows, whose)
    if answers.kind == "multilabel":
        same = (answers.flags == answers.chosen)[rows].mean(axis=1)
        found = [_mean("label_accuracy", same, whose)]
    else:
        every = np.ones(len(rows), dtype=np.bool_)
        found = [_share("accuracy", answers.right[rows] > 0, every, whose)]
    place = 1 if answers.kind == "binary" else answers.labels.index(label) if label else None
    if place is not None:
        found += _of_one(answers.flags[rows, place], answers.chosen[rows, place], whose)
    confidences, outcomes, each = claims(answers)
    gaps = (confidences - outcomes).reshape(-1, each)[rows].mean(axis=1)
    return [*found, _mean("calibration", gaps, whose)]


def _errors(answers: Answers, rows: NDArray[np.int64], whose: _Whose) -> list[Finding]:
    error = np.asarray(answers.choices, np.float64)[rows] - np.asarray(answers.truth)[rows]
    return [
        _mean("mean_absolute_error", np.abs(error), whose),
        _mean("mean_error", error, whose),
    ]


def _of_one(true: NDArray[np.bool_], chosen: NDArray[np.bool_], whose: _Whose) -> list[Finding]:
    """The rates of one class against the rest."""
    return [
        _share("selection_rate", chosen, np.ones(len(true), dtype=np.bool_), whose),
        _share("true_positive_rate", chosen, true, whose),
        _share("false_positive_rate", chosen, ~true, whose),
        _share("precision", true, chosen, whose),
    ]


def _share(
    name: str, happened: NDArray[np.bool_], among: NDArray[np.bool_], whose: _Whose
) -> Finding:
    """How often something happened among the rows that count for it."""
    full, n = f"{name}[{whose.group}]", int(among.sum())
    details: dict[str, Any] = {"measure": name, "group": whose.group, "share": True}
    if n == 0:
        told = f"{whose.group}: {TITLES[name]} is not defined: no such row"
        return Finding(full, told, n=0, details=details)
    own = happened[among].astype(np.float64)
    low, high = bootstrap.wilson(float(own.sum()), n, LEVEL)
    if whose.codes is not None:
        lower, upper = _over_groups(own, whose.codes[among])
        low, high = min(low, lower), max(high, upper)
    value = float(own.mean())
    told = f"{whose.group}: {TITLES[name]} {percent(value)} % ({percent(low)} to {percent(high)})"
    told = f"{told}, {whose.told(n, among)}"
    return Finding(full, told, value, low, high, n, details=details)


def _over_groups(own: Array, codes: NDArray[np.int64]) -> tuple[float, float]:
    """The interval of a share over groups of rows; one of them says nothing of others."""
    if np.ptp(codes) == 0:
        return 0.0, 1.0
    low, high = student(own, LEVEL, codes)
    return max(0.0, low), min(1.0, high)


def _mean(name: str, values: Array, whose: _Whose) -> Finding:
    """A mean with Student's interval."""
    full, n = f"{name}[{whose.group}]", len(values)
    details: dict[str, Any] = {"measure": name, "group": whose.group, "share": False}
    value = float(values.mean())
    if n < 2:
        return Finding(full, f"{whose.group}: one row", value, n=n, details=details)
    if whose.codes is not None and np.ptp(whose.codes) == 0:
        told = f"{whose.group}: one group of rows"
        return Finding(full, told, value, n=n, details=details)
    low, high = student(values, LEVEL, whose.codes)
    told = f"{whose.group}: {TITLES[name]} {number(value)} ({number(low)} to {number(high)})"
    told = f"{told}, {whose.told(n, np.ones(n, dtype=np.bool_))}"
    return Finding(full, told, value, low, high, n, details=details)


def answered(answers: Answers) -> NDArray[np.bool_]:
    """Return True for each row that has an answer at all."""
    if answers.kind == "regression":
        return np.ones(len(answers), dtype=np.bool_)
    given = np.asarray(answers.choices) != NO_ANSWER
    return np.asarray(given if given.ndim == 1 else given.any(axis=1), dtype=np.bool_)
