"""How cells of a later file are read: as training decided, whatever other rows the file has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import polars as pl

from metier.data.numbers import MISSING, known_cells
from metier.data.raw import finite
from metier.runtime.columns import category_text, to_numbers
from metier.runtime.manifest import Manifest
from metier.runtime.signals import vocabularies
from metier.runtime.spellings import Spellings, plain_number
from metier.types import Finding, Kind, Roles


@dataclass(frozen=True)
class Known:
    """What training found in columns.

    Args:
        kinds: what the cells of each column are.
        categories: the categories of a column, as training spells them; a column of categories
            that is not here keeps the spelling of the file.
        fractions: columns of numbers that are not all whole: in a file where they are, they are the
            same numbers.
    """

    kinds: Mapping[str, Kind] = field(default_factory=dict)
    categories: Mapping[str, Iterable[str]] = field(default_factory=dict)
    fractions: frozenset[str] = frozenset()

    @classmethod
    def of_rows(cls, frame: pl.DataFrame, roles: Roles) -> Known:
        """Return what the rows that are learned from say, as they were read."""
        single = (roles.group, roles.time, roles.domain)
        others = [*roles.target, *roles.sensitive, *(name for name in single if name is not None)]
        kinds = {name: _kind(frame[name]) for name in others if name in frame.columns}
        kinds.update(roles.inputs)
        named = [n for n in (*roles.inputs, *roles.sensitive) if kinds.get(n) == "category"]
        categories = {name: _texts(frame[name].unique()) for name in named}
        numbers = [name for name, kind in roles.inputs.items() if kind == "number"]
        whole = {name for name in numbers if frame[name].dtype.is_integer()}
        return cls(kinds, categories, frozenset(numbers) - whole)

    @classmethod
    def of_bundle(cls, manifest: Manifest) -> Known:
        """Return what a bundle says of its inputs, its target and its groups."""
        kinds: dict[str, Kind] = {column.name: column.kind for column in manifest.columns}
        categories: dict[str, Iterable[str]] = dict(vocabularies(manifest.preprocess))
        decision, targets = manifest.decision, manifest.facts.get("target", ())
        for name in targets:
            numeric = len(targets) > 1 or decision.kind == "regression"
            kinds[name] = "number" if numeric else "category"
            if decision.kind in ("binary", "multiclass"):
                categories[name] = decision.labels
        if manifest.facts.get("group"):
            kinds.setdefault(manifest.facts["group"], "category")
        if decision.groups is not None:
            for name, groups in decision.groups.known.items():
                kinds.setdefault(name, "category")
                categories.setdefault(name, groups)
        return cls(kinds, categories)

    def read(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[Finding]]:
        """Return a frame whose cells are read as training decided, and what could not be."""
        odd: list[Finding] = []
        columns = []
        for name, kind in self.kinds.items():
            if name not in frame.columns:
                continue
            column = frame[name]
            if kind == "number":
                numbers = _numbers(column, odd) if column.dtype == pl.String else column
                whole = numbers.dtype.is_integer() and name in self.fractions
                columns.append(numbers.cast(pl.Float64) if whole else numbers)
            elif kind == "category" and name in self.categories and not column.dtype.is_nested():
                columns.append(_respelled(column, self.categories[name]))
        return frame.with_columns(columns), odd


def _kind(column: pl.Series) -> Kind:
    if column.dtype.is_numeric():
        return "number"
    return "date" if column.dtype.is_temporal() else "category"


def _texts(cells: pl.Series) -> tuple[str, ...]:
    texts = (category_text(cell) for cell in cells.to_list())
    return tuple(sorted({text for text in texts if text is not None}))


def _numbers(column: pl.Series, found: list[Finding]) -> pl.Series:
    """Read cell by cell, as at predict; what is no number is missing, and said."""
    cells = known_cells(column)
    numbers = cells.cast(pl.Float64, strict=False)
    left = (numbers.is_null() & cells.is_not_null()).arg_true()
    numbers = finite(numbers.scatter(left, to_numbers(cells.gather(left).to_list())))
    odd = (numbers.is_null() & cells.is_not_null()).arg_true()
    if len(odd):
        many = f"{len(odd)} cells are no numbers and count"
        held = many if len(odd) > 1 else "1 cell is no number and counts"
        verdict = f"column {column.name!r}: {held} as missing (first in row {odd[0]})"
        shown = {"examples": [column[odd[0]]]}
        found.append(Finding("reading", verdict, level="warning", details=shown))
    whole = cells.cast(pl.Int64, strict=False)
    return whole if whole.null_count() == numbers.null_count() else numbers


def _respelled(column: pl.Series, categories: Iterable[str]) -> pl.Series:
    """Write each category as training does; one that it never saw stays as it is.

    Where all categories are numbers the column was one of numbers, in which words for a missing
    one are no category.
    """
    texts = sorted(categories)
    known = Spellings.of(texts)
    numeric = bool(texts) and all(plain_number(text) is not None for text in texts)
    cells = column.unique().to_list()
    spelled: dict[object, str | None] = {}
    for cell in cells:
        text = category_text(cell)
        if text is not None and (place := known.place(text)) >= 0:
            text = texts[place]
        elif numeric and text is not None and text.strip() in MISSING:
            text = None
        spelled[cell] = text
    found = [spelled[cell] for cell in column.to_list()]
    return pl.Series(column.name, found, dtype=pl.String)
