"""Label names as the user wrote them, in an order that a person expects."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from metier.runtime.spellings import spellings_of_truth

AFFIRMATIVE = {"1", "true", "t", "yes", "y", "+", "positive", "pos", "present", "abnormal"} | {
    *("malignant", "spam", "fraud", "sick", "defect")
}
DENYING = {"0", "-1", "false", "f", "no", "n", "-", "negative", "neg", "absent", "normal"} | {
    *("benign", "ham", "legitimate", "healthy", "none", "ok")
}
RARE = 0.4
"""A class with at most this share of two is taken to be the one that is looked for."""


def natural_key(label: str) -> tuple[tuple[bool, float, str], ...]:
    """Return a sort key that puts `grade 2` before `grade 10` and -1 before 0."""
    number = as_number(label)
    if number is not None:
        return ((False, number, label),)
    parts = re.split(r"(\d+)", label)
    return tuple((not p.isdecimal(), float(p) if p.isdecimal() else 0.0, p) for p in parts if p)


def as_number(label: str) -> float | None:
    """Return the finite number that a label spells, else None."""
    try:
        number = float(label)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def order(counts: Mapping[str, int]) -> tuple[str, ...]:
    """Return labels in natural order; of two, the positive one last.

    The positive one of two is, in this order of precedence: the greater one of two numbers; the
    one with an affirmative name (`yes`, `malignant`) or whose counterpart's name denies (`no`,
    `benign`); the one that at most 40 % of the rows have; the later one in natural order.

    >>> order({"yes": 5, "no": 9}), order({"grade 10": 1, "grade 2": 1, "grade 1": 1})
    (('no', 'yes'), ('grade 1', 'grade 2', 'grade 10'))
    """
    names = sorted(counts, key=natural_key)
    if len(names) != 2:
        return tuple(names)
    return tuple(sorted(names, key=lambda name: _positiveness(name, counts)))


def _positiveness(name: str, counts: Mapping[str, int]) -> tuple[float, bool]:
    numbers = [as_number(other) for other in counts]
    if None not in numbers:
        return float(name), False
    plain = name.strip().lower()
    word = (plain in AFFIRMATIVE) - (plain in DENYING)
    return word, counts[name] <= RARE * sum(counts.values())


def spell(column: pl.Series) -> pl.Series:
    """Return the labels of a column as strings, as they were written; missing stays missing."""
    return column.cast(pl.String)


def indices(texts: pl.Series, labels: Sequence[str]) -> NDArray[np.int64]:
    """Return the place of each text among the labels, -1 where it is none or missing.

    A number written another way is the same label: `1.0` in a file with gaps is `1` elsewhere. So
    is a truth value: `True` in one program is `true` in another.
    """
    place: dict[str | None, int] = {label: i for i, label in enumerate(labels)}
    for i, label in enumerate(labels):
        for spelling in spellings_of_truth(label):
            place.setdefault(spelling, i)
    by_number = _unambiguous((as_number(label), i) for i, label in enumerate(labels))
    for text in texts.unique().drop_nulls():
        number = as_number(text)
        if text not in place and number in by_number:
            place[text] = by_number[number]
    return np.array([place.get(text, -1) for text in texts], dtype=np.int64)


def _unambiguous(pairs: Iterable[tuple[float | None, int]]) -> dict[float | None, int]:
    found: dict[float | None, int] = {}
    twice: set[float | None] = {None}
    for number, i in pairs:
        if number in found:
            twice.add(number)
        found[number] = i
    return {number: i for number, i in found.items() if number not in twice}
