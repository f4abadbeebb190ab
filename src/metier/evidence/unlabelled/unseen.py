"""What rows hold that a model does not know: values beyond those of training, absent classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metier.evidence.bootstrap import wilson
from metier.evidence.words import number, percent, sentence, whole
from metier.runtime.manifest import InputColumn
from metier.types import Finding, Rows

MUCH = 0.05
"""A share of rows beyond those of training that deserves a look."""


def beyond_training(
    columns: Sequence[InputColumn], cells: Mapping[str, Sequence[Any]], numbers: Rows
) -> list[Finding]:
    """Return, for each column of numbers, how many rows lie outside what training saw.

    Args:
        columns: what the bundle reads, with the lowest and highest value of each.
        cells: the rows by column.
        numbers: (n,) where each row stood in the data given.
    """
    found = []
    for column in columns:
        low, high = column.low, column.high
        if not isinstance(low, int | float) or not isinstance(high, int | float):
            continue
        values = np.array([_as_number(cell) for cell in cells[column.name]], dtype=np.float64)
        outside = (values < low) | (values > high)
        count, n = int(outside.sum()), int(np.isfinite(values).sum())
        if not count:
            continue
        text = (
            f"{whole(count)} of {whole(n)} rows have a {column.name!r} outside {number(low)} to "
            f"{number(high)}, all that training saw"
        )
        found.append(_share("outside_range", text, count, n, numbers[outside]))
    return found


def new_categories(unseen: Mapping[str, int], n: int) -> list[Finding]:
    """Return, for each column of categories, how many rows have a value that the model does not
    know: training never saw it, or had too many categories to tell all apart."""
    return [
        _share(
            "new_categories",
            f"{whole(count)} of {whole(n)} rows have a {name!r} that is not among the categories "
            "that the model knows",
            count,
            n,
        )
        for name, count in unseen.items()
        if count
    ]


def absent_labels(labels: Sequence[str], truth: NDArray[Any]) -> list[Finding]:
    """Return the classes that none of the rows has, of which nothing can be said.

    Args:
        labels: in the order of the scores.
        truth: int64 (n,) for classes, 0 or 1 (n, labels) for several labels.
    """
    counts = truth.sum(axis=0) if truth.ndim == 2 else np.bincount(truth, minlength=len(labels))
    absent = [label for label, count in zip(labels, counts, strict=True) if not count]
    if not absent:
        return []
    told = ", ".join(absent[:8]) + (f" and {len(absent) - 8} more" if len(absent) > 8 else "")
    text = f"no row is {told}: nothing here says how well these are answered"
    return [Finding("absent_labels", sentence(text), n=len(truth), level="warning")]


def _share(
    name: str, text: str, count: int, n: int, rows: NDArray[np.int64] | None = None
) -> Finding:
    low, high = wilson(float(count), n, 0.95)
    told = f"{text} ({percent(count / n)} %, 95 % interval {percent(low)} to {percent(high)})"
    which = () if rows is None else tuple(rows.tolist())
    level: Literal["info", "warning"] = "warning" if low > MUCH else "info"
    return Finding(name, sentence(told), count / n, low, high, n, level, which)


def _as_number(cell: Any) -> float:
    return float("nan") if cell is None or isinstance(cell, str) else float(cell)
