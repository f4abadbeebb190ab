"""Rows of several tasks as the rows of one table, those with equal inputs once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from metier.errors import DataError
from metier.types import Modality, Roles, Rows, Table


@dataclass(frozen=True)
class United:
    """Rows that tables hold together.

    Args:
        table: the rows, under the names that the first table gives its inputs; no target.
        places: for each table, where its rows stand in `table`.
    """

    table: Table
    places: tuple[Rows, ...]


def unite(tables: Sequence[Table]) -> United:
    """Put the inputs of several tables into one, as a network reads them.

    Texts are joined by their place, not by their name, so `review` in one file is `text` in
    another. A row that several tables have stands there once; what one table has twice stands
    there twice.

    Raises:
        DataError: when the tables do not read the same: texts and images, or two texts and one.
    """
    modality = tables[0].roles.modality
    names = [_read(table, modality) for table in tables]
    for table, own in zip(tables, names, strict=True):
        if table.roles.modality != modality or len(own) != len(names[0]):
            raise DataError(
                f"one network reads all tasks: {_told(tables[0], names[0])} in the first and "
                f"{_told(table, own)} in another do not go together; give each its own run"
            )
    plain = [_plain(table, own, names[0]) for table, own in zip(tables, names, strict=True)]
    known: dict[tuple[int, int], int] = {}
    places, kept = [], []
    for table in plain:
        seen: Counter[int] = Counter()
        place, fresh = [], []
        for row, digest in enumerate(table.digests.tolist()):
            key = (digest, seen[digest])
            seen[digest] += 1
            if key not in known:
                known[key] = len(known)
                fresh.append(row)
            place.append(known[key])
        places.append(np.asarray(place, dtype=np.int64))
        kept.append(table.take(np.asarray(fresh, dtype=np.int64)))
    whole = Table(pl.concat([table.frame for table in kept]), plain[0].roles)
    whole.__dict__["digests"] = np.concatenate([table.digests for table in kept])
    return United(whole, tuple(places))


def _read(table: Table, modality: Modality) -> list[str]:
    """The columns that a network of a modality reads: all texts, or the first image."""
    names = [name for name, kind in table.roles.inputs.items() if kind == modality]
    return names[:1] if modality == "image" else names


def _plain(table: Table, own: Sequence[str], names: Sequence[str]) -> Table:
    """These inputs alone, renamed; paths of images without a base."""
    columns: dict[str, Any] = {}
    given = table.columns()
    for mine, name in zip(own, names, strict=True):
        columns[name] = pl.Series(name, given[mine], dtype=pl.String)
    kind: Any = "text" if table.roles.modality == "text" else "image"
    return Table(pl.DataFrame(columns), Roles(dict.fromkeys(names, kind)))


def _told(table: Table, names: Sequence[str]) -> str:
    modality = table.roles.modality
    return f"{len(names)} {modality} column{'s' if len(names) != 1 else ''} ({', '.join(names)})"
