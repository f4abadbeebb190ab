"""What the names of the labels say, read as rows of their classes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from metier.types import Table, Task


def words_of(labels: Sequence[str]) -> list[str]:
    """Return label names as words to read, or nothing when they are codes or numbers.

    >>> words_of(("card_arrival", "lostCard"))
    ['card arrival', 'lost card']
    >>> words_of(("0", "1"))
    []
    """
    found = []
    for label in labels:
        text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub(r"[_/.-]+", " ", label))
        text = " ".join(text.split()).lower()
        if not re.search(r"[^\W\d_]{3,}", text):
            return []
        found.append(text)
    return found


def with_names(table: Table, task: Task) -> Table | None:
    """Return the rows of a text table and after them one row a class, whose text is its name.

    None where nothing can be read off the names: other inputs, pictures beside the texts, labels
    that are codes, several labels a row.
    """
    roles = table.roles
    texts = [name for name, kind in roles.inputs.items() if kind == "text"]
    words = words_of(task.labels)
    one = task.kind in ("binary", "multiclass") and len(roles.target) == 1
    if (
        roles.modality != "text"
        or not words
        or not one
        or table.frame[roles.target[0]].dtype != pl.String
    ):
        return None
    cells: dict[str, Sequence[str | float]] = {roles.target[0]: task.labels, texts[0]: words}
    if roles.weight is not None:
        cells[roles.weight] = [1.0] * len(words)
    named = pl.DataFrame(cells).cast({name: table.frame.schema[name] for name in cells})
    frame = pl.concat([table.frame, named], how="diagonal")
    return replace(table, frame=frame)
