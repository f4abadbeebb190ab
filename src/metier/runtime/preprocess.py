"""From columns to the arrays a graph takes; the same code at training and at predict.

A preprocessor is plain data: `spec()` is its JSON and `files()` what lies beside it, and
`restore(spec, folder)` builds it again. Only numpy, tokenizers and Pillow are used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, Sequence[Any]]
Example = tuple[NDArray[Any], ...]
"""One row, ready to be put in a batch: the windows of a text (int64 ids), the pixels of an image
(float32, channels first), the numbers of a table row (float32)."""
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Encoded:
    """Examples in the order of the rows (None where a row could not be read) and the reasons."""

    examples: list[Example | None]
    reasons: dict[int, str]


class Preprocess(Protocol):
    """One way of turning columns into arrays."""

    kind: str

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
    """Build a preprocessor from its `spec()` and the folder that holds its `files()`."""
    raise ValueError(spec["kind"])
