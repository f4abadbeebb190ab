"""Quotation marks in delimited files, and lone ones that swallow the rows after them."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from typing import Literal

import polars as pl

from metier.data.encodings import TextFile

_NO_CHANCE = 10
"""Separators in the right places from which on the lines of a cell are no prose."""


@dataclass(frozen=True)
class Rules:
    """How a line becomes cells: what stands between them, and whether quotation marks quote."""

    separator: str
    quoted: bool = True

    @property
    def quoting(self) -> Literal[0, 3]:
        """What csv calls it."""
        return csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE

    @property
    def mark(self) -> str | None:
        """What polars calls it."""
        return '"' if self.quoted else None


def count_widths(file: TextFile, rules: Rules) -> Counter[int]:
    """Count the lines below the header by their cells; blank lines have none."""
    with file.lines() as lines:
        found = csv.reader(lines, delimiter=rules.separator, quoting=rules.quoting)
        next((row for row in found if row), None)
        return Counter(map(len, found))


def find_swallowing(file: TextFile, rules: Rules, frame: pl.DataFrame) -> list[int]:
    """Return the rows in which a cell holds whole other rows, as after a lone quotation mark.

    The first line of such a cell has the other cells of its row in it, the last one those that
    stand before the closing mark, and each line between them is a row. That may be chance, so few
    lines count only where marks stand as nobody quotes with them: text goes on behind a closing
    one, or none closes.
    """
    more = frame.width - 1  # separators in a row
    if not more:
        return []
    lone: bool | None = None
    found = set()
    for place, column in enumerate(frame):
        for row in column.str.contains("\n", literal=True).arg_true().to_list():
            lines = column[row].rstrip("\n").split("\n")
            first, *others = [line.count(rules.separator) for line in lines]
            if first != more - place or set(others[:-1]) - {more}:
                continue
            if others[-1:] == [place] and sum(others[:-1]) >= _NO_CHANCE:
                found.add(row)
                continue
            if others and others[-1] not in (place, more):
                continue
            if lone is None:
                lone = _has_lone_marks(file, rules)
            if lone:
                found.add(row)
    return sorted(found)


def _has_lone_marks(file: TextFile, rules: Rules) -> bool:
    with file.lines() as lines:
        try:
            for _ in csv.reader(lines, delimiter=rules.separator, strict=True):
                pass
        except csv.Error:
            return True
    return False
