"""Groups of rows by a column that is no input: people by sex, by age; with numpy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.runtime.columns import category_text, to_numbers
from metier.runtime.preprocess import Columns
from metier.runtime.spellings import Spellings

MISSING = "missing"
"""The group of the rows whose cell is empty."""
JOINT = " & "
"""What stands between the groups of several columns."""


@dataclass(frozen=True)
class GroupColumn:
    """A column by which rows are grouped.

    Args:
        name: the column.
        cuts: where the groups of a number begin, rising; empty for a column of categories, whose
            values are its groups.

    >>> GroupColumn("age", (25, 60)).of([24, 25, None, 71])
    ['below 25', '25 to below 60', 'missing', '60 and more']
    >>> GroupColumn("sex").of(["f", None])
    ['f', 'missing']
    """

    name: str
    cuts: tuple[float, ...] = ()

    def of(self, cells: Sequence[Any]) -> list[str]:
        """Return the group of each cell."""
        if not self.cuts:
            found = (category_text(cell) for cell in cells)
            return [MISSING if text is None else text for text in found]
        numbers, names = to_numbers(cells), self.names
        places = np.searchsorted(np.asarray(self.cuts), numbers, side="right")
        known = ~np.isnan(numbers)
        return [names[i] if there else MISSING for i, there in zip(places, known, strict=True)]

    @property
    def names(self) -> tuple[str, ...]:
        """The groups of a number, in rising order; none for categories."""
        if not self.cuts:
            return ()
        between = [f"{a:g} to below {b:g}" for a, b in pairwise(self.cuts)]
        return (f"below {self.cuts[0]:g}", *between, f"{self.cuts[-1]:g} and more")


def joined(parts: Sequence[Sequence[str]]) -> list[str]:
    """Return the group of each row by several columns at once.

    >>> joined([["f", "m"], ["old", "young"]])
    ['f & old', 'm & young']
    """
    return [JOINT.join(row) for row in zip(*parts, strict=True)]


def told_of_strangers(rows: int) -> str:
    """Say that so many rows are of no group with a threshold, and what decided on them."""
    counted = f"{rows} rows" if rows > 1 else "1 row"
    return f"{counted} of a missing or unknown group decided by the common threshold"


@dataclass(frozen=True)
class GroupThresholds:
    """A threshold for each group, on the probability of the positive class.

    Args:
        columns: what makes the groups; rows need them when they are predicted.
        thresholds: by group, of all columns joined; a group that is not among them gets the common
            threshold.
    """

    columns: tuple[GroupColumn, ...]
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def known(self) -> dict[str, tuple[str, ...]]:
        """The groups of each column of categories that have a threshold, in their order."""
        parts = [
            [group] if len(self.columns) == 1 else group.split(JOINT) for group in self.thresholds
        ]
        told = [own for own in parts if len(own) == len(self.columns)]
        return {
            column.name: tuple(sorted({own[place] for own in told} - {MISSING}))
            for place, column in enumerate(self.columns)
            if not column.cuts
        }

    @cached_property
    def _spellings(self) -> dict[str, Spellings]:
        return {name: Spellings.of(groups) for name, groups in self.known.items()}

    def groups(self, columns: Columns) -> list[str]:
        """Return the group of each row; a known one is told however its cells are spelled."""
        return joined([self._of(each, columns[each.name]) for each in self.columns])

    def _of(self, column: GroupColumn, cells: Sequence[Any]) -> list[str]:
        found, known = column.of(cells), self._spellings.get(column.name)
        return found if known is None else [known.respell(group) for group in found]

    def of(self, columns: Columns, common: float) -> NDArray[np.float64]:
        """Return the threshold of each row."""
        found = [self.thresholds.get(group, common) for group in self.groups(columns)]
        return np.asarray(found, dtype=np.float64)

    def strangers(self, columns: Columns) -> list[int]:
        """Return the rows whose group has no threshold of its own."""
        groups = self.groups(columns)
        return [row for row, group in enumerate(groups) if group not in self.thresholds]

    def to_json(self) -> dict[str, Any]:
        """Return the thresholds as plain JSON."""
        return {
            "columns": [{"name": each.name, "cuts": list(each.cuts)} for each in self.columns],
            "thresholds": dict(self.thresholds),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> GroupThresholds:
        """Build thresholds from `to_json()`."""
        columns = (
            GroupColumn(str(c["name"]), tuple(float(v) for v in c["cuts"])) for c in data["columns"]
        )
        thresholds = {str(k): float(v) for k, v in data["thresholds"].items()}
        return cls(tuple(columns), thresholds)
