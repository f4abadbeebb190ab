"""Parameters declared once: a default beside the range that a search may draw from.

>>> from dataclasses import dataclass
>>> @dataclass(frozen=True)
... class Shrink:
...     rate: float = tune(0.1, Float(0.01, 1.0, log=True))
>>> Shrink().rate
0.1
>>> space(Shrink)
{'rate': Float(low=0.01, high=1.0, log=True)}
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Int:
    """Whole numbers from `low` to `high`, both included."""

    low: int
    high: int
    log: bool = False


@dataclass(frozen=True)
class Float:
    """Real numbers from `low` to `high`, both included."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Choice:
    """One of the given values."""

    values: tuple[Any, ...]


Range = Int | Float | Choice


def tune(default: Any, over: Range) -> Any:
    """Declare a dataclass field with its default and the range a search may draw from."""
    return dataclasses.field(default=default, metadata={"range": over})


def space(strategy: Any) -> dict[str, Range]:
    """Return the searchable fields of a strategy (class or value) by name."""
    return {
        field.name: field.metadata["range"]
        for field in dataclasses.fields(strategy)
        if "range" in field.metadata
    }
