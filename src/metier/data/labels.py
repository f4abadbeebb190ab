"""Targets: which task they ask for, and several labels joined in one string."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import polars as pl

from metier.errors import DataError, OptionError, suggest
from metier.runtime.columns import FLOAT32_MAX
from metier.runtime.postprocess import TaskKind
from metier.types import Table

SEPARATORS = ("|", ";")
_MOST_INTEGER_CLASSES = 20


def infer_task(table: Table, given: str | None = None) -> TaskKind:
    """Return the kind of task that the target asks for, or check that the given one fits.

    Text is always classes, never numbers. A list of labels (or 0/1 columns) is multi-label. Two
    numbers are two classes; whole numbers that run from 0 or 1 without a gap are classes (at most
    20 of them beside table columns, any number beside texts and images); other numbers, such as a
    grade from 3 to 9, are regression.

    Raises:
        OptionError: `given` is no known task.
        DataError: the target does not fit the task, or has one value only.
    """
    if given is not None and given not in get_args(TaskKind):
        raise OptionError(f"unknown task {given!r}{suggest(given, get_args(TaskKind))}")
    target = table.target
    if isinstance(target, pl.DataFrame):
        return _check_columns(target, given)
    found = _infer(target, table.roles.modality != "tabular") if given is None else given
    if found == "regression":
        _check_numbers(target)
        return "regression"
    if found == "multilabel":
        _check_lists(target)
        return "multilabel"
    classes = _count_classes(target)
    if given == "binary" and classes != 2:
        raise DataError(f"target {target.name!r} has {classes} classes, not 2: use multiclass")
    return "binary" if classes == 2 else "multiclass"


def label_parts(column: pl.Series, *, forced: bool = False) -> str | None:
    """Return the separator under which strings are several labels joined, or None.

    Joined labels recur in other company: single ones beside joined ones, or in other places. A
    class whose name merely holds a separator is left whole. `forced` takes any separator found.

    >>> label_parts(pl.Series(["red|round", "red", "round", "red|round"]))
    '|'
    >>> label_parts(pl.Series(["to|be", "not|to", "be|to"] + ["x"] * 99)) is None
    True
    """
    counts = Counter(column.drop_nulls().to_list())
    for separator in SEPARATORS:
        joined = [text for text in counts if separator in text]
        if not joined:
            continue
        if forced:
            return separator
        if sum(counts[text] for text in joined) >= max(2, 0.05 * counts.total()) and _recur(
            counts, separator
        ):
            return separator
    return None


def split_labels(column: pl.Series, separator: str) -> pl.Series:
    """Split joined labels into lists of distinct, stripped strings."""
    parts = column.str.split(separator).list.eval(pl.element().str.strip_chars())
    return parts.list.eval(pl.element().filter(pl.element() != "")).list.unique(maintain_order=True)


def _recur(counts: Counter[str], separator: str) -> bool:
    places: dict[str, set[tuple[int, int]]] = {}
    uses: Counter[str] = Counter()
    for text, times in counts.items():
        parts = [part.strip() for part in text.split(separator)]
        for place, part in enumerate(parts):
            places.setdefault(part, set()).add((place, len(parts)))
            uses[part] += times
    if len(uses) > 0.5 * uses.total():
        return False
    moving = sum(len(seen) > 1 for seen in places.values())
    return moving >= 0.5 * len(places) and len(places) > 1


def _infer(target: pl.Series, untabular: bool) -> TaskKind:
    if isinstance(target.dtype, pl.List):
        return "multilabel"
    if not target.dtype.is_numeric():
        _refuse_almost_numbers(target)
        return "multiclass"
    values = target.unique().drop_nulls().sort()
    values = values.filter(values.is_finite())
    if len(values) <= 2:
        return "multiclass"
    if target.dtype.is_float() and not bool((values == values.round()).all()):
        return "regression"
    low, high = int(values[0]), int(values[-1])
    gapless = low in (0, 1) and high - low + 1 == len(values)
    few = len(values) <= (max(2, len(target) // 2) if untabular else _MOST_INTEGER_CLASSES)
    return "multiclass" if gapless and few else "regression"


def _refuse_almost_numbers(target: pl.Series) -> None:
    numbers = target.cast(pl.Float64, strict=False)
    odd = numbers.is_null().arg_true()
    if 0 < len(odd) < 0.1 * len(target) and numbers.n_unique() > _MOST_INTEGER_CLASSES:
        raise DataError(
            f"target {target.name!r} is numbers but for {len(odd)} rows (row {odd[0]}: "
            f"{target[int(odd[0])]!r}): mend those, or say that the task is multiclass"
        )


def _check_numbers(target: pl.Series) -> None:
    if isinstance(target.dtype, pl.List) or not target.dtype.is_numeric():
        shown = target[0].to_list() if isinstance(target[0], pl.Series) else target[0]
        raise DataError(
            f"target {target.name!r} is not a number (such as {shown!r}): regression needs "
            "numbers; name another column, or another task"
        )
    if target.drop_nulls().n_unique() < 2:
        raise DataError(f"target {target.name!r} is {target[0]!r} in every row: nothing to learn")
    odd = (~(target.cast(pl.Float64).abs() <= FLOAT32_MAX)).arg_true()
    if len(odd):
        row = int(odd[0])
        raise DataError(
            f"target {target.name!r} is {target[row]!r} in row {row}, and no number so large can "
            "be learned: mend or drop that row"
        )


def _check_lists(target: pl.Series) -> None:
    if not isinstance(target.dtype, pl.List):
        raise DataError(
            f"target {target.name!r} does not hold several labels: write lists, or join labels "
            "with '|'"
        )
    if target.explode().drop_nulls().n_unique() < 1 or target.n_unique() < 2:
        raise DataError(f"target {target.name!r} is the same in every row: nothing to learn")


def _check_columns(target: pl.DataFrame, given: str | None) -> TaskKind:
    if given not in (None, "multilabel"):
        raise DataError(f"several target columns are multi-label, not {given}: name one column")
    for column in target:
        values = set(column.cast(pl.Int64, strict=False).drop_nulls().unique().to_list())
        if not values <= {0, 1} or column.dtype == pl.String:
            raise DataError(
                f"target column {column.name!r} holds more than 0 and 1: several target columns "
                "say yes or no, one for each label"
            )
    if all(column.n_unique() < 2 for column in target):
        raise DataError("the target columns are the same in every row: nothing to learn")
    return "multilabel"


def _count_classes(target: pl.Series) -> int:
    if isinstance(target.dtype, pl.List):
        raise DataError(f"target {target.name!r} holds lists: the task is multilabel")
    counts = target.alias("v").drop_nulls().value_counts()
    if counts.height < 2:
        raise DataError(
            f"target {target.name!r} has one class only ({target.drop_nulls()[0]!r}): add examples "
            "of another"
        )
    if counts.height > 2 and int(counts["count"].to_numpy().max()) < 2:
        raise DataError(
            f"target {target.name!r} differs in every row: no class can be learned from one row"
        )
    return counts.height
