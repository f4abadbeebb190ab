"""Who is served worse: rates by group, each with its interval and the rows it stands on.

Binary: how often the positive class is answered, and found; how often it is answered in vain; how
often such an answer is right; and what is claimed against what comes true. Several classes: how
often a group is answered right, and of a class that is named all of the above, against the rest.
Several labels: the same label by label. Numbers: how large the error is, and to which side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from metier.evidence.answers import NO_ANSWER, Answers, Array
from metier.evidence.bootstrap import wilson
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
    answers: Answers, groups: Mapping[str, Sequence[str]], label: str | None = None
) -> tuple[Group, ...]:
    """Return what each group of each column gets, the largest groups first.

    Args:
        answers: the truth and what was answered, n rows.
        groups: by column, the group of each row.
        label: with several classes or labels, the one that is looked at against the rest.
    """
    found = []
    for column, own in groups.items():
        names, codes = np.unique(np.asarray(own, dtype=str), return_inverse=True)
        counts = np.bincount(codes, minlength=len(names))
        for place in np.argsort(-counts, kind="stable"):
            rows = np.flatnonzero(codes == place)
            measured = tuple(_measures(answers, rows, f"{column}={names[place]}", label))
            small = len(rows) < FEWEST
            found.append(Group(column, str(names[place]), len(rows), small, measured))
    return tuple(found)


def _measures(
    answers: Answers, rows: NDArray[np.int64], group: str, label: str | None
) -> list[Finding]:
    if answers.kind == "regression":
        return _errors(answers, rows, group)
    if answers.kind == "multilabel":
        same = (answers.flags == answers.chosen)[rows].mean(axis=1)
        found = [_mean("label_accuracy", same, group)]
    else:
        found = [_share("accuracy", answers.right[rows].sum(), len(rows), group)]
    place = 1 if answers.kind == "binary" else answers.labels.index(label) if label else None
    if place is not None:
        found += _of_one(answers.flags[rows, place], answers.chosen[rows, place], group)
    confidences, outcomes, each = claims(answers)
    gaps = (confidences - outcomes).reshape(-1, each)[rows].mean(axis=1)
    return [*found, _mean("calibration", gaps, group)]


def _errors(answers: Answers, rows: NDArray[np.int64], group: str) -> list[Finding]:
    error = np.asarray(answers.choices, np.float64)[rows] - np.asarray(answers.truth)[rows]
    return [
        _mean("mean_absolute_error", np.abs(error), group),
        _mean("mean_error", error, group),
    ]


def _of_one(true: NDArray[np.bool_], chosen: NDArray[np.bool_], group: str) -> list[Finding]:
    """The rates of one class against the rest."""
    hits = float((true & chosen).sum())
    return [
        _share("selection_rate", chosen.sum(), len(true), group),
        _share("true_positive_rate", hits, true.sum(), group),
        _share("false_positive_rate", (chosen & ~true).sum(), (~true).sum(), group),
        _share("precision", hits, chosen.sum(), group),
    ]


def _share(name: str, hits: float, of: float, group: str) -> Finding:
    """A share with Wilson's interval."""
    full, n = f"{name}[{group}]", int(of)
    details: dict[str, Any] = {"measure": name, "group": group, "share": True}
    if n == 0:
        told = f"{group}: {TITLES[name]} is not defined: no such row"
        return Finding(full, told, n=0, details=details)
    low, high = wilson(float(hits), n, LEVEL)
    value = float(hits) / n
    told = f"{group}: {TITLES[name]} {percent(value)} % ({percent(low)} to {percent(high)})"
    return Finding(full, f"{told}, {whole(n)} rows", value, low, high, n, details=details)


def _mean(name: str, values: Array, group: str) -> Finding:
    """A mean with Student's interval."""
    full, n = f"{name}[{group}]", len(values)
    details: dict[str, Any] = {"measure": name, "group": group, "share": False}
    value = float(values.mean())
    if n < 2:
        return Finding(full, f"{group}: one row", value, n=n, details=details)
    half = -float(stdtrit(n - 1, (1 - LEVEL) / 2)) * float(values.std(ddof=1)) / n**0.5
    low, high = value - half, value + half
    told = f"{group}: {TITLES[name]} {number(value)} ({number(low)} to {number(high)})"
    return Finding(full, f"{told}, {whole(n)} rows", value, low, high, n, details=details)


def answered(answers: Answers) -> NDArray[np.bool_]:
    """Return True for each row that has an answer at all."""
    if answers.kind == "regression":
        return np.ones(len(answers), dtype=np.bool_)
    given = np.asarray(answers.choices) != NO_ANSWER
    return np.asarray(given if given.ndim == 1 else given.any(axis=1), dtype=np.bool_)
