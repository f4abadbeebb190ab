"""From columns to the arrays a graph takes; the same code at training and at predict.

A preprocessor is plain data: `spec()` is its JSON and `files()` what lies beside it, and
`restore(spec, folder)` builds it again. Only numpy, tokenizers and Pillow are used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, Sequence[Any]]
Example = tuple[NDArray[Any], ...]
"""One row, ready to be put in a batch: the windows of a text (int64 ids), the pixels of an image
(float32, channels first), the numbers of a table row (float32)."""
Arrays = dict[str, NDArray[Any]]

KINDS = {
    "text": "metier.runtime.text",
    "image": "metier.runtime.images",
    "columns": "metier.runtime.columns",
    "tfidf": "metier.runtime.counts",
    "histograms": "metier.runtime.histograms",
    "both": "metier.runtime.both",
}
"""The module of each kind; it is imported when a spec names it and has its own `restore`."""


@dataclass(frozen=True)
class Encoded:
    """Examples in the order of the rows (None where a row could not be read) and the reasons.

    `unseen` has, for each column, the rows whose category is not in the vocabulary, `unread` those
    whose cell in a column of numbers or dates holds something else.
    """

    examples: list[Example | None]
    reasons: dict[int, str]
    unseen: dict[str, list[int]] = field(default_factory=dict)
    unread: dict[str, list[int]] = field(default_factory=dict)


class Preprocess(Protocol):
    """One way of turning columns into arrays."""

    @property
    def kind(self) -> str:
        """The name under which `restore` knows it."""
        ...

    def encode(self, columns: Columns) -> Encoded:
        """Read rows. A row that cannot be read gives None and a reason; never raises for a row."""
        ...

    def cost(self, example: Example) -> int:
        """What a row costs in a batch: tokens for text, 1 otherwise."""
        ...

    def collate(self, examples: Sequence[Example]) -> Arrays:
        """Put rows together into the named inputs of the graph, padded as far as needed."""
        ...

    def spec(self) -> dict[str, Any]:
        """Everything needed to build it again, as JSON; begins with `kind`."""
        ...

    def files(self) -> dict[str, bytes]:
        """Files that belong beside the graph, by name (a tokenizer, a vocabulary)."""
        ...


def restore(spec: Mapping[str, Any], folder: Path) -> Preprocess:
    """Build a preprocessor from its `spec()` and the folder that holds its `files()`.

    Raises:
        ValueError: for a kind that this version does not know.
    """
    kind = spec.get("kind")
    if kind not in KINDS:
        raise ValueError(f"unknown preprocessing {kind!r} (known: {', '.join(sorted(KINDS))})")
    built: Preprocess = import_module(KINDS[kind]).restore(spec, folder)
    return built


def is_missing(value: Any) -> bool:
    """Tell whether a cell is empty: None or NaN (NaN is what pandas gives for None)."""
    return value is None or (isinstance(value, float | np.floating) and value != value)


def joined_texts(columns: Columns, names: Sequence[str]) -> list[str]:
    """Return one text a row: the non-empty cells of the named columns with ": " between them.

    A colon and not a line break, because most WordPiece tokenizers drop line breaks and the border
    between the columns would be lost. A missing cell is empty text; other values are written out.

    >>> joined_texts({"a": ["Card", None], "b": ["lost", 7]}, ("a", "b"))
    ['Card: lost', '7']
    """
    cells = [["" if is_missing(v) else str(v) for v in columns[name]] for name in names]
    if len(cells) == 1:
        return cells[0]
    return [": ".join(cell for cell in row if cell) for row in zip(*cells, strict=True)]
