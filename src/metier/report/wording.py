"""Numbers as a person reads them: the same words on the page, in the card and in the terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from metier.data.table import clusters_of
from metier.types import Finding, Rows, Table

FEW = 10
"""Groups below which a bootstrap of them knows too little of how they differ."""
MISSING = "—"
"""What stands where there is no number."""

_NAMES = {
    "roc_auc": "ROC-AUC",
    "mcc": "MCC",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R²",
    "ece": "Calibration error",
    "cost": "Mean cost",
}


def title(name: str) -> str:
    """Return the name of a metric or measure as a heading.

    >>> title("balanced_accuracy"), title("roc_auc")
    ('Balanced accuracy', 'ROC-AUC')
    """
    if name in _NAMES:
        return _NAMES[name]
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def number(value: float | None, like: tuple[float | None, ...] = ()) -> str:
    """Return a number with as many decimals as its size (or that of its company `like`) asks for.

    >>> number(0.91234), number(12.3456), number(48210.7), number(None)
    ('0.912', '12.35', '48,211', '—')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    sizes = [abs(v) for v in (value, *like) if v is not None and math.isfinite(v)]
    largest = max(sizes)
    if largest == 0:
        return "0"
    if largest < 0.01:
        return f"{value:.2g}"
    decimals = 3 if largest < 10 else 2 if largest < 100 else 1 if largest < 1000 else 0
    return f"{value:,.{decimals}f}"


def over_groups(table: Table, rows: Rows | None = None) -> str:
    """Return a sentence on what intervals of some rows of a table (None: all) are over, where rows
    were to stay together by groups; empty where they were not."""
    name = table.roles.group
    if name is None:
        return ""
    clusters = clusters_of(table, rows)
    if clusters is not None:
        count = len(np.unique(clusters))
        few = f" {count} groups are few, and intervals over them too narrow." if count < FEW else ""
        return f"Intervals are over the groups of {name}, not over single rows.{few}"
    if name in table.frame.columns:
        return f"All these rows are of one group of {name}: intervals say nothing of others."
    return f"These rows do not tell their {name}: intervals take them for independent."


def interval(low: float | None, high: float | None) -> str:
    """Return an interval in words; empty when there is none.

    >>> interval(0.8799, 0.9412)
    '0.880 to 0.941'
    """
    if low is None or high is None:
        return ""
    return f"{number(low, (high,))} to {number(high, (low,))}"


def duration(seconds: float) -> str:
    """Return a length of time.

    >>> duration(0.0123), duration(3.21), duration(125), duration(3780)
    ('12.3 ms', '3.2 s', '2 min 5 s', '1 h 3 min')
    """
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms" if seconds else "0 s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def size(count: float) -> str:
    """Return a number of bytes, in powers of ten.

    >>> size(812), size(22_700_000)
    ('812 B', '22.7 MB')
    """
    return f"{count:.0f} B" if count < 1000 else _scaled(count, ("kB", "MB", "GB", "TB"))


def count(value: float) -> str:
    """Return a large count in short.

    >>> count(812), count(22_713_216)
    ('812', '22.7 million')
    """
    if value < 100_000:
        return f"{value:,.0f}"
    return _scaled(value, ("thousand", "million", "billion", "trillion"))


def _scaled(value: float, units: tuple[str, ...]) -> str:
    power = 0
    while value >= 999.5 and power < len(units):
        value, power = value / 1000, power + 1
    return f"{value:.3g} {units[power - 1]}"


def value_of(found: Finding) -> str:
    """Return the value of a finding in its own unit."""
    return _in_unit(found.value, found)


def interval_of(found: Finding) -> str:
    """Return the interval of a finding in its own unit; empty when there is none."""
    if found.low is None or found.high is None:
        return ""
    low, high = _in_unit(found.low, found), _in_unit(found.high, found)
    figure, _, unit = low.partition(" ")
    return f"{figure if unit == high.partition(' ')[2] else low} to {high}"


def _in_unit(value: float | None, found: Finding) -> str:
    if value is None or not math.isfinite(value):
        return MISSING
    unit = str(found.details.get("unit", ""))
    known = {"bytes": size, "seconds": duration, "count": count}
    if unit in known:
        return known[unit](value)
    if unit == "percent":
        return f"{value:.1f} %"
    if unit == "points":
        return f"{value:+.1f} points"
    if unit == "per second":
        return f"{number(value)} / s"
    text = number(value, (found.low, found.high))
    return f"{text} {unit}".rstrip()


def setting(value: Any) -> str:
    """Return a parameter or a setting on one line.

    >>> setting(0.00021345), setting(None), setting(["a", "b"])
    ('0.0002135', 'none', 'a, b')
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(setting(each) for each in value) or "none"
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def parameters(values: Mapping[str, Any]) -> str:
    """Return parameters on one line.

    >>> parameters({"rank": 8, "rate": 0.0002})
    'rank 8, rate 0.0002'
    """
    return ", ".join(f"{name.replace('_', ' ')} {setting(each)}" for name, each in values.items())


def times(n: int) -> str:
    """Return how often, in words.

    >>> times(1), times(3)
    ('once', '3 times')
    """
    return {0: "never", 1: "once", 2: "twice"}.get(n, f"{n} times")


def shorten(text: str, most: int) -> str:
    """Return a text cut to at most `most` characters, with an ellipsis where it was cut."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
