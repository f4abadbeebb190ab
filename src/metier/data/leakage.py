"""Columns that give the answer away."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metier.runtime.columns import FLOAT32_MAX
from metier.types import Table

_LEAVES = 64
_ALMOST = 0.98
_SAMPLE = 20_000
_SHORTEST_NAME = 4


@dataclass(frozen=True)
class Leak:
    """A column that predicts the target almost alone: how well (0 to 1), and on which rows."""

    column: str
    value: float
    rows: NDArray[np.int64]


def find_leaks(table: Table, classes: NDArray[np.int64] | None, seed: int = 0) -> list[Leak]:
    """Find single columns that predict the target almost alone.

    What half of the rows teach about a column (the usual answer of each category, or a small
    decision tree over numbers) is asked of the other half. The column leaks when that removes 98 %
    of the error: of the majority's mistakes for classes, of the variance for numbers. At most
    20,000 rows are looked at.

    Args:
        table: the rows.
        classes: (n,) class numbers, or None when the target is a number.
        seed: decides the rows and the halves.
    """
    shuffled = np.random.default_rng(seed).permutation(len(table))[:_SAMPLE]
    middle = (len(shuffled) + 1) // 2
    target = _numbers(table) if classes is None else classes
    found = []
    for name, kind in table.roles.inputs.items():
        if kind in ("text", "image"):
            continue
        column = table.frame[name][shuffled]
        guess = _learn_categories if kind == "category" else _learn_numbers
        known, asked = target[shuffled[:middle]], target[shuffled[middle:]]
        answers = guess(column, known, middle, classes is not None)
        share = _error_removed(answers, known, asked, classes is not None)
        if share >= _ALMOST:
            found.append(Leak(name, share, np.arange(min(10, len(table)), dtype=np.int64)))
    return found


def find_told_labels(table: Table, labels: list[str]) -> list[Leak]:
    """Find text columns that say the label: most texts name their own label and no other."""
    names = {_plain(label) for label in labels}
    if min(map(len, names), default=0) < _SHORTEST_NAME or len(names) < 2:
        return []
    sample = np.arange(0, len(table), max(1, len(table) // _SAMPLE))
    own = [_plain(labels[i]) for i in sample]
    pattern = re.compile("|".join(sorted(map(re.escape, names), key=lambda s: (-len(s), s))))
    found = []
    for name, kind in table.roles.inputs.items():
        if kind != "text":
            continue
        texts = table.frame[name].to_list()
        told = [set(pattern.findall(_plain(texts[i] or ""))) for i in sample]
        right = np.array([said == {label} for said, label in zip(told, own, strict=True)])
        any_said = np.array([bool(said) for said in told])
        if right.mean() >= 0.8 and right.sum() >= 0.95 * any_said.sum():
            found.append(Leak(name, float(right.mean()), sample[right][:10]))
    return found


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower().replace("_", " ")))


def _numbers(table: Table) -> NDArray[np.float64]:
    return table.frame[table.roles.target[0]].cast(pl.Float64).to_numpy()


def _learn_categories(
    column: pl.Series, known: NDArray[Any], middle: int, is_class: bool
) -> NDArray[Any]:
    ranks = column.fill_null("").rank("dense").cast(pl.Int64)
    codes: NDArray[np.int64] = ranks.to_numpy() - 1
    usual = _usual(known, is_class)
    seen = pl.DataFrame({"code": codes[:middle], "known": known})
    answer = pl.col("known").mode().min() if is_class else pl.col("known").mean()
    answers: NDArray[np.float64] = np.full(int(codes.max(initial=0)) + 1, usual, dtype=np.float64)
    learned = seen.group_by("code").agg(answer)
    answers[learned["code"].to_numpy()] = learned["known"].to_numpy()
    return np.asarray(answers[codes[middle:]])


def _learn_numbers(
    column: pl.Series, known: NDArray[Any], middle: int, is_class: bool
) -> NDArray[Any]:
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    if column.dtype.is_temporal():
        column = column.to_physical()
    values = column.cast(pl.Float64).to_numpy().clip(-FLOAT32_MAX, FLOAT32_MAX)
    values = values.astype(np.float32)[:, None]
    tree = DecisionTreeClassifier if is_class else DecisionTreeRegressor
    model = tree(max_leaf_nodes=_LEAVES, random_state=0)
    with warnings.catch_warnings():  # of many classes, which is told elsewhere
        warnings.simplefilter("ignore", UserWarning)
        model.fit(values[:middle], known)
    return np.asarray(model.predict(values[middle:]))


def _usual(known: NDArray[Any], is_class: bool) -> float:
    return float(np.bincount(known).argmax()) if is_class else float(known.mean())


def _error_removed(
    answers: NDArray[Any], known: NDArray[Any], asked: NDArray[Any], is_class: bool
) -> float:
    usual = _usual(known, is_class)
    if is_class:
        before, after = float((asked != usual).sum()), float((asked != answers).sum())
    else:
        before, after = float(((asked - usual) ** 2).sum()), float(((asked - answers) ** 2).sum())
    return 1 - after / before if before > 0 else 0.0
