"""Columns that give the answer away."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metier.data.dealing import hash_rows
from metier.types import Table

_BINS = 64
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

    Each column is cut into at most 64 values; what half of the rows teach about each value is
    asked of the other half. It leaks when it removes 98 % of the error (classes: of the
    majority's errors; numbers: of the variance).

    Args:
        table: the rows.
        classes: (n,) class numbers, or None when the target is a number.
        seed: decides the halves.
    """
    half = hash_rows(np.arange(len(table), dtype=np.uint64), seed) % np.uint64(2) == 0
    target = None if classes is not None else _numbers(table)
    found = []
    for name, kind in table.roles.inputs.items():
        if kind in ("text", "image"):
            continue
        values = _cut(table.frame[name], kind == "category")
        if values is None:
            continue
        if classes is not None:
            share = _explained_classes(values, classes, half)
        else:
            assert target is not None
            share = _explained_numbers(values, target, half)
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


def _cut(column: pl.Series, is_category: bool) -> NDArray[np.int64] | None:
    """Return a small number for each value, or None for a column that is nearly an id."""
    if is_category:
        if column.n_unique() > max(_BINS, len(column) // 10):
            return None
        return column.fill_null("").rank("dense").cast(pl.Int64).to_numpy()
    if column.n_unique() <= _BINS:
        codes = column.rank("dense").cast(pl.Int64)
    else:
        known = max(1, len(column) - column.null_count())
        codes = ((column.rank("average") - 1) * _BINS / known).floor().cast(pl.Int64) + 1
    return codes.fill_null(0).to_numpy()


def _explained_classes(
    values: NDArray[np.int64], classes: NDArray[np.int64], half: NDArray[np.bool_]
) -> float:
    table = np.zeros((int(values.max()) + 1, int(classes.max()) + 1), dtype=np.int64)
    np.add.at(table, (values[half], classes[half]), 1)
    usual = int(np.bincount(classes[half]).argmax()) if half.any() else 0
    guess = np.where(table.sum(axis=1) > 0, table.argmax(axis=1), usual)
    errors = float((guess[values[~half]] != classes[~half]).mean()) if (~half).any() else 1.0
    before = float((classes[~half] != usual).mean()) if (~half).any() else 0.0
    return 1 - errors / before if before > 0 else 0.0


def _explained_numbers(
    values: NDArray[np.int64], target: NDArray[np.float64], half: NDArray[np.bool_]
) -> float:
    size = int(values.max()) + 1
    counts = np.bincount(values[half], minlength=size)
    sums = np.bincount(values[half], weights=target[half], minlength=size)
    mean = target[half].mean() if half.any() else 0.0
    guess = np.where(counts > 0, sums / np.maximum(counts, 1), mean)
    rest = target[~half]
    spread = float(((rest - mean) ** 2).sum())
    return 1 - float(((rest - guess[values[~half]]) ** 2).sum()) / spread if spread > 0 else 0.0
